"""The write-ahead log: what Raft must not forget, appended frame by frame (Figure 2, thesis §3.8).

Rules: at most one frame is written and not yet synced. After the first error nothing is written
any more: what the disk holds is then unknown, and a second fsync that succeeds proves nothing
(failure E6). Nothing here waits for anything but the disk; one thread at a time may use it.
"""

import contextlib
import errno
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from ..errors import DiskFailed
from ..raft.types import Entry, HardState
from .files import Files, join
from .frame import SECTOR_BYTES, FrameKind, encode_frame, frame_bytes
from .segment import (
    NextSegment,
    SegmentHeader,
    encode_segment_header,
    segment_check,
    segment_name,
)

_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)


class Batch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one ``Ready`` wants on disk; all of it or nothing of it survives a crash."""

    hard_state: HardState | None
    """The new term and vote, or None if they have not changed."""
    entries: list[Entry]
    """Contiguous. They replace whatever the log held from ``entries[0].index`` on."""


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
    hard_state: HardState
    last_index: int
    closed_bytes: int
    """Size of all segments before this one."""


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
    def size_bytes(self) -> int:
        """How much of the disk the log has filled so far, in bytes."""
        return self._at.closed_bytes + self._at.position

    def write(self, batches: list[Batch]) -> None:
        """Append one frame with all of ``batches``; durable after :meth:`sync`.

        Assumes that the frame before it has been synced.

        Raises:
            DiskFailed: the file system refused; nothing more will be written.
        """
        self._check_usable()
        assert batches, "a frame holds something"
        assert not self._waits_for_sync, "at most one frame waits for a sync"
        self._take_note(batches)
        payload = encode_batches(batches)
        try:
            if not self._fits(payload):
                # A new segment begins with the term and vote, so that older ones can go some day.
                payload = encode_batches([Batch(self._at.hard_state, []), *batches])
                self._roll(payload)
            self._append(FrameKind.BATCHES, payload)
        except OSError as error:
            raise self._failed("write to", error) from error
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
        no space for another segment, and what is left of this one is for votes and no-ops.

        Raises:
            DiskFailed: for any other reason than a full disk.
        """
        self._check_usable()
        try:
            if self._next is None:
                self._next = NextSegment(self._files, self._directory, self._segment_bytes)
            self._next.fill(2 * self._at.position)
            self.has_room = True
        except OSError as error:
            if error.errno not in _NO_SPACE:
                raise self._failed("prepare the next segment after", error) from error
            self.has_room = False
            self._discard_next()

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

    def _take_note(self, batches: list[Batch]) -> None:
        for batch in batches:
            if batch.hard_state is not None:
                self._at.hard_state = batch.hard_state
            if batch.entries:
                first, last = batch.entries[0].index, batch.entries[-1].index
                assert 1 <= first <= self._at.last_index + 1, "the log has no gaps"
                assert last - first + 1 == len(batch.entries), "entries are contiguous"
                self._at.last_index = last

    def _fits(self, payload: bytes) -> bool:
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
        )
        handle = self._next.publish(header)
        self._next = None
        self._append(FrameKind.SEAL, b"")
        self._files.sync(at.handle)
        self._files.close(at.handle)
        at.closed_bytes += at.position
        at.header, at.handle, at.position = header, handle, SECTOR_BYTES
        self._segment_check = segment_check(encode_segment_header(header))

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
