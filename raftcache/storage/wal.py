"""The write-ahead log: what Raft must not forget, appended frame by frame (Figure 2, thesis §3.8).

Rules: at most one frame is written and not yet synced. After the first error nothing is written
any more: what the disk holds is then unknown, and a second fsync that succeeds proves nothing
(failure E6). Nothing here waits for anything but the disk; one thread at a time may use it.
"""

import contextlib
import errno
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from ..errors import DiskFailed
from ..raft.types import Index
from .files import Files, join
from .frame import SECTOR_BYTES, FrameKind, encode_frame, frame_bytes
from .outline import Batch, LogOutline, SegmentOutline
from .segment import (
    FORMAT,
    FORMAT_POSITIONED,
    NextSegment,
    SegmentHeader,
    encode_segment_header,
    segment_check,
    segment_name,
)

__all__ = ["Batch", "Wal", "WalPosition", "decode_batches", "encode_batches"]

SEGMENTS_MAX: Final = 1_000_000
"""More segments than any log has."""

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE)
"""Reasons to have no next segment that say nothing against the present one."""

encode_batches = msgspec.msgpack.Encoder().encode
decode_batches = msgspec.msgpack.Decoder(list[Batch]).decode


@dataclass(slots=True)
class WalPosition:
    """Where the log ends, as recovery found it."""

    header: SegmentHeader
    """Of the segment that is written to."""
    handle: int
    position: int
    """Offset in that segment at which the next frame goes."""
    number: int
    """The next frame's number."""
    chain: int
    """The last frame's ``check``."""
    outline: LogOutline
    """What the log holds; its last segment is this one."""


