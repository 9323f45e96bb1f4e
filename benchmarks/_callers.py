"""Callers that write all the time, in a process of their own; told by ``failover.py`` what to tell.

    python benchmarks/_callers.py COUNT ENDPOINT...

Orders come in as lines of JSON, and each is answered by one. Moments are those of CLOCK_MONOTONIC,
which all processes of a host share.
"""

import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from raftcache.client import Client, RequestError

PAUSE_SECONDS: Final = 0.002
"""Between two writes of a caller: the nodes and this process share a few cores."""


class Callers:
    """Threads that write, one write after the other, and notice when they are answered again."""

    def __init__(self, endpoints: Sequence[str], count: int) -> None:
        self.failed: list[str] = []
        self.acknowledged = 0
        self._slowest_ms = 0.0
        self._endpoints = endpoints
        self._over = threading.Event()
        self._lock = threading.Lock()
        self._answers: list[tuple[float, float]] = []
        """When each write was sent, and acknowledged, in ms; in the order of the second."""
        self._keeping = False
        self._last_ms = 0.0
        self._gap_ms = 0.0
        self._threads = [
            threading.Thread(target=self._run, args=(number,), daemon=True)
            for number in range(count)
        ]

    def start(self) -> None:
        """Begin to write."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> tuple[int, list[str]]:
        """Let each finish its write; return how many were acknowledged, and what failed."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        return self.acknowledged, self.failed

    def mark(self) -> float:
        """Begin to keep answers; return the moment, in ms."""
        with self._lock:
            self._answers = []
            self._keeping = True
            return time.monotonic() * 1_000

    def first(self, won_ms: float, blow_ms: float) -> tuple[float, float] | None:
        """Return when the first write was answered after ``won_ms``: any, and one sent since.

        None: there is none yet.
        """
        with self._lock:
            answers = [one for one in self._answers if one[1] >= won_ms]
            later = [done for sent, done in answers if sent >= blow_ms]
            if not later:
                return None
            self._keeping = False
            return answers[0][1], later[0]

    def gap(self) -> tuple[float, float]:
        """Return, since the last time, the longest time without an answer and the slowest write."""
        with self._lock:
            found = max(self._gap_ms, time.monotonic() * 1_000 - self._last_ms), self._slowest_ms
            self._gap_ms = self._slowest_ms = 0.0
            return found

    def _run(self, number: int) -> None:
        with Client(self._endpoints, timeout=30) as client:
            for turn in range(sys.maxsize):
                if self._over.wait(PAUSE_SECONDS):
                    return
                sent_ms = time.monotonic() * 1_000
                try:
                    client.set(f"failover:{number}:{turn % 100}", str(turn))
                except RequestError as error:
                    self.failed.append(str(error))
                else:
                    self._answered(sent_ms)

    def _answered(self, sent_ms: float) -> None:
        with self._lock:
            now_ms = time.monotonic() * 1_000
            self.acknowledged += 1
            self._slowest_ms = max(self._slowest_ms, now_ms - sent_ms)
            if self._last_ms:
                self._gap_ms = max(self._gap_ms, now_ms - self._last_ms)
            self._last_ms = max(self._last_ms, now_ms)
            if self._keeping:
                self._answers.append((sent_ms, now_ms))


def main() -> None:
    """Write until told to stop."""
    count, *endpoints = sys.argv[1:]
    callers = Callers(endpoints, int(count))
    callers.start()
    orders = {
        "mark": callers.mark,
        "first": callers.first,
        "gap": callers.gap,
        "stop": callers.stop,
    }
    for line in sys.stdin:
        order: dict[str, Any] = msgspec.json.decode(line)
        answer = orders[order.pop("do")](**order)  # type: ignore[operator]
        print(msgspec.json.encode(answer).decode(), flush=True)


if __name__ == "__main__":
    main()
