"""What must be on the disk before it counts (Figure 2, thesis §3.8 and §10.2.1)."""

from raftcache.raft.messages import (
    AppendEntries,
    AppendEntriesResponse,
    PreVoteResponse,
    RequestVote,
    RequestVoteResponse,
)
from raftcache.raft.types import EntryKind, HardState, Role

from .builders import (
    append,
    core,
    leader,
    log_of,
    persist,
    role,
    success,
    time_out,
    turn,
    vote_request,
)


def test_a_vote_waits_for_the_disk() -> None:
    """A vote given before it is durable can be given twice (Figure 2; failures A1, A2)."""
    raft = core("n1")

    raft.step(vote_request("n2", term=1))
    ready = raft.ready()

    assert ready.hard_state == HardState(1, "n2"), "term and vote are one record"
    assert ready.messages == []
    assert ready.after_persist == [RequestVoteResponse("n1", "n2", 1, vote_granted=True)]


def test_a_vote_on_disk_is_kept_after_a_restart() -> None:
    """Figure 2, persistent state: one vote per term, whatever happens between (failure A1)."""
    raft = core("n1", term=1, voted_for="n2")

    (answer,) = turn(raft, vote_request("n3", term=1))

    assert answer == RequestVoteResponse(
        "n1", "n3", 1, vote_granted=False, reason="voted for n2 in term 1"
    )


def test_a_candidate_asks_for_votes_only_when_its_own_is_on_disk() -> None:
    """It counts its own vote, so that vote must be durable first (Figure 2, candidates)."""
    raft = core("n1")
    time_out(raft)

    raft.step(PreVoteResponse("n2", "n1", 0, candidate_term=1, vote_granted=True))
    ready = raft.ready()

    assert ready.hard_state == HardState(1, "n1")
    assert [ready.messages, ready.after_persist] == [[], []]

    persist(raft, ready)
    asked = raft.ready().messages

    assert [type(message) for message in asked] == [RequestVote, RequestVote]
    assert raft.ready().messages == [], "they are asked once"


def test_a_lone_voter_leads_only_when_its_own_vote_is_on_disk() -> None:
    """Else its crash lets it lead the same term twice, with other entries (Election Safety).

    Learners would hold two different entries of one index and term.
    """
    raft = core("n1", voters=("n1",), learners=("n9",))
    for _ in range(raft.state.election_timeout_ticks):
        raft.tick()

    ready = raft.ready()
    assert role(raft) is Role.CANDIDATE
    assert ready.messages == []

    persist(raft, ready)
    ready = raft.ready()
    assert role(raft) is Role.LEADER
    assert [type(message) for message in ready.messages] == [AppendEntries]


def test_a_lone_voter_commits_only_what_its_disk_has() -> None:
    """A leader counts itself like any other: by what is durable (thesis §10.2.1; failure A11)."""
    raft = core("n1", voters=("n1",))
    time_out(raft)
    assert raft.state.commit_index == 1

    index = raft.propose(b"x")
    ready = raft.ready()
    assert ready.committed == []

    persist(raft, ready)
    assert [entry.index for entry in raft.ready().committed] == [index]


def test_a_leader_counts_itself_only_when_its_disk_has_the_entry() -> None:
    """One follower's copy and an unwritten own one are no majority of three (thesis §10.2.1)."""
    raft = leader(term=1)
    index = raft.propose(b"x")
    ready = raft.ready()

    raft.step(success("n2", term=2, match_index=index))
    assert [entry.kind for entry in raft.ready().committed] == [EntryKind.NOOP]

    persist(raft, ready)
    assert [entry.index for entry in raft.ready().committed] == [index]


def test_an_entry_is_acknowledged_only_when_it_is_on_disk() -> None:
    """The leader counts the follower from then on (Figure 2, thesis §3.8)."""
    raft = core("n1", term=1)

    raft.step(append(term=1, terms=(1, 1)))
    ready = raft.ready()

    assert ready.entries == list(log_of(1, 1))
    assert ready.messages == []
    assert ready.after_persist == [
        AppendEntriesResponse("n1", "n2", 1, success=True, prev_log_index=0, match_index=2)
    ]


def test_a_heartbeat_is_answered_at_once_and_claims_only_what_is_on_disk() -> None:
    """It confirms the leader without queueing behind a slow disk (thesis §6.4)."""
    raft = core("n1", 1, term=1)
    raft.step(append(term=1, prev=(1, 1), terms=(1, 1)))
    raft.ready()

    raft.step(append(term=1, prev=(3, 1), read_round=7))
    ready = raft.ready()

    assert ready.messages == [
        AppendEntriesResponse(
            "n1", "n2", 1, success=True, prev_log_index=3, match_index=1, read_round=7
        )
    ]


def test_nothing_is_said_in_a_term_before_the_term_is_on_disk() -> None:
    """An acknowledgement in a term is a promise to refuse older leaders (Figure 2)."""
    raft = core("n1", 1, term=1)

    raft.step(append(term=5, prev=(1, 1)))
    ready = raft.ready()

    assert ready.hard_state == HardState(5, None)
    assert ready.messages == []
    assert [type(message) for message in ready.after_persist] == [AppendEntriesResponse]


def test_a_late_word_of_the_disk_does_not_count_for_what_replaced_the_entry() -> None:
    """An ABA race: the write was of another entry with the same index (failure A10)."""
    raft = core("n1", 1, term=2)
    raft.step(append("n2", term=2, prev=(1, 1), terms=(2, 2)))
    old = raft.ready()
    raft.step(append("n3", term=3, prev=(1, 1), terms=(3, 3)))
    new = raft.ready()

    persist(raft, old)
    assert raft.state.persisted_index == 1

    persist(raft, new)
    assert raft.state.persisted_index == 3


def test_a_late_word_of_the_disk_does_not_count_for_an_entry_that_came_back() -> None:
    """Index and term do not tell an entry written first from the same one put back (failure A10).

    3@2 is written, then replaced by 2@3, then put back by a leader that never heard of 2@3. While
    the disk has only done the first of the three, its last word is about to remove 3@2 again.
    """
    raft = core("n1", 1, term=2)
    raft.step(append("n2", term=2, prev=(1, 1), terms=(2, 2)))
    first = raft.ready()
    raft.step(append("n3", term=3, prev=(1, 1), terms=(3,)))
    second = raft.ready()
    raft.step(vote_request("n2", term=4, last=(9, 9), transfer=True))
    third = raft.ready()
    raft.step(append("n2", term=4, prev=(1, 1), terms=(2, 2)))
    fourth = raft.ready()

    persisted = []
    for ready in (first, second, third, fourth):
        persist(raft, ready)
        persisted.append(raft.state.persisted_index)

    assert persisted == [1, 1, 1, 3]


def test_entries_kept_through_a_change_of_term_are_credited_with_it() -> None:
    """The write of the new term covers what was handed over before it."""
    raft = core("n1", 1, term=1)
    raft.step(append("n2", term=1, prev=(1, 1), terms=(1, 1)))
    first = raft.ready()
    raft.step(append("n3", term=2, prev=(3, 1)))
    second = raft.ready()

    persist(raft, first)
    persist(raft, second)

    assert raft.state.persisted_index == 3