class Wal:
    """A node's log, open for appending. Made by ``open_directory``.

    Args:
        files: the file system.
        directory: the node's directory.
        at: where the log ends.
        segment_bytes: the size of new segments; a larger frame gets a larger one.
        synced: False for durability ``os``, which leaves it to the kernel when to write.
        release: called last by :meth:`close`, with its ``clean``; frees the directory.
    """

    def __init__(
        self,
        files: Files,
        directory: str,
        at: WalPosition,
        *,
        segment_bytes: int,
        synced: bool,
        release: Callable[[bool], None],
    ) -> None:
        self._files = files
        self._directory = directory
        self._at = at
        self._segment_check = segment_check(encode_segment_header(at.header))
        self._segment_bytes = segment_bytes
        self._synced = synced
        self._release = release
        self._waits_for_sync = False
        self._failure: DiskFailed | None = None
        self._closed = False
        self._next: NextSegment | None = None
        self.has_room = True
        self.prepare()

    @property
    def last_index(self) -> Index:
        """The last entry that was written, durable or not."""
        return self._at.outline.last[0]

    @property
    def size_bytes(self) -> int:
        """How much of the disk the log has filled so far, in bytes."""
        closed = self._at.outline.segments[:-1]
        return sum(segment.used_bytes for segment in closed) + self._at.position

    def write(self, batches: list[Batch]) -> None:
        """Append one frame with all of ``batches``; durable after :meth:`sync`.

        Assumes that the frame before it has been synced.

        Raises:
            DiskFailed: the file system refused; nothing more will be written.
        """
        self._check_usable()
        assert batches, "a frame holds something"
        assert not self._waits_for_sync, "at most one frame waits for a sync"
        outline = self._at.outline
        objection = outline.objection(batches)
        assert not objection, f"the log has no gaps, and terms never fall: {objection}"
        payload = encode_batches(batches)
        try:
            fits = self._fits(payload)
            if not fits or self._at.position == SECTOR_BYTES:
                # A segment begins with the term and vote, so that those before it can go.
                payload = encode_batches([Batch(outline.hard_state, []), *batches])
            if not fits or not self._fits(payload):
                self._roll(payload)
            self._append(FrameKind.BATCHES, payload)
        except OSError as error:
            raise self._failed("write to", error) from error
        for batch in batches:
            outline.take(batch)
        self._at.number += 1
        self._waits_for_sync = True

    def sync(self) -> None:
        """Return once all that was written is durable; at once under durability ``os``.

        Raises:
            DiskFailed: nobody knows what the disk holds; nothing more will be written.
        """
        self._check_usable()
        if self._synced and self._waits_for_sync:
            self._sync("sync")
        self._waits_for_sync = False

    def prepare(self) -> None:
        """Go on making the next segment, in step with how full this one is.

        Call it after a sync, when nobody waits. Sets ``has_room``: False means that the disk has
        no space for another segment, or the process no file descriptor for it; what is left of
        this one is for votes and no-ops.

        Raises:
            DiskFailed: for any other reason.
        """
        self._check_usable()
        try:
            if self._next is None:
                self._next = NextSegment(self._files, self._directory, self._segment_bytes)
            self._next.fill(2 * self._at.position)
            self.has_room = True
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise self._failed("prepare the next segment after", error) from error
            self.has_room = False
            try:
                self._discard_next()
            except OSError as left:
                raise self._failed("remove what was begun behind", left) from left

    def release(self, index: Index, *, segments_max: int = SEGMENTS_MAX) -> bool:
        """Free whole segments, oldest first, whose entries are all at or before ``index``.

        Assumes that snapshots stand for these entries, that a damaged one would not change that,
        and that all that was written has been synced.

        Returns:
            Whether there is more to free, because ``segments_max`` was reached.

        Raises:
            DiskFailed: the file system refused; nothing more will be written.
        """
        self._check_usable()
        assert not self._waits_for_sync, "nothing is freed before what follows it is durable"
        freed = 0
        try:
            while self._may_free_oldest(index):
                if freed == segments_max:
                    return True
                segments = self._at.outline.segments
                self._files.remove(join(self._directory, segment_name(segments[0].segment)))
                # One by one: a power cut between two must never leave a gap.
                self._files.sync_directory(self._directory)
                del segments[0]
                freed += 1
        except OSError as error:
            raise self._failed("free segments before", error) from error
        return False

    def close(self, *, clean: bool) -> None:
        """Free the directory. ``clean``: first make sure that everything is durable.

        Raises:
            DiskFailed: it could not be made durable; the directory is free all the same.
        """
        if self._closed:
            return
        self._closed = True
        try:
            if clean and self._failure is None:
                self._sync("sync")
        finally:
            # After a failure the handles may be in any state; the directory is freed regardless.
            with contextlib.suppress(OSError):
                self._discard_next()
                self._files.close(self._at.handle)
            self._release(clean and self._failure is None)

    def _fits(self, payload: bytes) -> bool:
        if self._at.header.format != FORMAT:
            return False  # nothing of this version goes into a segment of an older one
        # One sector stays free for the seal.
        end = self._at.position + frame_bytes(len(payload)) + SECTOR_BYTES
        return end <= self._at.header.size

    def _append(self, kind: FrameKind, payload: bytes) -> None:
        at = self._at
        frame, check = encode_frame(
            payload,
            kind=kind,
            number=at.number,
            chain=at.chain,
            segment_check=self._segment_check,
        )
        self._files.write(at.handle, frame, at.position)
        at.position += len(frame)
        if kind is not FrameKind.SEAL:
            at.chain = check

    def _roll(self, payload: bytes) -> None:
        """Begin a new segment with room for ``payload``.

        The order matters at every crash (failure E8): the old segment is durable before the new
        one exists, the new one exists before the old one is sealed, and the seal is durable before
        the new one holds a frame. So a lost last segment is noticed, and a lost roll is undone.
        """
        at = self._at
        self._files.sync(at.handle)
        size = max(self._segment_bytes, frame_bytes(len(payload)) + 2 * SECTOR_BYTES)
        if self._next is not None and self._next.size < size:
            self._discard_next()
        if self._next is None:
            self._next = NextSegment(self._files, self._directory, size)
        header = msgspec.structs.replace(
            at.header,
            segment=at.header.segment + 1,
            first_frame=at.number,
            chain=at.chain,
            size=self._next.size,
            last_index=at.outline.last[0],
            last_term=at.outline.last[1],
            format=FORMAT,
        )
        handle = self._next.publish(header)
        self._next = None
        self._append(FrameKind.SEAL, b"")
        self._files.sync(at.handle)
        self._files.close(at.handle)
        at.outline.segments[-1].used_bytes = at.position
        at.outline.segments.append(SegmentOutline(header.segment, header.format))
        at.header, at.handle, at.position = header, handle, SECTOR_BYTES
        self._segment_check = segment_check(encode_segment_header(header))

    def _may_free_oldest(self, index: Index) -> bool:
        segments = self._at.outline.segments
        # What remains must say by itself where the log begins, and what term and vote are.
        # Segments of an older format can't, so they go all or none; and a segment that was begun
        # holds no frame yet.
        first = 1
        while first < len(segments) and segments[first].format < FORMAT_POSITIONED:
            first += 1
        if first >= len(segments) or self._at.position == SECTOR_BYTES:
            return False
        return all(segment.last_index <= index for segment in segments[:first])

    def _sync(self, verb: str) -> None:
        try:
            self._files.sync(self._at.handle)
        except OSError as error:
            raise self._failed(verb, error) from error

    def _discard_next(self) -> None:
        if self._next is not None:
            unfinished, self._next = self._next, None
            unfinished.discard()

    def _check_usable(self) -> None:
        assert not self._closed, "a closed log is not used"
        if self._failure is not None:
            raise self._failure

    def _failed(self, verb: str, error: OSError) -> DiskFailed:
        path = join(self._directory, segment_name(self._at.header.segment))
        reason = error.strerror or str(error)
        self._failure = DiskFailed(
            f"could not {verb} {path}: {reason}. What the disk holds is unknown now, so this node "
            f"stops; look at the disk (space, kernel log), then start it again"
        )
        return self._failure
