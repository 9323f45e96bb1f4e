"""What is done to keys, and what servers state: the commands of versions 1 and 2.

They are part of the log's format (``commands``), so nothing about them is ever changed.
"""

import msgspec


class Set(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=1
):
    """Store ``value`` under ``key``, if the conditions hold.

    ``if_mod_rev``: the key's revision must be this; 0: it must not exist; None: no condition.
    ``if_value``: the key must exist with this value; None: no condition. Both given: both must
    hold. ``prev``: the result tells the value before.
    """

    key: bytes
    value: bytes
    if_mod_rev: int | None = None
    if_value: bytes | None = None
    prev: bool = False


class Delete(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=2
):
    """Remove ``key``, if the conditions hold; they are those of :class:`Set`."""

    key: bytes
    if_mod_rev: int | None = None
    if_value: bytes | None = None
    prev: bool = False


class Incr(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=3
):
    """Add ``by`` to the decimal integer under ``key``; a missing key counts as 0."""

    key: bytes
    by: int = 1


class Get(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=4
):
    """Read one key. In the log only inside a :class:`Batch` that also changes something."""

    key: bytes


class Range(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=5
):
    """Read keys in bytewise order. In the log only as :class:`Get` is.

    ``start`` is the first key that may be part of the range, ``end`` the first that no longer
    is; None: there is no end. ``limit`` is the most items of one page (at least 1). ``at_rev``
    asks for the moment at which ``store_rev`` was this; None: now.
    """

    start: bytes
    end: bytes | None
    limit: int
    keys_only: bool = False
    count_only: bool = False
    at_rev: int | None = None


class Invalid(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=6
):
    """Hold the place of a batch's operation that was refused before it got here.

    It changes nothing and its result is a failure with this code and message, so that results
    and operations keep the same positions wherever the batch is executed.
    """

    error: str
    message: str


class SetExpiring(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=8
):
    """Do what :class:`Set` does, and let the key expire ``ttl_ms`` after the entry's stamp.

    Since version 2. A plain :class:`Set` makes a key that stays.
    """

    key: bytes
    value: bytes
    ttl_ms: int
    if_mod_rev: int | None = None
    if_value: bytes | None = None
    prev: bool = False


class IncrExpiring(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=9
):
    """Do what :class:`Incr` does; a key that this creates expires ``ttl_ms`` later.

    Since version 2. A key that was there keeps its deadline, or has none.
    """

    key: bytes
    by: int
    ttl_ms: int


class Expire(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=10
):
    """Let ``key`` expire ``ttl_ms`` after the entry's stamp; None: never. Since version 2.

    This is no change of the key: it takes no revision.
    """

    key: bytes
    ttl_ms: int | None


class RaiseVersion(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=11
):
    """Allow entries and snapshots up to ``version`` from now on. Since version 2."""

    version: int


class CheckDigest(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=12
):
    """State that most servers had this digest after the entry at ``index``. Since version 2.

    It changes nothing; a server whose own was another one must stop.
    """

    index: int
    digest: int
