"""Sets in one pass leave the state that they would leave one by one."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raftcache.store import machine, transactions
from raftcache.store.commands import (
    Batch,
    Command,
    Expire,
    OpenSession,
    RaiseVersion,
    Set,
    SetExpiring,
    SetFully,
)
from raftcache.store.machine import StateMachine
from raftcache.store.plain_sets import SEVERAL, are_plain
from raftcache.store.sums import MANY

from .snapshots import SMALL, apply, rest_of, restored, slices_of

KEY = st.sampled_from([b"a", b"b", b"c", b"dd"])
SETS = st.one_of(
    st.lists(st.builds(Set, KEY, st.binary(max_size=900)), min_size=1, max_size=8),
    st.lists(st.builds(Set, KEY, st.binary(max_size=9)), min_size=MANY, max_size=2 * MANY),
)
ENTRY = st.one_of(
    SETS,
    st.builds(lambda sets: [Batch(tuple(sets))], SETS),
    st.builds(lambda key: [SetExpiring(key, b"soon", 9)], KEY),
    st.builds(lambda key: [Expire(key, 30)], KEY),
    st.builds(lambda key: [SetFully(key, b"tied", None, False, 1)], KEY),
)


def seen(store: StateMachine) -> Any:
    """Return all that can be told of a state: its snapshot holds the records and the past."""
    return slices_of(store), store.digest(), store.data_bytes, store.next_deadline_ms


@given(st.lists(ENTRY, max_size=12), st.integers(0, 12))
@settings(max_examples=150, deadline=None)
def test_in_one_pass_or_one_by_one(entries: list[list[Command]], watched_from: int) -> None:
    """Over keys with deadlines and ties, with a past that is full, and for those who watch."""
    together, apart = StateMachine(SMALL), StateMachine(SMALL)
    for store in (together, apart):
        apply(store, RaiseVersion(3), OpenSession(10_000))
    for number, entry in enumerate(entries):
        if number == watched_from:
            for store in (together, apart):
                store._keyspace.fresh = []
        apply(together, *entry)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(machine, "are_plain", lambda _ops: False)
            patch.setattr(transactions, "are_plain", lambda _ops: False)
            apply(apart, *entry)

        assert seen(together) == seen(apart)
    told = [store._keyspace.fresh for store in (together, apart)]
    assert told[0] == told[1]


def test_a_snapshot_that_is_taken_meanwhile_is_of_its_moment() -> None:
    """It has to hear of every change, so there is no short way while it is cut."""
    stores = [StateMachine(), StateMachine()]
    keys = [b"%03d" % number for number in range(200)]
    for store in stores:
        apply(store, *[Set(key, b"x" * 300) for key in keys])
    runs = [store.begin_snapshot() for store in stores]
    first = [run.next_slice(4_000) for run in runs]

    apply(stores[0], *[Set(key, b"y") for key in keys])

    assert first[0] == first[1]
    assert restored([first[0] or b"", *rest_of(runs[0], 4_000)]).digest() == stores[1].digest()


@pytest.mark.parametrize(
    "odd",
    [
        Set(b"k", b"v", 0),
        Set(b"k", b"v", None, b"w"),
        Set(b"k", b"v", None, None, True),
        SetExpiring(b"k", b"v", 5),
        Expire(b"k", 5),
    ],
)
def test_only_plain_sets_are_plain(odd: Any) -> None:
    """One that asks for more makes the others wait for it."""
    plain = Set(b"k", b"v")

    assert are_plain([plain] * SEVERAL)
    assert not are_plain([plain, odd, *[plain] * SEVERAL])
    assert not are_plain([plain] * (SEVERAL - 1))
    assert not are_plain([])
