"""What is asked of every system, and what is told of it."""

import time
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

KEYS: Final = 10_000
VALUE: Final = b"v" * 256
_STRIDE: Final = 7_919  # a prime: every key comes, and neighbours are far apart
MIXES: Final = ("set", "get", "90/10")


class Work(msgspec.Struct, frozen=True):
    """One closed loop: each of ``callers`` waits for its answer before it asks again."""

    mix: str
    """``set``, ``get`` (linearizable), or ``90/10``: nine gets to a set."""
    callers: int
    seconds: float
    warm_up: float = 1.0
    batch: int = 1
    """Operations in a request."""


class Sample(msgspec.Struct, frozen=True):
    """What one run came to."""

    per_second: float
    p50_ms: float
    p99_ms: float
    driver_us: float
    """CPU of the process that asked, in microseconds per operation."""
    driver_cores: float
    """The same as a share of the time: near 1, the driver was the limit, not the system."""
    server_us: float = 0.0
    """CPU of all server processes, in microseconds per operation."""
    resident_bytes: int = 0
    """Memory of all server processes at the end."""


def key(number: int) -> bytes:
    """Return one of the keys: 16 bytes."""
    return b"bench:%010d" % (number * _STRIDE % KEYS)


def is_set(work: Work, number: int) -> bool:
    """Tell whether the operation with this number writes."""
    return work.mix == "set" or (work.mix == "90/10" and number % 10 == 0)


class Meter:
    """Times operations from the end of the warm-up on; ``begin`` and ``end`` are told the parent.

    ``note`` takes when a request was sent and answered, and says whether to go on.
    """

    def __init__(self, work: Work, tell: Callable[[str], None]) -> None:
        self._work = work
        self._tell = tell
        self._begin = time.perf_counter() + work.warm_up
        self._end = self._begin + work.seconds
        self._latencies: list[float] = []
        self._cpu = 0.0
        self._started = 0.0
        self.over = False

    def note(self, sent: float, now: float) -> bool:
        """Count one answered request; False: the time is over."""
        if now < self._begin or self.over:
            return not self.over
        if not self._started:
            self._started, self._cpu = now, time.process_time()
            self._tell("begin")
            return True
        self._latencies.append(now - sent)
        if now >= self._end:
            self._cpu = time.process_time() - self._cpu
            self._end = now
            self.over = True
            self._tell("end")
        return not self.over

    def sample(self) -> Sample:
        """Return what it came to."""
        assert self.over, "the time is not over"
        latencies = sorted(self._latencies)
        span = self._end - self._started
        operations = len(latencies) * self._work.batch
        return Sample(
            per_second=operations / span,
            p50_ms=_at(latencies, 0.50) * 1_000,
            p99_ms=_at(latencies, 0.99) * 1_000,
            driver_us=self._cpu / operations * 1e6,
            driver_cores=self._cpu / span,
        )


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
