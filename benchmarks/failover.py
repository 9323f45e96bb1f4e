"""How long nobody can write when a leader is lost, or when all nodes are restarted one by one.

    benchmarks/run failover [--fault kill|pause|isolate|restart] [--times 100]
                                  [--callers 32] [--no-detect] [--json]

A cluster of three; callers write all the time, each with a client of its own, numbered in its
session. The leader's process is killed with SIGKILL (supervisord starts it again), stopped with
SIGSTOP, or cut off from the others, again and again. The window of a blow is the time from it to
the first write that its successor acknowledges; beside it stand its parts: until an election began,
until it was won, and until a write was acknowledged that was sent after the blow; and how long in
it the new leader's loop waited for a processor, which on a busy host is most of it. ``--no-detect``
leaves it to the election timeout to notice that a process is gone.

``restart`` restarts all nodes in turn, leader last, as ``bin/cluster restart --rolling`` does. The
gap is the longest time in which no caller was answered, beside that of as many seconds in which
nothing was restarted; what failed is counted.

Exit code 1: a target was missed.
"""

import argparse
import os
import signal
import subprocess
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

SETTLE_SECONDS: Final = 0.3
"""Between two blows: the node that was lost is back, and the load goes evenly."""
LOST_SECONDS: Final = 0.7
"""How long a leader stays paused or cut off: more than twice its followers' patience."""
READY_SECONDS_MAX: Final = 60.0
WINDOW_SECONDS_MAX: Final = 10.0
POLL_SECONDS: Final = 0.02
SAMPLE_SECONDS: Final = 0.003
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
    starved: float
    """So long in it the new leader's loop waited for a processor."""
    terms: int
    """How many terms it took."""


