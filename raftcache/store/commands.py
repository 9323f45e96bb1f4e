"""What the log's entries hold: commands, in a versioned format.

An entry's ``data`` is MessagePack: ``[1, [command, …]]``, or since version 2, with the cluster time
at which its leader made it, ``[2, stamp_ms, [command, …]]``; likewise ``[3, …]`` where a command is
of version 3. A command is an array that begins with its number. Rules of this file:

- A number, a field or a meaning is never changed once released: what is new gets a new version.
- Entries of a new version are proposed only once an entry of that version has raised the cluster's
  (:class:`RaiseVersion`), which a leader proposes once every member has said that it can read it.
- Bytes that this program does not fully know are never guessed at. A server that skipped a
  condition it does not know would no longer be a replica, so it must stop instead.
- Values arrive checked (`raftcache.protocol.requests`): sizes are the protocol's business.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeAlias, get_args

import msgspec

from ..errors import RaftCacheError
from .digests import unpack_digests
from .extensions import (
    CloseSession,
    Compact,
    Compare,
    DeleteRange,
    Evict,
    KeepAlive,
    OpenSession,
    SetFully,
    Touch,
)
from .operations import (
    CheckDigest,
    Delete,
    Expire,
    Get,
    Incr,
    IncrExpiring,
    Invalid,
    RaiseVersion,
    Range,
    Set,
    SetExpiring,
)

__all__ = [
    "COMMAND_VERSION",
    "TTL_MS_MAX",
    "Batch",
    "CheckDigest",
    "CloseSession",
    "Command",
    "Compact",
    "Compare",
    "Delete",
    "DeleteRange",
    "Evict",
    "Expire",
    "Fenced",
    "Get",
    "Incr",
    "IncrExpiring",
    "Invalid",
    "KeepAlive",
    "Mutation",
    "Once",
    "OnceRun",
    "OpenSession",
    "Operation",
    "Query",
    "RaiseVersion",
    "Range",
    "Set",
    "SetExpiring",
    "SetFully",
    "Step",
    "Touch",
    "Txn",
    "UnknownCommands",
    "Unnumbered",
    "decode_commands",
    "decode_entry",
    "encode_commands",
    "stamp_of",
    "version_of",
]

COMMAND_VERSION: Final = 3
"""The newest version that this program reads and writes; it reads all before it too.

