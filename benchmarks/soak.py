"""Full load and nothing broken, for long: does anything start an election?

    benchmarks/run soak [--minutes 60] [--callers 64] [--durability fsync]

A cluster of three on a host that has nothing left to give; callers write as fast as they are
answered. Counted are the elections that any node began, won or not, and the terms: in a run that
breaks nothing, both stand still from the first leader on.
"""

import argparse
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from orchestrator.bench.drive import Clock, drive
from orchestrator.bench.loads import Load, requests_of
from orchestrator.bench.measure import prepare
from orchestrator.errors import OrchestratorError
from orchestrator.events import listen
from orchestrator.throwaway import Throwaway

ROUND_SECONDS = 20.0
"""Latencies are kept for one round: an hour's would fill the memory."""
READY_SECONDS_MAX = 60.0
TOLD = ("election_started", "role", "leader_lost", "slow_turn", "slow_disk")
"""The kinds of events that are no part of a quiet life."""


def watch(cluster: Throwaway, kinds: Counter[str]) -> None:
    """Count and print what should not happen, until the process ends."""
    for event in listen(cluster.cluster.state):
        kind = str(event.get("kind"))
        kinds[kind] += 1
        if kind in TOLD:
            print(f"      {event}", flush=True)


def longest_turns(view: Any) -> str:
    """Return each node's longest turn."""
    nodes = ((node.name, node.status or {}) for node in view.nodes)
    return ", ".join(f"{name} {status.get('longest_turn_ms')} ms" for name, status in nodes)


def main() -> int:
    """Run, print a line per round, and what it comes to; 1: there was an election."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--callers", type=int, default=64)
    parser.add_argument("--durability", choices=("fsync", "os", "memory"), default="fsync")
    arguments = parser.parse_args()
    load = Load(arguments.callers)
    requests = requests_of(load)
    kinds: Counter[str] = Counter()
    answered = 0
    with Throwaway(shape=f"storage: {{durability: {arguments.durability}}}\n") as cluster:
        cluster.up()
        view = cluster.cluster.wait("ready", seconds=READY_SECONDS_MAX)
        first = (view.leader, view.term)
        endpoint = cluster.endpoints[str(view.leader)]
        prepare(endpoint, load, requests)
        threading.Thread(target=watch, args=(cluster, kinds), daemon=True).start()
        began = time.monotonic()
        while time.monotonic() - began < arguments.minutes * 60:
            clock = Clock(0.0, ROUND_SECONDS)
            try:
                drive(endpoint, load, requests, clock)
            except OrchestratorError as error:
                # Somebody else leads now: that is what is being counted, so the load goes on there.
                print(f"      {error}", flush=True)
                view = cluster.cluster.wait("ready", seconds=READY_SECONDS_MAX)
                endpoint = cluster.endpoints[str(view.leader)]
                continue
            answered += clock.answered
            view = cluster.cluster.status()
            slowest_ms = max(clock.latencies) * 1_000
            print(
                f"{(time.monotonic() - began) / 60:5.1f} min  {clock.answered / ROUND_SECONDS:7.0f}"
                f" sets/s  slowest {slowest_ms:6.0f} ms  term {view.term}  leader {view.leader}",
                flush=True,
            )
        last = (view.leader, view.term)
        print(
            f"{answered:,} sets in {arguments.minutes:g} minutes; leader and term {first} at the "
            f"beginning, {last} at the end; elections begun {kinds['election_started']}; "
            f"longest turns: {longest_turns(view)}; events {dict(sorted(kinds.items()))}"
        )
    return 0 if first == last and not kinds["election_started"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
