"""Whether it stays fast when it grows: keys, nodes, idle clients; snapshots, restarts and memory.

    benchmarks/run growth [--only keys,nodes,idle] [--keys 1000000] [--nodes 9] [--idle 1000]
                                [--seconds 5] [--rounds 3] [--json]

Sets of 100 bytes by 64 callers, fsync; keys that are there already, all over the keyspace. Small
and large stand side by side on equal clusters and take turns (A B A B); idle clients come and go
on one. Told are operations per second and the nodes' CPU per operation. With two processors both
say the same on a quiet host; on a busy one only the second does, so that is what the targets are
judged by.

With many keys it also takes snapshots on the leader under that load (the p99 beside that without),
weighs a key, and restarts all nodes: by the clock, and by the CPU that they took.

Exit code 1: a target was missed.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from statistics import median
from typing import Final

import msgspec
import psutil
import zmq

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from orchestrator.bench.drive import Clock, drive
from orchestrator.bench.loads import ID, Load, Request
from orchestrator.bench.measure import Speed, measure
from orchestrator.errors import OrchestratorError, TryAgain
from orchestrator.probe import Prober
from orchestrator.throwaway import Throwaway
from raftcache.client import Client, Set

BATCH: Final = 500
SCATTER: Final = 7919  # a prime: keys are created, and written, in no order
CALLERS: Final = 64
FEW: Final = 1_000
REQUESTS: Final = 20_000
WARM_UP_SECONDS: Final = 1.0
READY_SECONDS_MAX: Final = 300.0
SNAPSHOT_SECONDS_MAX: Final = 120.0
VALUE: Final = bytes(100)
_encode: Final = msgspec.msgpack.Encoder().encode

KEYS_SHARE_MIN: Final = 0.90
NODES_SHARE_MIN: Final = 0.25
IDLE_SHARE_MIN: Final = 0.95
SNAPSHOT_P99_MAX: Final = 2.0
RESTART_SECONDS_MAX: Final = 8.0
KEY_BYTES_MAX: Final = 450.0


class Verdict(msgspec.Struct):
    """One target, and what was measured of it."""

    name: str
    limit: str
    measured: float
    """What it is judged by."""
    met: bool
    clock: float | None = None
    """The same by the clock, where it is judged by CPU time."""


class Site:
    """A cluster that is ready: three nodes or more, and where its leader takes clients."""

    def __init__(self, cluster: Throwaway) -> None:
        self.cluster = cluster
        self.leader = ""
        self.endpoint = ""
        self.pids: dict[str, int] = {}
        self.look()

    def look(self) -> None:
        """Wait until it is ready; find its leader and its processes."""
        view = self.cluster.cluster.wait("ready", seconds=READY_SECONDS_MAX)
        self.leader = str(view.leader)
        self.endpoint = view.node(self.leader).client
        self.pids = {node.name: node.pid for node in view.nodes if node.pid is not None}

    def fill(self, first: int, last: int, out_of: int) -> None:
        """Write keys with these numbers."""
        with Client(list(self.cluster.endpoints.values()), timeout=120) as client:
            for start in range(first, last, BATCH):
                numbers = range(start, min(start + BATCH, last))
                client.batch([Set(key(number, out_of), bytes(VALUE)) for number in numbers])

    def speed(self, count: int, seconds: float) -> Speed:
        """Measure sets of so many keys at the leader."""
        self.look()
        clock = Clock(WARM_UP_SECONDS, seconds)
        pids = list(self.pids.values())
        return measure(self.endpoint, Load(CALLERS), requests(count), pids, clock)

    def snapshot(self, name: str) -> None:
        """Have a node take a snapshot, and wait until it is durable."""
        place = f"ipc://{self.cluster.cluster.paths.admin_socket(name)}"
        fields = {"op": "snapshot", "timeout_ms": int(SNAPSHOT_SECONDS_MAX * 1_000)}
        with closing(Prober({name: place})) as prober:
            asked = prober.ask([name], fields, SNAPSHOT_SECONDS_MAX)[name]
        if not asked.reply or not asked.reply.get("ok"):
            raise TryAgain(f"{name} took no snapshot: {asked.reply}")

    def resident(self) -> int:
        """Return the memory of the leader's process, in bytes."""
        return int(psutil.Process(self.pids[self.leader]).memory_info().rss)


