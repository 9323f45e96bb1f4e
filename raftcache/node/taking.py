"""One snapshot while it is taken: cut by the loop, written by the worker's thread."""

from ..errors import RaftCacheError
from ..storage.snapshots import SnapshotMeta, SnapshotWriter, StoredSnapshot
from ..store.snapshot import SnapshotRun
from .pace import Pace


class Taking:
    """One snapshot on its way to the disk."""

    def __init__(self, run: SnapshotRun, meta: SnapshotMeta, pace: Pace) -> None:
        self.run = run
        self.meta = meta
        self.pace = pace
        self.writer: SnapshotWriter | None = None
        self.queued = 0
        self.read_to_end = False
        self._failure: RaftCacheError | None = None

    # On the worker's thread, where slices may wait behind one that the disk has refused.

    def write(self, writer: SnapshotWriter, data: bytes) -> None:
        """Write a slice, unless one before it has failed."""
        if self._failure is not None:
            raise self._failure
        try:
            writer.add(data)
        except RaftCacheError as error:
            self._failure = error
            raise

    def finish(self, writer: SnapshotWriter) -> StoredSnapshot:
        """Make the snapshot durable, unless a slice of it is missing."""
        if self._failure is not None:
            raise self._failure
        return writer.finish()
