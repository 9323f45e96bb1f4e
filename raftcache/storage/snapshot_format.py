"""Snapshot files as bytes: a header, chunks, a trailer (docs/storage.md).

Pure: values in, bytes out, and back. Rules: the checks form one chain from the header to the
trailer, so that a chunk fits in its own place of its own file only; a length is believed only after
it has been compared with what a chunk can hold.
"""

import struct
from collections.abc import Iterator
from typing import Final
from zlib import crc32

import msgspec

from ..errors import CorruptRecord, WrongDirectory
from ..raft.configuration import Configuration
from ..raft.types import Index, Term

FORMAT: Final = 2
"""The version of this file. A golden file of each version stays readable (failure E15)."""
FORMATS: Final = (1, 2)
"""What is read: in format 1, a configuration had no mark, and members neither claim nor change."""

CHUNK_BYTES: Final = 64 * 1024
"""The most payload in one chunk; a longer slice is stored as several."""

SLICE_BYTES_MAX: Final = 256 * 1024 * 1024
"""More than any slice has: a file that claims a longer one is damaged."""

META_BYTES_MAX: Final = 1024 * 1024

_MAGIC: Final = b"RAFTCSNP"
_CHECKSUM_NAME: Final = b"crc32"
_END_MARK: Final = b"end\n"
_MORE: Final = 0x8000_0000
_INTEGER_MAX: Final = 2**63 - 1

_FIXED: Final = struct.Struct("<8sI8s16sI")
_CHECK: Final = struct.Struct("<I")
_LENGTH: Final = struct.Struct("<I")
_CHUNK: Final = struct.Struct("<II")
_COUNT: Final = struct.Struct("<Q")
_TRAILER: Final = struct.Struct("<IIQ4s")

FIXED_BYTES: Final = _FIXED.size
CHUNK_HEADER_BYTES: Final = _CHUNK.size
TRAILER_BYTES: Final = _TRAILER.size
HEADER_BYTES_MAX: Final = FIXED_BYTES + META_BYTES_MAX + _CHECK.size


class SnapshotMeta(msgspec.Struct, frozen=True, array_like=True):
    """What a snapshot stands for (Figure 13); one value in one checked header (failure D13)."""

    last_included_index: Index
    """The snapshot replaces all entries up to and including this one; at least 1."""
    last_included_term: Term
    """That entry's term."""
    configuration: Configuration
    """The latest one at or before that entry."""
    store_rev: int
    """The store's revision at that entry."""
    contents: int = 1
    """The version of what the slices hold; the store's affair."""


_encode_meta = msgspec.msgpack.Encoder().encode
_decode_meta = msgspec.msgpack.Decoder(SnapshotMeta).decode


class SnapshotHeader(msgspec.Struct, frozen=True):
    """The beginning of a snapshot file."""

    cluster_id: str
    """32 hexadecimal digits."""
    meta: SnapshotMeta
    length: int
    """Bytes of header; the first chunk begins there."""
    check: int
    """The header's checksum, with which the chain begins."""


def encode_snapshot_header(cluster_id: str, meta: SnapshotMeta) -> bytes:
    """Return the first bytes of a snapshot file; the last four are their checksum."""
    encoded = _encode_meta(meta)
    assert len(encoded) <= META_BYTES_MAX, "a header is bounded"
    fields = _FIXED.pack(_MAGIC, FORMAT, _CHECKSUM_NAME, bytes.fromhex(cluster_id), len(encoded))
    return fields + encoded + _CHECK.pack(crc32(fields + encoded))


