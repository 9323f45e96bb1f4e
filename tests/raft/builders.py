"""One core alone, its messages and its disk in the test's hands; values in few words.

Entries of the tests are written as terms: ``log_of(1, 1, 2)`` is 1@1, 2@1, 3@2.
"""

from random import Random
from typing import Any

from raftcache.raft.configuration import Configuration
from raftcache.raft.core import Raft, Ready
from raftcache.raft.messages import (
    AppendEntries,
    AppendEntriesResponse,
    Message,
    PreVoteResponse,
    RequestVote,
    RequestVoteResponse,
)
from raftcache.raft.options import Options
from raftcache.raft.types import Entry, EntryKind, HardState, Index, Role, ServerId, Term

THREE = ("n1", "n2", "n3")
FIVE = ("n1", "n2", "n3", "n4", "n5")
OPTIONS = Options(heartbeat_ticks=2, election_ticks_min=6, election_ticks_max=6)
"""All servers of a test have one timeout: what happens is what the test lets happen."""


def log_of(*terms: Term, first: Index = 1) -> tuple[Entry, ...]:
    """Return entries with these terms, from ``first`` on; each tells its place in its data."""
    return tuple(
        Entry(index, term, EntryKind.COMMANDS, f"{index}@{term}".encode())
        for index, term in enumerate(terms, first)
    )


def core(
    name: ServerId = "n1",
    *terms: Term,
    term: Term | None = None,
    voted_for: ServerId | None = None,
    voters: tuple[ServerId, ...] = THREE,
    learners: tuple[ServerId, ...] = (),
    options: Options = OPTIONS,
) -> Raft:
    """Return a server that just started with this log, in this term (that of its log if None)."""
    current_term = term if term is not None else max((0, *terms))
    return Raft(
        name,
        Configuration(voters=voters, learners=learners),
        options=options,
        random=Random(1),
        hard_state=HardState(current_term, voted_for),
        entries=log_of(*terms),
    )


def leader(
    *terms: Term,
    term: Term | None = None,
    voters: tuple[ServerId, ...] = THREE,
    options: Options = OPTIONS,
) -> Raft:
    """Return n1 as the new leader of the term after ``term``, its no-op on its own disk.

    Its first messages are gone already; no follower has answered anything but its vote.
    """
    raft = core("n1", *terms, term=term, voters=voters, options=options)
    time_out(raft)
    win_pre_vote(raft)
    for voter in voters[1:]:
        raft.step(RequestVoteResponse(voter, "n1", raft.current_term, vote_granted=True))
    turn(raft)
    assert raft.is_leader
    return raft


def candidate(
    *terms: Term, term: Term | None = None, voters: tuple[ServerId, ...] = THREE
) -> tuple[Raft, list[Message]]:
    """Return n1 as a candidate whose own vote is durable, and what it sent on the way."""
    raft = core("n1", *terms, term=term, voters=voters)
    time_out(raft)
    return raft, win_pre_vote(raft)


def time_out(raft: Raft) -> list[Message]:
    """Let an election timeout pass; return what the server says at its end."""
    for _ in range(raft.state.election_timeout_ticks - raft.state.election_ticks):
        raft.tick()
    return turn(raft)


def win_pre_vote(raft: Raft) -> list[Message]:
    """Let everybody grant the pre-vote; return what the server says then."""
    term = raft.current_term
    for voter in raft.state.peers():
        raft.step(
            PreVoteResponse(
                voter, raft.state.server_id, term, candidate_term=term + 1, vote_granted=True
            )
        )
    return turn(raft)


def turn(raft: Raft, *messages: Message) -> list[Message]:
    """Take messages in, let the disk finish, return all that leaves, in the order of leaving."""
    for message in messages:
        raft.step(message)
    out: list[Message] = []
    while True:
        ready = raft.ready()
        out += ready.messages
        persist(raft, ready)
        out += ready.after_persist
        if ready.mark is None:
            return out


def tick(raft: Raft, count: int) -> list[Message]:
    """Let ticks pass; return all that is said meanwhile."""
    out: list[Message] = []
    for _ in range(count):
        raft.tick()
        out += turn(raft)
    return out


def persist(raft: Raft, ready: Ready) -> None:
    """Let the disk finish what this ``Ready`` asked for."""
    if ready.mark is not None:
        raft.advance(ready.mark)


def append(
    source: ServerId = "n2",
    target: ServerId = "n1",
    *,
    term: Term,
    prev: tuple[Index, Term] = (0, 0),
    terms: tuple[Term, ...] = (),
    commit: Index = 0,
    read_round: int = 0,
) -> AppendEntries:
    """Return an AppendEntries; ``prev`` is (prev_log_index, prev_log_term)."""
    entries = log_of(*terms, first=prev[0] + 1)
    return AppendEntries(source, target, term, *prev, entries, commit, read_round)


def success(
    source: ServerId, *, term: Term, match_index: Index, prev: Index = 0, read_round: int = 0
) -> AppendEntriesResponse:
    """Return a follower's acknowledgement to n1."""
    return AppendEntriesResponse(
        source,
        "n1",
        term,
        success=True,
        prev_log_index=prev,
        match_index=match_index,
        read_round=read_round,
    )


def rejection(
    source: ServerId, *, term: Term, prev: Index, conflict: tuple[Term, Index], read_round: int = 0
) -> AppendEntriesResponse:
    """Return a follower's refusal to n1; ``conflict`` is (conflict_term, conflict_index)."""
    return AppendEntriesResponse(
        source,
        "n1",
        term,
        success=False,
        prev_log_index=prev,
        match_index=0,
        conflict_term=conflict[0],
        conflict_index=conflict[1],
        read_round=read_round,
    )


def vote_request(
    source: ServerId,
    target: ServerId = "n1",
    *,
    term: Term,
    last: tuple[Index, Term] = (0, 0),
    transfer: bool = False,
) -> RequestVote:
    """Return a RequestVote; ``last`` is (last_log_index, last_log_term)."""
    return RequestVote(source, target, term, *last, leadership_transfer=transfer)


def terms_of(raft: Raft) -> list[Term]:
    """Return the terms along a server's log."""
    return [entry.term for entry in raft.state.log.entries]


def only(messages: list[Message], kind: type[Any]) -> Any:
    """Return the one message of a kind among ``messages``."""
    found = [message for message in messages if isinstance(message, kind)]
    assert len(found) == 1, found
    return found[0]


def of(messages: list[Message], kind: type[Any]) -> list[Any]:
    """Return the messages of a kind."""
    return [message for message in messages if isinstance(message, kind)]


def role(raft: Raft) -> Role:
    """Return what a server is now; a call, so that mypy does not remember an older answer."""
    return raft.state.role
