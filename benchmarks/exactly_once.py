"""Counters through deaths and pauses of leaders: is each acknowledged increment there, once?

    benchmarks/run exactly_once [--faults 50] [--clients 32]

Clients increment one shared counter as fast as they are answered, each write numbered in the
client's session and sent again until it is settled. The leader is killed, paused, or cut off, in
turn. At the end the counter must be exactly what was acknowledged; an increment whose outcome a
client never learnt would be told apart, and there should be none.
"""

import argparse
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from orchestrator.throwaway import Throwaway
from raftcache.client import Client, RequestError

READY_SECONDS_MAX = 60.0
FAULT_SECONDS = 0.7
"""How long a leader stays paused or cut off: twice its followers' patience."""
SETTLE_SECONDS = 0.3
KEY = "exactly-once"


class Counting(threading.Thread):
    """One client; counts what it was told."""

    def __init__(self, endpoints: list[str], stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.acknowledged = 0
        self.unknown: list[str] = []
        self.slowest: dict[int, float] = {}
        """The longest increment, in seconds, by the number of the fault before its end."""
        self.fault = 0
        self._endpoints = endpoints
        self._stopping = stop

    def run(self) -> None:
        """Increment until told to stop."""
        with Client(self._endpoints, timeout=30) as client:
            while not self._stopping.is_set():
                began = time.perf_counter()
                try:
                    client.incr(KEY)
                except RequestError as error:
                    self.unknown.append(str(error))
                    continue
                took = time.perf_counter() - began
                self.acknowledged += 1
                self.slowest[self.fault] = max(took, self.slowest.get(self.fault, 0.0))


def kill(cluster: Throwaway, leader: str) -> None:
    """Kill it, and start it again."""
    cluster.cluster.kill(leader, wait=False)
    time.sleep(SETTLE_SECONDS)
    cluster.cluster.start(leader, seconds=READY_SECONDS_MAX)


def pause(cluster: Throwaway, leader: str) -> None:
    """Stop it in its tracks for a while."""
    cluster.cluster.pause(leader)
    time.sleep(FAULT_SECONDS)
    cluster.cluster.resume(leader)


def isolate(cluster: Throwaway, leader: str) -> None:
    """Cut it off from the others for a while."""
    cluster.cluster.isolate(leader)
    time.sleep(FAULT_SECONDS)
    cluster.cluster.heal()


FAULTS: tuple[Callable[[Throwaway, str], None], ...] = (kill, pause, isolate)


def main() -> int:
    """Run; 1: something was lost, or done twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=50)
    parser.add_argument("--clients", type=int, default=32)
    given = parser.parse_args()
    stop = threading.Event()
    with Throwaway() as cluster:
        cluster.up()
        endpoints = list(cluster.endpoints.values())
        clients = [Counting(endpoints, stop) for _ in range(given.clients)]
        for client in clients:
            client.start()
        for number in range(1, given.faults + 1):
            leader = cluster.cluster.wait("ready", seconds=READY_SECONDS_MAX).leader
            time.sleep(SETTLE_SECONDS)
            for client in clients:
                client.fault = number
            fault = FAULTS[number % len(FAULTS)]
            fault(cluster, str(leader))
            print(f"{number:>4}  {fault.__name__} {leader}", flush=True)
        cluster.cluster.wait("ready", seconds=READY_SECONDS_MAX)
        stop.set()
        for client in clients:
            client.join()
        acknowledged = sum(client.acknowledged for client in clients)
        unknown = [error for client in clients for error in client.unknown]
        with Client(endpoints) as reader:
            record = reader.get(KEY)
    value = int(record or 0)
    for fault in FAULTS:
        numbers = [n for n in range(1, given.faults + 1) if FAULTS[n % len(FAULTS)] is fault]
        worst = [max(client.slowest.get(n, 0.0) for client in clients) * 1_000 for n in numbers]
        if worst:
            print(
                f"{fault.__name__}: {len(worst)} times, slowest increment of any client: "
                f"median {median(worst):.0f} ms, max {max(worst):.0f} ms"
            )
    print(f"acknowledged {acknowledged:,}; the counter says {value:,}; failed {len(unknown)}")
    for error in unknown[:5]:
        print(f"  {error}")
    return 0 if acknowledged <= value <= acknowledged + len(unknown) else 1


if __name__ == "__main__":
    raise SystemExit(main())
