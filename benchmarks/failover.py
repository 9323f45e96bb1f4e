"""How long nobody can write when a leader is lost, or when all nodes are restarted one by one.

    python benchmarks/failover.py [--fault kill|pause|isolate|restart] [--times 100]
                                  [--callers 32] [--no-detect] [--json]

A cluster of three; callers write all the time, each with a client of its own, numbered in its
session. The leader's process is killed with SIGKILL (supervisord starts it again), stopped with
SIGSTOP, or cut off from the others, again and again. The window of a blow is the time from it to
the first write that its successor acknowledges; beside it stand its parts: until an election began,
until it was won, and until a write was acknowledged that was sent after the blow. ``--no-detect``
leaves it to the election timeout to notice that a process is gone.

``restart`` restarts all nodes in turn, leader last, as ``bin/cluster restart --rolling`` does. The
gap is the longest time in which no caller was answered, beside that of as many seconds in which
nothing was restarted; what failed is counted.

Exit code 1: a target was missed.
"""

import argparse
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from statistics import median, quantiles
from typing import Any, Final, NamedTuple

import msgspec

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from orchestrator.throwaway import Throwaway
from orchestrator.view import ClusterView
from raftcache.client import Client, RequestError

PAUSE_SECONDS: Final = 0.002
"""Between two writes of a caller: the nodes and this process share a few cores."""
SETTLE_SECONDS: Final = 0.3
"""Between two blows: the node that was lost is back, and the load goes evenly."""
LOST_SECONDS: Final = 0.7
"""How long a leader stays paused or cut off: more than twice its followers' patience."""
READY_SECONDS_MAX: Final = 60.0
WINDOW_SECONDS_MAX: Final = 10.0
POLL_SECONDS: Final = 0.02
GAP_MS_MAX: Final = 60.0
TARGETS: Final[Mapping[str, Mapping[str, float]]] = {
    "kill": {"median": 40, "p95": 150, "max": 600},
    "pause": {"median": 400},
    "isolate": {"median": 400},
}
"""Milliseconds, at the most."""


class Window(NamedTuple):
    """What one blow came to, in milliseconds after it."""

    written: float
    """A write was acknowledged that the new leader has committed."""
    sent: float
    """And one that was sent after the blow."""
    noticed: float
    """The election that was won had begun."""
    elected: float
    terms: int
    """How many terms it took."""


