"""What a store says that its keys weigh is what its process really takes for them."""

import subprocess
import sys
from pathlib import Path

import pytest

import raftcache
from raftcache.store.commands import (
    Batch,
    CloseSession,
    Delete,
    Expire,
    OpenSession,
    RaiseVersion,
    Set,
    SetExpiring,
    SetFully,
)
from raftcache.store.machine import StateMachine

from .snapshots import assert_same, restored, slices_of
from .test_expiry import at

PROGRAM = """
import gc, os, sys
from raftcache.store.commands import (
    OpenSession, RaiseVersion, Set, SetExpiring, SetFully, encode_commands
)
from raftcache.store.machine import StateMachine, StoreLimits

count, size, timed, sessions = map(int, sys.argv[1:])

def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

machine = StateMachine(StoreLimits(history_changes=100))
machine.apply(1, encode_commands([RaiseVersion(3)], 0))
for _ in range(sessions):
    machine.apply(machine.last_applied + 1, encode_commands([OpenSession(10**7)], 1))
begun = resident()
for first in range(0, count, 500):
    # A prime walks through all keys in an order that is not theirs.
    keys = [b"key:%010d" % (number * 982451653 % count) for number in range(first, first + 500)]
    if sessions:
        commands = [
            SetFully(key, os.urandom(size), None, False, 1 + (first + number) % sessions)
            for number, key in enumerate(keys)
        ]
    elif timed:
        commands = [SetExpiring(key, os.urandom(size), 10**9 + first) for key in keys]
    else:
        commands = [Set(key, os.urandom(size)) for key in keys]
    machine.apply(machine.last_applied + 1, encode_commands(commands, 1))
del commands, keys
gc.collect()
assert machine.key_count == count
print((resident() - begun) / machine.data_bytes)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux' /proc")
@pytest.mark.parametrize(
    ("count", "size", "timed", "sessions"),
    [
        pytest.param(100_000, 100, 0, 0, id="small"),
        pytest.param(40_000, 1024, 0, 0, id="large"),
        pytest.param(60_000, 100, 1, 0, id="timed"),
        pytest.param(20_000, 100, 0, 20_000, id="a session each"),
        pytest.param(50_000, 100, 0, 500, id="bound to some sessions"),
    ],
)
def test_it_is_what_the_process_takes(count: int, size: int, timed: int, sessions: int) -> None:
    """Within 15 %: who gives a cache so much memory finds it to take so much."""
    arguments = map(str, (count, size, timed, sessions))
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=Path(raftcache.__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )

    assert 0.85 <= float(done.stdout) <= 1.15


def test_the_formula_of_each_version() -> None:
    """By lengths alone, so that all servers agree; in an older cluster it is the older one."""
    machine = StateMachine()
    at(machine, 0, Set(b"key", b"12345"), SetExpiring(b"timed", b"", 1_000))
    assert machine.data_bytes == 64 + 8 + 64 + 5

    at(machine, 1, RaiseVersion(3))
    assert machine.data_bytes == 216 + 8 + 216 + 5 + 136

    at(machine, 2, Batch((Expire(b"key", 9), Expire(b"timed", None), Set(b"key", b"1"))))
    assert machine.data_bytes == 216 + 4 + 216 + 5
    assert_same(restored(slices_of(machine)), machine)
    at(machine, 3, Delete(b"key"), Delete(b"timed"))
    assert machine.data_bytes == 0


def test_what_is_bound_weighs_more() -> None:
    """For as long as it is: until the key goes, is written anew, or its session ends."""
    machine = StateMachine()
    at(machine, 0, RaiseVersion(3), OpenSession(1_000), OpenSession(1_000))
    at(machine, 0, *(SetFully(key, b"", None, False, 1) for key in (b"a", b"b", b"c", b"d")))
    assert machine.data_bytes == 4 * (216 + 1 + 84) + 150
    at(machine, 0, SetFully(b"a", b"", None, False, 2), SetFully(b"b", b"", None, False, 1))
    assert machine.data_bytes == 4 * (216 + 1 + 84) + 2 * 150
    assert_same(restored(slices_of(machine)), machine)

    at(machine, 0, Set(b"a", b""), Delete(b"b"))
    assert machine.data_bytes == 3 * (216 + 1) + 2 * 84 + 150
    at(machine, 0, CloseSession(1))
    assert machine.data_bytes == 216 + 1
