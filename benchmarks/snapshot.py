"""What snapshots cost a cluster: the longest stall, elections, time to be ready again, memory.

    benchmarks/run snapshot [--keys 1000000] [--value-bytes 100]

A cluster of three is filled; then, while a client writes and reads all the time, a snapshot is
taken on each node in turn, and one is sent to a follower that was away too long. Then the follower
and the whole cluster are killed and started. Stalls are seen from both sides: the slowest answer
that the client got, and the longest turn of a node's loop as the node itself tells it, with the
time in it that the loop was computing: on a busy machine a turn is long without that.
"""

import argparse
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from orchestrator.events import listen
from orchestrator.probe import Prober
from orchestrator.throwaway import Throwaway
from raftcache.client import Client, OutcomeUnknown, Set

BATCH = 500
SCATTER = 7919  # a prime: keys are created in no order
PROBE_SECONDS = 0.002
SETTLE_SECONDS = 1.0
READY_SECONDS_MAX = 120.0
TARGETS = {"stall_ms": 50, "stall_cpu_ms": 50, "elections": 0, "ready_s": 15, "resident_mb": 600}


class Phase(NamedTuple):
    """What was seen while something happened."""

    name: str
    seconds: float
    probes: int
    p99_ms: float
    slowest_ms: float
    turn_ms: float
    """The longest turn of any node that a node told of; 0: none took 20 ms."""
    turn_of: str
    cpu_ms: float
    """The most that any turn computed: what is left of it on a machine with nothing else to do."""
    elections: int


