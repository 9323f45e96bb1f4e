"""Many keys at once, in and out, without a moment that takes long."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftcache.store.ordered import OrderedKeys
from raftcache.store.restore import Restorer

from ..effort import scaled
from .snapshots import machine_of, numbered, slices_of


@pytest.mark.parametrize("count", [1, 1000, 100_000])
def test_a_machine_is_dismantled_bit_by_bit(count: int) -> None:
    machine = machine_of(numbered(2500))

    turns = 1
    while not machine.dismantle(count):
        turns += 1

    assert turns >= 2500 // count
    assert (machine.key_count, len(machine._keyspace._ordered)) == (0, 0)
    assert list(machine._keyspace.history()) == []


def test_an_unfinished_restore_is_dismantled_too() -> None:
    """A newer snapshot may arrive while one is being installed (failure D8)."""
    restorer = Restorer()
    for data in slices_of(machine_of(numbered(500)), 2000)[:10]:
        restorer.feed(data)

    while not restorer.dismantle(10):
        pass

    assert len(restorer._keyspace) == 0
    with pytest.raises(AssertionError, match="no more"):
        restorer.feed(b"")


@settings(max_examples=scaled(100), deadline=None)
@given(st.lists(st.integers(1, 2500), max_size=8), st.integers(0, 3000))
def test_sorted_keys_are_appended_as_if_one_by_one(sizes: list[int], shed: int) -> None:
    """This also tells when a release of sortedcontainers keeps its items in another way."""
    keys = OrderedKeys()
    count = 0
    for size in sizes:
        keys.append_sorted([b"%08d" % number for number in range(count, count + size)])
        count += size
        for number in {0, count // 2, count - 1}:
            assert keys.bisect_left(b"%08d" % number) == number
        keys._check()
    keys.add(b"00000000!")
    keys._check()
    assert list(keys) == sorted({*(b"%08d" % number for number in range(count)), b"00000000!"})

    keys.shed(shed)

    keys._check()
    assert len(keys) <= max(0, count + 1 - shed)
    keys.append_sorted([b"9"])
    keys._check()


def test_a_machine_of_which_a_snapshot_is_taken_is_not_dismantled() -> None:
    machine = machine_of(numbered(3))
    machine.begin_snapshot()

    with pytest.raises(AssertionError, match="in use"):
        machine.dismantle(10)
