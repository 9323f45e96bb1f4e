"""Leader election, one rule at a time (§5.1, §5.2, §5.4.1; Figure 2; thesis §4.2.3)."""

import pytest

from raftcache.raft.messages import (
    AppendEntries,
    AppendEntriesResponse,
    Message,
    PreVote,
    PreVoteResponse,
    RequestVote,
    RequestVoteResponse,
    TimeoutNow,
)
from raftcache.raft.options import Options
from raftcache.raft.types import Index, Role, Term

from .builders import (
    FIVE,
    OPTIONS,
    append,
    candidate,
    core,
    leader,
    of,
    only,
    role,
    success,
    time_out,
    turn,
    vote_request,
    win_pre_vote,
)


def test_a_server_starts_as_a_follower() -> None:
    """§5.2: even one that led before; office is not kept on disk."""
    raft = core("n1", 1, 1, term=3, voted_for="n1")

    assert role(raft) is Role.FOLLOWER
    assert (raft.state.leader_id, raft.state.commit_index) == (None, 0)


def test_a_follower_that_hears_nothing_asks_around_before_it_campaigns() -> None:
    """No term changes before a majority says that it would vote (§5.2, thesis §9.6)."""
    raft = core("n1", 1, 2)

    out = time_out(raft)

    assert role(raft) is Role.PRE_CANDIDATE
    assert (raft.current_term, raft.state.voted_for) == (2, None)
    assert out == [
        PreVote("n1", other, 2, candidate_term=3, last_log_index=2, last_log_term=2)
        for other in ("n2", "n3")
    ]


def test_a_candidate_raises_the_term_votes_for_itself_and_asks_all() -> None:
    """Figure 2, candidates: the four steps of an election."""
    raft, out = candidate(1, 2)

    assert role(raft) is Role.CANDIDATE
    assert (raft.current_term, raft.state.voted_for) == (3, "n1")
    assert out == [RequestVote("n1", other, 3, 2, 2) for other in ("n2", "n3")]
    assert raft.state.election_ticks == 0


@pytest.mark.parametrize(
    ("voters", "granted", "refused", "expected"),
    [
        (3, 0, 0, Role.CANDIDATE),
        (3, 1, 0, Role.LEADER),
        (3, 0, 1, Role.CANDIDATE),
        (3, 0, 2, Role.FOLLOWER),
        (3, 1, 1, Role.LEADER),
        (5, 1, 2, Role.CANDIDATE),
        (5, 2, 0, Role.LEADER),
        (5, 2, 2, Role.LEADER),
        (5, 1, 3, Role.FOLLOWER),
    ],
)
def test_a_majority_of_votes_wins_and_a_majority_of_refusals_loses(
    voters: int, granted: int, refused: int, expected: Role
) -> None:
    """§5.2: a candidate wins with votes from a majority, its own among them."""
    raft, _ = candidate(voters=FIVE[:voters])

    answers = [True] * granted + [False] * refused
    for voter, answer in zip(FIVE[1:], answers, strict=False):
        turn(raft, RequestVoteResponse(voter, "n1", 1, vote_granted=answer))

    assert role(raft) is expected


def test_a_repeated_vote_counts_once() -> None:
    """Messages may be doubled on the way; a voter still has one vote (§5.2)."""
    raft, _ = candidate(voters=FIVE)

    for _ in range(3):
        turn(raft, RequestVoteResponse("n2", "n1", 1, vote_granted=True))

    assert role(raft) is Role.CANDIDATE


def test_a_stranger_has_no_vote() -> None:
    """Only who is in the configuration counts (§6)."""
    raft, _ = candidate()

    turn(raft, RequestVoteResponse("n9", "n1", 1, vote_granted=True))

    assert role(raft) is Role.CANDIDATE


def test_a_vote_of_an_earlier_election_does_not_count() -> None:
    """§5.1: what is of an older term is stale."""
    raft, _ = candidate(term=4)

    turn(raft, RequestVoteResponse("n2", "n1", 4, vote_granted=True))

    assert role(raft) is Role.CANDIDATE


def test_a_new_leader_speaks_at_once_to_prevent_further_elections() -> None:
    """Figure 2, leaders: upon election; the no-op of §8 rides along."""
    raft, _ = candidate(1)

    out = turn(raft, RequestVoteResponse("n2", "n1", 2, vote_granted=True))

    assert role(raft) is Role.LEADER
    assert [(message.target, message.prev_log_index) for message in of(out, AppendEntries)] == [
        ("n2", 1),
        ("n3", 1),
    ]


