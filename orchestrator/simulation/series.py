"""Many seeds, on all cores: worker processes that each run their share, and what they report.

A worker takes every so-manieth seed and reports one outcome after the other, so it is known which
seed it was at when it dies or does not go on. Workers are deaf to Ctrl-C: their parent ends them.
"""

import multiprocessing
import os
import signal
import time
import warnings
from collections import Counter
from collections.abc import Generator
from multiprocessing.connection import Connection, wait
from typing import NamedTuple

import msgspec

from .run import Options, Outcome, run_seed

HANG_SECONDS = 180.0
"""After so long without an outcome, a run is taken to be one that never ends."""
BEAT_SECONDS = 0.5

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Outcome).decode


class Lost(NamedTuple):
    """A seed without an outcome: its worker died, or did not go on."""

    seed: int
    what: str


class Tally:
    """What came of all seeds so far."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.seeds = 0
        self.events = 0
        self.operations = 0
        self.failed: list[Outcome] = []
        self.lost: list[Lost] = []
        self.faults: Counter[str] = Counter()
        self.points: Counter[str] = Counter()
        self.counts: Counter[str] = Counter()

    @property
    def seconds(self) -> float:
        """How long it has taken."""
        return time.monotonic() - self.began

    @property
    def ok(self) -> bool:
        """Tell whether nothing was found."""
        return not self.failed and not self.lost

    @property
    def fault_count(self) -> int:
        """How many things went wrong on purpose."""
        return self.faults.total() + self.points.total()

    def add(self, report: Outcome | Lost) -> None:
        """Count what came of a seed."""
        self.seeds += 1
        if isinstance(report, Lost):
            self.lost.append(report)
            return
        self.events += report.events
        self.operations += report.operations
        self.faults.update(report.faults)
        self.points.update(report.points)
        self.counts.update(report.counts)
        if not report.ok:
            self.failed.append(report)


class _Worker:
    """A process that runs ``range(next_seed, end, stride)``."""

    def __init__(self, next_seed: int, end: int, stride: int, options: Options) -> None:
        self.next_seed, self.end, self.stride, self.options = next_seed, end, stride, options
        context = multiprocessing.get_context("fork")
        self.connection, theirs = context.Pipe(duplex=False)
        self.process = context.Process(
            target=_work, args=(theirs, next_seed, end, stride, options), daemon=True
        )
        with warnings.catch_warnings():
            # Newer Pythons warn of threads: a worker needs nothing that one of ours could hold.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.process.start()
        theirs.close()
        self.heard = time.monotonic()

    @property
    def is_done(self) -> bool:
        return self.next_seed >= self.end

    def report(self) -> Outcome | Lost | None:
        """Return what it has to tell now; None: nothing more, ever."""
        try:
            outcome = _decode(self.connection.recv_bytes())
        except EOFError:
            self.process.join()
            if self.is_done:
                return None
            code = self.process.exitcode
            return self._lost(f"its worker process died: exit code {code}")
        self.heard = time.monotonic()
        self.next_seed += self.stride
        return outcome

    def give_up(self) -> Lost:
        """End a worker that does not go on."""
        self.end_now()
        return self._lost(f"the run did not end within {HANG_SECONDS:.0f} s")

    def successor(self) -> "_Worker | None":
        """Return a worker for the rest; None: there is no rest."""
        return (
            None if self.is_done else _Worker(self.next_seed, self.end, self.stride, self.options)
        )

    def end_now(self) -> None:
        """Kill the process, if it still runs."""
        self.process.kill()
        self.process.join()
        self.connection.close()

    def _lost(self, what: str) -> Lost:
        lost = Lost(self.next_seed, what)
        self.next_seed += self.stride
        return lost


def run_series(
    first: int, end: int, options: Options, *, workers: int | None = None
) -> Generator[Outcome | Lost | None, None, None]:
    """Run the seeds from ``first`` to before ``end``; yield what comes of each, as it comes.

    Also yields None now and then, so that the caller can look at the clock. Whoever stops early
    closes the iterator, which ends the workers.
    """
    count = min(workers or cores(), max(1, end - first))
    running = [_Worker(first + number, end, count, options) for number in range(count)]
    try:
        while running:
            ready = wait([worker.connection for worker in running], BEAT_SECONDS)
            for worker in list(running):
                report: Outcome | Lost | None = None
                if worker.connection in ready:
                    report = worker.report()
                elif time.monotonic() - worker.heard < HANG_SECONDS:
                    continue
                else:
                    report = worker.give_up()
                if report is not None:
                    yield report
                if report is None or isinstance(report, Lost):
                    running.remove(worker)
                    successor = worker.successor()
                    if successor is not None:
                        running.append(successor)
            yield None
    finally:
        for worker in running:
            worker.end_now()


def cores() -> int:
    """Return how many seeds can run at once."""
    return len(os.sched_getaffinity(0))


def _work(connection: Connection, first: int, end: int, stride: int, options: Options) -> None:
    """Run a worker's seeds; all of its process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        for seed in range(first, end, stride):
            connection.send_bytes(_encode(run_seed(seed, options)))
    except BrokenPipeError:
        pass  # Nobody wants to know any more.
    os._exit(0)
