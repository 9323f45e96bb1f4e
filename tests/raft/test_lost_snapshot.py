"""A server whose every snapshot is damaged: it votes and stores, and is sent another one (E10)."""

from random import Random

from raftcache.raft.configuration import Configuration
from raftcache.raft.core import Raft, SnapshotPosition
from raftcache.raft.messages import (
    AppendEntriesResponse,
    InstallSnapshotResponse,
    RequestVote,
    RequestVoteResponse,
    TimeoutNow,
)
from raftcache.raft.types import HardState, Role

from .builders import OPTIONS, THREE, append, leader, log_of, only, tick, turn

CONFIGURATION = Configuration(voters=THREE)


def loser(*terms: int, term: int = 2) -> Raft:
    """Return n1 with a log behind entry 5@2, whose snapshot is lost."""
    return Raft(
        "n1",
        CONFIGURATION,
        options=OPTIONS,
        random=Random(1),
        hard_state=HardState(term, None),
        entries=log_of(*terms, first=6),
        snapshot=SnapshotPosition(5, 2, CONFIGURATION, is_lost=True),
    )


def flagged(match_index: int, needs: int, *, term: int = 1) -> AppendEntriesResponse:
    return AppendEntriesResponse(
        "n2",
        "n1",
        term,
        success=True,
        prev_log_index=0,
        match_index=match_index,
        needs_snapshot=needs,
    )


def test_it_votes_by_the_log_that_it_still_has() -> None:
    """A candidate without what it has acknowledged gets no vote (§5.4.1, failure E10)."""
    behind = turn(loser(2, 2), RequestVote("n2", "n1", 3, 6, 2))
    level = turn(loser(2, 2), RequestVote("n2", "n1", 3, 7, 2))
    empty = turn(loser(), RequestVote("n2", "n1", 3, 4, 2))

    votes = [only(out, RequestVoteResponse).vote_granted for out in (behind, level, empty)]
    assert votes == [False, True, False]


def test_it_never_stands_for_election() -> None:
    """Neither by itself nor when a leader asks it to: it could answer nobody (failure E10)."""
    raft = loser(2, 2)

    tick(raft, 5 * OPTIONS.election_ticks_max)
    turn(raft, append(term=2, prev=(7, 2)))
    turn(raft, TimeoutNow("n2", "n1", 2))

    assert (raft.state.role, raft.current_term) == (Role.FOLLOWER, 2)


def test_it_stores_and_acknowledges_but_applies_nothing_and_says_what_it_needs() -> None:
    """Its log counts towards the majority as before (failure E10)."""
    raft = loser(2)
    raft.step(append(term=2, prev=(6, 2), terms=(2,), commit=7))
    ready = raft.ready()
    assert list(ready.committed) == []

    answer = only(
        turn(loser(2), append(term=2, prev=(6, 2), terms=(2,), commit=7)), AppendEntriesResponse
    )

    assert (answer.success, answer.match_index, answer.needs_snapshot) == (True, 7, 5)
    rejected = only(turn(loser(), append(term=2, prev=(9, 2))), AppendEntriesResponse)
    assert (rejected.success, rejected.needs_snapshot) == (False, 5)


def test_a_snapshot_of_what_is_lost_ends_it_even_behind_the_commit_index() -> None:
    """What follows it in the log is applied behind it (Figure 13, rule 6)."""
    raft = loser(2, 2, 2)
    turn(raft, append(term=2, prev=(8, 2), commit=8))

    assert raft.install_snapshot(SnapshotPosition(6, 2, CONFIGURATION))
    ready = raft.ready()
    raft.pause_apply(paused=False)

    assert ready.after_persist == [InstallSnapshotResponse("n1", "n2", 2, 8)]
    assert [entry.index for entry in raft.ready().committed] == [7, 8]
    assert raft.state.needs_snapshot == 0
    assert raft.state.is_electable()


def test_an_older_snapshot_does_not_help() -> None:
    """The leader must not take it for the end of the matter (failures D5, E10)."""
    raft = loser(2)
    turn(raft, append(term=2, prev=(6, 2), commit=6))

    assert not raft.install_snapshot(SnapshotPosition(4, 2, CONFIGURATION))

    assert raft.ready().after_persist == []
    assert raft.state.needs_snapshot == 5


def test_its_leader_goes_on_sending_entries_beside_the_snapshot() -> None:
    """Else a leader that needs this vote to commit could never take that snapshot (failure E10)."""
    raft = leader(1, 1)
    turn(raft, flagged(3, 2, term=2))

    assert raft.state.commit_index == 3
    assert raft.peers_in_need_of_snapshot == ["n2"]
    raft.propose(b"more")
    sent = [message for message in turn(raft) if message.target == "n2"]
    assert [entry.index for entry in only(sent, object).entries] == [4]

    turn(raft, flagged(4, 0, term=2))
    assert raft.peers_in_need_of_snapshot == []


def test_its_word_that_the_snapshot_is_in_force_ends_the_need() -> None:
    raft = leader(1, 1)
    turn(raft, flagged(3, 2, term=2))

    turn(raft, InstallSnapshotResponse("n2", "n1", 2, 3))

    assert raft.peers_in_need_of_snapshot == []
