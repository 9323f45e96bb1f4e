"""What a node begins with: the log and the state machine, as its directory held them (§7).

A process and a simulation start their server through here, so that both restore in one way.
"""

from collections.abc import Callable

from ..raft.core import SnapshotPosition
from ..storage.files import Files
from ..storage.recovery import Recovered
from ..storage.snapshot_shelf import SnapshotShelf
from ..storage.snapshots import StoredSnapshot
from ..store.machine import StateMachine, StoreLimits
from ..store.restore import Restorer
from .snapshots import JobRunner, SnapshotSetup, SnapshotSizes, check_position, position_of
from .values import Durable


def durable_of(
    recovered: Recovered,
    *,
    files: Files,
    directory: str,
    runner: JobRunner,
    log_bytes: int,
    kept: int,
    sizes: SnapshotSizes | None = None,
    give_back: Callable[[], None] | None = None,
) -> Durable:
    """Return what the directory held, with the state machine as its newest snapshot has it.

    Assumes that the directory is open: locked, and recovered.

    Raises:
        StorageError: the snapshot can't be read after all.
    """
    cluster_id = recovered.identity.cluster_id
    shelf = SnapshotShelf(files, directory, cluster_id)
    setup = SnapshotSetup(
        files=files,
        directory=directory,
        cluster_id=cluster_id,
        shelf=shelf,
        runner=runner,
        newest=recovered.snapshot,
        log_bytes=log_bytes,
        kept=kept,
        sizes=sizes or SnapshotSizes(),
        give_back=give_back,
    )
    return Durable(
        configuration=recovered.identity.configuration,
        hard_state=recovered.hard_state,
        entries=recovered.entries,
        snapshots=setup,
        store=_restored(shelf, recovered.snapshot),
        lost=_lost(recovered),
        configuration_index=recovered.identity.configuration_index,
    )


def _lost(recovered: Recovered) -> SnapshotPosition | None:
    """Return what another node must send, if no snapshot here is sound (failure E10).

    Who took part there is lost with it. A server that follows needs that for nothing but to know
    its peers; the snapshot that is sent tells it anew.
    """
    if not recovered.lacks_snapshot:
        return None
    return SnapshotPosition(*recovered.base, recovered.identity.configuration, is_lost=True)


def _restored(shelf: SnapshotShelf, stored: StoredSnapshot | None) -> StateMachine | None:
    if stored is None:
        return None
    restorer = Restorer(StoreLimits())
    reader = shelf.open(position_of(stored.meta))
    try:
        for piece in reader.slices():
            restorer.feed(piece)
    finally:
        reader.close()
    return check_position(restorer.finish(), stored)
