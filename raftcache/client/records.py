"""The values that the client takes and gives back: records, pages, and the operations of a batch.

All are frozen. Keys and values come back as bytes, exactly as stored; where one is taken, a str
stands for its UTF-8.
"""

from typing import TypeAlias

import msgspec

from ..errors import RequestError

Text: TypeAlias = str | bytes
"""A key or a value as callers may write it."""


class Record(msgspec.Struct, frozen=True):
    """A key's value and its revisions."""

    value: bytes
    mod_rev: int
    """The store's revision when the key was last changed: what ``if_mod_rev`` compares with."""
    create_rev: int
    """The store's revision when the key was created; a key made anew gets a new one."""
    key_version: int
    """Changes since it was created, that one included: 1 for a new key."""
    ttl: float | None = None
    """What was left of its time to live, in seconds, when it was read; None: it stays."""


class Written(msgspec.Struct, frozen=True):
    """What became of a key by writing it: its new revision, and whether it is a new key."""

    mod_rev: int
    created: bool


class Item(msgspec.Struct, frozen=True):
    """One key of a range. ``value`` is empty when only keys were asked for."""

    key: bytes
    value: bytes
    mod_rev: int
    create_rev: int
    key_version: int


class Page(msgspec.Struct, frozen=True):
    """A part of a range, as it was at the revision ``at_rev``.

    ``more`` says that keys follow; the next page of the same moment is asked for with
    ``after=page.items[-1].key, at_rev=page.at_rev``.
    """

    items: tuple[Item, ...]
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


class Get(msgspec.Struct, frozen=True):
    """Read a key; gives a :class:`Record`, or None."""

    key: Text


class Set(msgspec.Struct, frozen=True):
    """Write a key; gives its new ``mod_rev``. ``ttl``: seconds to live; None: it stays."""

    key: Text
    value: Text
    if_mod_rev: int | None = None
    if_value: Text | None = None
    ttl: float | None = None


class Delete(msgspec.Struct, frozen=True):
    """Delete a key; gives True when there was one."""

    key: Text
    if_mod_rev: int | None = None
    if_value: Text | None = None


class Incr(msgspec.Struct, frozen=True):
    """Add to a number; gives the sum. ``ttl``: seconds to live, for a key that this creates."""

    key: Text
    by: int = 1
    ttl: float | None = None


class Expire(msgspec.Struct, frozen=True):
    """Let a key go in ``ttl`` seconds (None: let it stay); gives True when there is one."""

    key: Text
    ttl: float | None


Operation: TypeAlias = Get | Set | Delete | Incr | Expire
"""What :meth:`Client.batch` takes."""

Outcome: TypeAlias = Record | int | bool | RequestError | None
"""What :meth:`Client.batch` gives for one operation: its value, or the error, not raised."""
