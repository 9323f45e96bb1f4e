"""The one door to the file system: every file call of a node's storage goes through here.

Rules: nothing else in ``raftcache.storage`` touches ``os``; nothing here retries or hides an error.
A simulated disk stands in for :class:`OsFiles` wherever faults are wanted.
"""

import contextlib
import errno
import fcntl
import os
import stat
from pathlib import Path
from typing import Protocol

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700

# A file system that can't reserve space says so with one of these; writing zeros will do then.
_CANNOT_ALLOCATE = (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS)


class Files(Protocol):
    """The file calls that storage needs. A handle is an opaque integer. All raise ``OSError``."""

    def make_directory(self, path: str) -> None:
        """Make a directory and its parents, durably; one that exists is left as it is."""

    def names(self, path: str) -> list[str]:
        """Return what a directory holds, sorted."""

    def create(self, path: str) -> int:
        """Open an empty file for reading and writing; what was there before is gone."""

    def open(self, path: str, *, write: bool) -> int:
        """Open an existing regular file; a symbolic link or a directory is refused."""

    def size(self, handle: int) -> int:
        """Return a file's length in bytes."""

    def read(self, handle: int, count: int, offset: int) -> bytes:
        """Read up to ``count`` bytes; fewer only at the end of the file."""

    def write(self, handle: int, data: bytes, offset: int) -> None:
        """Write all of ``data``, into the cache of the operating system at least."""

    def allocate(self, handle: int, size: int) -> None:
        """Reserve space for a file of ``size`` bytes, so that a full disk shows now."""

    def sync(self, handle: int) -> None:
        """Return once the file's bytes and length are on stable storage."""

    def close(self, handle: int) -> None:
        """Close a handle; a lock held through it ends."""

    def rename(self, old: str, new: str) -> None:
        """Rename a file in one step, replacing ``new``; durable after ``sync_directory``."""

    def remove(self, path: str) -> None:
        """Remove a file; durable after ``sync_directory``."""

    def sync_directory(self, path: str) -> None:
        """Return once the names in a directory are on stable storage."""

    def lock(self, path: str, owner: str) -> int:
        """Lock a file, made if need be, and note the owner in it.

        The lock ends with the handle or with the process, however that ends.

        Raises:
            BlockingIOError: another handle has it; the file holds that owner.
        """


class OsFiles:
    """The file system of this host."""

    def make_directory(self, path: str) -> None:
        """Make a directory and its parents, for its owner alone."""
        made = Path(path).absolute()
        made.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
        # Each name on the way there must outlive a power cut, whoever made it (failure E8).
        for parent in made.parents:
            with contextlib.suppress(PermissionError):
                self.sync_directory(str(parent))

    def names(self, path: str) -> list[str]:
        """Return what a directory holds, sorted."""
        return sorted(os.listdir(path))  # noqa: PTH208 - names, not paths

    def create(self, path: str) -> int:
        """Open an empty file for reading and writing."""
        flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(path, flags, FILE_MODE)

    def open(self, path: str, *, write: bool) -> int:
        """Open an existing regular file; anything else raises ``OSError``."""
        flags = os.O_RDWR if write else os.O_RDONLY
        # O_NONBLOCK: a pipe put in the file's place must not hang the start of a node.
        handle = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            os.close(handle)
            raise OSError(errno.EINVAL, "Not a regular file", path)
        return handle

    def size(self, handle: int) -> int:
        """Return a file's length in bytes."""
        return os.fstat(handle).st_size

    def read(self, handle: int, count: int, offset: int) -> bytes:
        """Read up to ``count`` bytes; fewer only at the end of the file."""
        chunks = []
        while count > 0:
            chunk = os.pread(handle, count, offset)
            if not chunk:
                break
            chunks.append(chunk)
            count -= len(chunk)
            offset += len(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def write(self, handle: int, data: bytes, offset: int) -> None:
        """Write all of ``data`` into the cache of the operating system."""
        written = os.pwrite(handle, data, offset)
        while written < len(data):
            # A short write is legal (a signal, the last free block): the rest tells which.
            written += os.pwrite(handle, memoryview(data)[written:], offset + written)

    def allocate(self, handle: int, size: int) -> None:
        """Reserve space, where the platform and the file system can."""
        if not hasattr(os, "posix_fallocate"):  # macOS
            return
        try:
            os.posix_fallocate(handle, 0, size)
        except OSError as error:
            if error.errno not in _CANNOT_ALLOCATE:
                raise

    def sync(self, handle: int) -> None:
        """Return once the file's bytes and length are on stable storage."""
        if hasattr(fcntl, "F_FULLFSYNC"):  # macOS: fsync alone leaves them in the drive's cache
            fcntl.fcntl(handle, fcntl.F_FULLFSYNC)
        else:
            os.fdatasync(handle)

    def close(self, handle: int) -> None:
        """Close a handle; a lock held through it ends."""
        os.close(handle)

    def rename(self, old: str, new: str) -> None:
        """Rename a file in one step, replacing ``new``."""
        os.replace(old, new)  # noqa: PTH105 - paths are strings here

    def remove(self, path: str) -> None:
        """Remove a file."""
        os.unlink(path)  # noqa: PTH108 - likewise

    def sync_directory(self, path: str) -> None:
        """Return once the names in a directory are on stable storage."""
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def lock(self, path: str, owner: str) -> int:
        """Lock a file with ``flock`` and note the owner in it."""
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        handle = os.open(path, flags, FILE_MODE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The note is for people: on a full disk the lock alone must do.
            with contextlib.suppress(OSError):
                os.ftruncate(handle, 0)
                os.pwrite(handle, owner.encode(), 0)
        except BaseException:
            os.close(handle)
            raise
        return handle


OS_FILES = OsFiles()
"""The file system of this host, for those who want no other."""


def read_file(files: Files, path: str, *, bytes_max: int) -> bytes:
    """Return a small file's content, at most ``bytes_max`` bytes of it."""
    handle = files.open(path, write=False)
    try:
        return files.read(handle, min(files.size(handle), bytes_max), 0)
    finally:
        files.close(handle)


def join(directory: str, name: str) -> str:
    """Return the path of ``name`` in ``directory``."""
    return f"{directory}/{name}"


def kernel_boot_id() -> str:
    """Return what names this run of the kernel; empty where the platform has no such thing."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
