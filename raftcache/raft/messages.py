"""The RPCs of Figure 2, thesis §3.10 (TimeoutNow) and §9.6 (PreVote), as values.

Every message carries ``term``, the sender's *current* term, without exception: so the rule for all
servers in Figure 2 (a larger term is adopted) holds for each of them alike. Each struct encodes as
an array whose first element is its tag.
"""

from typing import TypeAlias

import msgspec

from .types import Entry, Index, ServerId, Term


class PreVote(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """Would you vote for me in ``candidate_term``? Changes no one's state (thesis §9.6)."""

    source: ServerId
    target: ServerId
    term: Term
    candidate_term: Term
    last_log_index: Index
    last_log_term: Term


class PreVoteResponse(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """The answer; ``candidate_term`` says which question it answers, ``reason`` why, for people.

    ``hears_leader``: it was refused since a leader is heard, or is who answers. So it is no word
    about the log, and worth another question.
    """

    source: ServerId
    target: ServerId
    term: Term
    candidate_term: Term
    vote_granted: bool
    reason: str = ""
    hears_leader: bool = False


class RequestVote(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=3):
    """A candidate asks for a vote (§5.2, §5.4.1).

    ``leadership_transfer``: the leader itself asked for this election, so voters set the
    stickiness of thesis §4.2.3 aside.
    """

    source: ServerId
    target: ServerId
    term: Term
    last_log_index: Index
    last_log_term: Term
    leadership_transfer: bool = False


class RequestVoteResponse(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=4):
    """The answer; leaves a server only once the vote is durable (Figure 2)."""

    source: ServerId
    target: ServerId
    term: Term
    vote_granted: bool
    reason: str = ""


class AppendEntries(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=5):
    """A leader replicates entries, or only says that it leads (§5.2, §5.3).

    ``read_round`` is the newest round of leadership confirmation that waits for acknowledgements
    (thesis §6.4); 0 when none was ever started.
    """

    source: ServerId
    target: ServerId
    term: Term
    prev_log_index: Index
    prev_log_term: Term
    entries: tuple[Entry, ...]
    leader_commit: Index
    read_round: int = 0


class AppendEntriesResponse(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=6):
    """The answer to AppendEntries (§5.3).

    On success ``match_index`` is what is durable at the sender and known to equal the leader's
    log. Otherwise ``conflict_term`` and ``conflict_index`` say where to go on looking: the term at
    the follower's ``prev_log_index`` and the first index it stores of that term; or 0 and the
    index behind its last when its log is too short. ``prev_log_index`` repeats the request's, so
    that a late rejection is not taken for a fresh one; ``read_round`` repeats the request's too.
    ``needs_snapshot``: the sender's state up to there is gone, whatever its log has; 0: it is not.
    ``fit_to_lead``: the sender's disk has room and is quick.
    """

    source: ServerId
    target: ServerId
    term: Term
    success: bool
    prev_log_index: Index
    match_index: Index
    conflict_term: Term = 0
    conflict_index: Index = 0
    read_round: int = 0
    needs_snapshot: Index = 0
    fit_to_lead: bool = True


class InstallSnapshot(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=8):
    """A leader sends its snapshot to a follower whose next entry is gone (§7, Figure 13).

    The core sees this head of each chunk; the bytes travel beside it, on a socket of their own,
    and only the node looks at them.
    """

    source: ServerId
    target: ServerId
    term: Term
    last_included_index: Index
    last_included_term: Term


class InstallSnapshotResponse(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=9):
    """The answer once the whole snapshot is in force and durable; or a larger term, at once.

    ``match_index`` is what is durable at the sender and known to equal the leader's log; 0 when
    the snapshot was refused because its sender does not lead any more.
    """

    source: ServerId
    target: ServerId
    term: Term
    match_index: Index


class TimeoutNow(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=7):
    """The leader asks its successor to start an election at once (thesis §3.10)."""

    source: ServerId
    target: ServerId
    term: Term


class ReadIndex(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=10):
    """A follower asks its leader up to where it must have applied the log to read (thesis §6.4).

    ``number`` is the follower's own, never used again, in none of its lives.
    """

    source: ServerId
    target: ServerId
    term: Term
    number: int


class ReadIndexResponse(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=11):
    """The answer, for this question and all older ones of the same follower.

    ``read_index`` is 0 when it was refused: who was asked does not lead any more.
    """

    source: ServerId
    target: ServerId
    term: Term
    number: int
    read_index: Index


Message: TypeAlias = (
    PreVote
    | PreVoteResponse
    | RequestVote
    | RequestVoteResponse
    | AppendEntries
    | AppendEntriesResponse
    | TimeoutNow
    | InstallSnapshot
    | InstallSnapshotResponse
    | ReadIndex
    | ReadIndexResponse
)
