"""Who counts in a joint configuration, and that learners never do (§6, thesis chapter 4)."""

import pytest

from raftcache.raft.core import Raft
from raftcache.raft.messages import (
    AppendEntries,
    PreVote,
    PreVoteResponse,
    RequestVote,
    RequestVoteResponse,
    TimeoutNow,
)
from raftcache.raft.types import Role

from .builders import append, of, only, role, success, tick, time_out, turn, vote_request
from .members import appended, conf, entry, everybody_has_all, leader, member, seated

JOINT = conf("n1 n4 n5", outgoing="n1 n2 n3")

BOTH_HALVES = pytest.mark.parametrize(
    ("who", "enough"),
    [
        ("n2 n3", False),  # The old voters alone.
        ("n4 n5", False),  # The new ones alone.
        ("n2 n4", True),  # With n1 a majority of each.
        ("n3 n5", True),
    ],
)


def joint_leader() -> Raft:
    """Return n1, leading in a joint configuration whose entry only its own disk has."""
    raft = seated()
    raft.change_configuration(conf("n1 n4 n5"))
    turn(raft)
    assert raft.state.configuration == JOINT
    return raft


@BOTH_HALVES
def test_joint_consensus_commits_by_both_majorities(who: str, enough: bool) -> None:  # noqa: FBT001 - a table
    """§6: agreement needs a majority of the old and of the new voters."""
    raft = joint_leader()

    everybody_has_all(raft, *who.split())

    assert (raft.state.commit_index == 2) is enough


@BOTH_HALVES
def test_joint_consensus_elects_by_both_majorities(who: str, enough: bool) -> None:  # noqa: FBT001 - a table
    """§6: so no two leaders can be elected, one by the old voters and one by the new."""
    raft = member("n1", conf("n1 n2 n3"), 1, JOINT, term=1)
    time_out(raft)
    voters = who.split()

    turn(raft, *[PreVoteResponse(voter, "n1", 1, 2, vote_granted=True) for voter in voters])
    pre_vote_won = role(raft) is Role.CANDIDATE
    turn(raft, *[RequestVoteResponse(voter, "n1", 2, vote_granted=True) for voter in voters])

    assert pre_vote_won is enough
    assert (role(raft) is Role.LEADER) is enough


@BOTH_HALVES
def test_joint_consensus_confirms_reads_by_both_majorities(who: str, enough: bool) -> None:  # noqa: FBT001 - a table
    """Thesis §6.4, step 3: what could elect another leader must confirm this one."""
    raft = joint_leader()
    raft.read_index("read")
    turn(raft)

    for voter in who.split():
        raft.step(success(voter, term=1, match_index=0, read_round=1))

    assert raft.ready().reads_released == ([(1, ["read"])] if enough else [])


@BOTH_HALVES
def test_a_leader_stays_in_office_by_both_majorities(who: str, enough: bool) -> None:  # noqa: FBT001 - a table
    """Thesis §6.2: who is heard by one half alone steps down."""
    raft = joint_leader()

    for _ in range(raft.state.options.election_ticks_max):
        tick(raft, 1)
        turn(raft, *[success(voter, term=1, match_index=0) for voter in who.split()])

    assert raft.is_leader is enough


def test_an_election_is_lost_when_either_half_refuses() -> None:
    """§6: it can't be won any more."""
    raft = member("n1", conf("n1 n2 n3"), 1, JOINT, term=1)
    time_out(raft)

    turn(
        raft,
        *[PreVoteResponse(voter, "n1", 1, 2, vote_granted=True) for voter in ("n2", "n3")],
        *[PreVoteResponse(voter, "n1", 1, 2, vote_granted=False) for voter in ("n4", "n5")],
    )

    assert role(raft) is Role.FOLLOWER


def test_a_new_voter_is_asked_for_its_vote_before_the_change_is_committed() -> None:
    """§6: the configuration in the log decides, committed or not."""
    raft = member("n1", conf("n1 n2 n3"), 1, JOINT, term=1)

    out = time_out(raft)

    assert [message.target for message in of(out, PreVote)] == ["n2", "n3", "n4", "n5"]


def test_a_new_voter_stands_for_election_before_the_change_is_committed() -> None:
    """§6: its log may be the only one that is good enough."""
    raft = member("n4", conf("", learners=""), 1, JOINT, term=1)

    time_out(raft)

    assert role(raft) is Role.PRE_CANDIDATE


def test_a_server_votes_that_does_not_know_yet_that_it_may() -> None:
    """Thesis §4.1: whoever asks counts by its own configuration (failure C6)."""
    raft = member("n4", conf("n1 n2 n3", learners="n4"), 1, term=1)

    out = turn(raft, vote_request("n1", "n4", term=2, last=(2, 1)))

    assert only(out, RequestVoteResponse).vote_granted


def test_a_server_votes_for_a_candidate_that_it_does_not_know() -> None:
    """Thesis §4.1: else a server that lags could keep the others from electing anybody."""
    raft = member("n1", conf("n1 n2 n3"), 1, term=1)

    out = turn(raft, vote_request("n9", term=2, last=(2, 1)))

    assert only(out, RequestVoteResponse).vote_granted


