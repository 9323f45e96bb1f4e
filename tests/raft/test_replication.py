"""Log replication, one rule at a time (§5.3; Figure 2, AppendEntries and leaders)."""

import msgspec
import pytest

from raftcache.raft.messages import AppendEntries, AppendEntriesResponse, Message
from raftcache.raft.options import Options
from raftcache.raft.progress import ProgressState
from raftcache.raft.types import Entry, EntryKind, Index, Term

from .builders import (
    OPTIONS,
    append,
    core,
    leader,
    of,
    only,
    rejection,
    success,
    terms_of,
    tick,
    turn,
)

FIGURE_7: dict[str, tuple[Term, ...]] = {
    "a": (1, 1, 1, 4, 4, 5, 5, 6, 6),
    "b": (1, 1, 1, 4),
    "c": (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6),
    "d": (1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7),
    "e": (1, 1, 1, 4, 4, 4, 4),
    "f": (1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3),
}
FIGURE_7_LEADER = (1, 1, 1, 4, 4, 5, 5, 6, 6, 6)


# Receivers (Figure 2, AppendEntries)


@pytest.mark.parametrize(
    ("own", "prev", "accepted"),
    [
        ((), (0, 0), True),
        ((1,), (1, 1), True),
        ((1, 2), (1, 1), True),
        ((1,), (2, 1), False),
        ((1, 1), (2, 2), False),
        ((), (1, 1), False),
    ],
)
def test_entries_are_accepted_only_where_the_entry_before_them_matches(
    own: tuple[Term, ...], prev: tuple[Index, Term], *, accepted: bool
) -> None:
    """Figure 2, receiver rule 2: the induction step of Log Matching (§5.3)."""
    raft = core("n1", *own, term=3)

    (answer,) = turn(raft, append(term=3, prev=prev, terms=(3,)))

    assert isinstance(answer, AppendEntriesResponse)
    assert answer.success is accepted
    assert terms_of(raft) == ([*own[: prev[0]], 3] if accepted else list(own))


@pytest.mark.parametrize(
    ("own", "prev", "sent", "expected"),
    [
        ((1, 1), (0, 0), (1,), (1, 1)),
        ((1, 1), (0, 0), (1, 1, 1), (1, 1, 1)),
        ((1, 1, 1), (1, 1), (3,), (1, 3)),
        ((1, 2, 2, 2), (1, 1), (2, 3), (1, 2, 3)),
        ((1,), (1, 1), (2, 3), (1, 2, 3)),
    ],
)
def test_only_a_conflict_removes_entries(
    own: tuple[Term, ...], prev: tuple[Index, Term], sent: tuple[Term, ...], expected: object
) -> None:
    """Figure 2, receiver rules 3 and 4."""
    raft = core("n1", *own, term=3)

    turn(raft, append(term=3, prev=prev, terms=sent))

    assert tuple(terms_of(raft)) == expected


def test_a_delayed_append_does_not_shorten_the_log() -> None:
    """A late repeat leaves newer entries, which may be acknowledged, in place (failure A5)."""
    raft = core("n1", 1, term=1)
    turn(raft, append(term=1, prev=(1, 1), terms=(1, 1, 1)))

    (answer,) = turn(raft, append(term=1, prev=(1, 1), terms=(1,)))

    assert terms_of(raft) == [1, 1, 1, 1]
    assert answer == success_of_n1(term=1, prev=1, match_index=2)


def success_of_n1(*, term: Term, prev: Index, match_index: Index) -> AppendEntriesResponse:
    return AppendEntriesResponse(
        "n1", "n2", term, success=True, prev_log_index=prev, match_index=match_index
    )


def test_a_follower_commits_up_to_what_the_leader_committed() -> None:
    """Figure 2, receiver rule 5; applied in order, once (all servers)."""
    raft = core("n1", 1, 1, 1, term=1)

    raft.step(append(term=1, prev=(3, 1), commit=2))
    ready = raft.ready()

    assert [entry.index for entry in ready.committed] == [1, 2]
    assert raft.ready().committed == []


def test_a_follower_never_commits_beyond_what_matches_the_leader() -> None:
    """Figure 2, receiver rule 5: the rest of its log may be about to give way."""
    raft = core("n1", 1, 2, 2, 2, term=2)

    turn(raft, append(term=3, prev=(1, 1), commit=4))

    assert raft.state.commit_index == 1


def test_a_server_without_room_stores_no_commands() -> None:
    """It takes a leader's no-op, and claims nothing that it did not store (failure E9)."""
    raft = core("n1", 1, term=1)
    raft.state.has_room = False
    full = append(term=2, prev=(1, 1), terms=(2, 2), commit=3)
    noop, command = Entry(2, 2, EntryKind.NOOP), full.entries[1]

    out = turn(raft, msgspec.structs.replace(full, entries=(noop, command)))

    assert only(out, AppendEntriesResponse).match_index == 2
    assert (raft.state.log.last_index, raft.state.commit_index) == (2, 2)