class Spans:
    """Takes every answer with its moment, so that some can be told apart afterwards."""

    def __init__(self) -> None:
        self.over = False
        self._answers: list[tuple[float, float]] = []

    def note(self, sent: float, now: float) -> bool:
        """Keep one answer; False: it is over."""
        self._answers.append((sent, now))
        return not self.over

    def p99_ms(self, begin: float, end: float) -> float:
        """Return the 99th percentile of those that were under way in this time."""
        inside = sorted(now - sent for sent, now in self._answers if now >= begin and sent <= end)
        return inside[len(inside) * 99 // 100] * 1e3


class Bench:
    """One run: measures, tells of the progress, and gathers the verdicts."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.verdicts: list[Verdict] = []

    def say(self, line: str) -> None:
        """Tell of the progress."""
        print(line, file=sys.stderr, flush=True)

    def in_turn(
        self,
        what: str,
        small: Callable[[], Speed],
        large: Callable[[], Speed],
        share_min: float,
    ) -> None:
        """Measure both, in turn; judge how much of the speed is left."""
        pairs = []
        for number in range(1, self.given.rounds + 1):
            try:
                before, after = small(), large()
            except OrchestratorError as error:  # an election, on a host that is very busy
                self.say(f"{what} {number}/{self.given.rounds}: left out, {error}")
                continue
            pairs.append((before, after))
            self.say(
                f"{what} {number}/{self.given.rounds}: {before.per_second:,.0f} and "
                f"{after.per_second:,.0f} ops/s, {before.cpu_us:.0f} and {after.cpu_us:.0f} us"
            )
        if not pairs:
            raise SystemExit(f"{what}: nothing could be measured")
        by_cpu = median(before.cpu_us / after.cpu_us for before, after in pairs)
        by_clock = median(after.per_second / before.per_second for before, after in pairs)
        met = by_cpu >= share_min
        limit = f"at least {share_min:.2f}"
        self.verdicts.append(Verdict(f"speed, {what}", limit, by_cpu, met, by_clock))

    def at_most(
        self, name: str, most: float, measured: float, *, clock: float | None = None
    ) -> None:
        """Judge a figure that must not be large."""
        met = measured <= most
        self.verdicts.append(Verdict(name, f"at most {most:g}", measured, met, clock))

    def keys(self) -> None:
        """Compare 1,000 keys with many; weigh a key; snapshots; a restart."""
        count, seconds = self.given.keys, self.given.seconds
        with site(3) as few, site(3) as many:
            few.fill(0, FEW, FEW)
            many.fill(0, FEW, count)
            before = many.resident()
            began = time.monotonic()
            many.fill(FEW, count, count)
            self.say(f"filled {count:,} keys in {time.monotonic() - began:.0f} s")
            for name in many.pids:
                many.snapshot(name)
            many.look()
            each = (many.resident() - before) / (count - FEW)
            self.at_most("bytes a key (of 17 and 100)", KEY_BYTES_MAX, each)
            self.in_turn(
                f"{FEW:,} and {count:,} keys",
                lambda: few.speed(FEW, seconds),
                lambda: many.speed(count, seconds),
                KEYS_SHARE_MIN,
            )
            self.snapshots(many, count)
            self.restart(many)

    def snapshots(self, many: Site, count: int) -> None:
        """Compare the p99 while the leader takes a snapshot with that in as much time before."""
        ratios: list[float] = []
        for number in range(1, self.given.rounds + 1):
            try:
                seconds, during, without = self._one_snapshot(many, count)
            except OrchestratorError as error:
                self.say(f"snapshot {number}/{self.given.rounds}: left out, {error}")
                continue
            ratios.append(during / without)
            self.say(
                f"snapshot {number}/{self.given.rounds}: {seconds:.1f} s, "
                f"p99 {during:.1f} ms, without {without:.1f} ms"
            )
        ratio = median(ratios) if ratios else float("inf")
        self.at_most("p99 during a snapshot, ratio", SNAPSHOT_P99_MAX, ratio)

    def _one_snapshot(self, many: Site, count: int) -> tuple[float, float, float]:
        """Return how long one took, in seconds, and the p99 during it and before it, in ms."""
        many.look()
        spans = Spans()
        with ThreadPoolExecutor(1) as pool:
            load = pool.submit(drive, many.endpoint, Load(CALLERS), requests(count), spans)
            try:
                time.sleep(WARM_UP_SECONDS + self.given.seconds)
                began = time.perf_counter()
                many.snapshot(many.leader)
                ended = time.perf_counter()
            finally:
                spans.over = True
            load.result()
        without = spans.p99_ms(began - self.given.seconds, began)
        return ended - began, spans.p99_ms(began, ended), without

    def restart(self, many: Site) -> None:
        """Kill all nodes, start them, and wait until all have caught up."""
        many.cluster.cluster.kill("all", wait=False)
        began = time.monotonic()
        many.cluster.cluster.start("all", seconds=READY_SECONDS_MAX)
        by_clock = time.monotonic() - began
        many.look()
        times = [psutil.Process(pid).cpu_times() for pid in many.pids.values()]
        spent = [each.user + each.system for each in times]
        self.say(f"restart: {by_clock:.1f} s; the nodes computed for {spent} s")
        by_cpu = max(sum(spent) / (os.cpu_count() or 1), *spent)
        self.at_most("s to restart all nodes", RESTART_SECONDS_MAX, by_cpu, clock=by_clock)

    def nodes(self) -> None:
        """Compare three nodes with more."""
        seconds = self.given.seconds
        with site(3) as three, site(self.given.nodes) as more:
            three.fill(0, FEW, FEW)
            more.fill(0, FEW, FEW)
            self.in_turn(
                f"3 and {self.given.nodes} nodes",
                lambda: three.speed(FEW, seconds),
                lambda: more.speed(FEW, seconds),
                NODES_SHARE_MIN,
            )

    def idle(self) -> None:
        """Compare no idle clients with many on the leader, which come and go in turn."""
        count, seconds = self.given.idle, self.given.seconds
        with site(3, count) as cluster:
            cluster.fill(0, FEW, FEW)

            def crowded() -> Speed:
                with connected(cluster.endpoint, count):
                    return cluster.speed(FEW, seconds)

            self.in_turn(
                f"0 and {count:,} idle clients",
                lambda: cluster.speed(FEW, seconds),
                crowded,
                IDLE_SHARE_MIN,
            )


@contextmanager
def site(nodes: int, clients: int = 0) -> Iterator[Site]:
    """Give a cluster that is ready."""
    with Throwaway(nodes, clients=clients + 500, signals=False) as cluster:
        cluster.up()
        yield Site(cluster)


@contextmanager
def connected(endpoint: str, count: int) -> Iterator[None]:
    """Have so many clients that were answered once, and stay."""
    with zmq.Context() as context:
        context.set(zmq.MAX_SOCKETS, count + 10)
        sockets = [context.socket(zmq.REQ) for _ in range(count)]
        for socket in sockets:
            socket.setsockopt(zmq.LINGER, 0)
            socket.connect(endpoint)
        for socket in sockets:
            socket.send(b'{"op": "ping"}')
        for socket in sockets:
            socket.recv()
        yield
        for socket in sockets:
            socket.close()


def key(number: int, out_of: int) -> bytes:
    """Return one of ``out_of`` keys: 17 bytes."""
    return b"grow:%012d" % (number * SCATTER % out_of)


def requests(count: int) -> Sequence[Request]:
    """Encode sets of keys that lie all over ``count``."""
    head = b"\x84" + _encode("op") + _encode("set") + ID
    value = _encode("value") + _encode(VALUE)
    step = max(1, count // REQUESTS)
    return [
        Request(head, _encode("key") + _encode(key(number, count)) + value)
        for number in range(0, count, step)
    ]


def show(verdicts: Sequence[Verdict]) -> None:
    """Print each target, and whether it is met."""
    print(f"\n{'':<40}{'target':>16}{'measured':>10}{'by clock':>10}")
    for one in verdicts:
        clock = "" if one.clock is None else f"{one.clock:.2f}"
        verdict = "met" if one.met else "MISSED"
        print(f"{one.name:<40}{one.limit:>16}{one.measured:>10.2f}{clock:>10}  {verdict}")


def main() -> int:
    """Measure what was asked for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="idle,nodes,keys")
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--nodes", type=int, default=9)
    parser.add_argument("--idle", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    bench = Bench(given)
    parts = {"idle": bench.idle, "nodes": bench.nodes, "keys": bench.keys}
    for name in given.only.split(","):
        if name not in parts:
            parser.error(f"--only {name}: there are {', '.join(parts)}")
        parts[name]()
    if given.json:
        print(msgspec.json.encode(bench.verdicts).decode())
    else:
        show(bench.verdicts)
    return 0 if all(one.met for one in bench.verdicts) else 1


if __name__ == "__main__":
    raise SystemExit(main())
