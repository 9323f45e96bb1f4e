"""The thread that writes the log, so that the node's loop never waits for the disk.

Rules: the loop's thread submits and reads ``persisted``, the writer's thread does all the rest.
Whatever has come in while the disk was busy goes into one frame with one fsync (group commit). The
two threads share no lock: each value here is written by one of them only.
"""

import contextlib
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

from ..errors import DiskFailed
from ..raft.types import Index
from .wal import Batch, Wal

GROUP_BYTES_MAX: Final = 4 * 1024 * 1024
"""Above this much, what waits goes into the next frame; a larger batch has one to itself."""

_RETRY_SECONDS: Final = 1.0
"""How often to see whether a full disk has room again."""


class WalWriter:
    """Writes batches in the order in which they are submitted, and says when they are durable.

    Args:
        wal: the log; from here on it is the writer thread's.
        notify: called on the writer's thread after each sync that is ``wanted``, after a failure,
            and when ``wal.has_room`` has changed. It must not block and must not raise; it wakes
            the loop.
    """

    persisted: int
    """The highest durable ticket; only rises. Read it anywhere."""
    failure: DiskFailed | None
    """Why nothing is written any more; the process must end."""
    has_room: bool
    """False while the disk is too full for another segment (see ``Wal.prepare``)."""
    size_bytes: int
    """How much of the disk the log has filled."""
    wanted: bool
    """Whether anybody waits for ``persisted`` to rise; by the loop. Set it, then look once more."""

    def __init__(self, wal: Wal, notify: Callable[[], None]) -> None:
        self.persisted = 0
        self.failure = None
        self.wanted = True
        self.has_room = wal.has_room
        self.size_bytes = wal.size_bytes
        self._wal = wal
        self._notify = notify
        self._submitted = 0
        self._submitted_bytes = 0
        self._persisted_bytes = 0
        self._release_index: Index | None = None
        self._releasing = False
        self._held: list[tuple[Batch | Index, int]] = []
        self._queue: SimpleQueue[tuple[Batch | Index, int] | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="wal-writer", daemon=True)
        self._thread.start()

    @property
    def queued_bytes(self) -> int:
        """Bytes of entries that were submitted and are not durable yet."""
        return self._submitted_bytes - self._persisted_bytes

    def submit(self, batch: Batch) -> int:
        """Take a batch, which is written from :meth:`begin` on; tickets are 1, 2, 3 and so on."""
        size = 0
        for entry in batch.entries:
            size += len(entry.data)
        self._submitted += 1
        self._submitted_bytes += size
        self._held.append((batch, size))
        return self._submitted

    def begin(self) -> None:
        """Let the thread have what was submitted and released. Never blocks."""
        for item in self._held:
            self._queue.put(item)
        self._held.clear()

    def release(self, index: Index) -> None:
        """Let the log free what ends at or before ``index`` (``Wal.release``).

        It is done after what was submitted, a segment at a time between two writes; then
        ``size_bytes`` falls.
        """
        self._held.append((index, 0))

    def close(self, *, clean: bool) -> None:
        """Write what was submitted, stop the thread, and close the log.

        Raises:
            DiskFailed: a clean end was wanted, and the log could not be made durable.
        """
        self.begin()
        self._queue.put(None)
        self._thread.join()
        self._wal.close(clean=clean)
        if clean and self.failure is not None:
            raise self.failure

    def _run(self) -> None:
        try:
            while self._write_next():
                pass
        except DiskFailed as error:
            self._fail(error)
        except Exception as error:  # noqa: BLE001 - a thread that dies in silence hangs the node
            self._fail(DiskFailed(f"the log's writer met a defect: {error!r}"))

    def _fail(self, failure: DiskFailed) -> None:
        self.failure = failure
        self._notify()

    def _write_next(self) -> bool:
        """Write one frame, or try for room; returns whether to go on."""
        batches, size, more = self._take()
        if batches:
            self._wal.write(batches)
            self._wal.sync()
            self._persisted_bytes += size
            self.persisted += len(batches)
            self.size_bytes = self._wal.size_bytes
            if self.wanted:
                self._notify()
        if more:
            self._wal.prepare()
            self._free_next()
            if self.has_room != self._wal.has_room:
                self.has_room = self._wal.has_room
                self._notify()
        return more

    def _free_next(self) -> None:
        """Free one segment of those that may go; votes may be waiting."""
        if self._release_index is None:
            return
        self._releasing = self._wal.release(self._release_index, segments_max=1)
        self.size_bytes = self._wal.size_bytes
        if not self._releasing:
            self._release_index = None

    def _take(self) -> tuple[list[Batch], int, bool]:
        """Wait for a batch and take all that wait with it; False when the end was asked for."""
        batches: list[Batch] = []
        size = 0
        timeout = None if self.has_room else _RETRY_SECONDS
        if self._releasing:
            timeout = 0
        with contextlib.suppress(Empty):
            item = self._queue.get(timeout=timeout)
            while item is not None:
                if isinstance(item[0], Batch):
                    batches.append(item[0])
                else:
                    self._release_index = item[0]
                size += item[1]
                if size >= GROUP_BYTES_MAX:
                    return batches, size, True
                item = self._queue.get_nowait()
            return batches, size, False
        return batches, size, True