1: the beginning. 2: cluster time, and keys that expire by it. 3: sessions, transactions, fences,
keys that slide or are bound, eviction; and a history that tells the kind of each change.
"""

TTL_MS_MAX: Final = 100 * 365 * 24 * 60 * 60 * 1000
"""The longest time to live: a hundred years."""


class Once(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=16
):
    """Do ``op`` unless ``session`` has had ``seq`` done before; then give its answer again.

    ``ack``: all of the session's ``seq`` up to this one are settled. ``digest`` stands for ``op``.
    Since version 3.
    """

    session: int
    seq: int
    ack: int
    digest: int
    op: "Unnumbered"


class Fenced(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=17
):
    """Do ``op`` only if ``key`` exists and was made at ``create_rev``. Since version 3."""

    key: bytes
    create_rev: int
    op: "Fencible"


Single: TypeAlias = (
    Set | Delete | Incr | SetExpiring | IncrExpiring | Expire | SetFully | DeleteRange
)
"""What changes something, and holds nothing else that does."""

Step: TypeAlias = Single | Get | Range
"""What a branch of a transaction may hold."""

Operation: TypeAlias = Step | Invalid | Fenced | Once
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


class Txn(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=21
):
    """Do ``then`` if all of ``compares`` hold, else ``otherwise``: all of it, or nothing.

    What is done sees what was done before it in the same branch; all changes share one revision,
    and if one operation fails nothing is done. Since version 3.
    """

    compares: tuple[Compare, ...]
    then: tuple[Step, ...]
    otherwise: tuple[Step, ...]


class OnceRun(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=24
):
    """Do operations in order, each as :class:`Once` does, under numbers that follow each other.

    What a busy client sends: said once for all, a number costs next to nothing. ``first_seq`` is
    the number of the first operation; ``digests`` has 8 bytes for each (``digests``).
    Since version 3.
    """

    session: int
    first_seq: int
    ack: int
    digests: bytes
    ops: tuple[Single | Fenced, ...]

    def unrolled(self) -> Batch:
        """Return the batch that does the same, each operation under its own number."""
        digests = unpack_digests(self.digests)
        numbers = range(self.first_seq, self.first_seq + len(self.ops))
        return Batch(
            tuple(
                Once(self.session, seq, self.ack, digest, op)
                for seq, digest, op in zip(numbers, digests, self.ops, strict=True)
            )
        )


Fencible: TypeAlias = Single | Batch | Txn
"""What may stand behind a fence."""

Unnumbered: TypeAlias = Fencible | Fenced
"""What may be done once, under a number."""


Mutation: TypeAlias = Unnumbered | Once | OnceRun
"""What clients ask for."""

AboutSession: TypeAlias = OpenSession | KeepAlive | CloseSession

Command: TypeAlias = Mutation | AboutSession | RaiseVersion | CheckDigest | Touch | Evict | Compact
"""What the log holds."""

Query: TypeAlias = Get | Range | Batch
"""What is read outside the log. A batch here changes nothing."""

_TIMED: Final = frozenset({SetExpiring, IncrExpiring, Expire})
_OF_VERSION_3: Final = frozenset(
    {
        *get_args(AboutSession),
        *(Once, OnceRun, Fenced, SetFully, Touch, DeleteRange, Txn, Evict, Compact),
    }
)
_MUTATIONS: Final = frozenset({*get_args(Single), Fenced, Once})


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
    commands: list[
        Set
        | Delete
        | Incr
        | Batch
        | SetExpiring
        | IncrExpiring
        | Expire
        | RaiseVersion
        | CheckDigest
    ]


class _Version3(msgspec.Struct, array_like=True, gc=False, forbid_unknown_fields=True):
    version: int
    stamp_ms: Annotated[int, msgspec.Meta(ge=0)]
    commands: list[Command]


class _Stamp(msgspec.Struct, array_like=True, gc=False):
    version: int
    stamp_ms: int


_PREFIX_1: Final = b"\x92\x01"  # a MessagePack array of two that begins with the version
_PREFIX_2: Final = b"\x93\x02"
_PREFIX_3: Final = b"\x93\x03"
_encode: Final = msgspec.msgpack.Encoder().encode
_decode_1: Final = msgspec.msgpack.Decoder(_Version1).decode
_decode_2: Final = msgspec.msgpack.Decoder(_Version2).decode
_decode_3: Final = msgspec.msgpack.Decoder(_Version3).decode
_decode_stamp: Final = msgspec.msgpack.Decoder(_Stamp).decode
_UNREADABLE: Final = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


def encode_commands(commands: Sequence[Command], stamp_ms: int | None = None) -> bytes:
    """Encode commands as the ``data`` of one log entry, in the oldest version that has them all.

    ``stamp_ms`` is the cluster time, 0 or later; None: the entry is of version 1, which has none.
    An entry that only tells the time holds no commands.
    """
    if stamp_ms is not None:
        return _encode((max(2, _newest(commands)), stamp_ms, commands))
    assert commands, "an entry of version 1 holds at least one command"
    return _encode((1, commands))


def _newest(commands: Sequence[Command]) -> int:
    """Return the version that the newest of ``commands`` is of."""
    kinds = {*map(type, commands)}
    if Batch not in kinds:
        return max(map(_version_of_kind, kinds), default=1)
    return max(map(version_of, commands))


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
    stamp_ms: int | None = None
    commands: Any
    try:
        if data.startswith(_PREFIX_3):
            newest = _decode_3(data)
            return newest.stamp_ms, newest.commands
        if data.startswith(_PREFIX_2):
            stamped = _decode_2(data)
            version, stamp_ms, commands = 2, stamped.stamp_ms, stamped.commands
        elif data.startswith(_PREFIX_1):
            version, commands = 1, _decode_1(data).commands
        else:
            raise UnknownCommands(
                f"a log entry of {len(data)} bytes begins with {data[:2].hex() or 'nothing'}, not "
                f"with a command version from 1 to {COMMAND_VERSION}: run the release that wrote "
                "it, or a newer one"
            )
    except _UNREADABLE as error:
        raise UnknownCommands(
            f"a log entry of {len(data)} bytes holds a command that this release does not know "
            f"({error}): run the release that wrote it, or a newer one"
        ) from error
    # What is in a batch is of one type for all versions.
    if _newest(commands) > version:
        raise UnknownCommands(
            f"a log entry of command version {version} holds an operation of a later one: "
            "run the release that wrote it"
        )
    return stamp_ms, commands


def stamp_of(data: bytes) -> int | None:
    """Return the stamp of a log entry that holds commands; None: it has none.

    Assumes nothing of what stands behind it: that is for who applies the entry to judge.
    """
    if not data.startswith((_PREFIX_2, _PREFIX_3)):
        return None
    try:
        return _decode_stamp(data).stamp_ms
    except _UNREADABLE:
        return None


def version_of(command: Command | Operation) -> int:
    """Return the oldest version of the format that has this command."""
    kind = type(command)
    if kind is Batch:
        kinds = {*map(type, command.ops)}  # type: ignore[union-attr] # kind says it
        return max(map(_version_of_kind, kinds), default=1)
    return _VERSIONS.get(kind, 1)


def _version_of_kind(kind: type) -> int:
    return _VERSIONS.get(kind, 1)


_VERSIONS: Final[dict[type, int]] = {
    **dict.fromkeys((*_TIMED, RaiseVersion, CheckDigest), 2),
    **dict.fromkeys(_OF_VERSION_3, 3),
}
"""The version in which each command came; those of version 1 are left out."""
