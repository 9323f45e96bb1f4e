"""A node that keeps nothing on disk: durability ``memory``.

An incarnation lives as long as its process. The identity file says so before the process says its
first word, so that a node that comes back joins anew instead of voting as its former self (failure
C10). What a log on disk would hold, the core holds in memory already; snapshots, which bound that
log and are sent to followers, are files in memory. The newest one and the one in the making are the
most there is of them.
"""

import errno
import os
from collections.abc import Callable

import msgspec

from ..errors import StorageError
from ..raft.types import Index
from .directory import check_owner, lock_directory, unusable
from .files import OS_FILES, Files
from .identity import Identity, read_identity, write_identity
from .lost import lost_with_process
from .wal import Batch

MEMORY_DIRECTORY = "/memory"
"""Where snapshots are in :class:`MemoryFiles`."""


def take_identity(
    directory: str, *, cluster_id: str, node_id: str, files: Files = OS_FILES
) -> tuple[Identity, int]:
    """Use up the one life that a fresh directory stands for; return it, and the directory's lock.

    Raises:
        StateLost: it has been used, or never was made; the node must join.
        WrongDirectory: it is another's, or holds a log that would be forgotten.
        DirectoryLocked, DiskFailed, StorageError: it can't be used.
    """
    try:
        check_owner(files, directory, cluster_id, node_id, None)
        lock = lock_directory(files, directory)
        try:
            identity = check_owner(files, directory, cluster_id, node_id, None)
            _refuse_used(directory, identity)
            used = msgspec.structs.replace(identity, state="lost", durability="memory")
            write_identity(files, directory, used)
        except BaseException:
            files.close(lock)
            raise
    except OSError as error:
        raise unusable(directory, error) from error
    return identity, lock


def _refuse_used(directory: str, identity: Identity) -> None:
    if identity.state == "kept":
        raise StorageError(
            f"{directory} holds a log, written under durability `{identity.durability}`: under "
            f"`memory` it would be forgotten. Go on with `{identity.durability}`, or begin an "
            f"empty cluster with `bin/cluster up --wipe`"
        )
    if identity.state == "lost":
        raise lost_with_process(directory, identity)


def lock_for_memory(
    directory: str, *, cluster_id: str, node_id: str, files: Files = OS_FILES
) -> int:
    """Lock the directory of a node that has joined and keeps nothing there; return the lock.

    Raises:
        WrongDirectory, DirectoryLocked, DiskFailed, StorageError: it can't be used.
    """
    try:
        files.make_directory(directory)
        if read_identity(files, directory) is not None:
            check_owner(files, directory, cluster_id, node_id, None)
        return lock_directory(files, directory)
    except OSError as error:
        raise unusable(directory, error) from error


class MemoryLog:
    """A log that nobody reads back: each batch is as durable as it ever will be, at once.

    So it has nothing to tell later, and wakes nobody.

    Args:
        release: called by :meth:`close`; frees the directory.
    """

    def __init__(self, release: Callable[[], None]) -> None:
        self.persisted = 0
        self.queued_bytes = 0
        self.has_room = True
        self.size_bytes = 0
        self.failure = None
        self.wanted = True
        self._release = release

    def submit(self, batch: Batch) -> int:  # noqa: ARG002 - the core holds what is in it
        """Take a batch; return its ticket."""
        self.persisted += 1
        return self.persisted

    def begin(self) -> None:
        """Do nothing: it is done."""

    def release(self, index: Index) -> None:
        """Free nothing: there is nothing."""

    def close(self, *, clean: bool) -> None:  # noqa: ARG002 - as ``WalWriter`` has it
        """Free the directory."""
        self._release()


class MemoryFiles:
    """A file system in this process's memory, for snapshots. Implements ``Files``."""

    def __init__(self) -> None:
        self._names: dict[str, bytearray] = {}
        self._handles: dict[int, bytearray] = {}
        self._last_handle = 0

    def make_directory(self, path: str) -> None:
        """Do nothing: any name may have slashes in it."""

    def names(self, path: str) -> list[str]:
        """Return what a directory holds, sorted."""
        start = f"{path}/"
        return sorted(name.removeprefix(start) for name in self._names if name.startswith(start))

    def create(self, path: str) -> int:
        """Open an empty file."""
        self._names[path] = bytearray()
        return self._handle(self._names[path])

    def open(self, path: str, *, write: bool) -> int:  # noqa: ARG002 - part of the interface
        """Open an existing file."""
        return self._handle(self._file(path))

    def size(self, handle: int) -> int:
        """Return a file's length in bytes."""
        return len(self._handles[handle])

    def read(self, handle: int, count: int, offset: int) -> bytes:
        """Read up to ``count`` bytes."""
        return bytes(memoryview(self._handles[handle])[offset : offset + count])

    def write(self, handle: int, data: bytes, offset: int) -> None:
        """Write all of ``data``."""
        file = self._handles[handle]
        if len(file) < offset:
            file.extend(bytes(offset - len(file)))
        file[offset : offset + len(data)] = data

    def allocate(self, handle: int, size: int) -> None:
        """Lengthen a file."""
        file = self._handles[handle]
        file.extend(bytes(max(0, size - len(file))))

    def sync(self, handle: int) -> None:
        """Do nothing: it is as safe as it will be."""

    def close(self, handle: int) -> None:
        """Close a handle; a file without a name or handle is gone."""
        del self._handles[handle]

    def rename(self, old: str, new: str) -> None:
        """Rename a file."""
        self._names[new] = self._file(old)
        del self._names[old]

    def remove(self, path: str) -> None:
        """Remove a name; who has the file open reads on."""
        self._file(path)
        del self._names[path]

    def sync_directory(self, path: str) -> None:
        """Do nothing."""

    def lock(self, path: str, owner: str) -> int:
        """Open the file: nobody else can see it."""
        handle = self.create(path)
        self.write(handle, owner.encode(), 0)
        return handle

    def _file(self, path: str) -> bytearray:
        if path not in self._names:
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), path)
        return self._names[path]

    def _handle(self, file: bytearray) -> int:
        self._last_handle += 1
        self._handles[self._last_handle] = file
        return self._last_handle
