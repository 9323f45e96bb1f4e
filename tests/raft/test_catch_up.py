"""Learners catch up in rounds before they vote (thesis §4.2.1, Figure 4.5)."""

from raftcache.raft.core import Raft
from raftcache.raft.messages import AppendEntriesResponse, InstallSnapshotResponse
from raftcache.raft.options import Options
from raftcache.raft.types import Index

from .builders import rejection, success, tick, turn
from .members import conf, everybody_has_all, seated

OPTIONS = Options(heartbeat_ticks=2, election_ticks_min=6, election_ticks_max=12)
SLOW = OPTIONS.election_ticks_min


def with_learner() -> Raft:
    """Return n1, leading, which has just added n4 as a learner; n4 has not answered yet."""
    raft = seated(options=OPTIONS)
    for number in range(4):
        raft.propose(b"%d" % number)
    raft.change_configuration(conf("n1 n2 n3", learners="n4"))
    everybody_has_all(raft, "n2", "n3")
    tick(raft, 1)
    return raft


def answer(raft: Raft, match_index: Index) -> None:
    """Let n4 acknowledge what it has."""
    turn(raft, success("n4", term=1, match_index=match_index))


def last_of(raft: Raft) -> Index:
    return raft.state.log.last_index


def slow_round(raft: Raft) -> None:
    """Let the cluster go on, and n4 bring the round to its end too late."""
    goal = last_of(raft)
    raft.propose(b"more")
    for _ in range(SLOW):
        tick(raft, 1)
        everybody_has_all(raft, "n2", "n3")
        answer(raft, 1)
    answer(raft, goal)
    tick(raft, 1)


def test_a_learner_that_has_not_answered_is_not_caught_up() -> None:
    """Thesis §4.2.1: it might hold up all commits (failure C5)."""
    raft = with_learner()

    assert not raft.is_caught_up("n4")
    assert not raft.is_too_slow("n4")


def test_a_learner_is_caught_up_after_a_round_shorter_than_an_election_timeout() -> None:
    """Thesis §4.2.1: what is left would take less than a missed heartbeat or two."""
    raft = with_learner()

    answer(raft, last_of(raft))
    tick(raft, 1)

    assert raft.is_caught_up("n4")


def test_a_slow_first_round_is_followed_by_another() -> None:
    """Thesis §4.2.1: the first brings the whole log; it takes its time."""
    raft = with_learner()
    slow_round(raft)
    after_one = raft.is_caught_up("n4")

    answer(raft, last_of(raft))
    tick(raft, 1)

    assert not after_one
    assert raft.is_caught_up("n4")


def test_a_learner_that_is_slow_in_ten_rounds_is_given_up() -> None:
    """Thesis §4.2.1: the cluster writes faster than it can follow."""
    raft = with_learner()

    for _ in range(9):
        slow_round(raft)
    after_nine = raft.is_too_slow("n4")
    slow_round(raft)

    assert not after_nine
    assert raft.is_too_slow("n4")
    assert not raft.is_caught_up("n4")


def test_a_learner_that_falls_behind_again_is_not_caught_up() -> None:
    """Now is what counts: the present round has taken an election timeout already."""
    raft = with_learner()
    answer(raft, last_of(raft))
    tick(raft, 1)

    slow_round(raft)

    assert not raft.is_caught_up("n4")


def test_a_learner_that_died_is_not_caught_up() -> None:
    """It had all there is, but answers no more (failure C5)."""
    raft = with_learner()
    answer(raft, last_of(raft))

    for _ in range(SLOW):
        tick(raft, 1)
        everybody_has_all(raft, "n2", "n3")

    assert not raft.is_caught_up("n4")


def test_a_learner_whose_log_is_looked_for_is_not_caught_up() -> None:
    """Entries do not flow to it."""
    raft = with_learner()
    answer(raft, last_of(raft))
    tick(raft, 1)

    turn(raft, rejection("n4", term=1, prev=last_of(raft) + 1, conflict=(0, 2)))

    assert not raft.is_caught_up("n4")


def test_a_learner_catches_up_by_a_snapshot_too() -> None:
    """Thesis §4.2.1: that is its first round."""
    raft = with_learner()
    raft.compact(5)
    tick(raft, 1)
    turn(raft, rejection("n4", term=1, prev=5, conflict=(0, 1)))
    waits = (raft.peers_in_need_of_snapshot, raft.is_caught_up("n4"))

    turn(raft, InstallSnapshotResponse("n4", "n1", 1, 5))
    answer(raft, last_of(raft))
    tick(raft, 1)

    assert waits == (["n4"], False)
    assert raft.is_caught_up("n4")


def test_who_is_no_peer_is_not_caught_up() -> None:
    """Nor is anybody, where nobody leads."""
    raft = seated()

    assert not raft.is_caught_up("n9")
    assert not raft.is_too_slow("n9")

    turn(raft, AppendEntriesResponse("n2", "n1", 9, success=False, prev_log_index=0, match_index=0))

    assert not raft.is_caught_up("n2")
