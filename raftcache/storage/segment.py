"""Segments: the files of the write-ahead log, their names and their first sector.

A segment is a file of fixed size, filled with zeros before it gets its name, whose first sector
says whose log it belongs to and where in it. Overwriting zeros that are on disk already makes an
fsync cheaper than growing a file does, and a full disk shows before it hurts.
"""

import re
import struct
from typing import Final
from zlib import crc32

import msgspec

from ..errors import CorruptRecord, WrongDirectory
from ..raft.types import Index, Term
from .files import Files, join
from .frame import SECTOR_BYTES

FORMAT: Final = 2
"""The version of what segments hold. A golden file of each version stays readable (failure E15).

2: the header has the log's position, so that segments before it can go; a batch may have a base.
"""

FORMAT_POSITIONED: Final = 2
"""From this version on, a segment can be the first one there is."""

SEGMENT_BYTES_MIN: Final = 8 * SECTOR_BYTES
NODE_ID_BYTES_MAX: Final = 64
NEXT_NAME: Final = "wal-next.tmp"

_MAGIC: Final = b"RAFTCWAL"
_CHECKSUM_NAME: Final = b"crc32"
_FORMATS: Final = (1, FORMAT)
_FIELDS: Final = struct.Struct("<8sI8s16s64sQQQIQQQ")
_NAME: Final = re.compile(r"wal-(\d{8,})\.seg")
_SLICE_BYTES: Final = 256 * 1024
_ZEROS: Final = bytes(_SLICE_BYTES)


class SegmentHeader(msgspec.Struct, frozen=True, kw_only=True):
    """The first sector of a segment."""

    cluster_id: str
    """Whose log this is: 32 hexadecimal digits."""
    node_id: str
    incarnation: int
    segment: int
    """1 for a log's first segment, then rising by 1; the file is named after it."""
    first_frame: int
    """The number of the first frame in this segment."""
    chain: int
    """The ``check`` of the last frame before this segment; 0 before the first."""
    size: int
    """The file's length in bytes, fixed when it was made."""
    last_index: Index = 0
    """The index of the log's last entry before this segment; 0 in format 1."""
    last_term: Term = 0
    """That entry's term."""
    format: int = FORMAT
    """The version of what this segment holds."""


def segment_name(segment: int) -> str:
    """Return the file name of a segment."""
    return f"wal-{segment:08d}.seg"


def segment_number(name: str) -> int | None:
    """Return the segment that a file name stands for, or None for another file."""
    match = _NAME.fullmatch(name)
    return int(match[1]) if match and segment_name(int(match[1])) == name else None


def encode_segment_header(header: SegmentHeader) -> bytes:
    """Return the sector with which a segment begins; its last four bytes are its checksum."""
    fields = _FIELDS.pack(
        _MAGIC,
        header.format,
        _CHECKSUM_NAME,
        bytes.fromhex(header.cluster_id),
        header.node_id.encode(),
        header.incarnation,
        header.segment,
        header.first_frame,
        header.chain,
        header.size,
        header.last_index,
        header.last_term,
    )
    sector = fields.ljust(SECTOR_BYTES - 4, b"\0")
    return sector + crc32(sector).to_bytes(4, "little")


def segment_check(sector: bytes) -> int:
    """Return the checksum that an encoded segment header ends with."""
    return int.from_bytes(sector[SECTOR_BYTES - 4 : SECTOR_BYTES], "little")


def decode_segment_header(sector: bytes, path: str) -> SegmentHeader:
    """Decode a segment's first sector.

    Raises:
        CorruptRecord: it is damaged, or no segment of ours.
        WrongDirectory: a newer version of the program wrote it.
    """
    if sector[: len(_MAGIC)] != _MAGIC or len(sector) < SECTOR_BYTES:
        raise damaged(path, 0, "it does not begin as a segment of the log does")
    if crc32(sector[: SECTOR_BYTES - 4]) != segment_check(sector):
        raise damaged(path, 0, "the checksum of the segment's header is wrong")
    _, version, checksum, cluster_id, node_id, *numbers = _FIELDS.unpack_from(sector)
    if version not in _FORMATS or checksum.rstrip(b"\0") != _CHECKSUM_NAME:
        raise WrongDirectory(
            f"{path} has format {version}, and this program reads format {FORMAT}: "
            f"run the version of Raft Cache that wrote it"
        )
    incarnation, segment, first_frame, chain, size, last_index, last_term = numbers
    return SegmentHeader(
        cluster_id=cluster_id.hex(),
        node_id=node_id.rstrip(b"\0").decode(errors="replace"),
        incarnation=incarnation,
        segment=segment,
        first_frame=first_frame,
        chain=chain,
        size=size,
        last_index=last_index,
        last_term=last_term,
        format=version,
    )


def _owner(path: str) -> str:
    """Return the node whose directory a file is in: it is called as the node is."""
    return path.rpartition("/")[0].rpartition("/")[2] or "NODE"


def damaged(path: str, offset: int, why: str) -> CorruptRecord:
    """Return the error for a damaged file: where, why, and what to do."""
    return CorruptRecord(
        f"{path} is damaged at byte {offset}: {why}. This node does not start, because with a "
        f"part of its log missing it could undo acknowledged writes; the other nodes go on "
        f"without it. `bin/cluster replace {_owner(path)}` sets its directory aside and gives it a "
        f"new life with what the others know",
        path=path,
        offset=offset,
    )


class NextSegment:
    """The segment to come, made ahead of need: reserved at once, then filled slice by slice.

    It has a temporary name until :meth:`publish`, so that a crash leaves nothing half-made.
    """

    def __init__(self, files: Files, directory: str, size: int) -> None:
        assert size % SECTOR_BYTES == 0, "segments consist of sectors"
        self._files = files
        self._directory = directory
        self._path = join(directory, NEXT_NAME)
        self._filled = 0
        self.size = size
        self._handle = files.create(self._path)
        try:
            files.allocate(self._handle, size)
        except OSError:
            self.discard()
            raise

    def fill(self, target: int) -> None:
        """Write zeros until at least ``target`` bytes, or all of them, are on disk."""
        while self._filled < min(target, self.size):
            count = min(_SLICE_BYTES, self.size - self._filled)
            zeros = _ZEROS if count == _SLICE_BYTES else _ZEROS[:count]
            self._files.write(self._handle, zeros, self._filled)
            # Slice by slice: one sync for all of it would hold up votes behind it.
            self._files.sync(self._handle)
            self._filled += count

    def publish(self, header: SegmentHeader, first_frame: bytes = b"") -> int:
        """Finish the segment, give it its name, and return its handle."""
        assert header.size == self.size, "a header states the size of its own file"
        self.fill(self.size)
        self._files.write(self._handle, encode_segment_header(header) + first_frame, 0)
        self._files.sync(self._handle)
        self._files.rename(self._path, join(self._directory, segment_name(header.segment)))
        self._files.sync_directory(self._directory)
        return self._handle

    def discard(self) -> None:
        """Give up on the segment and free its space."""
        self._files.close(self._handle)
        self._files.remove(self._path)
