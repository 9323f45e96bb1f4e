"""Configurations, compaction and snapshots: none is lost or taken from the wrong place (§7)."""

from raftcache.raft.core import SnapshotPosition
from raftcache.raft.types import Role

from .builders import append, role, time_out, turn
from .members import appended, conf, entry, everybody_has_all, leader, member, seated

FIRST = conf("n1 n2 n3")
JOINT = conf("n1 n2 n4", outgoing="n1 n2 n3")
FINAL = conf("n1 n2 n4")


def test_a_snapshot_holds_the_configuration_of_its_place_not_a_later_one() -> None:
    """A change goes on while it is taken (failure D6)."""
    raft = member("n2", FIRST, 1, 1, JOINT, 1, FINAL, term=1)

    held = [raft.configuration_at(index) for index in range(6)]

    assert held == [FIRST, FIRST, FIRST, JOINT, JOINT, FINAL]


def test_a_configuration_stays_in_force_when_its_entry_is_compacted() -> None:
    """It is in the snapshot then (§7)."""
    raft = seated()
    raft.change_configuration(FINAL)
    everybody_has_all(raft)
    everybody_has_all(raft)

    raft.compact(2)
    at_joint = raft.state.configurations
    raft.compact(3)

    assert at_joint == [(2, JOINT), (3, FINAL)]
    assert raft.state.configurations == [(3, FINAL)]
    assert raft.change_configuration(FIRST) == 4


def test_a_configuration_behind_the_snapshot_is_in_force_after_a_restart() -> None:
    """The log goes on behind the snapshot, with a change (failure C16)."""
    position = SnapshotPosition(7, 1, JOINT)

    raft = member("n2", FIRST, 1, FINAL, term=1, snapshot=position)

    assert raft.state.configurations == [(7, JOINT), (9, FINAL)]


def test_a_truncated_configuration_gives_way_to_that_of_the_snapshot() -> None:
    """There is always one to go back to (failure C2)."""
    raft = member("n2", FIRST, 1, FINAL, term=1, snapshot=SnapshotPosition(7, 1, JOINT))

    turn(raft, append("n1", "n2", term=2, prev=(8, 1), terms=(2,)))

    assert raft.state.configurations == [(7, JOINT)]


def test_a_joint_configuration_in_a_snapshot_is_left_by_the_next_leader() -> None:
    """§6: whether it reads of it in the log or in a snapshot."""
    raft = leader(name="n1", began_with=FIRST, snapshot=SnapshotPosition(7, 1, JOINT))
    before = raft.state.configuration

    everybody_has_all(raft)

    assert before == JOINT
    assert raft.state.configurations == [(7, JOINT), (9, FINAL)]


def test_an_installed_snapshot_brings_its_configuration() -> None:
    """Figure 13: the follower takes part as the leader's log had it there."""
    raft = member("n4", conf("", learners=""), term=1)
    turn(raft, append("n1", "n4", term=1, prev=(9, 1)))

    raft.install_snapshot(SnapshotPosition(7, 1, FINAL))
    turn(raft)
    time_out(raft)

    assert raft.state.configuration == FINAL
    assert role(raft) is Role.PRE_CANDIDATE


def test_an_installed_snapshot_takes_an_uncommitted_configuration_back() -> None:
    """The log does not lead up to it, so nothing of the log stays (Figure 13, rule 7)."""
    raft = member("n2", FIRST, 1, JOINT, term=1)
    turn(raft, append("n1", "n2", term=2, prev=(9, 2)))

    raft.install_snapshot(SnapshotPosition(7, 2, conf("n1 n2 n5")))

    assert raft.state.configurations == [(7, conf("n1 n2 n5"))]


def test_an_installed_snapshot_keeps_a_configuration_behind_it() -> None:
    """The log leads up to it; what follows stays (Figure 13, rule 6)."""
    raft = member("n2", FIRST, 1, 1, JOINT, term=1)
    turn(raft, append("n1", "n2", term=1, prev=(3, 1)))

    raft.install_snapshot(SnapshotPosition(2, 1, FIRST))

    assert raft.state.configurations == [(2, FIRST), (3, JOINT)]


def test_a_configuration_is_stored_once_when_its_entry_comes_twice() -> None:
    """Messages are repeated, and overlap (§5.5)."""
    raft = member("n2", FIRST, 1, term=1)
    twice = appended("n1", entry(2, 1, JOINT), target="n2", prev=(1, 1), term=1)

    turn(raft, twice, twice)

    assert raft.state.configurations == [(0, FIRST), (2, JOINT)]