def test_commit_index_never_falls() -> None:
    """A late message carries an older leader_commit (Figure 2: increases monotonically)."""
    raft = core("n1", 1, 1, term=1)
    turn(raft, append(term=1, prev=(2, 1), commit=2))

    turn(raft, append(term=1, prev=(2, 1), commit=1))

    assert raft.state.commit_index == 2


def test_a_leader_commit_beyond_the_log_is_no_reason_to_fall_over() -> None:
    """As after a loss of the follower's log: it answers, and commits only what it has (A8)."""
    raft = core("n1", 1, term=1)

    (answer,) = turn(raft, append(term=1, prev=(9, 1), commit=9))

    assert isinstance(answer, AppendEntriesResponse)
    assert not answer.success
    assert raft.state.commit_index == 0


def test_an_append_from_before_the_commit_index_is_answered_with_what_is_committed() -> None:
    """A repeat that begins long ago neither replaces nor doubles what is committed (failure A6)."""
    raft = core("n1", 1, 1, 1, term=1)
    turn(raft, append(term=1, prev=(3, 1), commit=3))

    (answer,) = turn(raft, append(term=1, prev=(0, 0), terms=(1, 1)))

    assert terms_of(raft) == [1, 1, 1]
    assert answer == success_of_n1(term=1, prev=0, match_index=3)


@pytest.mark.parametrize(
    ("own", "prev", "conflict"),
    [
        ((1, 1), (5, 4), (0, 3)),
        ((1, 2, 2, 2), (4, 4), (2, 2)),
        ((1, 2, 3, 3), (2, 3), (2, 2)),
        ((), (3, 1), (0, 1)),
    ],
)
def test_a_refusal_says_where_to_look_on(
    own: tuple[Term, ...], prev: tuple[Index, Term], conflict: tuple[Term, Index]
) -> None:
    """§5.3, the optimisation: the conflicting term and the first index stored of it."""
    raft = core("n1", *own, term=4)

    (answer,) = turn(raft, append(term=4, prev=prev))

    assert answer == AppendEntriesResponse(
        "n1",
        "n2",
        4,
        success=False,
        prev_log_index=prev[0],
        match_index=0,
        conflict_term=conflict[0],
        conflict_index=conflict[1],
    )


# Leaders


def test_a_new_leader_assumes_that_all_logs_equal_its_own() -> None:
    """Figure 2, volatile state on leaders: next_index and match_index, built anew."""
    raft = leader(1, 1, term=4)

    assert {
        peer: (progress.next_index, progress.match_index)
        for peer, progress in raft.state.progress.items()
    } == {"n2": (3, 0), "n3": (3, 0)}


def test_a_new_leader_opens_its_term_with_an_empty_entry() -> None:
    """§8: by committing it, it learns what its predecessors committed."""
    raft = leader(1, 1, term=4)

    opening = raft.state.log.entry(3)

    assert (opening.term, opening.kind, opening.data) == (5, EntryKind.NOOP, b"")


def test_a_leader_appends_and_never_changes_its_own_log() -> None:
    """Leader Append-Only (Figure 3, §5.3)."""
    raft = leader(1, 1, term=1)

    index = raft.propose(b"x")

    entry = raft.state.log.entry(index)
    assert (entry.index, entry.term, entry.data) == (4, 2, b"x")
    assert terms_of(raft) == [1, 1, 2, 2]


def test_entries_leave_in_parallel_with_the_own_disk_write() -> None:
    """Thesis §10.2.1: one disk write less on the way of every entry."""
    raft = leader()
    turn(raft, success("n2", term=1, match_index=1), success("n3", term=1, match_index=1))

    raft.propose(b"x")
    ready = raft.ready()

    assert [entry.data for entry in ready.entries] == [b"x"]
    assert [
        (message.target, [entry.data for entry in message.entries])
        for message in of(ready.messages, AppendEntries)
    ] == [("n2", [b"x"])], "n3 gets it within a tick (vanguard)"


def test_a_follower_that_matches_is_sent_a_window_of_entries_ahead_of_its_answers() -> None:
    """Thesis §10.2.2, pipelining; bounded in messages."""
    raft = leader(options=Options(inflight_messages_max=3))
    turn(raft, success("n2", term=1, match_index=1))

    for _ in range(5):
        raft.propose(b"x")
        turn(raft)
    sent = raft.state.progress["n2"]

    assert (sent.state, sent.next_index, len(sent.inflight)) == (ProgressState.REPLICATE, 5, 3)
    out = turn(raft, success("n2", term=1, match_index=3))
    assert [[entry.index for entry in one.entries] for one in to(out, "n2")] == [[5, 6]]


def to(messages: list[Message], target: str) -> list[AppendEntries]:
    """Return the AppendEntries with entries that go to ``target``."""
    return [one for one in of(messages, AppendEntries) if one.target == target and one.entries]


def test_the_window_is_bounded_in_bytes() -> None:
    """A slow follower costs the leader what the option says, and one message more."""
    raft = leader(options=Options(inflight_bytes_max=100))
    turn(raft, success("n2", term=1, match_index=1))

    for _ in range(5):
        raft.propose(b"x" * 60)
        turn(raft)

    assert raft.state.progress["n2"].inflight_bytes == 120