def test_a_leader_sends_heartbeats_in_idle_times() -> None:
    """Figure 2, leaders: repeated, so that nobody else times out."""
    raft = leader()
    turn(raft, success("n2", term=1, match_index=1), success("n3", term=1, match_index=1))

    out: list[Message] = []
    for _ in range(OPTIONS.heartbeat_ticks * 2):
        raft.tick()
        out += turn(raft)

    assert [message.target for message in of(out, AppendEntries)] == ["n2", "n3"] * 2


def test_a_follower_that_hears_its_leader_starts_no_election() -> None:
    """Figure 2, followers: only without AppendEntries of the current leader, and without a vote."""
    raft = core("n1", term=1)

    for _ in range(10):
        for _ in range(OPTIONS.election_ticks_min - 1):
            raft.tick()
        turn(raft, append(term=1))

    assert role(raft) is Role.FOLLOWER


def test_granting_a_vote_puts_the_own_election_off() -> None:
    """Figure 2, followers: the candidate gets its time; refusing one does not."""
    granting, refusing = core("n1"), core("n1", 1)
    for raft in (granting, refusing):
        for _ in range(OPTIONS.election_ticks_min - 1):
            raft.tick()
        turn(raft, vote_request("n2", term=2))
        raft.tick()

    assert role(granting) is Role.FOLLOWER
    assert role(refusing) is Role.PRE_CANDIDATE


@pytest.mark.parametrize("start", [Role.PRE_CANDIDATE, Role.CANDIDATE])
def test_a_candidate_that_hears_a_leader_of_its_term_follows_it(start: Role) -> None:
    """§5.2: somebody else has won, or leads still."""
    raft = core("n1", term=1)
    time_out(raft)
    if start is Role.CANDIDATE:
        win_pre_vote(raft)
    assert role(raft) is start

    turn(raft, append("n2", term=raft.current_term))

    assert role(raft) is Role.FOLLOWER
    assert raft.state.leader_id == "n2"


def test_a_candidate_ignores_the_leader_of_an_older_term() -> None:
    """§5.2: it tells the old leader the new term and stays what it is."""
    raft, _ = candidate(term=4)

    (answer,) = turn(raft, append("n2", term=4))

    assert role(raft) is Role.CANDIDATE
    assert answer == AppendEntriesResponse(
        "n1", "n2", 5, success=False, prev_log_index=0, match_index=0
    )


def test_an_election_without_a_winner_is_followed_by_another() -> None:
    """§5.2: a split vote ends with a timeout, and begins with asking around again."""
    raft, _ = candidate()

    out = time_out(raft)

    assert role(raft) is Role.PRE_CANDIDATE
    assert raft.current_term == 1
    assert len(of(out, PreVote)) == 2


def test_election_timeouts_are_drawn_from_the_whole_interval() -> None:
    """§5.2: randomness is what keeps votes from splitting for ever."""
    options = Options(heartbeat_ticks=2, election_ticks_min=10, election_ticks_max=19)
    raft = core("n1", options=options)

    drawn = set()
    for _ in range(300):
        drawn.add(raft.state.election_timeout_ticks)
        time_out(raft)

    assert drawn == set(range(10, 20))


ANY_MESSAGE_OF_TERM_9: list[Message] = [
    PreVote("n2", "n1", 9, candidate_term=10, last_log_index=0, last_log_term=0),
    PreVoteResponse("n2", "n1", 9, candidate_term=2, vote_granted=False),
    RequestVote("n2", "n1", 9, 0, 0),
    RequestVoteResponse("n2", "n1", 9, vote_granted=False),
    append("n2", term=9),
    success("n2", term=9, match_index=0),
    TimeoutNow("n2", "n1", 9),
]