class Watch:
    """Hears the events of all nodes, on a thread of its own."""

    def __init__(self, cluster: Throwaway) -> None:
        self.slow: list[tuple[str, float, float]] = []
        self.elections = 0
        self.kinds: dict[str, int] = {}
        self._cluster = cluster
        self._over = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more notice."""
        self._over = True

    def _run(self) -> None:
        for event in listen(self._cluster.cluster.state):
            if self._over:
                return
            self._take(event)

    def _take(self, event: dict[str, Any]) -> None:
        kind = event["kind"]
        key = f"{event['node']} {kind}"
        self.kinds[key] = self.kinds.get(key, 0) + 1
        if kind == "slow_turn":
            self.slow.append((event["node"], event["ms"], event["cpu_ms"]))
        elif kind == "role" and event.get("role") == "candidate":
            self.elections += 1
            print(f"  election: {event}")


class Prod:
    """A client that writes and reads a key of its own, one after the other, and takes the time."""

    def __init__(self, endpoints: Sequence[str]) -> None:
        self.latencies: list[float] = []
        self._over = False
        self._endpoints = endpoints
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> list[float]:
        """End it; return how long each operation took, in ms, the longest last."""
        self._over = True
        self._thread.join()
        return sorted(self.latencies)

    def _run(self) -> None:
        with Client(self._endpoints) as client:
            client.ping()
            operations = (lambda: client.set("prod", "x"), lambda: client.get("prod"))
            while not self._over:
                for operation in operations:
                    began = time.perf_counter()
                    try:
                        operation()
                    except OutcomeUnknown:
                        print("  (a write's outcome is unknown)")
                    self.latencies.append((time.perf_counter() - began) * 1e3)
                time.sleep(PROBE_SECONDS)


class Bench:
    """One run on one cluster."""

    def __init__(self, cluster: Throwaway, keys: int, value_bytes: int) -> None:
        self.cluster = cluster
        self.keys = keys
        self.value = bytes(value_bytes)
        self.watch = Watch(cluster)
        self.phases: list[Phase] = []
        self.ready: dict[str, float] = {}
        self.memory: list[dict[str, tuple[float, float]]] = []
        """MB of each node, now and the most since its start; at several moments."""

    def phase(self, name: str, act: Callable[[], None]) -> None:
        """Do something before the eyes of a client, with an ear to the nodes' events."""
        seen, elections = len(self.watch.slow), self.watch.elections
        prod = Prod(list(self.cluster.endpoints.values()))
        time.sleep(SETTLE_SECONDS)
        began = time.monotonic()
        act()
        seconds = time.monotonic() - began
        latencies = prod.stop()
        time.sleep(0.1)  # the last events
        slow = self.watch.slow[seen:]
        turn_of, turn_ms, _ = max(slow, key=lambda one: one[1], default=("", 0.0, 0.0))
        cpu_ms = max((one[2] for one in slow), default=0.0)
        self.phases.append(
            Phase(
                name,
                seconds,
                len(latencies),
                latencies[len(latencies) * 99 // 100],
                latencies[-1],
                turn_ms,
                turn_of,
                cpu_ms,
                self.watch.elections - elections,
            )
        )
        stall = f"turn {turn_ms} ms, CPU {cpu_ms} ms"
        print(f"  {name}: {seconds:.1f} s, slowest {latencies[-1]:.1f} ms, {stall}")

    def fill(self, first: int, count: int) -> None:
        """Write keys in no order, a batch at a time."""
        with Client(list(self.cluster.endpoints.values()), timeout=60) as client:
            for start in range(first, first + count, BATCH):
                numbers = range(start, min(start + BATCH, first + count))
                batch = [Set(b"key-%016d" % (n * SCATTER % self.keys), self.value) for n in numbers]
                try:
                    client.batch(batch)
                except OutcomeUnknown:
                    client.batch(batch)  # To write the same twice does no harm here.

    def snapshot(self, name: str) -> None:
        """Have a node take a snapshot, and wait until it is durable."""
        self._write_some()
        place = f"ipc://{self.cluster.cluster.paths.admin_socket(name)}"
        with closing(Prober({name: place})) as prober:
            asked = prober.ask([name], {"op": "snapshot", "timeout_ms": 60_000}, 60)[name]
        if not asked.reply or not asked.reply.get("ok"):
            raise SystemExit(f"{name} took no snapshot: {asked.reply}")

    def _write_some(self) -> None:
        self.fill(0, BATCH)

    def leader(self) -> str:
        """Return who leads now."""
        view = self.cluster.cluster.wait("leader", seconds=10)
        assert view.leader is not None
        return view.leader

    def behind(self) -> str:
        """Take a follower away until the log no longer reaches back to it; return it."""
        leader = self.leader()
        away = next(name for name in self.cluster.endpoints if name != leader)
        self.cluster.cluster.stop(away)
        self.fill(0, min(self.keys, 100_000))
        for name in self.cluster.endpoints:
            if name != away:
                self.snapshot(name)
        return away

    def start(self, *names: str) -> float:
        """Start nodes; return after how many seconds all had caught up."""
        began = time.monotonic()
        self.cluster.cluster.start(*names, seconds=READY_SECONDS_MAX)
        return time.monotonic() - began

    def cpu_seconds(self) -> list[float]:
        """Return how long each node has computed since its start."""
        times = [
            psutil.Process(node.pid).cpu_times() for node in self.cluster.cluster.status().nodes
        ]
        return [round(each.user + each.system, 1) for each in times]

    def resident(self) -> dict[str, tuple[float, float]]:
        """Return of each node MB of memory: now, and the most since its start."""
        view = self.cluster.cluster.status()
        found = {}
        for node in view.nodes:
            text = Path(f"/proc/{node.pid}/status").read_text(encoding="ascii")
            fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
            now, most = (int(fields[key].split()[0]) * 1024 / 1e6 for key in ("VmRSS", "VmHWM"))
            found[node.name] = (now, most)
        return found


def run(bench: Bench) -> None:
    """Do all that is measured."""
    bench.phase("nothing else", lambda: time.sleep(5))
    bench.phase("filling", lambda: bench.fill(0, bench.keys))
    show_memory("filled", bench)
    leader = bench.leader()
    follower = next(name for name in bench.cluster.endpoints if name != leader)
    bench.phase("taken, leader", lambda: bench.snapshot(leader))
    bench.phase("taken, follower", lambda: bench.snapshot(follower))
    show_memory("snapshots taken", bench)
    away = bench.behind()
    installed = f"{away} snapshot_installed"
    before = bench.watch.kinds.get(installed, 0)
    bench.phase("sent, installed", lambda: _note(bench, "installed", bench.start(away)))
    if bench.watch.kinds.get(installed, 0) == before:
        raise SystemExit(f"{away} was sent no snapshot: {bench.watch.kinds}")
    show_memory("installed", bench)
    bench.cluster.kill(follower)
    bench.phase("one restarted", lambda: _note(bench, "one restarted", bench.start(follower)))
    bench.cluster.cluster.kill("all", wait=False)
    _note(bench, "all restarted", bench.start("all"))
    print(f"  until then the nodes had computed for {bench.cpu_seconds()} s")
    show_memory("restarted", bench)


def _note(bench: Bench, name: str, seconds: float) -> None:
    bench.ready[name] = seconds


def show_memory(when: str, bench: Bench) -> None:
    """Note and print what each node has."""
    found = bench.resident()
    bench.memory.append(found)
    text = ", ".join(f"{name} {now:.0f} (most {most:.0f})" for name, (now, most) in found.items())
    print(f"  memory, {when}: {text} MB")


def show(bench: Bench) -> None:
    """Print the table, and the targets."""
    print(f"\n3 nodes, {bench.keys:,} keys of {len(bench.value)} bytes\n")
    head = f"{'while':<18}{'s':>7}{'probes':>8}{'p99 ms':>8}{'slowest ms':>12}{'turn ms':>10}"
    print(head + f"{'of it CPU':>11}{'elections':>11}")
    for one in bench.phases:
        turn = f"{one.turn_ms:.0f} {one.turn_of}" if one.turn_of else "< 20"
        print(
            f"{one.name:<18}{one.seconds:>7.1f}{one.probes:>8}{one.p99_ms:>8.1f}"
            f"{one.slowest_ms:>12.1f}{turn:>10}{one.cpu_ms:>11.1f}{one.elections:>11}"
        )
    snapshots = [phase for phase in bench.phases if phase.name != "nothing else"]
    most = max(most for nodes in bench.memory for _, most in nodes.values())
    results = {
        "stall_ms": max(phase.turn_ms for phase in snapshots),
        "stall_cpu_ms": max(phase.cpu_ms for phase in snapshots),
        "elections": sum(phase.elections for phase in snapshots),
        "ready_s": max(bench.ready.values()),
        "resident_mb": most,
    }
    print("\nready again: " + ", ".join(f"{k} {v:.1f} s" for k, v in bench.ready.items()))
    print(f"\n{'':<18}{'measured':>10}{'target':>8}")
    for name, target in TARGETS.items():
        verdict = "" if results[name] <= target else "   missed"
        print(f"{name:<18}{results[name]:>10.1f}{target:>8}{verdict}")


@contextmanager
def made(keys: int, value_bytes: int) -> Iterator[Bench]:
    """Give a cluster that is up, watched; end both."""
    with Throwaway(prefix="raftcache-snapshot-") as cluster:
        cluster.up()
        bench = Bench(cluster, keys, value_bytes)
        try:
            yield bench
        finally:
            bench.watch.stop()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--value-bytes", type=int, default=100)
    options = parser.parse_args()
    with made(options.keys, options.value_bytes) as bench:
        run(bench)
        show(bench)


if __name__ == "__main__":
    main()