def test_a_message_holds_as_many_entries_as_its_budget_allows_and_at_least_one() -> None:
    """An entry that is larger than the budget still gets through, alone."""
    raft = leader(options=Options(append_bytes_max=100))
    turn(raft, success("n2", term=1, match_index=1))

    for size in (40, 40, 40, 900, 10):
        raft.propose(b"x" * size)
    out = turn(raft)

    assert [len(message.entries) for message in to(out, "n2")] == [2, 1, 1, 1]


def test_a_refusal_moves_next_index_back_and_tries_again() -> None:
    """Figure 2, leaders: if AppendEntries fails because of log inconsistency."""
    raft = leader(1, 1, 1, 4, term=4)

    out = turn(raft, rejection("n2", term=5, prev=4, conflict=(0, 2)))

    (retry,) = to(out, "n2")
    assert (retry.prev_log_index, retry.prev_log_term) == (1, 1)
    assert [entry.index for entry in retry.entries] == [2, 3, 4, 5]


def test_a_late_refusal_does_not_move_next_index() -> None:
    """What it refuses has matched since; or it answers an earlier probe."""
    raft = leader(1, 1, 1, 4, term=4)
    turn(raft, success("n2", term=5, match_index=5, prev=4))
    turn(raft, rejection("n3", term=5, prev=4, conflict=(0, 3)))

    out = turn(
        raft,
        rejection("n2", term=5, prev=4, conflict=(0, 2)),
        rejection("n3", term=5, prev=4, conflict=(0, 1)),
    )

    assert out == []
    assert raft.state.progress["n2"].next_index == 6
    assert raft.state.progress["n3"].next_index == 3


def test_every_refusal_brings_next_index_down() -> None:
    """Whatever a follower says: the search ends (§5.3)."""
    raft = leader(1, 1, 1, 1, term=4)

    probes = []
    for _ in range(4):
        prev = raft.state.progress["n2"].next_index - 1
        turn(raft, rejection("n2", term=5, prev=prev, conflict=(0, 99)))
        probes.append(raft.state.progress["n2"].next_index)

    assert probes == [4, 3, 2, 1]


@pytest.mark.parametrize("name", sorted(FIGURE_7))
def test_the_logs_of_figure_7_become_the_leaders(name: str) -> None:
    """§5.3: by term, not by entry: with at most three refusals each."""
    boss = leader(*FIGURE_7_LEADER, term=7)
    follower = core("n2", *FIGURE_7[name], term=7)
    refusals = 0

    out = turn(boss, success("n3", term=8, match_index=11))
    out += tick(boss, OPTIONS.heartbeat_ticks)
    while out:
        answers: list[Message] = []
        for message in of(out, AppendEntries):
            if message.target == "n2":
                answers += turn(follower, message)
        refusals += sum(not answer.success for answer in of(answers, AppendEntriesResponse))
        out = turn(boss, *answers)

    assert terms_of(follower) == [*FIGURE_7_LEADER, 8]
    assert refusals <= 3


def test_a_lost_message_shows_at_the_next_heartbeat_and_is_sent_again() -> None:
    """§5.3: the leader retries until all followers store all entries."""
    raft = leader()
    turn(raft, success("n2", term=1, match_index=1))
    raft.propose(b"lost")
    turn(raft)

    heartbeat = only(
        [one for one in tick(raft, OPTIONS.heartbeat_ticks) if one.target == "n2"], AppendEntries
    )
    assert (heartbeat.prev_log_index, heartbeat.entries) == (2, ())
    out = turn(raft, rejection("n2", term=1, prev=2, conflict=(0, 2)))

    assert [entry.data for entry in to(out, "n2")[0].entries] == [b"lost"]


def test_heartbeats_to_a_silent_follower_carry_no_entries() -> None:
    """Who is dead or paused must not have a megabyte queued for it twenty times a second."""
    raft = leader(1, 1, 1, term=1)
    turn(raft, rejection("n2", term=2, prev=3, conflict=(0, 1)))

    heartbeats = tick(raft, OPTIONS.heartbeat_ticks * 2)

    assert [one.entries for one in of(heartbeats, AppendEntries) if one.target == "n2"] == [(), ()]
    out = turn(raft, success("n2", term=2, match_index=0))
    assert [len(one.entries) for one in to(out, "n2")] == [4]


def test_heartbeats_leave_on_time_even_when_entries_do() -> None:
    """Their answer does not wait for the follower's disk, so a slow disk deposes nobody."""
    raft = leader()
    turn(raft, success("n2", term=1, match_index=1), success("n3", term=1, match_index=1))

    for _ in range(OPTIONS.heartbeat_ticks):
        raft.tick()
    raft.propose(b"x")
    out = [one for one in of(turn(raft), AppendEntries) if one.target == "n2"]

    assert [len(one.entries) for one in out] == [0, 1]


def test_an_acknowledgement_of_what_is_not_there_is_ignored() -> None:
    """Numbers from the wire are never trusted blindly."""
    raft = leader()

    turn(raft, success("n2", term=1, match_index=99))

    assert raft.state.progress["n2"].match_index == 0
    assert raft.state.commit_index == 0