def test_a_server_follows_a_leader_that_it_does_not_know() -> None:
    """Thesis §4.1: the entry that makes the leader a member may come with its first message."""
    raft = member("n1", conf("n1 n2 n3"), 1, term=1)

    turn(raft, append("n9", term=2, prev=(1, 1), terms=(2,)))

    assert raft.state.leader_id == "n9"
    assert raft.state.log.last_index == 2


def test_learners_count_for_no_commitment() -> None:
    """Thesis §4.2.1 (failure C5)."""
    raft = seated(learners="n4 n5 n6")
    raft.propose(b"x")
    turn(raft)

    everybody_has_all(raft, "n4", "n5", "n6")

    assert raft.state.commit_index == 1


def test_learners_are_not_asked_for_votes_and_theirs_do_not_count() -> None:
    """Thesis §4.2.1."""
    raft = member("n1", conf("n1 n2 n3", learners="n4 n5"), 1, term=1)

    out = time_out(raft)
    granted = [PreVoteResponse(voter, "n1", 1, 2, vote_granted=True) for voter in ("n4", "n5")]
    turn(raft, *granted)

    assert [message.target for message in of(out, PreVote)] == ["n2", "n3"]
    assert role(raft) is Role.PRE_CANDIDATE


def test_learners_do_not_keep_a_leader_in_office() -> None:
    """Thesis §6.2: only voters could elect another."""
    raft = seated(learners="n4 n5")

    for _ in range(raft.state.options.election_ticks_max):
        tick(raft, 1)
        everybody_has_all(raft, "n4", "n5")

    assert not raft.is_leader


def test_learners_confirm_no_read() -> None:
    """Thesis §6.4, step 3."""
    raft = seated(learners="n4 n5")
    raft.read_index("read")
    turn(raft)

    for learner in ("n4", "n5"):
        raft.step(success(learner, term=1, match_index=1, read_round=1))

    assert raft.ready().reads_released == []


@pytest.mark.parametrize("learners", ["n4", ""])
def test_who_is_no_voter_never_campaigns(learners: str) -> None:
    """A learner, or a server that its configuration does not name (failure C7)."""
    raft = member("n4", conf("n1 n2 n3", learners=learners), 1, term=1)

    out = tick(raft, 10 * raft.state.options.election_ticks_max)
    out += turn(raft, append("n1", "n4", term=1, prev=(1, 1)), TimeoutNow("n1", "n4", 1))

    assert of(out, PreVote) == of(out, RequestVote) == []
    assert role(raft) is Role.FOLLOWER


def test_a_server_without_any_configuration_follows() -> None:
    """It has joined, and knows of nobody yet; what the leader sends tells it who takes part."""
    raft = member("n4", conf(""), term=0)
    tick(raft, 10 * raft.state.options.election_ticks_max)
    learner = conf("n1 n2 n3", learners="n4")

    turn(raft, appended("n1", entry(1, 1, learner), target="n4", term=1))

    assert raft.state.configuration == learner
    assert role(raft) is Role.FOLLOWER


def test_a_truncated_configuration_is_taken_back() -> None:
    """Thesis §4.1: it goes with its entry, and with it what it made of servers (failure C2)."""
    raft = member("n4", conf("n1 n2 n3", learners="n4"), 1, term=1)
    promoted = entry(2, 1, conf("n1 n2 n3 n4", outgoing="n1 n2 n3"))
    turn(raft, appended("n1", promoted, target="n4", prev=(1, 1), term=1))
    time_out(raft)
    campaigned = role(raft) is Role.PRE_CANDIDATE

    turn(raft, append("n2", "n4", term=2, prev=(1, 1), terms=(2,)))
    out = tick(raft, 10 * raft.state.options.election_ticks_max)

    assert campaigned
    assert raft.state.configuration == conf("n1 n2 n3", learners="n4")
    assert of(out, PreVote) == []


def test_a_configuration_that_is_replaced_by_another_leaves_no_trace() -> None:
    """The new leader's is in force at once, in the old one's place (failure C2)."""
    raft = member("n1", conf("n1 n2 n3"), 1, JOINT, term=1)
    other = conf("n1 n2 n3", learners="n7")

    turn(raft, appended("n2", entry(2, 2, other), term=2, prev=(1, 1)))

    assert raft.state.configurations == [(0, conf("n1 n2 n3")), (2, other)]


def test_a_configuration_is_in_force_again_after_a_restart() -> None:
    """It is in the log, and the log is on disk (failure C16)."""
    raft = member("n1", conf("n1 n2 n3"), 1, JOINT, term=1)

    assert raft.state.configuration == JOINT


def test_a_late_answer_of_a_removed_server_changes_nothing() -> None:
    """It is no peer any more (failure C17)."""
    raft = seated()
    raft.change_configuration(conf("n1 n2"))
    everybody_has_all(raft)
    everybody_has_all(raft)

    out = turn(raft, success("n3", term=1, match_index=3))

    assert of(out, AppendEntries) == []
    assert "n3" not in raft.state.progress


def test_a_new_leader_keeps_progress_of_learners_and_both_halves() -> None:
    """All of them replicate its log."""
    raft = leader(1, conf("n1 n4 n5", outgoing="n1 n2 n3", learners="n6"))

    assert sorted(raft.state.progress) == ["n2", "n3", "n4", "n5", "n6"]
