"""Bugs planted in what a node does about snapshots are found by seeded runs.

Each is a mistake that some real system has shipped, or one that this one had. They are patched in
from outside.
"""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import pytest

from orchestrator.simulation.profile import Profile
from raftcache.node import ready
from raftcache.node.sending import SnapshotSender
from raftcache.node.server import Server
from raftcache.node.snapshots import Snapshots
from raftcache.raft.core import Raft
from raftcache.raft.log import Log
from raftcache.raft.types import Entry, HardState
from raftcache.storage import snapshot_receiver
from raftcache.storage.files import Files
from raftcache.storage.snapshot_receiver import SnapshotReceiver
from raftcache.storage.snapshot_shelf import SnapshotShelf
from raftcache.storage.snapshots import (
    SnapshotMeta,
    SnapshotReader,
    StoredSnapshot,
    snapshot_name,
)
from raftcache.storage.wal import Batch
from raftcache.store.keyspace import Keyspace
from raftcache.store.machine import StateMachine
from raftcache.store.snapshot import SnapshotRun

from .runs import is_found

pytestmark = pytest.mark.slow

SEEDS_MAX = 100

Plant = Callable[[pytest.MonkeyPatch], None]


def a_suffix_of_another_history_survives_an_install(patch: pytest.MonkeyPatch) -> None:
    """What follows the snapshot's position is kept whether or not it fits (failure D2)."""
    reset = Log.reset

    def keep_suffix(log: Log, index: int, term: int) -> None:
        suffix = [entry for entry in log.entries if entry.index > index]
        reset(log, index, term)
        log.entries = suffix
        log.first_unsaved = index + 1

    patch.setattr(Log, "reset", keep_suffix)


def the_log_is_not_restarted_on_disk(patch: pytest.MonkeyPatch) -> None:
    """The base of an installed snapshot is never written (failures D3, D4)."""

    def baseless(
        hard_state: HardState | None, entries: list[Entry], _base: tuple[int, int] | None
    ) -> Batch:
        return Batch(hard_state, entries)

    patch.setattr(ready, "Batch", baseless)


def the_log_is_freed_up_to_the_newest_snapshot(patch: pytest.MonkeyPatch) -> None:
    """Nothing stands behind one that rots (failure E10)."""
    retain = SnapshotShelf.retain

    def too_much(shelf: SnapshotShelf, kept: int) -> int:
        retain(shelf, kept)
        return shelf.positions()[0][0]

    patch.setattr(SnapshotShelf, "retain", too_much)


def the_log_is_freed_when_a_snapshot_begins(patch: pytest.MonkeyPatch) -> None:
    """It is not there yet (failures D4, D7)."""
    begin = Snapshots.begin

    def hasty(snapshots: Snapshots) -> None:
        begin(snapshots)
        if snapshots._taking is not None:
            snapshots._storage.release(snapshots._taking.meta.last_included_index)

    patch.setattr(Snapshots, "begin", hasty)


class _Ahead:
    """A state machine that claims to have applied more than it has."""

    def __init__(self, store: StateMachine, index: int) -> None:
        self._store = store
        self.last_applied = index

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def a_snapshot_stands_at_the_commit_index(patch: pytest.MonkeyPatch) -> None:
    """It holds what is applied, and that may be less (failure D13)."""
    begin = Snapshots.begin

    def ahead(snapshots: Snapshots) -> None:
        store = snapshots._store
        snapshots._store = _Ahead(store, snapshots._raft.state.commit_index)  # type: ignore[assignment]
        begin(snapshots)
        snapshots._store = store

    patch.setattr(Snapshots, "begin", ahead)


def a_snapshot_is_of_no_one_moment(patch: pytest.MonkeyPatch) -> None:
    """Writes that come while it is taken show in it (failure D13)."""
    patch.setattr(Keyspace, "watch", lambda _keyspace, _watcher: None)


def a_snapshot_has_no_history(patch: pytest.MonkeyPatch) -> None:
    """Nodes that were restored answer pages of the past differently (failure B7)."""
    init = SnapshotRun.__init__

    def forget(run: SnapshotRun, keyspace: Keyspace, applied: int, digests: Iterable[int]) -> None:
        init(run, keyspace, applied, digests)
        run._changes = iter(())
        run._oldest_rev = run.store_rev

    patch.setattr(SnapshotRun, "__init__", forget)


