"""A snapshot outside of any node's directory: saved by people, and where a new cluster begins.

Rules: an export is the snapshot's file, byte for byte; a file that exists is never replaced, and
nothing is left under the asked-for name unless all of it is on disk and has been read back.
"""

import contextlib
from typing import Final

import msgspec

from ..errors import StorageError
from .files import OS_FILES, Files
from .identity import Identity
from .snapshots import (
    SYNC_BYTES,
    SnapshotReader,
    SnapshotWriter,
    StoredSnapshot,
    snapshot_failed,
)

_UNFINISHED_SUFFIX: Final = ".tmp"


def export(reader: SnapshotReader, path: str, files: Files = OS_FILES) -> StoredSnapshot:
    """Copy a snapshot to a new file, durably.

    Raises:
        StorageError: the file exists.
        CorruptRecord: the snapshot is damaged, or its copy.
        SnapshotFailed: the file system refused.
    """
    directory, _, name = path.rpartition("/")
    directory = directory or ("/" if path.startswith("/") else ".")
    unfinished = path + _UNFINISHED_SUFFIX
    try:
        if name in files.names(directory):
            raise StorageError(f"{path} exists already: choose another name, or remove it")
        try:
            _copy(reader, files, unfinished)
            # The copy is read back from this disk: what was damaged before or since shows now.
            copy = read_export(unfinished, files)
            stored = copy.verify()
            copy.close()
            files.rename(unfinished, path)
            files.sync_directory(directory)
        except BaseException:
            with contextlib.suppress(OSError):
                files.remove(unfinished)
            raise
    except OSError as error:
        raise snapshot_failed("write", path, error) from error
    return StoredSnapshot(stored.meta, path, stored.size_bytes, stored.check)


def read_export(path: str, files: Files = OS_FILES) -> SnapshotReader:
    """Open an exported snapshot, of whatever cluster, once all of it has been checked.

    Raises:
        CorruptRecord: it is damaged, or no snapshot.
        WrongDirectory: a newer version of the program wrote it.
        SnapshotFailed: it can't be read.
    """
    reader = SnapshotReader(files, path, cluster_id=None)
    try:
        reader.verify()
    except BaseException:
        reader.close()
        raise
    return reader


def sow(reader: SnapshotReader, directory: str, identity: Identity, files: Files) -> StoredSnapshot:
    """Write a snapshot into a new node's directory, as the beginning of that node's cluster.

    The position in the log stays, and so do all revisions; the members are the new ones.

    Raises:
        CorruptRecord: the snapshot is damaged.
        SnapshotFailed: the file system refused.
    """
    meta = msgspec.structs.replace(reader.meta, configuration=identity.configuration)
    writer = SnapshotWriter(files, directory, identity.cluster_id, meta)
    try:
        for payload in reader.slices():
            writer.add(payload)
    except BaseException:
        writer.abort()
        raise
    return writer.finish()


def _copy(reader: SnapshotReader, files: Files, path: str) -> None:
    handle = files.create(path)
    try:
        for offset in range(0, reader.size_bytes, SYNC_BYTES):
            files.write(handle, reader.raw_read(offset, SYNC_BYTES), offset)
            files.sync(handle)
    finally:
        files.close(handle)
