"""Frames: what the write-ahead log consists of, as bytes (docs/storage.md).

A frame is a header, a payload, zeros up to the end of a sector, and a trailer. Rules: frames begin
and end on sectors, so that writing one never touches the bytes of another; no sector of a written
frame is all zeros, so that a sector that is can only be one that the disk never wrote.
"""

import hashlib
import struct
from enum import IntEnum
from typing import NamedTuple
from zlib import crc32

SECTOR_BYTES = 512
"""The most that storage assumes a disk to write in one piece."""

PAYLOAD_BYTES_MAX = 256 * 1024 * 1024
"""More than any frame holds: the length field has four bytes."""

HEADER_BYTES = 32
TRAILER_BYTES = 8
_TRAILER_MARK = b"end\n"

_CHECK = struct.Struct("<I")
_BODY = struct.Struct("<IIIQIBB2x")
_ZERO_SECTOR = bytes(SECTOR_BYTES)


class FrameKind(IntEnum):
    """What a frame's payload is."""

    BATCHES = 1
    """A MessagePack list of :class:`raftcache.storage.wal.Batch`."""
    SEAL = 2
    """Nothing: the log goes on in the next segment, which exists."""


class FrameHeader(NamedTuple):
    """The first bytes of a frame, in the order in which they are stored."""

    check: int
    """CRC-32 of the other header bytes; the next frame's ``chain``."""
    payload_check: int
    """CRC-32 of the payload as stored."""
    length: int
    """Bytes of payload."""
    chain: int
    """The ``check`` of the frame before: a stale or misplaced frame does not fit."""
    number: int
    """1 for a log's first frame, then rising by 1. A seal takes no number of its own."""
    segment_check: int
    """The checksum of the segment's header: a frame of another file does not fit."""
    kind: int
    """A :class:`FrameKind`."""
    masked: int
    """1 if the payload is stored masked, else 0."""


def frame_bytes(length: int) -> int:
    """Return how many bytes a frame with ``length`` bytes of payload takes on disk."""
    return -(-(HEADER_BYTES + length + TRAILER_BYTES) // SECTOR_BYTES) * SECTOR_BYTES


def encode_frame(
    payload: bytes, *, kind: FrameKind, number: int, chain: int, segment_check: int
) -> tuple[bytes, int]:
    """Return a frame's bytes and its ``check``."""
    assert len(payload) <= PAYLOAD_BYTES_MAX, "a frame is bounded"
    masked = 0
    if _ZERO_SECTOR in payload:
        payload = _mask(payload, number)
        masked = 1
    body = _BODY.pack(crc32(payload), len(payload), chain, number, segment_check, kind, masked)
    check = crc32(body)
    check_bytes = _CHECK.pack(check)
    padding = bytes(-(HEADER_BYTES + len(payload) + TRAILER_BYTES) % SECTOR_BYTES)
    frame = b"".join((check_bytes, body, payload, padding, check_bytes, _TRAILER_MARK))
    return frame, check


def decode_header(data: bytes, offset: int) -> FrameHeader | None:
    """Return the frame header at ``offset``, or None where no intact one is."""
    header = data[offset : offset + HEADER_BYTES]
    if len(header) < HEADER_BYTES:
        return None
    (check,) = _CHECK.unpack_from(header)
    if crc32(header[_CHECK.size :]) != check:
        return None
    return FrameHeader(check, *_BODY.unpack_from(header, _CHECK.size))


def decode_payload(data: bytes, offset: int, header: FrameHeader) -> bytes | None:
    """Return the payload of the frame at ``offset``, or None if its checksum is wrong."""
    start = offset + HEADER_BYTES
    payload = data[start : start + header.length]
    if crc32(payload) != header.payload_check:
        return None
    return _mask(payload, header.number) if header.masked else payload


def looks_unwritten(frame: bytes) -> bool:
    """Tell whether the disk left out a part of a frame that was on its way.

    Written whole, no sector of it is all zeros, and its last byte is the end of the trailer.
    """
    assert len(frame) % SECTOR_BYTES == 0, "frames end on sectors"
    if frame[-1] == 0:
        return True
    starts = range(0, len(frame), SECTOR_BYTES)
    return any(frame[start : start + SECTOR_BYTES] == _ZERO_SECTOR for start in starts)


def _mask(payload: bytes, number: int) -> bytes:
    """Return the payload with a stream of noise laid over it; twice gives it back.

    Users may store zeros: unmasked, a damaged frame with such a value could not be told from one
    that was never completely written.
    """
    noise = hashlib.shake_128(number.to_bytes(8, "little")).digest(len(payload))
    mixed = int.from_bytes(payload, "little") ^ int.from_bytes(noise, "little")
    return mixed.to_bytes(len(payload), "little")