def the_state_stays_as_it_was(patch: pytest.MonkeyPatch) -> None:
    """Only the log follows an installed snapshot (failure D1)."""
    patch.setattr(Server, "replace_store", lambda _server, _store: None)


def entries_are_applied_to_a_state_that_is_half_restored(patch: pytest.MonkeyPatch) -> None:
    """Nobody waits for the snapshot to be in force (failure D5)."""
    patch.setattr(Raft, "pause_apply", lambda _raft, **_: None)


def a_received_snapshot_is_acknowledged_before_it_is_durable(patch: pytest.MonkeyPatch) -> None:
    """It has its name, and may be gone after a power cut (failures D7, E8)."""

    def publish(files: Files, directory: str, path: str, meta: SnapshotMeta) -> str:
        name = snapshot_name(meta.last_included_index, meta.last_included_term)
        files.rename(path, f"{directory}/{name}")
        return f"{directory}/{name}"

    patch.setattr(snapshot_receiver, "publish_file", publish)
    patch.setattr(SnapshotReceiver, "_sync", lambda _receiver, _handle: None)


def snapshots_are_trusted_unread(patch: pytest.MonkeyPatch) -> None:
    """A damaged one is taken for the newest sound one (failure E10)."""

    def believe(reader: SnapshotReader) -> StoredSnapshot:
        return StoredSnapshot(reader.meta, reader.path, reader.size_bytes, reader.check)

    patch.setattr(SnapshotReader, "verify", believe)


def what_was_lost_is_not_sent_again(patch: pytest.MonkeyPatch) -> None:
    """A transfer that loses a chunk stands still for ever (failure F2)."""
    patch.setattr(SnapshotSender, "on_tick", lambda _sender: None)


CHANGING = Profile(
    faults=("kill", "power", "doom", "isolate", "away", "rot_snapshot", "split"),
    fault_pause_us=(100_000, 500_000),
    election_ticks_max=20,
    duplicate=50,
    reorder=50,
    clients=8,
    think_us=(0, 5_000),
    snapshot_log_bytes=1_000,
    tail_bytes=0,
    slice_bytes=512,
    chunk_bytes=1_024,
    bulk_loss=50,
    job_us=(100, 5_000),
    events=100_000,
    faulty_ms=2_000,
)
"""Snapshots all the time, and nodes that come and go, so that they are needed."""


DEPOSING = msgspec.structs.replace(
    CHANGING,
    faults=("isolate", "split"),
    fault_pause_us=(100_000, 400_000),
    snapshot_log_bytes=300,
    clients=16,
    think_us=(0, 1_000),
    bulk_loss=0,
)
"""Leaders are cut off with entries that only they have, and are sent a snapshot soon after."""


@pytest.mark.parametrize(
    ("plant", "profile", "first"),
    [
        (a_suffix_of_another_history_survives_an_install, DEPOSING, 13),
        (the_log_is_not_restarted_on_disk, CHANGING, 2),
        (the_log_is_freed_up_to_the_newest_snapshot, CHANGING, 1),
        (the_log_is_freed_when_a_snapshot_begins, CHANGING, 1),
        (a_snapshot_stands_at_the_commit_index, CHANGING, 1),
        (a_snapshot_is_of_no_one_moment, CHANGING, 1),
        (a_snapshot_has_no_history, CHANGING, 1),
        (the_state_stays_as_it_was, CHANGING, 2),
        (entries_are_applied_to_a_state_that_is_half_restored, CHANGING, 2),
        (a_received_snapshot_is_acknowledged_before_it_is_durable, CHANGING, 2),
        (snapshots_are_trusted_unread, CHANGING, 1),
        (what_was_lost_is_not_sent_again, CHANGING, 8),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_planted_bug_is_found(
    plant: Plant, profile: Profile, first: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Within a few seeds, by whichever check sees it first; ``first`` found it once."""
    plant(monkeypatch)

    seeds = [first, *(seed for seed in range(1, SEEDS_MAX + 1) if seed != first)]

    assert any(is_found(seed, profile) for seed in seeds), "no seed finds it"


@pytest.mark.parametrize("seed", range(1, 5))
@pytest.mark.parametrize("profile", [CHANGING, DEPOSING], ids=["changing", "deposing"])
def test_without_a_planted_bug_these_worlds_are_in_order(profile: Profile, seed: int) -> None:
    """What is found above is the bug, and not the world."""
    assert not is_found(seed, profile)
