"""The nodes' logs: their last lines, and new ones as they come, across rotation."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from .paths import Paths

SUPERVISOR = "supervisord"
POLL_SECONDS = 0.1
_CHUNK = 65_536


def log_path(paths: Paths, name: str) -> Path:
    """Return the log file of a node, or of supervisord."""
    return paths.supervisor_log if name == SUPERVISOR else paths.log(name)


def last_lines(path: Path, count: int) -> list[str]:
    """Return the last ``count`` lines of a file; none when there is no file."""
    if count <= 0:
        return []
    try:
        with path.open("rb") as file:
            position = file.seek(0, os.SEEK_END)
            data = b""
            while position > 0 and data.count(b"\n") <= count:
                step = min(_CHUNK, position)
                position -= step
                file.seek(position)
                data = file.read(step) + data
    except OSError:
        return []
    return data.decode("utf-8", "replace").splitlines()[-count:]


def follow(paths: Paths, names: list[str]) -> Iterator[tuple[str, str]]:
    """Yield (name, line) for every new line, until the caller has enough."""
    tails = [_Tail(name, log_path(paths, name)) for name in names]
    while True:
        idle = True
        for tail in tails:
            for line in tail.new_lines():
                idle = False
                yield tail.name, line
        if idle:
            time.sleep(POLL_SECONDS)


class _Tail:
    """One file, read on from its end; a new file under the same name is read from its start."""

    def __init__(self, name: str, path: Path) -> None:
        self.name = name
        self._path = path
        self._rest = b""
        found = self._look()
        self._inode, self._position = found or (0, 0)

    def new_lines(self) -> list[str]:
        found = self._look()
        if found is None:
            return []
        inode, size = found
        if inode != self._inode or size < self._position:
            self._inode, self._position, self._rest = inode, 0, b""
        if size == self._position:
            return []
        with self._path.open("rb") as file:
            file.seek(self._position)
            data = self._rest + file.read(_CHUNK)
            self._position = file.tell()
        *lines, self._rest = data.split(b"\n")
        return [line.decode("utf-8", "replace") for line in lines]

    def _look(self) -> tuple[int, int] | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_ino, found.st_size