@pytest.mark.parametrize("message", ANY_MESSAGE_OF_TERM_9, ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("start", [Role.FOLLOWER, Role.PRE_CANDIDATE, Role.CANDIDATE])
def test_a_larger_term_is_adopted_from_any_message(start: Role, message: Message) -> None:
    """Figure 2, all servers; the vote of the new term is free again."""
    raft = core("n1", 1, term=1, voted_for="n3")
    if start is not Role.FOLLOWER:
        time_out(raft)
    if start is Role.CANDIDATE:
        win_pre_vote(raft)

    raft.step(message)

    campaigns = isinstance(message, TimeoutNow)
    assert raft.current_term == (10 if campaigns else 9)
    assert role(raft) is (Role.CANDIDATE if campaigns else Role.FOLLOWER)
    assert raft.state.voted_for == ("n1" if campaigns else None)


@pytest.mark.parametrize(
    "message",
    [
        RequestVoteResponse("n2", "n1", 9, vote_granted=False),
        append("n2", term=9),
        success("n2", term=9, match_index=0),
    ],
    ids=lambda one: type(one).__name__,
)
def test_a_leader_that_sees_a_larger_term_steps_down(message: Message) -> None:
    """§5.1: it is not the leader of that term."""
    raft = leader(1)

    turn(raft, message)

    assert role(raft) is Role.FOLLOWER
    assert raft.current_term == 9


@pytest.mark.parametrize("start", [Role.FOLLOWER, Role.CANDIDATE, Role.LEADER])
def test_requests_of_an_older_term_are_refused_and_told_the_present_one(start: Role) -> None:
    """Figure 2, both RPCs, receiver rule 1; so that whoever is behind catches up."""
    raft = core("n1", term=5)
    if start is Role.CANDIDATE:
        raft, _ = candidate(term=4)
    if start is Role.LEADER:
        raft = leader(term=4)
    old: list[Message] = [
        vote_request("n2", term=4, last=(9, 4)),
        append("n2", term=4, terms=(4,)),
        PreVote("n2", "n1", 4, candidate_term=5, last_log_index=9, last_log_term=4),
    ]
    before = raft.state.log.last_index

    out = turn(raft, *old)

    assert [
        (type(answer), answer.term)
        for answer in out
        if isinstance(answer, RequestVoteResponse | AppendEntriesResponse | PreVoteResponse)
    ] == [(PreVoteResponse, 5), (RequestVoteResponse, 5), (AppendEntriesResponse, 5)]
    assert not only(out, RequestVoteResponse).vote_granted
    assert not only(out, AppendEntriesResponse).success
    assert not only(out, PreVoteResponse).vote_granted
    assert role(raft) is start
    assert raft.state.log.last_index == before


def test_answers_of_an_older_term_change_nothing() -> None:
    """§5.1: they belong to an office that this server holds no longer, or anew."""
    raft = leader(1, term=4)
    before = raft.state.commit_index

    out = turn(raft, success("n2", term=4, match_index=2), TimeoutNow("n2", "n1", 4))

    assert out == []
    assert role(raft) is Role.LEADER
    assert raft.state.commit_index == before


@pytest.mark.parametrize(
    ("own", "last", "granted"),
    [
        ((), (0, 0), True),
        ((1,), (1, 1), True),
        ((1,), (2, 1), True),
        ((1, 1), (1, 1), False),
        ((1, 1, 1), (1, 2), True),
        ((1, 2), (9, 1), False),
        ((1,), (0, 0), False),
    ],
)
def test_only_a_log_at_least_as_up_to_date_gets_a_vote(
    own: tuple[Term, ...], last: tuple[Index, Term], *, granted: bool
) -> None:
    """§5.4.1: the later last term wins; with the same, the longer log."""
    raft = core("n1", *own)

    out = turn(raft, vote_request("n2", term=5, last=last))

    assert only(out, RequestVoteResponse).vote_granted is granted
    assert raft.state.voted_for == ("n2" if granted else None)


def test_one_vote_per_term_first_come_first_served() -> None:
    """Figure 2, RequestVote, receiver rule 2; the same candidate may ask again."""
    raft = core("n1")

    answers = [
        only(turn(raft, vote_request(source, term=1)), RequestVoteResponse).vote_granted
        for source in ("n2", "n3", "n2")
    ]

    assert answers == [True, False, True]


def test_a_pre_candidate_gives_its_vote_to_a_candidate_of_its_term() -> None:
    """It has not voted: PreVote promises nothing (§5.2, thesis §9.6). It steps aside."""
    raft = core("n1", term=4)
    time_out(raft)
    assert role(raft) is Role.PRE_CANDIDATE

    out = turn(raft, vote_request("n2", term=4))

    assert only(out, RequestVoteResponse).vote_granted
    assert role(raft) is Role.FOLLOWER
