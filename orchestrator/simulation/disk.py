"""A disk that exists in memory only, and breaks on demand, the same way for the same seed.

It stands in for ``raftcache.storage.files.OsFiles``. Rules: what a process sees is the cache; what
a power cut leaves is what was synced, and of the rest whatever the seed says: any subset of
sectors in any file, and of the changes to names any that do not build upon a lost one. It is
stricter than most disks, since a name is durable only after ``sync_directory``.
"""

import errno
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

SECTOR_BYTES = 512


class PowerCut(Exception):  # noqa: N818 - an event, not an error of anybody's
    """The simulated host went down before a call; the test now says what is left."""


@dataclass(slots=True)
class _File:
    cache: bytearray = field(default_factory=bytearray)
    disk: bytearray = field(default_factory=bytearray)
    dirty: set[int] = field(default_factory=set)
    """Numbers of the sectors that the cache has and the disk may not have."""
    last_write: int = 0
    """Where the last write began."""
    settled: int = 0
    """Where the last write that was synced began."""


@dataclass(slots=True)
class _Fault:
    call: str
    code: int
    after: int
    times: int
    path_part: str = ""


class SimulatedDisk:
    """One host's disk. Implements ``raftcache.storage.files.Files``.

    Args:
        capacity_bytes: how much fits on it; None for no bound.
    """

    ignore_syncs: bool
    """True: every sync claims success and does nothing, as a lying disk would."""
    calls: Counter[str]
    """How often each call that changes something was made."""
    interrupt_at: int | None
    """Raise ``PowerCut`` instead of making this change: 1 is the next one, None for never."""
    before_change: Callable[[str, str], None] | None
    """Called with a call's name and path before it changes anything; what it raises is raised."""

    def __init__(self, capacity_bytes: int | None = None) -> None:
        self.capacity_bytes = capacity_bytes
        self.ignore_syncs = False
        self.interrupt_at = None
        self.before_change = None
        self.calls = Counter()
        self._faults: list[_Fault] = []
        self._directories: set[str] = set()
        self._names: dict[str, _File] = {}
        self._durable_names: dict[str, _File] = {}
        self._renames: list[tuple[str, str, _File | None]] = []
        self._handles: dict[int, tuple[str, _File]] = {}
        self._locks: dict[str, int] = {}
        self._last_handle = 0

    # What goes wrong

    def fail(self, call: str, code: int, *, after: int = 0, times: int = 1) -> None:
        """Let ``times`` calls named ``call`` fail with errno ``code``, after ``after`` good ones.

        A write that fails leaves its first half behind. A sync that fails does what Linux does: the
        cache keeps the bytes and forgets that the disk lacks them.
        """
        self._faults.append(_Fault(call, code, after, times))

    def fail_path(
        self, call: str, path_part: str, code: int, *, after: int = 0, times: int = 1
    ) -> None:
        """Let ``times`` calls named ``call`` fail whose path has ``path_part`` in it."""
        self._faults.append(_Fault(call, code, after, times, path_part))

    def stop_failing(self) -> None:
        """Let no call fail any more that has not failed yet."""
        self._faults.clear()

    @property
    def used_bytes(self) -> int:
        """How much of the disk is taken."""
        return sum(len(file.cache) for file in self._names.values())

    def kill_process(self) -> None:
        """Let the process that used the disk die: handles and locks end, the cache stays."""
        self.before_change = None
        self._handles.clear()
        self._locks.clear()

    def crash(self, random: Random) -> None:
        """Cut the power: of what was not synced, a random part survives."""
        self._lose_names(random)
        self.cut_power(
            keep=lambda _path, _sector: bool(random.getrandbits(1)),
            names_kept=len(self._renames),
        )

    def _lose_names(self, random: Random) -> None:
        """Let some changes to names be lost, and with each all later ones to the same names."""
        lost: set[str] = set()
        kept = []
        share = random.choice((0.0, 0.5, 0.9, 1.0))
        for old, new, file in self._renames:
            if {old, new} & lost or random.random() >= share:
                lost |= {old, new}
            else:
                kept.append((old, new, file))
        self._renames = kept

    def lose_cache(self) -> None:
        """Cut the power: nothing survives that was not synced."""
        self.cut_power(keep=lambda _path, _sector: False, names_kept=0)

    def cut_power(self, *, keep: Callable[[str, int], bool], names_kept: int) -> None:
        """Cut the power and choose what survives.

        Args:
            keep: whether this unsynced sector of this file (path, number from 0) survives.
            names_kept: how many of the unsynced changes to names, oldest first.
        """
        self.kill_process()
        self.interrupt_at = None
        paths = {id(file): path for _, path, file in self._renames}
        paths.update((id(file), path) for path, file in self._durable_names.items())
        paths.update((id(file), path) for path, file in self._names.items())
        for old, new, file in self._renames[:names_kept]:
            self._change_name(self._durable_names, old, new, file)
        self._renames.clear()
        for file in {id(file): file for file in self._durable_names.values()}.values():
            kept = {sector for sector in sorted(file.dirty) if keep(paths[id(file)], sector)}
            _copy_sectors(file, kept)
            file.cache = bytearray(file.disk)
            file.dirty.clear()
        self._names = dict(self._durable_names)

    def has_directory(self, path: str) -> bool:
        """Tell whether a directory was ever made."""
        return path in self._directories

    def content(self, path: str) -> bytes:
        """Return what a process would read from a file."""
        return bytes(self._file(path).cache)

    def durable_names(self, directory: str) -> list[str]:
        """Return the names in a directory that a power cut leaves, of whole files."""
        start = directory + "/"
        return sorted(
            name.removeprefix(start)
            for name, file in self._durable_names.items()
            if name.startswith(start) and not file.dirty and len(file.cache) == len(file.disk)
        )

    def settled_bytes(self, path: str) -> int:
        """Return how much of a file lies before what was synced last.

        No crash explains damage there.
        """
        return self._file(path).settled

    @property
    def open_handles(self) -> list[str]:
        """The paths of all files that are open."""
        return sorted(path for path, _ in self._handles.values())

    def put(self, path: str, data: bytes) -> None:
        """Let a file have this content, durably; it is made if need be, and its directory."""
        self._directories.add(path.rpartition("/")[0])
        file = _File(bytearray(data), bytearray(data))
        self._names[path] = file
        self._durable_names[path] = file

    def overwrite(self, path: str, offset: int, data: bytes) -> None:
        """Change bytes behind everybody's back, in the cache and on the disk: bit rot."""
        file = self._file(path)
        file.cache[offset : offset + len(data)] = data
        file.disk[offset : offset + len(data)] = data

    def take_away(self, directory: str) -> dict[str, bytes]:
        """Return what the files in a directory hold, by their names, and leave it empty."""
        files = {name: self.content(f"{directory}/{name}") for name in self.names(directory)}
        for name in files:
            del self._names[f"{directory}/{name}"]
        self._durable_names = dict(self._names)
        self._renames.clear()
        return files

    def bring(self, directory: str, files: dict[str, bytes]) -> None:
        """Let a directory hold these files, durably, besides what it holds."""
        for name, data in files.items():
            self.put(f"{directory}/{name}", data)

    def truncate(self, path: str, size: int) -> None:
        """Cut a file short behind everybody's back, in the cache and on the disk."""
        file = self._file(path)
        del file.cache[size:], file.disk[size:]

    # The file calls

    def make_directory(self, path: str) -> None:
        """Make a directory; durable at once, since nothing depends on it."""
        self._begin("make_directory")
        self._directories.add(path)

    def names(self, path: str) -> list[str]:
        """Return what a directory holds, sorted."""
        if path not in self._directories:
            raise _error(errno.ENOENT, path)
        start = path + "/"
        return sorted(name.removeprefix(start) for name in self._names if name.startswith(start))

    def create(self, path: str) -> int:
        """Open an empty file, new under its name."""
        self._begin("create", path)
        self._check_room(512)
        file = _File()
        self._note_name(path, path, file)
        return self._handle(path, file)

    def open(self, path: str, *, write: bool) -> int:  # noqa: ARG002 - part of the interface
        """Open an existing file."""
        self._maybe_fail("open", path)
        return self._handle(path, self._file(path))

    def size(self, handle: int) -> int:
        """Return a file's length in bytes."""
        return len(self._handles[handle][1].cache)

    def read(self, handle: int, count: int, offset: int) -> bytes:
        """Read up to ``count`` bytes."""
        path, file = self._handles[handle]
        self._maybe_fail("read", path)
        return bytes(file.cache[offset : offset + count])

    def write(self, handle: int, data: bytes, offset: int) -> None:
        """Write into the cache."""
        path, file = self._handles[handle]
        try:
            self._begin("write", path)
        except OSError:
            _write(file, data[: len(data) // 2], offset)
            raise
        self._check_room(offset + len(data) - len(file.cache))
        _write(file, data, offset)

    def allocate(self, handle: int, size: int) -> None:
        """Lengthen a file; the new part reads as zeros."""
        path, file = self._handles[handle]
        self._begin("allocate", path)
        grown = size - len(file.cache)
        self._check_room(grown)
        if grown > 0:
            file.cache.extend(bytes(grown))

    def sync(self, handle: int) -> None:
        """Move a file's bytes and length to the disk."""
        path, file = self._handles[handle]
        try:
            self._begin("sync", path)
        except OSError:
            file.dirty.clear()
            raise
        if self.ignore_syncs:
            return
        file.settled = file.last_write
        _copy_sectors(file, file.dirty)
        file.disk.extend(bytes(max(0, len(file.cache) - len(file.disk))))
        file.dirty.clear()

    def close(self, handle: int) -> None:
        """Close a handle and give up its lock."""
        path, _ = self._handles.pop(handle)
        if self._locks.get(path) == handle:
            del self._locks[path]

    def rename(self, old: str, new: str) -> None:
        """Rename a file in one step."""
        self._begin("rename", old)
        self._note_name(old, new, self._file(old))

    def remove(self, path: str) -> None:
        """Remove a name."""
        self._begin("remove", path)
        self._file(path)
        self._note_name(path, path, None)

    def sync_directory(self, path: str) -> None:
        """Make the names in a directory durable; on this disk, all names."""
        self._begin("sync_directory", path)
        if not self.ignore_syncs:
            self._durable_names = dict(self._names)
            self._renames.clear()

    def lock(self, path: str, owner: str) -> int:
        """Lock a file and note the owner in it."""
        if path in self._locks:
            raise _error(errno.EWOULDBLOCK, path)
        handle = self._handle(path, self._names[path]) if path in self._names else self.create(path)
        self._handles[handle][1].cache[:] = owner.encode()
        self._locks[path] = handle
        return handle

    def _begin(self, call: str, path: str = "") -> None:
        """Count a call that changes something; this is where it may come to grief."""
        if self.before_change is not None:
            self.before_change(call, path)
        if self.interrupt_at is not None:
            self.interrupt_at -= 1
            if self.interrupt_at <= 0:
                raise PowerCut(f"before {call} {path}")
        self.calls[call] += 1
        self._maybe_fail(call, path)

    def _maybe_fail(self, call: str, path: str) -> None:
        for fault in self._faults:
            if fault.call != call or fault.times == 0 or fault.path_part not in path:
                continue
            if fault.after > 0:
                fault.after -= 1
                continue
            fault.times -= 1
            raise _error(fault.code, path)

    def _check_room(self, more: int) -> None:
        if self.capacity_bytes is None or more <= 0:
            return
        if self.used_bytes + more > self.capacity_bytes:
            raise _error(errno.ENOSPC, "")

    def _file(self, path: str) -> _File:
        if path not in self._names:
            raise _error(errno.ENOENT, path)
        return self._names[path]

    def _handle(self, path: str, file: _File) -> int:
        self._last_handle += 1
        self._handles[self._last_handle] = (path, file)
        return self._last_handle

    def _note_name(self, old: str, new: str, file: _File | None) -> None:
        self._renames.append((old, new, file))
        self._change_name(self._names, old, new, file)

    @staticmethod
    def _change_name(names: dict[str, _File], old: str, new: str, file: _File | None) -> None:
        names.pop(old, None)
        if file is not None:
            names[new] = file


def _write(file: _File, data: bytes, offset: int) -> None:
    if data.count(0) != len(data):  # Zeros clear away; they are nothing that could be lost.
        file.last_write = offset
    end = offset + len(data)
    if len(file.cache) < end:
        file.cache.extend(bytes(end - len(file.cache)))
    file.cache[offset:end] = data
    file.dirty.update(range(offset // SECTOR_BYTES, -(-end // SECTOR_BYTES)))


def _copy_sectors(file: _File, sectors: set[int]) -> None:
    for sector in sectors:
        start = sector * SECTOR_BYTES
        part = file.cache[start : start + SECTOR_BYTES]
        if len(file.disk) < start:
            file.disk.extend(bytes(start - len(file.disk)))
        file.disk[start : start + len(part)] = part


def _error(code: int, path: str) -> OSError:
    return OSError(code, os.strerror(code), path)
