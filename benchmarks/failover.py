"""How long nobody can write when a leader is killed: SIGKILL, again and again, under load.

    python benchmarks/failover.py [--kills 100] [--clients 8] [--no-detect]

A cluster of three; clients write all the time; the leader's process is killed, and supervisord
starts it again. The window of a kill is the time from the signal to the first acknowledgement of a
write that was sent after it. ``--no-detect`` leaves it to the election timeout to notice, for
comparison.
"""

import argparse
import os
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from statistics import median, quantiles

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from orchestrator.demo.history import Outcome
from orchestrator.demo.writers import Writers
from orchestrator.throwaway import Throwaway

SETTLE_SECONDS = 0.3
"""Between two kills: the restarted node is ready, and the load goes evenly."""
READY_SECONDS_MAX = 30.0
WINDOW_SECONDS_MAX = 10.0


def one_kill(cluster: Throwaway, writers: Writers) -> tuple[float, int]:
    """Kill the leader and return the window in ms, and how many terms it took."""
    view = cluster.cluster.wait("ready", seconds=READY_SECONDS_MAX)
    time.sleep(SETTLE_SECONDS)
    (leader,) = (node for node in view.nodes if node.name == view.leader)
    assert leader.pid is not None, "a ready node has a process"
    killed_ms = time.monotonic() * 1_000
    os.kill(leader.pid, signal.SIGKILL)
    deadline = time.monotonic() + WINDOW_SECONDS_MAX
    while (first_ms := writers.first_acknowledged_after(killed_ms)) is None:
        if time.monotonic() > deadline:
            raise RuntimeError(f"no write within {WINDOW_SECONDS_MAX:g} s of the kill")
        time.sleep(0.05)
    after = cluster.cluster.wait("leader", seconds=READY_SECONDS_MAX)
    return first_ms - killed_ms, (after.term or 0) - (view.term or 0)


def main() -> int:
    """Run, print each window and what they come to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--no-detect", action="store_true")
    arguments = parser.parse_args()
    detect = "false" if arguments.no_detect else "true"
    windows: list[float] = []
    terms: Counter[int] = Counter()
    outcomes: Counter[Outcome] = Counter()
    with Throwaway(shape=f"raft: {{detect_disconnects: {detect}}}\n") as cluster:
        cluster.up()
        for number in range(1, arguments.kills + 1):
            # Each kill has clients of its own: they know the leader, and no history is searched.
            writers = Writers(list(cluster.endpoints.values()), arguments.clients)
            writers.start()
            try:
                window_ms, more_terms = one_kill(cluster, writers)
            finally:
                writers.stop()
            windows.append(window_ms)
            terms[more_terms] += 1
            outcomes.update(write.outcome for write in writers.writes())
            print(f"{number:>4}  {window_ms:7.1f} ms  terms +{more_terms}", flush=True)
    p95 = quantiles(windows, n=20)[-1] if len(windows) > 1 else windows[0]
    print(
        f"{len(windows)} kills, {arguments.clients} clients, detect_disconnects: {detect}; window: "
        f"min {min(windows):.0f}, median {median(windows):.0f}, p95 {p95:.0f}, "
        f"max {max(windows):.0f} ms; terms per kill {dict(sorted(terms.items()))}; "
        f"writes { ({outcome.value: count for outcome, count in outcomes.items()}) }"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
