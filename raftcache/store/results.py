"""What commands and queries answer.

Results travel from a leader to the node that handed a request on, so they are tagged arrays like
the commands. Rules: a :class:`Failure` means that nothing was changed; a result is a value and
never refers to state that may change later.
"""

from typing import TypeAlias

import msgspec


class GetResult(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=1):
    """A key's record. Of a missing key: not found, no value, all revisions 0.

    ``ttl_ms`` is what the key has left to live, 0 at the least; None: it stays. ``session`` is the
    one that the key goes with; None: none.
    """

    found: bool = False
    value: bytes | None = None
    mod_rev: int = 0
    create_rev: int = 0
    key_version: int = 0
    ttl_ms: int | None = None
    session: int | None = None


class SetResult(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=2):
    """A value was stored.

    ``prev`` is the value before (None: there was no key) where ``has_prev`` is true, that is,
    where it was asked for; ``prev_omitted``: asked for, and too large to tell.
    """

    mod_rev: int
    created: bool
    prev: bytes | None = None
    has_prev: bool = False
    prev_omitted: bool = False


class DeleteResult(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=3):
    """The key is not there any more; ``deleted`` is 1 if it was. ``prev``: see SetResult."""

    deleted: int
    prev: bytes | None = None
    has_prev: bool = False
    prev_omitted: bool = False


class IncrResult(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=4):
    """The number after the addition."""

    value: int
    mod_rev: int


class Item(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One key of a range; ``value`` is None when only keys were asked for."""

    key: bytes
    value: bytes | None
    mod_rev: int
    create_rev: int
    key_version: int


class RangeResult(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=5):
    """One page of a range, as it was at revision ``at_rev``.

    ``count`` is the number of items, or the number of keys in the whole range if only that was
    asked for. ``more``: the range goes on behind the last item.
    """

    items: list[Item]
    count: int
    more: bool
    at_rev: int


class ExpireResult(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=8):
    """Whether there was such a key, which now has the deadline that was asked for."""

    found: bool


class DeleteRangeResult(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=11):
    """How many keys were there, and are not any more."""

    deleted: int


class Failure(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=6):
    """The operation was refused and changed nothing.

    ``error`` is the code on the wire. ``mod_rev`` and ``value``, of a ``conflict``: the key's
    own now (0 and None: it does not exist); ``value_omitted``: too large to tell. ``oldest``, of
    ``compacted``: the oldest revision that can still be asked for. ``retry_after_ms``, of
    ``overloaded``: when it may be tried again.
    """

    error: str
    message: str
    mod_rev: int | None = None
    value: bytes | None = None
    value_omitted: bool = False
    oldest: int | None = None
    retry_after_ms: int | None = None


class SessionResult(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=9):
    """A session, and what it has left to live; 0: it was closed."""

    session: int
    ttl_ms: int


class Dropped(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=12):
    """What was sent again had been done; its answer was too large to keep."""


class CompactResult(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=13):
    """The oldest revision that can still be read; a watch may begin with the one behind it."""

    oldest: int


class TxnResult(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=10):
    """A transaction was done: the branch ``then`` if ``succeeded``, else the other.

    ``results`` has one for each operation of that branch; none of them is a failure.
    """

    succeeded: bool
    results: list["SingleResult"]


SingleResult: TypeAlias = (
    GetResult
    | SetResult
    | DeleteResult
    | IncrResult
    | RangeResult
    | ExpireResult
    | DeleteRangeResult
    | TxnResult
    | SessionResult
    | Dropped
    | CompactResult
    | Failure
)


class BatchResult(msgspec.Struct, frozen=True, array_like=True, gc=False, tag=7):
    """One result for each operation, in order."""

    results: list[SingleResult]


Result: TypeAlias = SingleResult | BatchResult
