"""Which rot of a snapshot a node must come back from by itself, and which it need not."""

from collections.abc import Callable
from random import Random

import pytest

from orchestrator.simulation.checks import DurableLog
from orchestrator.simulation.cluster import SimulatedCluster
from orchestrator.simulation.faults import Faults
from orchestrator.simulation.kinds import KINDS
from orchestrator.simulation.kinds_of_disk import rot_snapshot
from orchestrator.simulation.profile import Profile
from raftcache.raft.types import Entry, EntryKind, HardState, Index, Term
from raftcache.storage.outline import Batch
from raftcache.storage.recovery import Recovered, list_segments
from raftcache.storage.segment import decode_segment_header, segment_name
from raftcache.storage.snapshot_shelf import SnapshotShelf

from ..node.builders import SNAPPY, fill


class _This(Random):
    """Has a fault strike one node, and is chance in all else."""

    def __init__(self, name: str) -> None:
        super().__init__(1)
        self._name = name

    def random(self) -> float:
        return 0.9

    def choice(self, seq: list[str]) -> str:  # type: ignore[override]
        assert self._name in seq
        return self._name


def with_a_snapshot(profile: Profile = SNAPPY) -> tuple[SimulatedCluster, str]:
    """Return a cluster, and a follower that has taken a first snapshot of its own."""
    cluster = SimulatedCluster(1, profile).up()
    leader = cluster.elect()
    follower = next(name for name in cluster.names if name != leader)
    write_until(cluster, lambda: len(cluster.hosts[follower].snapshots()) == 1)
    return cluster, follower


def write_until(cluster: SimulatedCluster, condition: Callable[[], bool]) -> None:
    """Write until something holds."""
    leader = cluster.elect()
    for _ in range(50):
        if condition():
            return
        fill(cluster, leader, 1)
        cluster.run_ms(20)
    raise AssertionError(cluster.explain("no number of writes makes it so"))


def log_begins_behind(cluster: SimulatedCluster, name: str) -> Index:
    """Return the index of the last entry that is in no segment any more; 0 if all still are."""
    host = cluster.hosts[name]
    first = segment_name(list_segments(host.disk, host.directory)[0])
    path = f"{host.directory}/{first}"
    return decode_segment_header(host.disk.content(path), path).last_index


def sent_another(cluster: SimulatedCluster, name: str, *, written: bool) -> Index:
    """Let a node be sent a snapshot; return its position, once its log is to restart there.

    That is not yet synced, and perhaps not even written.
    """
    cluster.kill(name)
    leader = cluster.elect()
    position = cluster.hosts[leader].newest_snapshot()
    write_until(cluster, lambda: cluster.hosts[leader].newest_snapshot() > position + 10)
    process = cluster.start(name)
    writer = process.writer
    if not written:
        cluster.run_until(lambda: cluster.told[name, "snapshot_receiving"] > 0)
        writer.held = True

    def restarts() -> list[Index]:
        batches = writer._under_way if written else [batch for batch, _ in writer._waiting]
        return [batch.base[0] for batch in batches if batch.base is not None]

    cluster.run_until(lambda: bool(restarts()))
    assert cluster.checks.durable[name].restarted == 0, "it is not synced"
    return restarts()[0]


def test_a_log_restarts_where_the_kernel_alone_knows_of_it() -> None:
    """Killed before the sync, it is read back all the same (failure E10; seed 30000249)."""
    cluster, name = with_a_snapshot()
    restarted = sent_another(cluster, name, written=True)
    older, newest = cluster.hosts[name].snapshots()
    assert older < newest == restarted
    faults = Faults(cluster, 1, KINDS)

    struck = rot_snapshot(faults, _This(name))

    assert not struck, "there is nothing that stands in for it"
    assert faults.start(name)
    assert cluster.process(name).recovered.base[0] == restarted
    assert cluster.checks.durable[name].restarted == restarted


def test_a_restart_that_was_never_written_excuses_nobody() -> None:
    """What stands in for the snapshot is all there, and must do (failure E10)."""
    cluster, name = with_a_snapshot()
    sent_another(cluster, name, written=False)
    older, _ = cluster.hosts[name].snapshots()
    faults = Faults(cluster, 1, KINDS)

    assert rot_snapshot(faults, _This(name))

    assert faults.start(name)
    assert cluster.process(name).recovered.base[0] == older


@pytest.mark.parametrize("frees_too_much", [False, True])
def test_an_older_snapshot_and_the_log_behind_it_must_do(
    frees_too_much: bool,  # noqa: FBT001 - the case
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever freed that log and starts without is found out (failure E10).

    Segments go as wholes, so too much is asked to be freed before too much is gone.
    """
    retain = SnapshotShelf.retain

    def too_much(shelf: SnapshotShelf, kept: int) -> Index:
        retain(shelf, kept)
        return shelf.positions()[0][0]

    if frees_too_much:
        monkeypatch.setattr(SnapshotShelf, "retain", too_much)
    cluster, name = with_a_snapshot()
    faults = Faults(cluster, 1, KINDS)
    write_until(cluster, lambda: len(cluster.hosts[name].snapshots()) == 2)
    host = cluster.hosts[name]
    if frees_too_much:
        write_until(cluster, lambda: log_begins_behind(cluster, name) > host.snapshots()[-2])
    else:
        write_until(cluster, lambda: log_begins_behind(cluster, name) > 0)
    older = host.snapshots()[-2]

    assert rot_snapshot(faults, _This(name)), "it has all it needs"

    if frees_too_much:
        with pytest.raises(AssertionError, match="has an older snapshot, and the log behind"):
            faults.start(name)
    else:
        assert faults.start(name)
        assert cluster.process(name).recovered.base[0] == older


@pytest.mark.parametrize(("term", "restarted"), [(4, 15), (3, 0)])
def test_a_log_of_another_history_has_restarted(term: Term, restarted: Index) -> None:
    """Whether it reached that far or not: what counts is the entry, and that is its term."""
    durable = DurableLog(lambda: 15)
    log = [Entry(index, 3, EntryKind.NOOP, b"") for index in range(1, 18)]
    durable.add([Batch(HardState(3), log)])

    identity = SimulatedCluster(1).up().process("n1").recovered.identity
    durable.reset(Recovered(identity, HardState(4), base=(15, term)))

    assert durable.restarted == restarted
