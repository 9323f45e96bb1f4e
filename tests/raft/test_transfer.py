"""Leadership transfer (thesis §3.10)."""

import pytest
from msgspec.structs import replace

from raftcache.raft import transfer
from raftcache.raft.configuration import Configuration
from raftcache.raft.core import Raft
from raftcache.raft.messages import RequestVote, TimeoutNow
from raftcache.raft.types import Role

from .builders import (
    OPTIONS,
    append,
    core,
    leader,
    of,
    role,
    success,
    tick,
    time_out,
    turn,
    vote_request,
)


def settled() -> Raft:
    """Return a leader of term 2 that has committed its no-op, 2@2; n3 is one entry behind."""
    raft = leader(1, term=1)
    turn(raft, success("n2", term=2, match_index=2), success("n3", term=2, match_index=1))
    return raft


def test_a_target_that_has_everything_is_told_to_campaign_at_once() -> None:
    """Thesis §3.10, step 3."""
    raft = settled()

    raft.transfer_leadership("n2")

    assert turn(raft) == [TimeoutNow("n1", "n2", 2)]


def test_a_target_that_lags_is_brought_up_to_date_first() -> None:
    """Thesis §3.10, step 2: else it could not win (failure C13)."""
    raft = settled()

    raft.transfer_leadership("n3")
    assert of(turn(raft), TimeoutNow) == []

    assert TimeoutNow("n1", "n3", 2) in turn(raft, success("n3", term=2, match_index=2))


def test_a_leader_takes_no_proposals_while_it_hands_over() -> None:
    """Thesis §3.10, step 1; the caller sees it and answers, nothing is dropped (failure C14)."""
    raft = settled()
    raft.transfer_leadership("n3")

    assert not raft.accepts_proposals
    with pytest.raises(AssertionError, match="accepts_proposals"):
        raft.propose(b"x")


def test_a_transfer_ends_after_an_election_timeout_and_proposals_go_on() -> None:
    """Thesis §3.10: the target may be dead (failures C13, C15)."""
    raft = settled()
    raft.transfer_leadership("n3")

    for _ in range(OPTIONS.election_ticks_min):
        tick(raft, 1)
        turn(raft, success("n2", term=2, match_index=2))

    assert role(raft) is Role.LEADER
    assert raft.accepts_proposals


def test_a_second_transfer_takes_the_place_of_the_first() -> None:
    """The last word counts; its time begins anew."""
    raft = settled()
    raft.transfer_leadership("n3")
    tick(raft, OPTIONS.election_ticks_min - 1)

    raft.transfer_leadership("n2")

    assert TimeoutNow("n1", "n2", 2) in turn(raft)
    tick(raft, 1)
    assert not raft.accepts_proposals


def test_the_target_campaigns_without_asking_around() -> None:
    """Thesis §3.10: no PreVote, as the leader itself wants it; voters can tell."""
    raft = core("n2", 1, 2, term=2)
    turn(raft, append("n1", "n2", term=2, prev=(2, 2)))

    out = turn(raft, TimeoutNow("n1", "n2", 2))

    assert role(raft) is Role.CANDIDATE
    assert out == [
        RequestVote("n2", other, 3, 2, 2, leadership_transfer=True) for other in ("n1", "n3")
    ]


def test_an_old_call_to_campaign_is_ignored() -> None:
    """It is of a leader of an older term (§5.1)."""
    raft = core("n2", 1, 2, term=5)

    assert turn(raft, TimeoutNow("n1", "n2", 2)) == []
    assert role(raft) is Role.FOLLOWER


def test_the_old_leader_votes_for_its_successor() -> None:
    """It steps down for the larger term, although it led until now (thesis §4.2.3)."""
    raft = settled()
    raft.transfer_leadership("n2")
    turn(raft)

    (answer,) = turn(raft, vote_request("n2", term=3, last=(2, 2), transfer=True))

    assert role(raft) is Role.FOLLOWER
    assert answer.vote_granted  # type: ignore[union-attr]
    assert raft.state.transfer_target is None


def test_the_best_target_is_the_voter_that_is_furthest_along_and_alive() -> None:
    """Whoever hands over on its way out should not pick a dead or lagging one."""
    raft = settled()
    assert transfer.best_target(raft.state) == "n2"

    for _ in range(OPTIONS.election_ticks_min):
        tick(raft, 1)
        turn(raft, success("n3", term=2, match_index=1))

    assert transfer.best_target(raft.state) == "n3"


def test_the_best_target_is_no_voter_that_leaves_while_another_is_there() -> None:
    """In a joint configuration it is still one, but would soon hand over itself (thesis §4.2.2)."""
    raft = settled()
    raft.change_configuration(Configuration(("n1", "n3")))
    turn(raft, success("n2", term=2, match_index=3))
    assert raft.state.configuration.voters_outgoing == ("n1", "n2", "n3")
    assert transfer.best_target(raft.state) == "n3"

    raft.state.progress["n3"].ticks_since_contact = OPTIONS.election_ticks_min

    assert transfer.best_target(raft.state) == "n2"


def test_the_best_target_is_one_whose_disk_is_in_order() -> None:
    """Else the next leader would have to hand over as well (failures E9, E14)."""
    raft = settled()
    assert transfer.best_target(raft.state) == "n2"

    turn(raft, replace(success("n2", term=2, match_index=2), fit_to_lead=False))
    assert transfer.best_target(raft.state) == "n3"

    turn(raft, success("n2", term=2, match_index=2))
    assert transfer.best_target(raft.state) == "n2"


def test_a_server_whose_disk_hangs_stands_for_no_election() -> None:
    """It could not write its own vote down (failure E14)."""
    raft = core("n2", 1, term=1)
    raft.state.is_disk_behind = True

    assert time_out(raft) == []
    assert turn(raft, TimeoutNow("n1", "n2", 1)) == []

    raft.state.is_disk_behind = False
    assert len(tick(raft, 1)) == 2, "it asks both others"
