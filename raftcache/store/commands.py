"""What the log's entries hold: commands, in a versioned format.

An entry's ``data`` is MessagePack: ``[1, [command, …]]``, or since version 2, with the cluster time
at which its leader made it, ``[2, stamp_ms, [command, …]]``. A command is an array that begins with
its number. Rules of this file:

- A number, a field or a meaning is never changed once released: what is new gets a new version.
- Entries of a new version are proposed only once an entry of that version has raised the cluster's
  (:class:`RaiseVersion`), which a leader proposes once every member has said that it can read it.
- Bytes that this program does not fully know are never guessed at. A server that skipped a
  condition it does not know would no longer be a replica, so it must stop instead.
- Values arrive checked (`raftcache.protocol.requests`): sizes are the protocol's business.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeAlias

import msgspec

from ..errors import RaftCacheError

COMMAND_VERSION: Final = 2
"""The newest version that this program reads and writes; it reads all before it too.

1: the beginning. 2: cluster time, and keys that expire by it.
"""

TTL_MS_MAX: Final = 100 * 365 * 24 * 60 * 60 * 1000
"""The longest time to live: a hundred years."""


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


Operation: TypeAlias = (
    Set | Delete | Incr | Get | Range | Invalid | SetExpiring | IncrExpiring | Expire
)
"""What a batch may hold."""


class Batch(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=7
):
    """Do operations in order, each on its own: one that fails stops nothing.

    They are executed together: a read among them sees the writes before it and no others in
    between.
    """

    ops: tuple[Operation, ...]

    def changes(self) -> bool:
        """Tell whether an operation here may change the state, so that it needs the log."""
        return any(type(op) in _MUTATIONS for op in self.ops)


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


Mutation: TypeAlias = Set | Delete | Incr | Batch | SetExpiring | IncrExpiring | Expire
"""What clients ask for."""

Command: TypeAlias = Mutation | RaiseVersion | CheckDigest
"""What the log holds."""

Query: TypeAlias = Get | Range | Batch
"""What is read outside the log. A batch here changes nothing."""

_TIMED: Final = frozenset({SetExpiring, IncrExpiring, Expire})
_MUTATIONS: Final = frozenset({Set, Delete, Incr}) | _TIMED


class UnknownCommands(RaftCacheError):  # noqa: N818 - named for what is met, like the tree
    """An entry holds what this program does not know: newer than it, or damaged.

    The server must stop: to skip or to guess would make its state differ from the others'.
    """


class _Version1(msgspec.Struct, array_like=True, gc=False, forbid_unknown_fields=True):
    version: int
    commands: list[Set | Delete | Incr | Batch]


class _Version2(msgspec.Struct, array_like=True, gc=False, forbid_unknown_fields=True):
    version: int
    stamp_ms: Annotated[int, msgspec.Meta(ge=0)]
    commands: list[Command]


class _Stamp(msgspec.Struct, array_like=True, gc=False):
    version: int
    stamp_ms: int


_PREFIX_1: Final = b"\x92\x01"  # a MessagePack array of two that begins with the version
_PREFIX_2: Final = b"\x93\x02"
_encode: Final = msgspec.msgpack.Encoder().encode
_decode_1: Final = msgspec.msgpack.Decoder(_Version1).decode
_decode_2: Final = msgspec.msgpack.Decoder(_Version2).decode
_decode_stamp: Final = msgspec.msgpack.Decoder(_Stamp).decode
_UNREADABLE: Final = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


def encode_commands(commands: Sequence[Command], stamp_ms: int | None = None) -> bytes:
    """Encode commands as the ``data`` of one log entry.

    ``stamp_ms`` is the cluster time, 0 or later; None: the entry is of version 1, which has none.
    An entry that only tells the time holds no commands.
    """
    if stamp_ms is not None:
        return _encode((2, stamp_ms, commands))
    assert commands, "an entry of version 1 holds at least one command"
    return _encode((1, commands))


def decode_commands(data: bytes) -> list[Command]:
    """Decode the commands of a log entry's ``data``, without its stamp.

    Raises:
        UnknownCommands: as :func:`decode_entry` does.
    """
    return decode_entry(data)[1]


def decode_entry(data: bytes) -> tuple[int | None, list[Command]]:
    """Decode the ``data`` of a log entry: its stamp (None: it is of version 1) and commands.

    Raises:
        UnknownCommands: the bytes are of another version, or no commands at all.
    """
    try:
        if data.startswith(_PREFIX_2):
            stamped = _decode_2(data)
            return stamped.stamp_ms, stamped.commands
        if data.startswith(_PREFIX_1):
            commands: list[Any] = _decode_1(data).commands
            if Batch in map(type, commands) and any(version_of(one) != 1 for one in commands):
                raise UnknownCommands(
                    "a log entry of command version 1 holds an operation of a later one: "
                    "run the release that wrote it"
                )
            return None, commands
    except _UNREADABLE as error:
        raise UnknownCommands(
            f"a log entry of {len(data)} bytes holds a command that this release does not know "
            f"({error}): run the release that wrote it, or a newer one"
        ) from error
    raise UnknownCommands(
        f"a log entry of {len(data)} bytes begins with {data[:2].hex() or 'nothing'}, not with "
        f"a command version from 1 to {COMMAND_VERSION}: run the release that wrote it, or a "
        "newer one"
    )


def stamp_of(data: bytes) -> int | None:
    """Return the stamp of a log entry that holds commands; None: it has none.

    Assumes nothing of what stands behind it: that is for who applies the entry to judge.
    """
    if not data.startswith(_PREFIX_2):
        return None
    try:
        return _decode_stamp(data).stamp_ms
    except _UNREADABLE:
        return None


def version_of(command: Command | Operation) -> int:
    """Return the oldest version of the format that has this command."""
    kind = type(command)
    if kind is Batch:
        return max((version_of(op) for op in command.ops), default=1)  # type: ignore[union-attr] # kind says it
    return 2 if kind in _NEWER else 1


_NEWER: Final = _TIMED | {RaiseVersion, CheckDigest}
