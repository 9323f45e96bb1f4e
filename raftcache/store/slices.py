"""What a snapshot of the state machine consists of: slices, in a versioned format (§7).

A snapshot is a row of slices; each is a MessagePack array of its own that begins with its kind
and, but for the first, its number in the row:

    Header                     what the state was, in numbers
    Clock                      since version 2: cluster time, and the version of commands
    Part* SessionRows …        since version 3: the sessions in the order of their ids, each with
                               its answers; left out where there was no session ever
    Part* Records …            the keys in order, with their records; since version 2, where a key
                               of a slice has a deadline, TimedRecords instead; since version 3,
                               where one slides or is bound to a session, TiedRecords
    Part* Changes …            the history, oldest change first; in version 3 DatedChanges
    Digests …                  the digests after the last entries, oldest first
    End                        a checksum over all slices before it

Rules of this file:

- A kind, a field or a meaning is never changed once released: what is new (a table of sessions)
  gets a new kind of slice and a new :data:`CONTENTS_VERSION`.
- A state that holds nothing newer is written in version 1: until the cluster is raised to what all
  members know (``commands``), every member can read every snapshot.
- A snapshot of one state is the same bytes on every server, whatever is written while it is
  taken (but for where one slice ends, if thousands of new keys were passed over).
- Lists of a slice run in parallel, one for each field: that is several times faster to encode,
  and to check, than a list of records.
"""

from collections.abc import Sequence
from typing import Annotated, Final, TypeAlias

import msgspec

from ..errors import RaftCacheError
from .records import EVICT, SET, Change, Record

CONTENTS_VERSION: Final = 3
"""The newest version that this program writes and reads; it reads all before it too."""

SLICE_BYTES_MIN: Final = 256
SLICE_OVERHEAD_BYTES: Final = 48
"""The most that a slice holds besides its items."""
ITEM_OVERHEAD_BYTES: Final = 37
"""The most that an item holds besides the bytes of its key and value."""
DEADLINE_BYTES: Final = 9
"""The most that an item with a deadline holds besides that; the others of its slice hold 1."""
DIGEST_BYTES: Final = 9


class Bounds(msgspec.Struct, frozen=True):
    """The most that a slice and its items take up in one version, besides keys and values."""

    slice_bytes: int = SLICE_OVERHEAD_BYTES
    item_bytes: int = ITEM_OVERHEAD_BYTES
    change_bytes: int = ITEM_OVERHEAD_BYTES


BOUNDS: Final = {
    1: Bounds(),
    2: Bounds(),
    3: Bounds(slice_bytes=64, item_bytes=40, change_bytes=50),
}
"""By version: those of a version that is released stay, for they tell where a slice ends."""
TIES_BYTES: Final = 18
"""The most that an item takes up besides that if it slides or is bound."""

_Natural: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]


class SnapshotError(RaftCacheError):
    """A snapshot that no state can be restored from."""


class CorruptSnapshot(SnapshotError):  # noqa: N818 - named like its kin in the tree
    """The slices are damaged, incomplete, or not in order: take another snapshot.

    ``number`` is that of the slice, counted from 0.
    """

    def __init__(self, message: str, *, number: int) -> None:
        super().__init__(message)
        self.number = number


class UnknownContents(SnapshotError):  # noqa: N818 - likewise
    """The snapshot is of another version: whole, perhaps, but not for this program.

    The server must stop: nothing is wrong with the file, so it must be neither set aside nor
    replaced by an older one.
    """


class Header(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=0
):
    """The first slice: what the state was when the snapshot was begun."""

    version: int
    last_applied: _Natural
    store_rev: _Natural
    oldest_rev: _Natural
    """The oldest revision whose state can be read; the history begins behind it."""
    key_count: _Natural
    digest: _Natural


class Part(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=1
):
    """The beginning of the first value of the next slice that is no part: it was too large."""

    number: int
    data: bytes


class Records(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=2
):
    """Keys and their records; the keys go on where those of the slice before ended."""

    number: int
    keys: list[bytes]
    values: list[bytes]
    mod_revs: list[_Natural]
    create_revs: list[_Natural]
    key_versions: list[_Natural]


class TimedRecords(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=7
):
    """Records of which some have a deadline; 0: this one has none."""

    number: int
    keys: list[bytes]
    values: list[bytes]
    mod_revs: list[_Natural]
    create_revs: list[_Natural]
    key_versions: list[_Natural]
    deadlines_ms: list[_Natural]


class TiedRecords(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=8
):
    """Records of which some slide, or are bound to a session; 0: this one has none of it."""

    number: int
    keys: list[bytes]
    values: list[bytes]
    mod_revs: list[_Natural]
    create_revs: list[_Natural]
    key_versions: list[_Natural]
    deadlines_ms: list[_Natural]
    ttls_ms: list[_Natural]
    sessions: list[_Natural]


class Changes(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=3
):
    """What was under each key before the change of each revision, from the oldest kept on.

    Where nothing was, the value is empty and the numbers are 0.
    """

    number: int
    keys: list[bytes]
    values: list[bytes]
    mod_revs: list[_Natural]
    create_revs: list[_Natural]
    key_versions: list[_Natural]


