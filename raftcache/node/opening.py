"""What a node has when it starts: its state, or nothing, and then what it was given when it joined.

A process and a simulation begin through here, so that both know the same cases: a directory that
holds the state; one life to be spent in memory; a state that is gone, and a place among the peers
that was granted anew.
"""

from typing import NamedTuple

from ..protocol.joining import JoinAnswer
from ..storage.directory import begin_anew, open_directory
from ..storage.files import Files
from ..storage.identity import Durability, Identity
from ..storage.memory import MEMORY_DIRECTORY, MemoryFiles, lock_for_memory, take_identity
from ..storage.recovery import Recovered
from ..storage.wal import Wal


class Home(NamedTuple):
    """Where a node lives, and under which promise. ``incarnation`` is as for ``open_directory``."""

    files: Files
    directory: str
    cluster_id: str
    node_id: str
    incarnation: int | None
    durability: Durability
    segment_bytes: int
    boot_id: str


class Opened(NamedTuple):
    """A node's state, locked for this process."""

    recovered: Recovered
    wal: Wal | None
    """The log on disk; None: there is none, and ``lock`` is to be closed at the end."""
    lock: int
    files: Files
    """Where snapshots go."""
    directory: str

    @property
    def incarnation(self) -> int:
        """Which incarnation this is."""
        return self.recovered.identity.incarnation


def open_home(home: Home) -> Opened:
    """Open what a node has.

    Raises:
        StateLost: that is nothing it could go on with; it may join.
        StorageError: as ``open_directory`` says.
    """
    if home.durability == "memory":
        identity, lock = take_identity(
            home.directory, cluster_id=home.cluster_id, node_id=home.node_id, files=home.files
        )
        return _in_memory(identity, lock)
    wal, recovered = open_directory(
        home.directory,
        cluster_id=home.cluster_id,
        node_id=home.node_id,
        incarnation=home.incarnation,
        durability=home.durability,
        segment_bytes=home.segment_bytes,
        files=home.files,
        boot_id=home.boot_id,
        may_lack_snapshot=True,
    )
    return Opened(recovered, wal, 0, home.files, home.directory)


def begin_home(home: Home, granted: JoinAnswer) -> Opened:
    """Begin the incarnation that a node was given when it joined.

    On disk nothing but the identity is written in the first step, so that a process that dies on
    the way goes on, and never takes what an incarnation before has left for its own.

    Raises:
        StorageError: as ``begin_anew`` says.
    """
    assert granted.configuration is not None, "whoever is granted a place is told who the peers are"
    identity = Identity(
        cluster_id=home.cluster_id,
        node_id=home.node_id,
        incarnation=granted.incarnation,
        configuration=granted.configuration,
        configuration_index=granted.index,
        durability=home.durability,
        state="none",
    )
    if home.durability == "memory":
        lock = lock_for_memory(
            home.directory, cluster_id=home.cluster_id, node_id=home.node_id, files=home.files
        )
        return _in_memory(identity, lock)
    begin_anew(home.directory, identity, files=home.files)
    return open_home(home._replace(incarnation=granted.incarnation))


def _in_memory(identity: Identity, lock: int) -> Opened:
    return Opened(Recovered(identity), None, lock, MemoryFiles(), MEMORY_DIRECTORY)
