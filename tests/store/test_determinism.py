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
    Batch, Delete, Expire, Incr, IncrExpiring, Range, Set, SetExpiring, encode_commands
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
    commands = [draw.choice(ops), Batch((draw.choice(ops), Range(b"", None, 20)))]
    results = machine.apply(index, encode_commands(commands, 7 * index))
    seen = zlib.crc32(msgspec.msgpack.encode(results), seen)
print(f"{machine.digest():016x} {seen:08x} {machine.store_rev}")
"""


@pytest.mark.slow
def test_the_hash_seed_of_a_process_decides_nothing() -> None:
    """One log under twenty seeds: equal states and equal answers (failure B10)."""
    outputs = set()
    for seed in range(20):
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=environment,
            cwd=STORE.parent.parent,
            capture_output=True,
            text=True,
            check=True,
        )
        outputs.add(done.stdout)

    assert len(outputs) == 1


ALLOWED_IMPORTS = {
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
