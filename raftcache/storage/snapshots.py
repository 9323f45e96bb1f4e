"""Snapshot files: written slice by slice, read back with every byte checked (§7, Figure 13).

Rules: a snapshot gets its name only when all of it is on disk, so a file under that name is whole
or damaged, never unfinished (failure D7). What goes wrong here costs the snapshot, never the node:
the log still holds what the snapshot would have replaced. One thread at a time uses an object.
"""

import contextlib
import errno
import re
from collections.abc import Iterator
from typing import Final

import msgspec

from ..errors import StorageError, WrongDirectory
from ..raft.types import Index, Term
from .files import Files, join
from .snapshot_format import (
    CHUNK_HEADER_BYTES,
    HEADER_BYTES_MAX,
    SLICE_BYTES_MAX,
    TRAILER_BYTES,
    ChunkDecoder,
    ChunkEncoder,
    SnapshotMeta,
    bad_snapshot,
    check_in,
    decode_snapshot_header,
    encode_snapshot_header,
)

__all__ = [
    "SnapshotFailed",
    "SnapshotMeta",
    "SnapshotReader",
    "SnapshotWriter",
    "StoredSnapshot",
    "publish_file",
    "snapshot_failed",
    "snapshot_name",
    "snapshot_position",
]

NEXT_SNAPSHOT_NAME: Final = "snapshot-next.tmp"

SYNC_BYTES: Final = 1024 * 1024
"""How much is written between two syncs: a long one would hold up the log's behind it."""

_BLOCK_BYTES: Final = 256 * 1024
_NAME: Final = re.compile(r"snapshot-(\d{20})-(\d{1,20})")


class SnapshotFailed(StorageError):  # noqa: N818 - as its siblings in errors.py are named
    """A snapshot could not be written or read; it is given up, and the node goes on."""


class StoredSnapshot(msgspec.Struct, frozen=True):
    """A snapshot on disk, complete."""

    meta: SnapshotMeta
    path: str
    size_bytes: int
    """Length of the file."""
    check: int
    """Stands for all its bytes: two files with the same check and length are the same file."""


def snapshot_name(index: Index, term: Term) -> str:
    """Return the file name of the snapshot that ends with this entry."""
    return f"snapshot-{index:020d}-{term}"