class Callers:
    """Threads that write, one write after the other, and notice when they are answered again."""

    def __init__(self, endpoints: Sequence[str], count: int) -> None:
        self.failed: list[str] = []
        self.acknowledged = 0
        self.slowest_ms = 0.0
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

    def stop(self) -> None:
        """Let each finish its write."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def mark(self) -> float:
        """Begin to keep answers; return the moment, in ms."""
        with self._lock:
            self._answers = []
            self._keeping = True
            return time.monotonic() * 1_000

    def first_after(self, won_ms: float, blow_ms: float) -> tuple[float, float]:
        """Return when the first write was answered after ``won_ms``: any, and one sent since.

        ``won_ms``: what came before may be an answer of the old leader's, on its way still.
        """
        deadline = time.monotonic() + WINDOW_SECONDS_MAX
        while time.monotonic() < deadline:
            with self._lock:
                answers = [one for one in self._answers if one[1] >= won_ms]
            later = [done for sent, done in answers if sent >= blow_ms]
            if later:
                self._keeping = False
                return answers[0][1], later[0]
            time.sleep(POLL_SECONDS)
        raise SystemExit(f"no write within {WINDOW_SECONDS_MAX:g} s of an election")

    def longest_gap(self, act: Callable[[], object]) -> float:
        """Do something; return the longest time in it without any answer, in ms."""
        with self._lock:
            self._gap_ms, self.slowest_ms = 0.0, 0.0
        act()
        with self._lock:
            return max(self._gap_ms, time.monotonic() * 1_000 - self._last_ms)

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
            self.slowest_ms = max(self.slowest_ms, now_ms - sent_ms)
            if self._last_ms:
                self._gap_ms = max(self._gap_ms, now_ms - self._last_ms)
            self._last_ms = max(self._last_ms, now_ms)
            if self._keeping:
                self._answers.append((sent_ms, now_ms))


def kill(_cluster: Throwaway, view: ClusterView) -> float:
    """Kill the leader; supervisord starts it again."""
    blow_ms = time.monotonic() * 1_000
    os.kill(_leader_pid(view), signal.SIGKILL)
    return blow_ms


def pause(_cluster: Throwaway, view: ClusterView) -> float:
    """Stop the leader in its tracks, for a while."""
    blow_ms = time.monotonic() * 1_000
    os.kill(_leader_pid(view), signal.SIGSTOP)
    return blow_ms


def resume(_cluster: Throwaway, view: ClusterView) -> None:
    """Let the paused go on."""
    os.kill(_leader_pid(view), signal.SIGCONT)


def isolate(cluster: Throwaway, view: ClusterView) -> float:
    """Cut the leader off from the others, for a while."""
    return cluster.cluster.isolate(str(view.leader), wait=False).failover.at_ms


def heal(cluster: Throwaway, _view: ClusterView) -> None:
    """Make all links whole."""
    cluster.cluster.heal()


FAULTS: Final[Mapping[str, Callable[[Throwaway, ClusterView], float]]] = {
    "kill": kill,
    "pause": pause,
    "isolate": isolate,
}
"""Each returns when the blow fell, in ms."""
MENDS: Final = {"pause": resume, "isolate": heal}


def one_blow(cluster: Throwaway, callers: Callers, fault: str) -> Window:
    """Take the leader away, and see what becomes of it."""
    before = cluster.cluster.wait("ready", seconds=READY_SECONDS_MAX)
    time.sleep(SETTLE_SECONDS)
    marked_ms = callers.mark()
    blow_ms = FAULTS[fault](cluster, before)
    try:
        after = successor(cluster, before)
        election: dict[str, Any] = (after.node(str(after.leader)).status or {})["election"]
        first_ms, sent_ms = callers.first_after(election["won_ms"], blow_ms)
        time.sleep(max(0.0, LOST_SECONDS + (marked_ms / 1_000) - time.monotonic()))
    finally:
        if fault in MENDS:
            MENDS[fault](cluster, before)
    return Window(
        first_ms - blow_ms,
        sent_ms - blow_ms,
        election["started_ms"] - blow_ms,
        election["won_ms"] - blow_ms,
        (after.term or 0) - (before.term or 0),
    )


def successor(cluster: Throwaway, before: ClusterView) -> ClusterView:
    """Wait until a later term has a leader."""
    deadline = time.monotonic() + WINDOW_SECONDS_MAX
    while time.monotonic() < deadline:
        view = cluster.cluster.wait("leader", seconds=WINDOW_SECONDS_MAX)
        status = view.node(str(view.leader)).status or {}
        if (view.term or 0) > (before.term or 0) and status.get("election"):
            return view
        time.sleep(POLL_SECONDS)
    raise SystemExit(f"no election within {WINDOW_SECONDS_MAX:g} s of the blow")


def blows(cluster: Throwaway, callers: Callers, given: argparse.Namespace) -> dict[str, Any]:
    """Strike again and again; return the figures."""
    windows: list[Window] = []
    terms: Counter[int] = Counter()
    for number in range(1, given.times + 1):
        window = one_blow(cluster, callers, given.fault)
        windows.append(window)
        terms[window.terms] += 1
        say(
            given,
            f"{number:>4}  {window.written:7.1f} ms (election began {window.noticed:.0f}, won "
            f"{window.elected:.0f}; sent after it {window.sent:.1f})  terms +{window.terms}",
        )
    found = {
        name: _figures([getattr(window, name) for window in windows])
        for name in ("written", "sent", "noticed", "elected")
    }
    return {**found, "terms": dict(sorted(terms.items())), "targets_ms": TARGETS[given.fault]}


def restarts(cluster: Throwaway, callers: Callers, given: argparse.Namespace) -> dict[str, Any]:
    """Restart all nodes, one by one, again and again; return the figures."""
    gaps: list[float] = []
    quiet: list[float] = []
    slowest: list[float] = []
    for number in range(1, given.times + 1):
        cluster.cluster.wait("ready", seconds=READY_SECONDS_MAX)
        time.sleep(SETTLE_SECONDS)
        began = time.monotonic()
        gaps.append(callers.longest_gap(lambda: cluster.cluster.restart(rolling=True)))
        slowest.append(callers.slowest_ms)
        seconds = time.monotonic() - began
        quiet.append(callers.longest_gap(partial(time.sleep, seconds)))
        say(
            given,
            f"{number:>4}  longest gap {gaps[-1]:.1f} ms, slowest write {slowest[-1]:.1f} ms; in "
            f"{seconds:.1f} s without a restart {quiet[-1]:.1f} ms",
        )
    return {
        "written": _figures(gaps),
        "quiet": _figures(quiet),
        "slowest": _figures(slowest),
        "targets_ms": {"max": GAP_MS_MAX},
    }


def _figures(values: Sequence[float]) -> dict[str, float]:
    p95 = quantiles(values, n=20)[-1] if len(values) > 1 else values[0]
    figures = {"min": min(values), "median": median(values), "p95": p95, "max": max(values)}
    return {name: round(value, 1) for name, value in figures.items()}


def _leader_pid(view: ClusterView) -> int:
    pid = view.node(str(view.leader)).pid
    assert pid is not None, "a ready node has a process"
    return pid


def show(report: dict[str, Any]) -> None:
    """Print what it came to, and each target."""
    what = "gap" if report["fault"] == "restart" else "window"
    print(
        f"\n{report['fault']}, {report['times']} times, {report['callers']} callers, "
        f"{report['acknowledged']:,} writes acknowledged, {report['failed']} failed"
    )
    for key, title in (
        ("written", what),
        ("sent", "sent after it"),
        ("quiet", "gap, no restart"),
        ("noticed", "election began"),
        ("elected", "election won"),
        ("slowest", "slowest write"),
    ):
        if key in report:
            text = ", ".join(f"{name} {value:.0f}" for name, value in report[key].items())
            print(f"{title:<16}{text} ms")
    if "terms" in report:
        print(f"{'terms':<16}{report['terms']}")
    for name, met in report["met"].items():
        print(f"target: {name:<24} {'met' if met else 'MISSED'}")


def say(given: argparse.Namespace, line: str) -> None:
    """Tell of the progress, beside the result."""
    print(line, file=sys.stderr if given.json else sys.stdout, flush=True)


def judge(report: dict[str, Any]) -> dict[str, bool]:
    """Return of each target whether it is met."""
    met = {
        f"{name} under {most:g} ms": report["written"][name] < most
        for name, most in report["targets_ms"].items()
    }
    return {**met, "no failed request": report["failed"] == 0}


def main() -> int:
    """Run, and print what it comes to."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fault", choices=(*FAULTS, "restart"), default="kill")
    parser.add_argument("--times", type=int, help="100; restarts: 5")
    parser.add_argument("--callers", type=int, default=32)
    parser.add_argument("--durability", choices=("fsync", "os", "memory"), default="fsync")
    parser.add_argument("--no-detect", action="store_true")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    given.times = given.times or (5 if given.fault == "restart" else 100)
    detect = "false" if given.no_detect else "true"
    shape = f"raft: {{detect_disconnects: {detect}}}\nstorage: {{durability: {given.durability}}}\n"
    with Throwaway(shape=shape) as cluster:
        cluster.up()
        callers = Callers(list(cluster.endpoints.values()), given.callers)
        callers.start()
        run = restarts if given.fault == "restart" else blows
        try:
            found = run(cluster, callers, given)
        finally:
            with suppress(RuntimeError):  # one that could not be started is not joined
                callers.stop()
    report = {
        "fault": given.fault,
        "times": given.times,
        "callers": given.callers,
        "detect_disconnects": not given.no_detect,
        "durability": given.durability,
        "acknowledged": callers.acknowledged,
        "failed": len(callers.failed),
        "failures": callers.failed[:5],
        **found,
    }
    report["met"] = judge(report)
    if given.json:
        print(msgspec.json.encode(report).decode())
    else:
        show(report)
    for failure in callers.failed[:5]:
        print(f"failed: {failure}", file=sys.stderr)
    return 0 if all(report["met"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