def decode_snapshot_header(data: bytes, path: str) -> SnapshotHeader:
    """Decode a snapshot's header from the first bytes of a file.

    Raises:
        CorruptRecord: it is damaged, or no snapshot of ours.
        WrongDirectory: a newer version of the program wrote it.
    """
    if len(data) < FIXED_BYTES or not data.startswith(_MAGIC):
        raise bad_snapshot(path, 0, "it does not begin as a snapshot does")
    _, version, checksum, cluster_id, length = _FIXED.unpack_from(data)
    end = FIXED_BYTES + length
    if length > META_BYTES_MAX or len(data) < end + _CHECK.size:
        raise bad_snapshot(path, 0, f"its header claims {length} bytes, more than there are")
    check = crc32(data[:end])
    if _CHECK.unpack_from(data, end) != (check,):
        raise bad_snapshot(path, 0, "the checksum of its header is wrong")
    if version not in FORMATS or checksum.rstrip(b"\0") != _CHECKSUM_NAME:
        raise WrongDirectory(
            f"{path} has format {version}, and this program reads format {FORMAT}: "
            f"run the version of Raft Cache that wrote it"
        )
    try:
        meta = _decode_meta(data[FIXED_BYTES:end])
    except msgspec.DecodeError as error:
        raise bad_snapshot(path, FIXED_BYTES, f"its header can't be read ({error})") from error
    numbers = (meta.last_included_index, meta.last_included_term)
    if not all(1 <= number <= _INTEGER_MAX for number in numbers):
        raise bad_snapshot(path, FIXED_BYTES, "its position is no place in a log")
    return SnapshotHeader(cluster_id.hex(), meta, end + _CHECK.size, check)


class ChunkEncoder:
    """Turns slices into chunks, one behind the other.

    Args:
        check: the header's checksum.
    """

    def __init__(self, check: int) -> None:
        self._chain = check
        self._count = 0

    def encode(self, payload: bytes) -> Iterator[bytes]:
        """Return the pieces of file that hold a slice, which must not be empty."""
        assert 0 < len(payload) <= SLICE_BYTES_MAX, "a slice holds something and is bounded"
        last = (len(payload) - 1) // CHUNK_BYTES * CHUNK_BYTES
        for start in range(0, len(payload), CHUNK_BYTES):
            part = payload[start : start + CHUNK_BYTES]
            length = len(part) if start == last else len(part) | _MORE
            self._chain = crc32(part, crc32(_LENGTH.pack(length), self._chain))
            self._count += 1
            yield _CHUNK.pack(length, self._chain)
            yield part

    def finish(self) -> tuple[bytes, int]:
        """Return the trailer, and the check that stands for the whole file."""
        check = _trailer_check(self._count, self._chain)
        return _TRAILER.pack(0, check, self._count, _END_MARK), check


class ChunkHeader(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What precedes a chunk's payload."""

    length: int
    """Bytes of payload; 0 where the trailer begins."""
    more: bool
    """The slice goes on in the next chunk."""
    check: int
    """The chain's state behind this chunk."""


class ChunkDecoder:
    """Checks chunks in the order of the file.

    Args:
        check: the header's checksum.
    """

    def __init__(self, check: int) -> None:
        self._chain = check
        self._count = 0

    def header(self, data: bytes) -> ChunkHeader | None:
        """Decode a chunk's header; None if no chunk begins like this."""
        if len(data) < CHUNK_HEADER_BYTES:
            return None
        length, check = _CHUNK.unpack_from(data)
        header = ChunkHeader(length & ~_MORE, bool(length & _MORE), check)
        return header if header.length <= CHUNK_BYTES else None

    def accepts(self, header: ChunkHeader, payload: bytes) -> bool:
        """Tell whether a payload is the one that was written here; then go on behind it."""
        length = header.length | _MORE if header.more else header.length
        check = crc32(payload, crc32(_LENGTH.pack(length), self._chain))
        if len(payload) != header.length or check != header.check:
            return False
        self._chain = check
        self._count += 1
        return True

    def is_end(self, trailer: bytes) -> bool:
        """Tell whether these bytes are the trailer of what was read so far."""
        check = _trailer_check(self._count, self._chain)
        return trailer == _TRAILER.pack(0, check, self._count, _END_MARK)


def check_in(trailer: bytes) -> int | None:
    """Return the check that stands for the whole file; None if that is no trailer."""
    if len(trailer) != TRAILER_BYTES:
        return None
    zero, check, _, mark = _TRAILER.unpack(trailer)
    return int(check) if (zero, mark) == (0, _END_MARK) else None


def bad_snapshot(path: str, offset: int, why: str) -> CorruptRecord:
    """Return the error for a damaged snapshot: where, and why."""
    return CorruptRecord(f"{path} is damaged at byte {offset}: {why}", path=path, offset=offset)


def _trailer_check(count: int, chain: int) -> int:
    return crc32(_COUNT.pack(count), crc32(_LENGTH.pack(0), chain))
