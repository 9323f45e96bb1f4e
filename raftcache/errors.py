"""Every error that Raft Cache raises, in one tree.

The first split is what a caller must know: did it happen?

    RaftCacheError
    ├── DefiniteError             the operation did not happen and never will
    │   ├── BadRequest            ill-formed
    │   ├── Unsupported           an unknown field, or a feature that is off or newer
    │   ├── TooLarge              key, value, batch or range over a limit
    │   ├── NotLeader             asked not to forward, and this node does not lead
    │   ├── NoLeader              no leader was known before the deadline
    │   ├── Conflict              a compare failed; carries ``mod_rev`` and ``value``
    │   ├── Fenced                the fence no longer holds
    │   ├── WrongType             ``incr`` on what is no integer
    │   ├── OutOfRange            beyond signed 64 bits
    │   ├── WindowFull            ``seq`` too far above ``ack``
    │   ├── Compacted             older than what is kept; carries ``oldest``
    │   ├── OverQuota             the cache is full and nothing may be evicted
    │   ├── NoSpace               the disk is full
    │   ├── Overloaded            a queue is at its bound; carries ``retry_after_ms``
    │   ├── Unauthorized          no valid credentials
    │   ├── Forbidden             not allowed on this socket
    │   ├── Unreachable           no node could be reached; nothing was sent
    │   └── Undecodable           a value was read that the client's codec can't read
    ├── IndefiniteError           it may have happened, or may yet
    │   ├── OutcomeUnknown        sent, and no answer tells
    │   │   └── Timeout           likewise, at the deadline
    │   ├── SessionExpired        the session is gone
    │   ├── StaleSeq              the first outcome is no longer kept
    │   └── InternalError         a defect in the server
    ├── MalformedFrames           bytes from a socket that are no message of ours
    └── StorageError              a node's directory
        ├── CorruptRecord         damage, with file and offset
        ├── DirectoryLocked       another process has it open
        ├── WrongDirectory        another node's, another cluster's, or an incomplete one
        │   └── StateLost         of a node that must join anew before it votes
        └── DiskFailed            a write or an fsync failed: the process must end
"""

from typing import Any, ClassVar


class RaftCacheError(Exception):
    """The root of all errors below."""


class RequestError(RaftCacheError):
    """An operation that was not answered with ``ok``.

    ``code`` is the word on the wire; ``applied`` is ``no``, ``yes`` or ``unknown``;
    ``node`` is who answered, or None.
    """

    code: ClassVar[str] = "internal"

    def __init__(
        self, message: str, *, applied: str = "unknown", node: str | None = None, **extra: Any
    ) -> None:
        super().__init__(message)
        self.message = message
        self.applied = applied
        self.node = node
        self.extra: dict[str, Any] = extra


class DefiniteError(RequestError):
    """The operation had no effect and never will."""

    def __init__(
        self, message: str, *, applied: str = "no", node: str | None = None, **extra: Any
    ) -> None:
        super().__init__(message, applied=applied, node=node, **extra)


class IndefiniteError(RequestError):
    """The operation may have taken effect, or may still."""


class BadRequest(DefiniteError):
    """The request is ill-formed; the message names the field."""

    code = "bad_request"


class Unsupported(DefiniteError):
    """An unknown field, or a feature that is off or newer than the cluster."""

    code = "unsupported"


class TooLarge(DefiniteError):
    """A key, value, batch or range is over a limit."""

    code = "too_large"


class NotLeader(DefiniteError):
    """The node does not lead and was asked not to forward."""

    code = "not_leader"


class NoLeader(DefiniteError):
    """No leader was known before the deadline, and nothing was handed on."""

    code = "no_leader"


class Conflict(DefiniteError):
    """A compare failed; ``mod_rev`` and ``value`` are the key's current ones."""

    code = "conflict"

    @property
    def mod_rev(self) -> int:
        """The key's revision now; 0 when it does not exist."""
        return int(self.extra.get("mod_rev") or 0)

    @property
    def value(self) -> bytes | None:
        """The key's value now, as it is stored, in bytes; None when it does not exist."""
        value = self.extra.get("value")
        assert value is None or isinstance(value, bytes)
        return value


