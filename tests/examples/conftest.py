"""Programs of docs/examples, started as a user starts them."""

import contextlib
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import pytest

ROOT = Path(__file__).resolve().parents[2]
LINE_SECONDS_MAX = 120.0


class Program:
    """A program that runs, and what it prints."""

    def __init__(self, name: str, arguments: tuple[str, ...], endpoints: list[str]) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-P", ROOT / "docs" / "examples" / name, *arguments],
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "RAFTCACHE_ENDPOINTS": ",".join(endpoints),
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def line(self) -> str:
        """Return the next line that it prints."""
        line = self._lines.get(timeout=LINE_SECONDS_MAX)
        assert line is not None, f"it has ended, with exit code {self.process.wait()}"
        return line

    def wait_for(self, condition: Callable[[str], bool]) -> list[str]:
        """Return the next lines up to the first that is as wanted."""
        lines = [self.line()]
        while not condition(lines[-1]):
            lines.append(self.line())
        return lines

    def rest(self) -> list[str]:
        """Wait for its end, and return what it has printed."""
        return list(iter(lambda: self._lines.get(timeout=LINE_SECONDS_MAX), None))

    def end(self) -> int:
        """Ask it to end; return its exit code."""
        self.process.terminate()
        return self.process.wait(LINE_SECONDS_MAX)

    def __enter__(self) -> Self:
        """Return the program itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """See it gone."""
        self.process.kill()
        self.process.wait()
        self._reader.join()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)


Start = Callable[..., Program]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start examples: a file's name, its arguments, ``endpoints``; all are ended."""
    with contextlib.ExitStack() as stack:

        def started(name: str, *arguments: str, endpoints: list[str]) -> Program:
            return stack.enter_context(Program(name, arguments, endpoints))

        yield started