class DatedChanges(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=9
):
    """What was under each key before each change, with its revision and its kind.

    Several changes may be of one revision; a slice may end between them.
    """

    number: int
    keys: list[bytes]
    values: list[bytes]
    mod_revs: list[_Natural]
    create_revs: list[_Natural]
    key_versions: list[_Natural]
    revs: list[_Natural]
    kinds: list[Annotated[int, msgspec.Meta(ge=SET, le=EVICT)]]


class Digests(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=4
):
    """The digests of the state after each of the last entries; the last is the header's."""

    number: int
    digests: list[_Natural]


class End(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=5
):
    """The last slice: ``checksum`` is the CRC-32 of all bytes before it."""

    number: int
    checksum: int


class Clock(
    msgspec.Struct, frozen=True, array_like=True, gc=False, forbid_unknown_fields=True, tag=6
):
    """Cluster time at that moment, and the version to which the cluster had been raised."""

    number: int
    time_ms: _Natural
    command_version: Annotated[int, msgspec.Meta(ge=1)]


class SessionRow(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A session, and its answers by ``seq``: some of them, if they go on in the next slice.

    Of a run, ``seqs`` has the first number, and ``digests`` 8 bytes for each.
    """

    session_id: _Natural
    ttl_ms: _Natural
    renewed_ms: _Natural
    ack: _Natural
    seqs: list[_Natural] = []
    digests: list[_Natural | bytes] = []
    answers: list[bytes] = []


class SessionRows(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=10):
    """Sessions, in the order of their ids; and, in each slice, what belongs to the whole table."""

    number: int
    last_id: _Natural
    floor_ms: _Natural
    rows: list[SessionRow]


AnyRecords: TypeAlias = Records | TimedRecords | TiedRecords
AnyChanges: TypeAlias = Changes | DatedChanges
Slice: TypeAlias = Header | Clock | SessionRows | Part | AnyRecords | AnyChanges | Digests | End


class _Version(msgspec.Struct, array_like=True, gc=False):
    kind: int
    version: int


ABSENT: Final = Record(b"", 0, 0, 0)
"""What stands in a list of records where nothing was."""

encode_slice = msgspec.msgpack.Encoder().encode
_decoder = msgspec.msgpack.Decoder(Slice)
_version_decoder = msgspec.msgpack.Decoder(_Version)
_UNREADABLE = (msgspec.DecodeError, RecursionError, UnicodeDecodeError)


def record_columns(number: int, keys: list[bytes], records: list[Record]) -> AnyRecords:
    """Return the slice that holds ``records``, one for each of ``keys``."""
    revisions = _revisions(records)
    deadlines_ms = [record.deadline_ms for record in records]
    if any(record.ttl_ms or record.session for record in records):
        ttls_ms = [record.ttl_ms for record in records]
        sessions = [record.session for record in records]
        return TiedRecords(number, keys, *revisions, deadlines_ms, ttls_ms, sessions)
    if any(deadlines_ms):
        return TimedRecords(number, keys, *revisions, deadlines_ms)
    return Records(number, keys, *revisions)


def change_columns(number: int, changes: Sequence[Change], *, dated: bool) -> AnyChanges:
    """Return the slice that holds ``changes``."""
    keys = [change.key for change in changes]
    revisions = _revisions([change.before or ABSENT for change in changes])
    if not dated:
        return Changes(number, keys, *revisions)
    revs, kinds = [change.rev for change in changes], [change.kind for change in changes]
    return DatedChanges(number, keys, *revisions, revs, kinds)


def _revisions(records: list[Record]) -> tuple[list[bytes], list[int], list[int], list[int]]:
    return (
        [record.value for record in records],
        [record.mod_rev for record in records],
        [record.create_rev for record in records],
        [record.key_version for record in records],
    )


def decode_slice(data: bytes, number: int) -> Slice:
    """Return the slice that ``data`` holds, which should be that of ``number``.

    Raises:
        UnknownContents: the first slice tells that the snapshot is of another version.
        CorruptSnapshot: the bytes are no slice, or another than the expected one.
    """
    try:
        if number == 0:
            _check_version(_version_decoder.decode(data))
        decoded: Slice = _decoder.decode(data)
    except _UNREADABLE as error:
        raise CorruptSnapshot(
            f"slice {number} of a snapshot, {len(data)} bytes, is unreadable ({error})",
            number=number,
        ) from error
    found = 0 if isinstance(decoded, Header) else decoded.number
    if found != number or isinstance(decoded, Header) != (number == 0):
        raise CorruptSnapshot(
            f"slice {number} of a snapshot was expected, but this is slice {found} "
            f"({type(decoded).__name__}): one is missing, or they are not in order",
            number=number,
        )
    return decoded


def _check_version(begin: _Version) -> None:
    if begin.kind == 0 and not 1 <= begin.version <= CONTENTS_VERSION:
        raise UnknownContents(
            f"the snapshot's contents are of version {begin.version}, and this release reads "
            f"{CONTENTS_VERSION} at most: run the release that wrote it, or a newer one"
        )
