"""How long does the checker take: 100,000 operations of 32 clients with 1 % unknown outcomes.

    benchmarks/run verify
    benchmarks/run verify --operations 20000 --only hot

The histories come from a simulated store, with the same seed each time. Each shape is judged as it
is, and, where it says so, with a stale read planted near its end: an invalid history costs more, as
every way out has to be ruled out. CPU seconds count on a machine that does other things too.
"""

import argparse
import json
import sys
import time
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from orchestrator.verify.linearizability import Budget, Verdict, check
from orchestrator.verify.shrink import shrink
from tests.verify.simulated import FaultyStore, Load, Recording, Store

REGISTER = (("get", 5.0), ("set", 3.0), ("cas", 1.0), ("delete", 0.5))
MIXED = (("get", 5.0), ("set", 2.0), ("incr", 3.0), ("cas", 1.0), ("delete", 0.5))
COUNTER = (("get", 5.0), ("incr", 5.0))


class Shape(NamedTuple):
    """One kind of history."""

    name: str
    keys: int
    mix: tuple[tuple[str, float], ...]
    values: int = 0
    revisions: bool = True
    fault: str = ""


SHAPES = (
    Shape("1,000 keys", 1000, REGISTER),
    Shape("1,000 keys, stale read", 1000, REGISTER, fault="stale read"),
    Shape("4 hot keys", 4, REGISTER),
    Shape("4 hot keys, stale read", 4, REGISTER, fault="stale read"),
    Shape("4 hot keys, mixed with incr", 4, MIXED),
    Shape("4 hot keys, mixed, stale read", 4, MIXED, fault="stale read"),
    Shape("4 hot counters", 4, COUNTER),
    Shape("4 hot keys, 5 different values", 4, REGISTER, values=5),
    Shape("1 hot key", 1, REGISTER),
    Shape("1 hot key, stale read", 1, REGISTER, fault="stale read"),
    Shape("1 hot key, lost write", 1, REGISTER, fault="lost write"),
    Shape("1 hot key, mixed, stale read", 1, MIXED, fault="stale read"),
    Shape("4 hot keys, no revisions told", 4, REGISTER, revisions=False),
)


def measure(shape: Shape, operations: int, seconds: float) -> dict[str, object]:
    """Make a history, judge it, shrink what is wrong with it."""
    load = Load(
        clients=32,
        keys=shape.keys,
        operations=operations,
        mix=shape.mix,
        unknown=0.01,
        values=shape.values,
        revisions=shape.revisions,
    )
    store = FaultyStore(shape.fault, operations * 9 // 10) if shape.fault else Store()
    history = Recording(load, 1, store).run()
    started, started_cpu = time.perf_counter(), time.process_time()
    checked = check(history, Budget(seconds=seconds, nodes=10_000_000))
    wall, cpu = time.perf_counter() - started, time.process_time() - started_cpu
    row: dict[str, object] = {
        "shape": shape.name,
        "verdict": checked.verdict.value,
        "cpu_s": round(cpu, 2),
        "wall_s": round(wall, 2),
        "nodes": checked.nodes,
        "shrink_cpu_s": None,
        "kept": None,
    }
    if checked.verdict is Verdict.INVALID:
        fault = checked.faults[0]
        started_cpu = time.process_time()
        kept = shrink(fault.operations, fault.stuck_ns).operations
        row |= {"shrink_cpu_s": round(time.process_time() - started_cpu, 2), "kept": len(kept)}
    return row


def main() -> int:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--operations", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=120.0, help="budget of a check (120)")
    parser.add_argument("--only", default="", help="shapes whose name holds this text")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    rows = []
    for shape in SHAPES:
        if options.only not in shape.name:
            continue
        row = measure(shape, options.operations, options.seconds)
        rows.append(row)
        if not options.json:
            print("  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    if options.json:
        print(json.dumps({"schema": 1, "operations": options.operations, "rows": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
