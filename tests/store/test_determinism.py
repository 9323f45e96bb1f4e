"""Equal logs make equal states: in every process, and whatever the hour."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

import raftcache.store

STORE = Path(raftcache.store.__file__).parent

PROGRAM = """
import random
from raftcache.store.commands import (
    Batch, CloseSession, Compare, Delete, DeleteRange, Evict, Expire, Fenced, Incr, IncrExpiring,
    KeepAlive, Once, OpenSession, Range, Set, SetExpiring, SetFully, Touch, Txn, encode_commands
)
from raftcache.store.machine import StateMachine
from raftcache.store.results import RangeResult
import msgspec, zlib

draw = random.Random(7)
machine = StateMachine()
seen = 0
for index in range(1, 400):
    key = b"k%d" % draw.randrange(50)
    ops = [Set(key, b"%d" % index, prev=True), Delete(b"k%d" % draw.randrange(50)), Incr(key)]
    ops += [SetExpiring(key, b"1", draw.randrange(1, 90)), IncrExpiring(key, 1, 9), Expire(key, 5)]
    ops += [SetFully(key, b"2", draw.randrange(1, 90), True, None), DeleteRange(key, key + b"4")]
    steps = tuple(draw.choices(ops, k=3))
    commands = [
        Txn((Compare(key, "exists", "=", True),), steps, steps[:1]),
        Fenced(key, draw.randrange(machine.store_rev + 1), steps[0]),
        Touch(key, machine.store_rev), Evict(b"k%d" % draw.randrange(50), machine.store_rev),
    ]
    commands += [draw.choice(ops), Batch((draw.choice(ops), Range(b"", None, 20)))]
    session, seq = draw.randrange(1, 2 + index), draw.randrange(1, 9)
    commands += [OpenSession(200), KeepAlive(session), CloseSession(draw.randrange(1, 2 + index))]
    tied = SetFully(key, b"", None, False, session)
    commands += [Once(session, seq, seq - draw.randrange(1, 5), 1, tied)]
    results = machine.apply(index, encode_commands(commands, 7 * index))
    seen = zlib.crc32(msgspec.msgpack.encode(results), seen)
print(f"{machine.digest():016x} {seen:08x} {machine.store_rev}")
"""


SNAPSHOT_PROGRAM = """
import random, zlib
from raftcache.store.commands import Delete, Set, encode_commands
from raftcache.store.machine import StateMachine

draw = random.Random(7)
machine = StateMachine()
run = None
seen = slices = 0
for index in range(1, 900):
    if index == 400:
        run = machine.begin_snapshot()
    key = b"k%d" % draw.randrange(300)
    commands = [Set(key, b"%d" % index), Delete(b"k%d" % draw.randrange(300)), Set(key, b"")]
    machine.apply(index, encode_commands(commands))
    data = run.next_slice(500) if run else None
    seen, slices = zlib.crc32(data or b"", seen), slices + bool(data)
assert run.over
print(f"{seen:08x} {slices}")
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("program", "seeds"),
    [
        pytest.param(PROGRAM, 20, id="states and answers"),
        pytest.param(SNAPSHOT_PROGRAM, 8, id="a snapshot"),
    ],
)
def test_the_hash_seed_of_a_process_decides_nothing(program: str, seeds: int) -> None:
    """One log under many seeds: equal states, answers and snapshots (failure B10)."""
    outputs = set()
    for seed in range(seeds):
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        done = subprocess.run(
            [sys.executable, "-c", program],
            env=environment,
            cwd=STORE.parent.parent,
            capture_output=True,
            text=True,
            check=True,
        )
        outputs.add(done.stdout)

    assert len(outputs) == 1


ALLOWED_IMPORTS = {
    "abc",
    "array",
    "bisect",
    "collections",
    "collections.abc",
    "dataclasses",
    "heapq",
    "itertools",
    "msgspec",
    "operator",
    "sortedcontainers",
    "struct",
    "typing",
    "zlib",
}


@pytest.mark.parametrize("path", sorted(STORE.glob("*.py")), ids=lambda path: path.name)
def test_the_store_can_not_even_ask_for_time_or_chance(path: Path) -> None:
    """No clock, randomness, environment or file in what every server must repeat (failure B9)."""
    imported: set[str] = set()
    called: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            imported.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            imported.add(str(node.module))
        elif isinstance(node, ast.Name):
            called.add(node.id)
        elif isinstance(node, ast.Constant):
            assert not isinstance(node.value, float), f"a float in line {node.lineno}"
        elif isinstance(node, ast.Div):
            pytest.fail("a division, which makes a float")

    assert imported <= ALLOWED_IMPORTS
    assert not called & {"hash", "id", "open", "__import__", "eval", "exec", "float", "input"}
