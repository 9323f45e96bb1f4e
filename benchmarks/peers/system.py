"""What a system under test is: something that starts, has processes, and has a driver."""

import importlib.util
import os
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Self

import msgspec
import psutil

from .work import Sample, Work

_DRIVER = Path(__file__).with_name("driver.py")


class Missing(Exception):  # noqa: N818 - named for what is met
    """A system is not installed; the message says what to install."""


def installing(*packages: str) -> str:
    """Return the command that puts packages where the benchmarks look for them."""
    python = os.path.relpath(sys.executable)
    if importlib.util.find_spec("pip") is None:
        return f"python3 -m pip --python {python} install {' '.join(packages)}"
    return f"{python} -m pip install {' '.join(packages)}"


class System(ABC):
    """One system. Entering it starts it, leaving it ends it and removes what it left."""

    name: str
    """What the table says."""
    driver: str
    """Which function of ``driver`` asks it."""
    durability: str
    """``fsync``, or ``memory``: nothing waits for a disk."""
    replicated = True
    mixes: Sequence[str] = ("set", "get", "90/10")

    def __init__(self) -> None:
        self.processes: list[subprocess.Popen[bytes]] = []

    @classmethod
    def look(cls) -> None:
        """Make sure that it is installed.

        Raises:
            Missing: it is not.
        """
        return  # What comes with this project is always there.

    @abstractmethod
    def start(self) -> None:
        """Start it and wait until it takes work."""

    @abstractmethod
    def target(self) -> str:
        """Return what the driver has to know: where it listens."""

    def pids(self) -> list[int]:
        """Return the server processes."""
        return [process.pid for process in self.processes]

    def stop(self) -> None:
        """End it."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.wait()

    def __enter__(self) -> Self:
        """Start it."""
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End it."""
        self.stop()

    def measure(self, work: Work) -> Sample:
        """Put one load on it, from a process of its own."""
        asked = msgspec.json.encode(work).decode()
        command = [sys.executable, "-P", str(_DRIVER), self.driver, self.target(), asked]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as driver:
            assert driver.stdout is not None, "it was asked for"
            try:
                return self.listen(driver.stdout)
            finally:
                driver.kill()

    def listen(self, told: IO[bytes]) -> Sample:
        """Take what a driver tells, and add what the servers spent meanwhile."""
        servers = [psutil.Process(pid) for pid in self.pids()]
        _expect(told.readline(), "begin", self.name)
        before, began = _cpu_seconds(servers), time.perf_counter()
        _expect(told.readline(), "end", self.name)
        spent, span = _cpu_seconds(servers) - before, time.perf_counter() - began
        sample = msgspec.json.decode(told.readline(), type=Sample)
        return msgspec.structs.replace(
            sample,
            server_us=spent / (sample.per_second * span) * 1e6,
            resident_bytes=sum(server.memory_info().rss for server in servers),
        )


def _expect(line: bytes, word: str, name: str) -> None:
    if line.strip() != word.encode():
        raise RuntimeError(
            f"{name}: its driver said {line.decode().strip() or 'nothing'!r}, not {word!r}"
        )


def _cpu_seconds(servers: Sequence[psutil.Process]) -> float:
    times = [server.cpu_times() for server in servers]
    return float(sum(each.user + each.system for each in times))
