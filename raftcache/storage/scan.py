"""Reading a segment back: which frames stand, and what to make of the bytes after them.

Pure: bytes in, facts or ``CorruptRecord`` out. Rules (docs/storage.md, "The torn tail"): at most
one frame was ever on its way without an fsync behind it, so only the last one may be incomplete,
and only if it looks as if the disk left parts of it out. All else is damage, and is refused.
"""

from dataclasses import dataclass, field

from ..errors import CorruptRecord
from .frame import (
    HEADER_BYTES,
    SECTOR_BYTES,
    FrameHeader,
    FrameKind,
    decode_header,
    decode_payload,
    frame_bytes,
    looks_unwritten,
)
from .segment import SegmentHeader, damaged, segment_check


@dataclass(slots=True)
class SegmentScan:
    """What one segment holds."""

    path: str
    data: bytes
    position: int
    """Where the next frame goes: behind the last good one."""
    number: int
    """The number of the next frame."""
    chain: int
    """The ``check`` of the last good frame."""
    frames: list[tuple[int, bytes]] = field(default_factory=list)
    """Offset and payload of each frame that holds batches."""
    sealed: bool = False
    """The log goes on in the next segment."""
    frame_offset: int = 0
    """Where the last good frame begins, seal included; 0 if there is none."""


def scan_segment(path: str, data: bytes, header: SegmentHeader) -> SegmentScan:
    """Read all good frames from a segment; stops at the first that is not.

    Raises:
        CorruptRecord: an intact frame does not belong where it stands.
    """
    check = segment_check(data)
    scan = SegmentScan(path, data, SECTOR_BYTES, header.first_frame, header.chain)
    while not scan.sealed:
        frame = decode_header(data, scan.position)
        if frame is None:
            break
        _check_place(scan, frame, check)
        payload = decode_payload(data, scan.position, frame)
        if payload is None:
            break
        scan.frame_offset = scan.position
        scan.position += frame_bytes(frame.length)
        if frame.kind == FrameKind.SEAL:
            scan.sealed = True
        else:
            scan.frames.append((scan.frame_offset, payload))
            scan.number += 1
            scan.chain = frame.check
    return scan


def torn_bytes(scan: SegmentScan) -> int:
    """Return how many bytes behind the last good frame are of one that was never finished.

    Assumes that this is the log's last segment. 0 means that the log ends cleanly.

    Raises:
        CorruptRecord: what is there can't be an unfinished write.
    """
    data, position = scan.data, scan.position
    if _is_zero(data, position):
        return 0
    if scan.sealed:
        raise damaged(scan.path, position, "something follows the segment's last frame")
    end = len(data.rstrip(b"\0"))
    frame = decode_header(data, position)
    if frame is not None:
        _judge_payload(scan, frame)
    elif not _is_zero(data, position, position + SECTOR_BYTES):
        # A sector is written whole, or at worst cut short: then nothing follows the cut.
        if end > position + HEADER_BYTES:
            raise damaged(scan.path, position, "the checksum of a frame's header is wrong")
    else:
        _refuse_later_frames(scan, position + SECTOR_BYTES)
    return end - position


def refuse_unsealed(scan: SegmentScan) -> CorruptRecord:
    """Return the error for a segment that others follow, and that stops before its seal."""
    why = "a frame is missing or its checksum is wrong, and later frames follow"
    return damaged(scan.path, scan.position, why)


def _check_place(scan: SegmentScan, frame: FrameHeader, check: int) -> None:
    """Refuse an intact header that was not written for this place (failures E5, E11)."""
    why = ""
    if frame.segment_check != check:
        why = "a frame of another file stands here"
    elif frame.number != scan.number or frame.chain != scan.chain:
        why = f"frame {frame.number} stands where frame {scan.number} belongs"
    elif frame.kind not in (FrameKind.BATCHES, FrameKind.SEAL):
        why = f"there is no kind of frame {frame.kind}"
    elif frame_bytes(frame.length) > len(scan.data) - scan.position:
        why = f"a frame claims {frame.length} bytes, more than there are"
    if why:
        raise damaged(scan.path, scan.position, why)


def _judge_payload(scan: SegmentScan, frame: FrameHeader) -> None:
    """Let pass a last frame with parts unwritten; refuse one that was written and then changed."""
    end = scan.position + frame_bytes(frame.length)
    if not _is_zero(scan.data, end):
        raise damaged(scan.path, scan.position, "a frame's checksum is wrong and others follow it")
    if not looks_unwritten(scan.data[scan.position : end]):
        raise damaged(scan.path, scan.position, "the checksum of the last frame is wrong")


def _refuse_later_frames(scan: SegmentScan, start: int) -> None:
    """Refuse a gap with an intact later frame behind it: that one was begun after a sync."""
    check = segment_check(scan.data)
    for offset in range(start, len(scan.data), SECTOR_BYTES):
        frame = decode_header(scan.data, offset)
        if frame is not None and frame.segment_check == check and frame.number > scan.number:
            why = f"frame {scan.number} is missing, and frame {frame.number} stands later"
            raise damaged(scan.path, scan.position, why)


def _is_zero(data: bytes, start: int, end: int | None = None) -> bool:
    part = memoryview(data)[start:end]
    return part == bytes(len(part))