def snapshot_position(name: str) -> tuple[Index, Term] | None:
    """Return the index and term that a file name stands for; None for another file."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    index, term = int(match[1]), int(match[2])
    return (index, term) if snapshot_name(index, term) == name else None


class SnapshotWriter:
    """Writes one snapshot of this node. There may be one at a time in a directory.

    After ``SnapshotFailed`` nothing is left of it, and the writer is of no more use.

    Raises:
        SnapshotFailed: the file can't be made.
    """

    def __init__(self, files: Files, directory: str, cluster_id: str, meta: SnapshotMeta) -> None:
        self._files = files
        self._directory = directory
        self._meta = meta
        self._path = join(directory, NEXT_SNAPSHOT_NAME)
        self._pieces: list[bytes] = []
        self._pieces_bytes = 0
        self._unsynced_bytes = 0
        self._handle: int | None = None
        self.size_bytes = 0
        """Length of the file so far."""
        header = encode_snapshot_header(cluster_id, meta)
        self._chunks = ChunkEncoder(int.from_bytes(header[-4:], "little"))
        try:
            self._handle = files.create(self._path)
        except OSError as error:
            raise self._failed(error) from error
        self._put(header)

    def add(self, payload: bytes) -> None:
        """Append a slice; a reader gets the same slices in the same order.

        Raises:
            SnapshotFailed: the file system refused.
        """
        try:
            for piece in self._chunks.encode(payload):
                self._put(piece)
            if self._pieces_bytes >= _BLOCK_BYTES:
                self._flush()
            if self._unsynced_bytes >= SYNC_BYTES:
                self._sync()
        except OSError as error:
            raise self._failed(error) from error

    def finish(self) -> StoredSnapshot:
        """Make the snapshot durable and give it its name.

        Raises:
            SnapshotFailed: the file system refused.
        """
        trailer, check = self._chunks.finish()
        self._put(trailer)
        try:
            self._flush()
            self._sync()
            self._close()
            path = publish_file(self._files, self._directory, self._path, self._meta)
        except OSError as error:
            raise self._failed(error) from error
        return StoredSnapshot(self._meta, path, self.size_bytes, check)

    def abort(self) -> None:
        """Give the snapshot up and free its space."""
        with contextlib.suppress(OSError):
            self._close()
        with contextlib.suppress(OSError):
            self._files.remove(self._path)

    def _put(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._pieces_bytes += len(piece)

    def _flush(self) -> None:
        assert self._handle is not None, "a snapshot that was given up is not written to"
        data = b"".join(self._pieces)
        self._pieces.clear()
        self._pieces_bytes = 0
        self._files.write(self._handle, data, self.size_bytes)
        self.size_bytes += len(data)
        self._unsynced_bytes += len(data)

    def _sync(self) -> None:
        assert self._handle is not None, "a snapshot that was given up is not synced"
        self._files.sync(self._handle)
        self._unsynced_bytes = 0

    def _close(self) -> None:
        if self._handle is not None:
            handle, self._handle = self._handle, None
            self._files.close(handle)

    def _failed(self, error: OSError) -> SnapshotFailed:
        self.abort()
        return snapshot_failed("write", self._path, error)


class SnapshotReader:
    """Reads a snapshot file, slice by slice or as raw bytes for another node.

    The file may lose its name meanwhile; it stays readable until :meth:`close`.

    Args:
        files: the file system.
        path: the file.
        cluster_id: whose it must be; None for anybody's.

    Raises:
        CorruptRecord: it is damaged.
        WrongDirectory: it is another cluster's, or of a newer format.
        SnapshotFailed: it can't be read.
    """

    meta: SnapshotMeta
    cluster_id: str
    size_bytes: int
    """Length of the file."""
    check: int
    """See :attr:`StoredSnapshot.check`; proved by :meth:`verify`."""

    def __init__(self, files: Files, path: str, cluster_id: str | None) -> None:
        self.path = path
        self._files = files
        with _reading(path, 0):
            self._handle = files.open(path, write=False)
        try:
            self._read_ends(cluster_id)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the file."""
        self._files.close(self._handle)

    def raw_read(self, offset: int, count: int) -> bytes:
        """Return up to ``count`` bytes of the file from ``offset`` on, unchecked.

        Raises:
            CorruptRecord: the disk can't read them.
            SnapshotFailed: the file system refused.
        """
        with _reading(self.path, offset):
            return self._files.read(self._handle, count, offset)

    def slices(self) -> Iterator[bytes]:
        """Yield what was added, in order; complete only when the iterator has ended.

        Raises:
            CorruptRecord: a byte is not as it was written.
            SnapshotFailed: the file system refused.
        """
        chunks = ChunkDecoder(self._header_check)
        cursor = _Cursor(self, self._header_bytes)
        parts: list[bytes] = []
        parts_bytes = 0
        while True:
            start = cursor.offset
            header = chunks.header(cursor.take(CHUNK_HEADER_BYTES))
            if header is None:
                raise bad_snapshot(self.path, start, "no chunk begins here")
            if header.length == 0:
                break
            payload = cursor.take(header.length)
            if not chunks.accepts(header, payload):
                raise bad_snapshot(self.path, start, "the checksum of a chunk is wrong")
            parts.append(payload)
            parts_bytes += len(payload)
            if parts_bytes > SLICE_BYTES_MAX:
                raise bad_snapshot(self.path, start, "a slice has no end")
            if not header.more:
                yield payload if len(parts) == 1 else b"".join(parts)
                parts.clear()
                parts_bytes = 0
        # The trailer is read as a whole: what passed for a chunk's header is its beginning.
        trailer = self.raw_read(start, TRAILER_BYTES)
        if parts or not chunks.is_end(trailer) or start + TRAILER_BYTES != self.size_bytes:
            raise bad_snapshot(self.path, start, "it does not end as it was written")

    def verify(self) -> StoredSnapshot:
        """Read all of it and return what it is.

        Raises:
            CorruptRecord: a byte is not as it was written.
            SnapshotFailed: the file system refused.
        """
        for _ in self.slices():
            pass
        return StoredSnapshot(self.meta, self.path, self.size_bytes, self.check)

    def _read_ends(self, cluster_id: str | None) -> None:
        with _reading(self.path, 0):
            self.size_bytes = self._files.size(self._handle)
        header = decode_snapshot_header(self.raw_read(0, HEADER_BYTES_MAX), self.path)
        if cluster_id not in (None, header.cluster_id):
            raise WrongDirectory(
                f"{self.path} is of cluster {header.cluster_id}, not of {cluster_id}: "
                f"put the file back where it came from"
            )
        end = max(header.length, self.size_bytes - TRAILER_BYTES)
        check = check_in(self.raw_read(end, TRAILER_BYTES))
        if check is None:
            raise bad_snapshot(self.path, end, "its end is missing")
        self.meta, self.cluster_id, self.check = header.meta, header.cluster_id, check
        self._header_bytes, self._header_check = header.length, header.check


class _Cursor:
    """Reads a file from front to back, a block at a time."""

    def __init__(self, reader: SnapshotReader, offset: int) -> None:
        self._reader = reader
        self._block = b""
        self._position = 0
        self.offset = offset

    def take(self, count: int) -> bytes:
        """Return the next ``count`` bytes; fewer at the end of the file."""
        end = self._position + count
        if end > len(self._block):
            self._block = self._reader.raw_read(self.offset, max(count, _BLOCK_BYTES))
            self._position, end = 0, count
        taken = self._block[self._position : end]
        self._position = end
        self.offset += len(taken)
        return taken


def publish_file(files: Files, directory: str, path: str, meta: SnapshotMeta) -> str:
    """Give a complete, synced snapshot its name, durably; return the new path.

    Raises:
        OSError: it has its name, or not; in either case it is harmless.
    """
    name = snapshot_name(meta.last_included_index, meta.last_included_term)
    published = join(directory, name)
    files.rename(path, published)
    files.sync_directory(directory)
    return published


def snapshot_failed(verb: str, path: str, error: OSError) -> SnapshotFailed:
    """Return the error for a snapshot that the file system refused."""
    reason = error.strerror or str(error)
    return SnapshotFailed(f"could not {verb} {path}: {reason}")


@contextlib.contextmanager
def _reading(path: str, offset: int) -> Iterator[None]:
    """Take a sector that can't be read for what it is: damage."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EIO:
            raise bad_snapshot(path, offset, "the disk can't read it") from error
        raise snapshot_failed("read", path, error) from error
