"""The values of Raft that cross boundaries: to disk, to peers, to the state machine (Figure 2)."""

from enum import Enum
from typing import TypeAlias

import msgspec

Term: TypeAlias = int
"""A term: 0 before the first election, then only ever larger (§5.1)."""

Index: TypeAlias = int
"""A log index, 1-based; 0 is the place before the first entry (Figure 2)."""

ServerId: TypeAlias = str
"""A server as Raft knows it: a node's name and incarnation, as in ``n1#1``. Opaque to the core."""


class Role(Enum):
    """What a server is at the moment (§5.1; the pre-candidate is from thesis §9.6)."""

    FOLLOWER = "follower"
    PRE_CANDIDATE = "pre_candidate"
    CANDIDATE = "candidate"
    LEADER = "leader"


class EntryKind(Enum):
    """What a log entry's ``data`` holds."""

    NOOP = 0
    """Nothing: the entry with which a leader opens its term (§8)."""
    COMMANDS = 1
    """A versioned batch of commands, opaque to Raft (``raftcache.store.commands``)."""
    CONFIGURATION = 2
    """An encoded :class:`raftcache.raft.configuration.Configuration` (§6)."""


class Entry(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One entry of the replicated log (Figure 2): immutable, and encoded only once.

    ``data`` is bytes from the moment the leader makes the entry: the log, the disk and the peers
    all pass on these same bytes.
    """

    index: Index
    term: Term
    kind: EntryKind
    data: bytes = b""


class HardState(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The persistent state of Figure 2 apart from the log, written as one atomic record.

    Term and vote travel together: written in two steps, a crash between them lets a server
    vote twice in one term.
    """

    current_term: Term = 0
    voted_for: ServerId | None = None
