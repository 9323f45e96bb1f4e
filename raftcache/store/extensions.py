"""What is done to keys since command version 3, and to sessions: one command each.

They are part of the log's format (``commands``), so nothing about them is ever changed once
released. What holds other operations (``Fenced``, ``Txn``) stands in ``commands``.
"""

from typing import Literal, TypeAlias

import msgspec

CompareField: TypeAlias = Literal["value", "mod_rev", "create_rev", "key_version", "exists"]
CompareSign: TypeAlias = Literal["=", "!=", "<", ">"]


class SetFully(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=18
):
    """Do what ``Set`` does, and tie the key: to a time that reads extend, to a session, or both.

    ``ttl_ms``: the key expires so long after the entry's stamp (None: it stays), and, if
    ``sliding``, so long after the last read. ``session``: it goes with this one (None: with none).
    """

    key: bytes
    value: bytes
    ttl_ms: int | None
    sliding: bool
    session: int | None
    if_mod_rev: int | None = None
    if_value: bytes | None = None
    prev: bool = False


class Touch(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=19
):
    """Let a key that slides expire its whole time after the entry's stamp: it was read.

    It does nothing if the key is not at ``mod_rev`` any more, and takes no revision.
    """

    key: bytes
    mod_rev: int


class DeleteRange(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=20
):
    """Remove all keys from ``start`` up to, and without, ``end``, at one revision.

    ``end`` None: there is no end.
    """

    start: bytes
    end: bytes | None


class Evict(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=22
):
    """Remove ``key`` to make room, unless it is not at ``mod_rev`` any more, or bound since."""

    key: bytes
    mod_rev: int


class Compact(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=23
):
    """Forget the past up to revision ``to``, which can still be read; None: all of it.

    What is forgotten already stays so. It takes no revision.
    """

    to: int | None = None


class OpenSession(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=13
):
    """Begin a session that lives ``ttl_ms`` from its last keepalive."""

    ttl_ms: int


class KeepAlive(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=14
):
    """Let a session live for its time to live from now on."""

    session: int


class CloseSession(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=15
):
    """End a session, and remove the keys that are bound to it."""

    session: int


class Compare(msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True):
    """A condition of a transaction: what ``field`` of ``key`` is stands in ``sign`` to ``to``.

    Of a missing key, the numbers are 0, and it has no value: what is said of one does not hold.
    ``to`` is of the type of the field: bytes, an integer, or of ``exists`` a boolean.
    """

    key: bytes
    field: CompareField
    sign: CompareSign
    to: bytes | int | bool