class Fenced(DefiniteError):
    """The fence's key does not exist with that ``create_rev`` any more."""

    code = "fenced"


class WrongType(DefiniteError):
    """``incr`` met a value that is no integer."""

    code = "wrong_type"


class OutOfRange(DefiniteError):
    """The result would not fit in signed 64 bits."""

    code = "out_of_range"


class WindowFull(DefiniteError):
    """``seq`` is too far above ``ack``."""

    code = "window_full"


class Compacted(DefiniteError):
    """A revision older than what is kept was asked for; ``extra['oldest']`` is kept."""

    code = "compacted"


class OverQuota(DefiniteError):
    """The cache is full and nothing may be evicted."""

    code = "over_quota"


class NoSpace(DefiniteError):
    """The disk is full."""

    code = "no_space"


class Overloaded(DefiniteError):
    """A queue is at its bound; ``extra['retry_after_ms']`` says when to come back."""

    code = "overloaded"


class Unauthorized(DefiniteError):
    """No valid credentials."""

    code = "unauthorized"


class Forbidden(DefiniteError):
    """Not allowed on this socket."""

    code = "forbidden"


class Unreachable(DefiniteError):
    """No node could be reached before the deadline, and nothing was sent."""

    code = "unreachable"


class Undecodable(DefiniteError):
    """The client's codec can't read the value that was found; nothing was changed by reading it."""

    code = "undecodable"

    @property
    def key(self) -> bytes:
        """Whose value it is."""
        key = self.extra.get("key", b"")
        assert isinstance(key, bytes)
        return key

    @property
    def stored(self) -> bytes:
        """The bytes that are stored there."""
        stored = self.extra.get("stored", b"")
        assert isinstance(stored, bytes)
        return stored


class OutcomeUnknown(IndefiniteError):
    """The request was sent and no answer tells what became of it."""

    code = "timeout"


class Timeout(OutcomeUnknown):
    """No answer by the deadline."""

    code = "timeout"


class SessionExpired(IndefiniteError):
    """The session is gone; what an unanswered ``seq`` did can't be known."""

    code = "session_expired"


class StaleSeq(IndefiniteError):
    """The first outcome of this ``seq`` is no longer kept."""

    code = "stale_seq"


class InternalError(IndefiniteError):
    """A defect in the server; its log has more."""

    code = "internal"


class MalformedFrames(RaftCacheError):
    """Bytes from a socket that are no message of ours; names the endpoint."""


class StorageError(RaftCacheError):
    """A node's directory can't be used; the message names it and what to do."""


class CorruptRecord(StorageError):
    """A file is damaged: ``path`` and ``offset`` say where, in bytes from its start."""

    def __init__(self, message: str, *, path: str, offset: int) -> None:
        super().__init__(message)
        self.path = path
        self.offset = offset


class DirectoryLocked(StorageError):
    """Another process has this directory open."""


class WrongDirectory(StorageError):
    """The directory belongs to another node or cluster, or is incomplete."""


class StateLost(WrongDirectory):
    """The node's term, vote and log are gone, or may be: it may only join under a new name tag.

    Where the settings say whom to ask, it does so; else this is the end of the start.
    """


class DiskFailed(StorageError):
    """A write or an fsync failed: what the disk holds is unknown, so the process must end."""


def _by_code() -> dict[str, type[RequestError]]:
    found: dict[str, type[RequestError]] = {}
    waiting: list[type[RequestError]] = [DefiniteError, IndefiniteError]
    while waiting:
        error = waiting.pop(0)
        if "code" in vars(error) and error is not Undecodable:  # no node ever says so
            found.setdefault(error.code, error)
        waiting.extend(error.__subclasses__())
    found["timeout"] = Timeout
    return found


ERRORS_BY_CODE: dict[str, type[RequestError]] = _by_code()
"""Wire code to class. A code that is not here is judged by ``applied`` (PROTOCOL section 3)."""
