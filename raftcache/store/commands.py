"""What the log's entries hold: commands, in a versioned format.

An entry's ``data`` is MessagePack ``[version, [command, …]]``; a command is an array that begins
with its number. Rules of this file:

- A number, a field or a meaning is never changed once released: what is new gets a new version.
- Bytes that this program does not fully know are never guessed at. A server that skipped a
  condition it does not know would no longer be a replica, so it must stop instead.
- Values arrive checked (`raftcache.protocol.requests`): sizes are the protocol's business.
"""

from typing import Final, TypeAlias

import msgspec

from ..errors import RaftCacheError

COMMAND_VERSION: Final = 1
"""The version that this program writes, and the only one that it reads."""


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


Operation: TypeAlias = Set | Delete | Incr | Get | Range | Invalid
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


Command: TypeAlias = Set | Delete | Incr | Batch
"""What the log holds."""

Query: TypeAlias = Get | Range | Batch
"""What is read outside the log. A batch here changes nothing."""

_MUTATIONS: Final = frozenset({Set, Delete, Incr})


class UnknownCommands(RaftCacheError):  # noqa: N818 - named for what is met, like the tree
    """An entry holds what this program does not know: newer than it, or damaged.

    The server must stop: to skip or to guess would make its state differ from the others'.
    """


class _Commands(msgspec.Struct, array_like=True, gc=False, forbid_unknown_fields=True):
    version: int
    commands: list[Command]


_PREFIX: Final = b"\x92\x01"  # a MessagePack array of two that begins with COMMAND_VERSION
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Commands)


def encode_commands(commands: list[Command]) -> bytes:
    """Encode commands as the ``data`` of one log entry."""
    assert commands, "an entry of commands holds at least one"
    return _encoder.encode(_Commands(COMMAND_VERSION, commands))


def decode_commands(data: bytes) -> list[Command]:
    """Decode the ``data`` of a log entry.

    Raises:
        UnknownCommands: the bytes are of another version, or no commands at all.
    """
    if not data.startswith(_PREFIX):
        raise UnknownCommands(
            f"a log entry of {len(data)} bytes begins with {data[:2].hex() or 'nothing'}, not with "
            f"command version {COMMAND_VERSION}: run the release that wrote it, or a newer one"
        )
    try:
        return _decoder.decode(data).commands
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise UnknownCommands(
            f"a log entry of {len(data)} bytes holds a command that this release does not know "
            f"({error}): run the release that wrote it, or a newer one"
        ) from error
