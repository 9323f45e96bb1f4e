"""The floors: what pyzmq itself allows, with no Raft, no store and no sessions.

``Echo`` is one ROUTER that answers at once. ``Replicate`` is three processes: the first hands each
batch of requests to two others, and answers when one of them has acknowledged it; with ``fsync``
each has written and synced the batch before.
"""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from .system import System

_PROGRAM = Path(__file__).with_name("floor_process.py")


class _Floor(System):
    driver = "ours_req"

    def _begin(self, *arguments: str) -> str:
        command = [sys.executable, "-P", str(_PROGRAM), *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE)
        self.processes.append(process)
        assert process.stdout is not None, "it was asked for"
        return process.stdout.readline().decode().strip()


class Echo(_Floor):
    """A plain echo: one process."""

    name = "floor: echo"
    durability = "memory"
    replicated = False

    def start(self) -> None:
        """Start it."""
        self._target = self._begin("echo")

    def target(self) -> str:
        """Return its endpoint."""
        return self._target


class Replicate(_Floor):
    """Replicate and acknowledge: three processes."""

    name = "floor: replicate"
    durability = "memory"
    mixes = ("set",)

    def start(self) -> None:
        """Start the two, then the one that hands on to them."""
        self._folder = Path(tempfile.mkdtemp(prefix="raftcache-floor-"))
        logs = [str(self._folder / name) for name in "abc"]
        if self.durability == "memory":
            logs = ["-", "-", "-"]
        followers = [self._begin("follow", log) for log in logs[1:]]
        self._target = self._begin("lead", logs[0], *followers)

    def target(self) -> str:
        """Return the endpoint of the one that takes requests."""
        return self._target

    def stop(self) -> None:
        """End them and remove their logs."""
        super().stop()
        shutil.rmtree(self._folder, ignore_errors=True)


class ReplicateSynced(Replicate):
    """The same, each batch synced to three disks."""

    name = "floor: replicate, fsync"
    durability = "fsync"