class Waits:
    """Follows how long nodes' loops wait for a processor (Linux), while a leader is missing."""

    def __init__(self, pids: Mapping[str, int]) -> None:
        self._places = {name: Path(f"/proc/{pid}/schedstat") for name, pid in pids.items()}
        self._samples: list[tuple[float, dict[str, float]]] = []
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more samples."""
        self._over.set()
        self._thread.join()

    def waited_ms(self, name: str, begin_ms: float, end_ms: float) -> float:
        """Return how long a node's loop was ready to run in this time, and did not."""
        inside = [waits[name] for at, waits in self._samples if begin_ms - 5 <= at <= end_ms]
        return inside[-1] - inside[0] if inside else 0.0

    def _run(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            with suppress(OSError):  # one that was killed is not asked; elsewhere there is no /proc
                waits = {
                    name: int(place.read_text().split()[1]) / 1e6
                    for name, place in self._places.items()
                }
                self._samples.append((time.monotonic() * 1_000, waits))


class Callers:
    """The callers, in a process of their own: what is done to the cluster does not disturb it."""

    def __init__(self, endpoints: Sequence[str], count: int) -> None:
        program = str(Path(__file__).with_name("_callers.py"))
        self._process = subprocess.Popen(
            [sys.executable, program, str(count), *endpoints],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def mark(self) -> float:
        """Begin to keep answers; return the moment, in ms."""
        return float(self._ask({"do": "mark"}))

    def first_after(self, won_ms: float, blow_ms: float) -> tuple[float, float]:
        """Return when the first write was answered after ``won_ms``: any, and one sent since.

        ``won_ms``: what came before may be an answer of the old leader's, on its way still.
        """
        deadline = time.monotonic() + WINDOW_SECONDS_MAX
        while time.monotonic() < deadline:
            found = self._ask({"do": "first", "won_ms": won_ms, "blow_ms": blow_ms})
            if found is not None:
                return found[0], found[1]
            time.sleep(POLL_SECONDS)
        raise SystemExit(f"no write within {WINDOW_SECONDS_MAX:g} s of an election")

    def longest_gap(self, act: Callable[[], object]) -> tuple[float, float]:
        """Do something; return the longest time without an answer, and the slowest write; in ms."""
        self._ask({"do": "gap"})
        act()
        gap_ms, slowest_ms = self._ask({"do": "gap"})
        return gap_ms, slowest_ms

    def stop(self) -> tuple[int, list[str]]:
        """End them; return how many writes were acknowledged, and what failed."""
        try:
            acknowledged, failed = self._ask({"do": "stop"})
        finally:
            self._process.kill()
            self._process.wait()
        return acknowledged, failed

    def _ask(self, order: dict[str, Any]) -> Any:
        assert self._process.stdin is not None, "it was asked for"
        assert self._process.stdout is not None, "it was asked for"
        self._process.stdin.write(msgspec.json.encode(order) + b"\n")
        self._process.stdin.flush()
        return msgspec.json.decode(self._process.stdout.readline())


def kill(_cluster: Throwaway, view: ClusterView) -> float:
    """Kill the leader; supervisord starts it again."""
    blow_ms = time.monotonic() * 1_000
    os.kill(pids(view)[str(view.leader)], signal.SIGKILL)
    return blow_ms


def pause(_cluster: Throwaway, view: ClusterView) -> float:
    """Stop the leader in its tracks, for a while."""
    blow_ms = time.monotonic() * 1_000
    os.kill(pids(view)[str(view.leader)], signal.SIGSTOP)
    return blow_ms


def resume(_cluster: Throwaway, view: ClusterView) -> None:
    """Let the paused go on."""
    os.kill(pids(view)[str(view.leader)], signal.SIGCONT)


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
    waits = Waits({name: pid for name, pid in pids(before).items() if name != before.leader})
    blow_ms = FAULTS[fault](cluster, before)
    try:
        after = successor(cluster, before)
        election: dict[str, Any] = (after.node(str(after.leader)).status or {})["election"]
        first_ms, sent_ms = callers.first_after(election["won_ms"], blow_ms)
        time.sleep(max(0.0, LOST_SECONDS + (marked_ms / 1_000) - time.monotonic()))
    finally:
        waits.stop()
        if fault in MENDS:
            MENDS[fault](cluster, before)
    return Window(
        first_ms - blow_ms,
        sent_ms - blow_ms,
        election["started_ms"] - blow_ms,
        election["won_ms"] - blow_ms,
        waits.waited_ms(str(after.leader), blow_ms, first_ms),
        (after.term or 0) - (before.term or 0),
    )


def pids(view: ClusterView) -> dict[str, int]:
    """Return the nodes' processes."""
    return {node.name: node.pid for node in view.nodes if node.pid is not None}


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
            f"{window.elected:.0f}; sent after it {window.sent:.1f}; no processor for "
            f"{window.starved:.0f})  terms +{window.terms}",
        )
    found = {
        name: _figures([getattr(window, name) for window in windows])
        for name in ("written", "sent", "noticed", "elected", "starved")
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
        gap_ms, slowest_ms = callers.longest_gap(lambda: cluster.cluster.restart(rolling=True))
        gaps.append(gap_ms)
        slowest.append(slowest_ms)
        seconds = time.monotonic() - began
        quiet.append(callers.longest_gap(partial(time.sleep, seconds))[0])
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
        ("starved", "no processor"),
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
        run = restarts if given.fault == "restart" else blows
        try:
            found = run(cluster, callers, given)
        finally:
            acknowledged, failed = callers.stop()
    report = {
        "fault": given.fault,
        "times": given.times,
        "callers": given.callers,
        "detect_disconnects": not given.no_detect,
        "durability": given.durability,
        "acknowledged": acknowledged,
        "failed": len(failed),
        "failures": failed[:5],
        **found,
    }
    report["met"] = judge(report)
    if given.json:
        print(msgspec.json.encode(report).decode())
    else:
        show(report)
    for failure in failed[:5]:
        print(f"failed: {failure}", file=sys.stderr)
    return 0 if all(report["met"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
