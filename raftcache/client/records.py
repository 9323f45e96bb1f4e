"""The values that the client takes and gives back: records, pages, and the operations of a batch.

All are frozen. Keys come back as bytes, exactly as stored, and values as the client's codec makes
them: bytes, if it has none.
"""

from typing import Any, Final, Generic, Literal, TypeAlias

import msgspec

from ..errors import RequestError
from .values import Text, V


class Record(msgspec.Struct, Generic[V], frozen=True):
    """A key's value and its revisions."""

    value: V
    mod_rev: int
    """The store's revision when the key was last changed: what ``if_mod_rev`` compares with."""
    create_rev: int
    """The store's revision when the key was created; a key made anew gets a new one."""
    key_version: int
    """Changes since it was created, that one included: 1 for a new key."""
    ttl: float | None = None
    """What was left of its time to live, in seconds, when it was read; None: it stays."""
    session: int = 0
    """The session that it is bound to, and goes with; 0: none."""


class Written(msgspec.Struct, frozen=True):
    """What became of a key by writing it: its new revision, and whether it is a new key."""

    mod_rev: int
    created: bool


class Item(msgspec.Struct, Generic[V], frozen=True):
    """One key of a range."""

    key: bytes
    value: V
    """When only keys were asked for: empty bytes, whatever the codec."""
    mod_rev: int
    create_rev: int
    key_version: int


class Page(msgspec.Struct, Generic[V], frozen=True):
    """A part of a range, as it was at the revision ``at_rev``.

    ``more`` says that keys follow; the next page of the same moment is asked for with
    ``after=page.items[-1].key, at_rev=page.at_rev``.
    """

    items: tuple[Item[V], ...]
    count: int
    more: bool
    at_rev: int


class Member(msgspec.Struct, frozen=True):
    """A node as the cluster's configuration lists it."""

    id: str
    incarnation: int
    peer: str
    client: str
    role: str


class Event(msgspec.Struct, Generic[V], frozen=True):
    """A change that a watch tells of."""

    kind: Literal["set", "delete", "expire", "evict"]
    key: bytes
    value: V | None
    """The new value of a key that was set, or None."""
    rev: int
    """The revision of the change; those of one transaction share theirs."""
    prev: V | None = None
    """The value before, if it was asked for and there was one."""


class Fence(msgspec.Struct, frozen=True):
    """A condition on another key: it must still be the one that was created at this revision.

    A lock's fence keeps a holder who has lost it, and does not know yet, from writing.
    """

    key: bytes
    create_rev: int


class Get(msgspec.Struct, frozen=True):
    """Read a key; gives a :class:`Record`, or None."""

    key: Text


class Set(msgspec.Struct, frozen=True):
    """Write a key; gives its new ``mod_rev``. ``ttl``: seconds to live; None: it stays."""

    key: Text
    value: Any
    if_mod_rev: int | None = None
    if_value: Any = None
    ttl: float | None = None
    sliding: bool = False
    """Each read of the key begins its ``ttl`` anew."""
    bind: bool = False
    """The key goes with the session of the client that writes it."""
    fence: Fence | None = None


class Delete(msgspec.Struct, frozen=True):
    """Delete a key; gives True when there was one."""

    key: Text
    if_mod_rev: int | None = None
    if_value: Any = None
    fence: Fence | None = None


class Incr(msgspec.Struct, frozen=True):
    """Add to a number; gives the sum. ``ttl``: seconds to live, for a key that this creates."""

    key: Text
    by: int = 1
    ttl: float | None = None
    fence: Fence | None = None


class Expire(msgspec.Struct, frozen=True):
    """Let a key go in ``ttl`` seconds (None: let it stay); gives True when there is one."""

    key: Text
    ttl: float | None
    fence: Fence | None = None


Operation: TypeAlias = Get | Set | Delete | Incr | Expire
"""What a batch, a pipeline and a transaction consist of."""

Outcome: TypeAlias = Record[Any] | int | bool | RequestError | None
"""What :meth:`Client.batch` gives for one operation: its value, or the error, not raised."""

Cmp: TypeAlias = Literal["=", "!=", "<", ">"]


class Compare(msgspec.Struct, frozen=True):
    """One condition of a transaction: a ``field`` of a key, compared with ``to``.

    ``to`` is a value for ``value``, a whole number for ``mod_rev``, ``create_rev`` and
    ``key_version`` (0: there is no such key), and True or False for ``exists``.
    """

    key: Text
    field: Literal["value", "mod_rev", "create_rev", "key_version", "exists"]
    cmp: Cmp
    to: Any


class TxnResult(msgspec.Struct, frozen=True):
    """What a transaction did: whether its conditions held, and a result for each operation."""

    succeeded: bool
    results: tuple[Record[Any] | int | bool | None, ...]


NO_VALUE: Final = b""
"""What stands for the value where only keys were asked for."""
