"""Whether it stays fast when it grows: keys, nodes, idle clients; each beside the small one.

    python benchmarks/growth.py [--keys 1000000] [--nodes 9] [--idle 1000] [--seconds 5]

Sets of 256 bytes by 64 callers, fsync. Small and large take turns (A B A B), and only their ratio
means something. Memory per key is what the leader's process grew by, over 100-byte values.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import psutil
import zmq

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from orchestrator.bench.drive import Clock, drive
from orchestrator.bench.loads import Load, requests_of
from orchestrator.throwaway import Throwaway
from raftcache.client import Client, Set

BATCH = 500
SCATTER = 7919  # a prime: keys are created in no order
CALLERS = 64
ROUNDS = 3
WARM_UP_SECONDS = 1.0
READY_SECONDS_MAX = 120.0
VALUE = bytes(100)


@contextmanager
def cluster_of(nodes: int, clients: int) -> Iterator[tuple[Throwaway, str, psutil.Process]]:
    """Give a cluster that is ready, where its leader takes clients, and the leader's process."""
    with Throwaway(nodes, clients=clients + 500) as cluster:
        cluster.up()
        view = cluster.cluster.wait("ready", seconds=READY_SECONDS_MAX)
        leader = next(node for node in view.nodes if node.name == view.leader)
        assert leader.pid is not None, "a ready node has a process"
        yield cluster, leader.client, psutil.Process(leader.pid)


def fill(endpoint: str, first: int, last: int) -> None:
    """Write keys with these numbers."""
    with Client(endpoint, timeout=60) as client:
        for start in range(first, last, BATCH):
            numbers = range(start, min(start + BATCH, last))
            client.batch([Set(b"grow:%012d" % (n * SCATTER % last), VALUE) for n in numbers])


def sets_per_second(endpoint: str, seconds: float) -> float:
    """Return how many sets the leader answers."""
    load = Load(CALLERS)
    clock = Clock(WARM_UP_SECONDS, seconds)
    drive(endpoint, load, requests_of(load), clock)
    return len(clock.latencies) / (clock.end - clock.begin)


def in_turn(small: Callable[[], float], large: Callable[[], float], what: str) -> None:
    """Measure both, in turn, and print the ratio of their medians."""
    pairs = [(small(), large()) for _ in range(ROUNDS)]
    before, after = (median(column) for column in zip(*pairs, strict=True))
    print(f"{what:<44} {before:8,.0f} {after:8,.0f} ops/s  ratio {after / before:.2f}", flush=True)


def keys(count: int, seconds: float) -> None:
    """Compare 1,000 keys with many, and weigh a key."""
    with cluster_of(3, 0) as (_, few, _), cluster_of(3, 0) as (_, many, process):
        fill(few, 0, 1_000)
        fill(many, 0, 1_000)
        before = process.memory_info().rss
        fill(many, 1_000, count)
        grown = process.memory_info().rss - before
        print(f"memory: {grown / (count - 1_000):.0f} bytes a key of 17 and {len(VALUE)} bytes")
        in_turn(
            lambda: sets_per_second(few, seconds),
            lambda: sets_per_second(many, seconds),
            f"1,000 keys, and {count:,}",
        )


def nodes(count: int, seconds: float) -> None:
    """Compare three nodes with more."""
    with cluster_of(3, 0) as (_, three, _), cluster_of(count, 0) as (_, more, _):
        in_turn(
            lambda: sets_per_second(three, seconds),
            lambda: sets_per_second(more, seconds),
            f"3 nodes, and {count}",
        )


def idle(count: int, seconds: float) -> None:
    """Compare no idle clients with many on the leader."""
    with cluster_of(3, 0) as (_, alone, _), cluster_of(3, count) as (_, crowded, _):
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        context.set(zmq.MAX_SOCKETS, count + 10)
        sockets = [context.socket(zmq.REQ) for _ in range(count)]
        for socket in sockets:
            socket.setsockopt(zmq.LINGER, 0)
            socket.connect(crowded)
        for socket in sockets:
            socket.send(b'{"op": "ping"}')
        for socket in sockets:
            socket.recv()
        in_turn(
            lambda: sets_per_second(alone, seconds),
            lambda: sets_per_second(crowded, seconds),
            f"no idle clients, and {count:,}",
        )
        for socket in sockets:
            socket.close()
        context.term()


def main() -> int:
    """Measure all three."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--nodes", type=int, default=9)
    parser.add_argument("--idle", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=5.0)
    given = parser.parse_args()
    if given.idle:
        idle(given.idle, given.seconds)
    if given.nodes:
        nodes(given.nodes, given.seconds)
    if given.keys:
        keys(given.keys, given.seconds)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
