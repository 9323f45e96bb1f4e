"""A snapshot on its way from another node, as the raw bytes of that node's file (Figure 13).

Rules: bytes are taken in order only, so that one number says what is there; whatever was lost or
sent twice, the sender goes on at that number. Nothing counts before :meth:`SnapshotReceiver.verify`
has read the whole file back from this disk.
"""

import contextlib
from typing import Final

from ..errors import MalformedFrames
from ..raft.types import Index, Term
from .files import Files, join
from .snapshot_format import bad_snapshot
from .snapshots import (
    SYNC_BYTES,
    SnapshotFailed,
    SnapshotReader,
    StoredSnapshot,
    publish_file,
    snapshot_failed,
    snapshot_name,
)

INCOMING_PREFIX: Final = "incoming-"

SNAPSHOT_BYTES_MAX: Final = 2**40
"""A file that is announced as larger is a stranger's."""

_INTEGER_MAX: Final = 2**63 - 1


class SnapshotReceiver:
    """Writes one announced snapshot. There may be one of each position at a time.

    After ``SnapshotFailed`` nothing is left of it, and the receiver is of no more use.

    Args:
        files: the file system.
        directory: the node's directory.
        cluster_id: whose snapshot it must be.
        last_included_index: the announced position.
        last_included_term: likewise.
        size_bytes: the announced length of the file.
        check: the announced ``StoredSnapshot.check``. Another node's file of the same position has
            other bytes: one that continues with those would be found out at the very end only.

    Raises:
        MalformedFrames: the announcement makes no sense.
        SnapshotFailed: the file can't be made.
    """

    received_bytes: int
    """How much is there without a gap, from the beginning; the sender goes on here."""

    def __init__(
        self,
        files: Files,
        directory: str,
        cluster_id: str,
        *,
        last_included_index: Index,
        last_included_term: Term,
        size_bytes: int,
        check: int,
    ) -> None:
        if not 1 <= size_bytes <= SNAPSHOT_BYTES_MAX:
            raise MalformedFrames(f"a snapshot of {size_bytes} bytes was announced")
        position = (last_included_index, last_included_term)
        if not all(1 <= number <= _INTEGER_MAX for number in position):
            raise MalformedFrames("a snapshot of no place in a log was announced")
        self.position = position
        self.size_bytes = size_bytes
        self.check = check
        self.received_bytes = 0
        self._files = files
        self._directory = directory
        self._cluster_id = cluster_id
        self._unsynced_bytes = 0
        self._stored: StoredSnapshot | None = None
        self._handle: int | None = None
        self._path = join(directory, INCOMING_PREFIX + snapshot_name(*position))
        try:
            self._handle = files.create(self._path)
        except OSError as error:
            raise self._failed(error) from error

    @property
    def complete(self) -> bool:
        """Tell whether all bytes are there; whether they are right, :meth:`verify` says."""
        return self.received_bytes == self.size_bytes

    def write(self, offset: int, data: bytes) -> int:
        """Take a piece of the file; return where the next one must begin.

        A piece behind a gap is dropped, and of one that overlaps only the new part counts.

        Raises:
            MalformedFrames: the piece lies outside the file; nothing was written.
            SnapshotFailed: the file system refused.
        """
        assert self._handle is not None, "a snapshot that ended is not written to"
        if offset < 0 or offset + len(data) > self.size_bytes:
            raise MalformedFrames(
                f"bytes {offset} to {offset + len(data)} of a snapshot of {self.size_bytes}"
            )
        fresh = data[self.received_bytes - offset :] if offset <= self.received_bytes else b""
        if fresh:
            try:
                self._files.write(self._handle, fresh, self.received_bytes)
                self.received_bytes += len(fresh)
                self._unsynced_bytes += len(fresh)
                if self._unsynced_bytes >= SYNC_BYTES:
                    self._sync(self._handle)
            except OSError as error:
                raise self._failed(error) from error
        return self.received_bytes

    def verify(self) -> StoredSnapshot:
        """Sync the file, and read all of it; return what it is, under its unfinished name.

        Raises:
            CorruptRecord: what came is no sound snapshot; :meth:`abort` it and begin again.
            WrongDirectory: it is another cluster's, or of a newer format.
            SnapshotFailed: the file system refused.
        """
        assert self.complete, "only a complete snapshot is verified"
        assert self._handle is not None, "a snapshot that ended is not verified"
        try:
            self._sync(self._handle)
        except OSError as error:
            raise self._failed(error) from error
        reader = SnapshotReader(self._files, self._path, self._cluster_id)
        try:
            stored = reader.verify()
        finally:
            reader.close()
        meta = stored.meta
        if (meta.last_included_index, meta.last_included_term) != self.position:
            raise bad_snapshot(self._path, 0, "it is not of the position that was announced")
        if (stored.size_bytes, stored.check) != (self.size_bytes, self.check):
            raise bad_snapshot(self._path, 0, "it is not the file that was announced")
        self._stored = stored
        return stored

    def publish(self) -> StoredSnapshot:
        """Give the verified snapshot its name, durably. The log may restart behind it after that.

        Raises:
            SnapshotFailed: the file system refused.
        """
        assert self._stored is not None, "only a verified snapshot is published"
        stored = self._stored
        try:
            self._close()
            path = publish_file(self._files, self._directory, self._path, stored.meta)
        except OSError as error:
            raise self._failed(error) from error
        return StoredSnapshot(stored.meta, path, stored.size_bytes, stored.check)

    def abort(self) -> None:
        """Give the snapshot up and free its space."""
        with contextlib.suppress(OSError):
            self._close()
        with contextlib.suppress(OSError):
            self._files.remove(self._path)

    def _sync(self, handle: int) -> None:
        self._files.sync(handle)
        self._unsynced_bytes = 0

    def _close(self) -> None:
        if self._handle is not None:
            handle, self._handle = self._handle, None
            self._files.close(handle)

    def _failed(self, error: OSError) -> SnapshotFailed:
        self.abort()
        return snapshot_failed("write", self._path, error)
