"""Where a leader's time goes under a load: py-spy looks at it, this file sorts what it saw.

py-spy reads the process's memory from outside, so that a node needs no switch for it and is hardly
slowed. Two of them look at once: one draws the flame graph, one writes the stacks that are sorted
here.
"""

import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from ..errors import CheckFailed, UsageError

RATE: Final = 200
"""Looks per second: enough to tell apart what takes a hundredth of the time."""
MARGIN_SECONDS: Final = 10.0
MAIN_THREAD: Final = "MainThread"

KINDS: Final = ("receive", "decode", "raft", "apply", "encode", "wal", "reply", "other", "idle")
"""What the loop does, in the order in which a request meets it. ``reply`` is all sending."""

_IDLE: Final = ("zmq_poll", "Poller.poll", "poll (zmq")
_RULES: Final = (
    ("(raftcache/transport/clients.py", {"receive": "receive", "send": "reply", "_try": "reply"}),
    ("(raftcache/transport/", {"receive": "receive", "send": "reply", "_send": "reply"}),
    ("(raftcache/protocol/replies.py", {"": "encode"}),
    ("(raftcache/protocol/peer.py", {"encode": "encode", "": "decode"}),
    ("(raftcache/protocol/", {"encode": "encode", "": "decode"}),
    ("(raftcache/raft/", {"": "raft"}),
    ("(raftcache/store/commands.py", {"encode": "encode", "": "decode"}),
    ("(raftcache/store/", {"": "apply"}),
    ("(raftcache/storage/", {"": "wal"}),
)


def find_py_spy() -> str:
    """Return where py-spy is.

    Raises:
        UsageError: it is not installed.
    """
    beside = Path(sys.executable).with_name("py-spy")
    found = str(beside) if beside.exists() else shutil.which("py-spy")
    if found is None:
        raise UsageError(
            "--profile needs py-spy, which is not installed", hint="pip install py-spy"
        )
    return found


class Profile:
    """Looks at one process for so long, from :meth:`begin` on."""

    def __init__(self, pid: int, seconds: float, picture: Path) -> None:
        self._command = [find_py_spy(), "record", "--nonblocking", "--threads", "--pid", str(pid)]
        self._command += ["--rate", str(RATE), "--duration", str(max(1, round(seconds)))]
        self._seconds = seconds
        self._picture = picture
        self._stacks = Path(tempfile.mkdtemp(prefix="raftcache-profile-")) / "stacks.txt"
        self._running: list[subprocess.Popen[bytes]] = []

    def begin(self) -> None:
        """Begin to look, if it has not begun."""
        if self._running:
            return
        for style, output, more in (
            ("flamegraph", self._picture, []),
            ("raw", self._stacks, ["--idle"]),
        ):
            command = [*self._command, "--format", style, "--output", str(output), *more]
            self._running.append(
                subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
            )

    def finish(self) -> Mapping[str, float]:
        """Wait for it, and return the share of the loop's time that went into each of ``KINDS``.

        Raises:
            CheckFailed: py-spy could not look; with its own words.
        """
        try:
            for process in self._running:
                _, said = process.communicate(timeout=self._seconds + MARGIN_SECONDS)
                if process.returncode:
                    words = said.decode(errors="replace").strip().splitlines()
                    raise CheckFailed(
                        f"py-spy could not look at the leader: {words[-1] if words else 'no word'}",
                        hint="it needs the right to trace: run it as root",
                    )
            return shares(self._stacks.read_text().splitlines())
        finally:
            for process in self._running:
                process.kill()
                process.communicate()
            shutil.rmtree(self._stacks.parent, ignore_errors=True)


def shares(stacks: Iterable[str]) -> Mapping[str, float]:
    """Sort stacks, ``frame;frame;… count`` from the outside in, by what the loop was doing.

    Of other threads only what is about the disk is seen here: the loop waits for none of them.
    """
    counts: Counter[str] = Counter()
    for line in stacks:
        stack, _, count = line.rpartition(" ")
        frames = stack.split(";")
        if count.isdigit() and MAIN_THREAD in frames[0]:
            counts[kind_of(frames)] += int(count)
    total = sum(counts.values())
    return {kind: counts[kind] / total if total else 0.0 for kind in KINDS}


def kind_of(frames: list[str]) -> str:
    """Return which of ``KINDS`` the innermost frame that tells belongs to."""
    if any(word in frames[-1] for word in _IDLE):
        return "idle"
    for frame in reversed(frames):
        for place, words in _RULES:
            if place not in frame:
                continue
            name = frame.partition(" (")[0].rpartition(".")[2]
            for word, kind in words.items():
                if name.startswith(word):
                    return kind
    return "other"
