"""What a snapshot of the state machine costs: taking, restoring, and the writes meanwhile.

    benchmarks/run store_snapshot [--keys 1000000] [--value-bytes 100]

Times are CPU times of this thread, so that other work on the machine shows less. A turn is one
call for one slice: how long the loop of a node stands still for it. The slices are restored in a
process of its own, so that its memory can be told.
"""

import argparse
import gc
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from raftcache.store.commands import Set, encode_commands
from raftcache.store.machine import StateMachine
from raftcache.store.restore import Restorer

SLICE_BYTES = 64 * 1024
COMMANDS_PER_ENTRY = 500
DISMANTLED_KEYS = 10_000
SCATTER = 7919  # a prime: keys are created in no order


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keys", type=int, default=1_000_000)
    parser.add_argument("--value-bytes", type=int, default=100)
    parser.add_argument("--restore", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    gc.disable()
    if arguments.restore is not None:
        restore(arguments.restore, arguments.keys)
        return
    resident = resident_bytes()
    machine = filled(arguments.keys, arguments.value_bytes)
    print(f"memory as written      {(resident_bytes() - resident) / arguments.keys:8.0f} B/key")
    writes(machine, "with no run")
    with TemporaryDirectory() as directory:
        path = Path(directory) / "slices"
        take(machine, path)
        subprocess.run(
            [sys.executable, __file__, "--restore", path, "--keys", str(arguments.keys)], check=True
        )


def filled(keys: int, value_bytes: int) -> StateMachine:
    """Return a machine with so many keys, created in no order."""
    machine = StateMachine()
    for first in range(0, keys, COMMANDS_PER_ENTRY):
        numbers = range(first, min(first + COMMANDS_PER_ENTRY, keys))
        commands = [Set(b"key-%016d" % (n * SCATTER % keys), bytes(value_bytes)) for n in numbers]
        machine.apply(machine.last_applied + 1, encode_commands(list(commands)))
    return machine


def take(machine: StateMachine, path: Path) -> None:
    """Take two snapshots: one in peace for the times, one during writes for their cost."""
    keys = machine.key_count
    began = time.thread_time()
    run = machine.begin_snapshot()
    print(f"begin                  {(time.thread_time() - began) * 1e3:8.2f} ms")
    with path.open("wb") as file:

        def turns() -> Iterator[Callable[[], object]]:
            while not run.over:
                yield lambda: file.write(framed(run.next_slice(SLICE_BYTES)))

        measure("take", keys, turns())
    print(f"size                   {path.stat().st_size / keys:8.0f} B/key")
    run = machine.begin_snapshot()
    run.next_slice(SLICE_BYTES)
    writes(machine, "with a run")
    print(f"pre-images kept        {run.pre_image_count:8}")
    run.abort()


def writes(machine: StateMachine, when: str) -> None:
    """Overwrite keys."""
    keys = machine.key_count
    count = 40 * COMMANDS_PER_ENTRY
    entries = [
        encode_commands(
            [Set(b"key-%016d" % (n * SCATTER % keys), b"y" * 100) for n in range(i, i + 500)]
        )
        for i in range(0, count, COMMANDS_PER_ENTRY)
    ]
    began = time.thread_time()
    for entry in entries:
        machine.apply(machine.last_applied + 1, entry)
    print(f"set {when:18} {(time.thread_time() - began) * 1e9 / count:8.0f} ns")


def restore(path: Path, keys: int) -> None:
    """Restore from the slices in a file, and dismantle what came of it."""
    resident = resident_bytes()
    restorer = Restorer()
    with path.open("rb") as file:

        def turns() -> Iterator[Callable[[], object]]:
            while size := int.from_bytes(file.read(4), "big"):
                data = file.read(size)
                yield partial(restorer.feed, data)

        measure("restore", keys, turns())
    began = time.thread_time()
    machine = restorer.finish()
    print(f"finish                 {(time.thread_time() - began) * 1e3:8.2f} ms")
    print(f"memory restored        {(resident_bytes() - resident) / keys:8.0f} B/key")
    assert machine.key_count == keys

    def dismantling() -> Iterator[Callable[[], object]]:
        while machine.key_count:
            yield lambda: machine.dismantle(DISMANTLED_KEYS)

    measure("dismantle", keys, dismantling())


def measure(name: str, keys: int, turns: Iterator[Callable[[], object]]) -> None:
    """Do all turns, and print what they cost."""
    times: list[float] = []
    for turn in turns:
        began = time.thread_time()
        turn()
        times.append(time.thread_time() - began)
    times.sort()
    print(
        f"{name:22} {sum(times) * 1e9 / keys:8.0f} ns/key; turns: {len(times)}, median "
        f"{times[len(times) // 2] * 1e3:.2f} ms, the longest "
        + ", ".join(f"{seconds * 1e3:.2f}" for seconds in times[-5:])
    )


def framed(data: bytes | None) -> bytes:
    """Return a slice with its length ahead of it."""
    assert data is not None, "a run that is not over has a slice"
    return len(data).to_bytes(4, "big") + data


def resident_bytes() -> int:
    """Return how much memory this process has."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
