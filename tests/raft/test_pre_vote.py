"""What keeps an election from disturbing a leader that works: PreVote, stickiness, CheckQuorum.

Thesis §9.6, §4.2.3 and §6.2.
"""

from raftcache.raft.messages import (
    PreVote,
    PreVoteResponse,
    RequestVoteResponse,
    TimeoutNow,
)
from raftcache.raft.options import Options
from raftcache.raft.types import Index, Role, Term

from .builders import (
    OPTIONS,
    append,
    core,
    leader,
    of,
    only,
    role,
    success,
    time_out,
    turn,
    vote_request,
)


def pre_vote(
    source: str, *, term: Term, candidate_term: Term, last: tuple[Index, Term] = (0, 0)
) -> PreVote:
    return PreVote(source, "n1", term, candidate_term, *last)


def test_a_granted_pre_vote_changes_no_state() -> None:
    """Thesis §9.6: neither term nor vote, and several may have one."""
    raft = core("n1", term=1)

    out = turn(
        raft,
        pre_vote("n2", term=1, candidate_term=2),
        pre_vote("n3", term=1, candidate_term=2),
    )

    assert [message.vote_granted for message in of(out, PreVoteResponse)] == [True, True]
    assert (raft.current_term, raft.state.voted_for) == (1, None)
    assert raft.ready().mark is None


def test_a_pre_vote_is_refused_to_a_log_that_is_behind() -> None:
    """Thesis §9.6: as the vote would be (§5.4.1)."""
    raft = core("n1", 1, 2)

    out = turn(raft, pre_vote("n2", term=2, candidate_term=3, last=(9, 1)))

    assert not only(out, PreVoteResponse).vote_granted


def test_a_pre_vote_is_refused_while_the_leader_is_heard() -> None:
    """Thesis §4.2.3: a server that was cut off disturbs nobody (failure A13)."""
    raft = core("n1", term=1)
    turn(raft, append("n3", term=1))

    out = turn(raft, pre_vote("n2", term=7, candidate_term=8))

    assert only(out, PreVoteResponse).reason == "hears leader n3"
    assert raft.current_term == 1, "not even the term is adopted"


def test_a_lost_pre_vote_leaves_the_term_alone() -> None:
    """Thesis §9.6; the next try begins with the next timeout."""
    raft = core("n1", term=1)
    time_out(raft)

    turn(
        raft,
        PreVoteResponse("n2", "n1", 1, candidate_term=2, vote_granted=False),
        PreVoteResponse("n3", "n1", 1, candidate_term=2, vote_granted=False),
    )

    assert role(raft) is Role.FOLLOWER
    assert raft.current_term == 1


def test_the_answer_to_an_older_pre_vote_does_not_count() -> None:
    """It was about another term (thesis §9.6)."""
    raft = core("n1", term=3)
    time_out(raft)

    turn(raft, PreVoteResponse("n2", "n1", 3, candidate_term=3, vote_granted=True))

    assert role(raft) is Role.PRE_CANDIDATE


# Stickiness (thesis §4.2.3) and CheckQuorum (thesis §6.2)


def test_a_vote_is_refused_while_the_leader_is_heard() -> None:
    """Thesis §4.2.3: within the minimum election timeout, and the term is not adopted."""
    raft = core("n1", term=1)
    turn(raft, append("n3", term=1))
    for _ in range(OPTIONS.election_ticks_min - 1):
        raft.tick()

    assert turn(raft, vote_request("n2", term=2)) == []
    assert raft.current_term == 1


def test_stickiness_ends_with_the_minimum_election_timeout() -> None:
    """Thesis §4.2.3: else a dead leader could never be replaced."""
    options = Options(heartbeat_ticks=2, election_ticks_min=6, election_ticks_max=99)
    raft = core("n1", term=1, options=options)
    raft.state.election_timeout_ticks = 99
    turn(raft, append("n3", term=1))
    for _ in range(options.election_ticks_min):
        raft.tick()

    out = turn(raft, vote_request("n2", term=2))

    assert only(out, RequestVoteResponse).vote_granted


def test_a_leader_is_not_disturbed_by_a_larger_term_of_a_candidate() -> None:
    """Thesis §4.2.3: it leads; the next AppendEntries will settle it if it does not."""
    raft = leader(term=1)

    assert turn(raft, vote_request("n3", term=9)) == []
    assert role(raft) is Role.LEADER


def test_a_transfer_sets_stickiness_aside() -> None:
    """Thesis §4.2.3, last paragraph: the leader itself wants this election."""
    raft = core("n1", term=1)
    turn(raft, append("n3", term=1))

    out = turn(raft, vote_request("n2", term=2, transfer=True))

    assert only(out, RequestVoteResponse).vote_granted


def test_a_leader_without_answers_steps_down_after_one_election_timeout() -> None:
    """Thesis §6.2: whom nobody answers must not keep its clients waiting (failure A18).

    Counted from the last answer, not from the last time somebody looked.
    """
    raft = leader()
    for _ in range(OPTIONS.election_ticks_min // 2):
        raft.tick()
    turn(raft, success("n2", term=1, match_index=0))

    for _ in range(OPTIONS.election_ticks_min - 1):
        raft.tick()
    assert role(raft) is Role.LEADER

    raft.tick()
    assert role(raft) is Role.FOLLOWER
    assert raft.state.leader_id is None


def test_a_leader_with_a_quorum_of_answers_stays() -> None:
    """Thesis §6.2: one of two followers is enough, whatever it answers."""
    raft = leader(1)

    for _ in range(OPTIONS.election_ticks_min * 3):
        raft.tick()
        turn(raft, success("n3", term=2, match_index=0))

    assert role(raft) is Role.LEADER


def test_a_leader_that_stepped_down_votes_for_another() -> None:
    """No memory of its own office keeps it from voting (failure A16)."""
    raft = leader()
    for _ in range(OPTIONS.election_ticks_min):
        raft.tick()

    out = turn(
        raft,
        pre_vote("n2", term=1, candidate_term=2, last=(1, 1)),
        vote_request("n2", term=2, last=(1, 1)),
    )

    assert only(out, PreVoteResponse).vote_granted
    assert only(out, RequestVoteResponse).vote_granted


def test_a_learner_never_campaigns() -> None:
    """Only voters stand for election (thesis §4.2.1)."""
    raft = core("n9", learners=("n9",))

    for _ in range(100):
        raft.tick()
    turn(raft, TimeoutNow("n1", "n9", 0))

    assert role(raft) is Role.FOLLOWER


def test_a_pre_vote_that_is_won_when_the_disk_has_come_to_hang_leads_nowhere() -> None:
    """The candidate could not write its own vote down; the node died of it (simulated seed 335)."""
    raft = core("n1", term=1)
    time_out(raft)
    raft.state.is_disk_behind = True

    turn(raft, PreVoteResponse("n2", "n1", 1, 2, vote_granted=True))

    assert (role(raft), raft.current_term) == (Role.FOLLOWER, 1)
