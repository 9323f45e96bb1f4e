"""Histories of a simulated store: valid as they are, invalid once the store broke a promise.

A broken promise can be one that nobody was in a position to notice. The tests compute from the
history itself, by a condition that is enough and plain to see, whether someone was.
"""

import msgspec
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from orchestrator.verify.explain import explain
from orchestrator.verify.history import Operation, number
from orchestrator.verify.linearizability import Verdict, check
from orchestrator.verify.shrink import shrink

from ..effort import scaled
from .simulated import FaultyStore, Load, Recording, record

SEEDS = st.integers(0, 2**32)
# Many faults are noticed by nobody; those draws are thrown away.
PLANTED = settings(
    max_examples=scaled(100),
    deadline=None,
    suppress_health_check=[HealthCheck.filter_too_much],
)
LOADS = st.builds(
    Load,
    clients=st.integers(1, 12),
    keys=st.integers(1, 4),
    operations=st.integers(1, 150),
    mix=st.sampled_from(
        [
            (("get", 5.0), ("set", 3.0), ("cas", 1.0), ("delete", 0.5)),
            (("get", 3.0), ("set", 1.0), ("cas", 3.0), ("delete", 2.0)),
            (("get", 2.0), ("incr", 3.0)),
            (("get", 3.0), ("set", 1.0), ("incr", 3.0), ("cas", 1.0), ("delete", 1.0)),
        ]
    ),
    unknown=st.sampled_from([0.0, 0.01, 0.1, 0.4]),
    values=st.sampled_from([0, 0, 1, 3]),
    revisions=st.booleans(),
)


@given(load=LOADS, seed=SEEDS)
@settings(max_examples=scaled(100), deadline=None)
def test_what_a_correct_store_answers_is_valid(load: Load, seed: int) -> None:
    """No false alarm: delays, overlaps, and outcomes unknown, late or never."""
    assert check(record(load, seed)).verdict is Verdict.VALID


@given(seed=SEEDS, nth=st.integers(1, 100), unknown=st.sampled_from([0.0, 0.1]))
@PLANTED
def test_a_planted_stale_read_is_found(seed: int, nth: int, unknown: float) -> None:
    store = FaultyStore("stale read", nth)
    history = Recording(Load(operations=120, unknown=unknown), seed, store).run()
    assume(store.spoilt is not None and _later_known(history, store.spoilt))

    assert check(history).verdict is Verdict.INVALID


def _later_known(history: list[Operation], spoilt: Operation) -> bool:
    """Whether a revision above the one that was read had been answered before it was asked for."""
    read = _recorded(history, spoilt)
    return any(
        o.key == read.key
        and o.observes
        and (o.result.mod_rev or 0) > (read.result.mod_rev or 0)
        and (o.return_ns or 0) < read.call_ns
        for o in history
    )


@given(seed=SEEDS, nth=st.integers(1, 100), unknown=st.sampled_from([0.0, 0.1]))
@PLANTED
def test_a_planted_lost_write_is_found(seed: int, nth: int, unknown: float) -> None:
    store = FaultyStore("lost write", nth)
    history = Recording(Load(operations=120, unknown=unknown), seed, store).run()
    assume(store.spoilt is not None and _older_seen(history, store.spoilt))

    assert check(history).verdict is Verdict.INVALID


def _older_seen(history: list[Operation], spoilt: Operation) -> bool:
    """Whether somebody asked after the write's answer, and was shown an older revision."""
    write = _recorded(history, spoilt)
    return write.outcome == "ok" and any(
        o.key == write.key
        and o.op == "get"
        and o.outcome == "ok"
        and 0 < (o.result.mod_rev or 0) < (write.result.mod_rev or 0)
        and o.call_ns > (write.return_ns or 0)
        for o in history
    )


@given(seed=SEEDS, nth=st.integers(1, 60), unknown=st.sampled_from([0.0, 0.1]))
@PLANTED
def test_a_planted_double_incr_is_found(seed: int, nth: int, unknown: float) -> None:
    store = FaultyStore("double incr", nth)
    mix = (("get", 2.0), ("incr", 3.0))
    history = Recording(Load(operations=90, unknown=unknown, mix=mix), seed, store).run()
    assume(store.spoilt is not None and _too_high(history, store.spoilt))

    assert check(history).verdict is Verdict.INVALID


def _too_high(history: list[Operation], spoilt: Operation) -> bool:
    """Whether the key was seen above the number of increments that can have been made."""
    of_key = [o for o in history if o.key == spoilt.key]
    seen = max((number(o.result.value) or 0 for o in of_key if o.outcome == "ok"), default=0)
    return seen > sum(o.op == "incr" and o.mutates for o in of_key)


def _recorded(history: list[Operation], spoilt: Operation) -> Operation:
    return next(o for o in history if o.client == spoilt.client and o.call_ns == spoilt.call_ns)


NOTICED = {"stale read": _later_known, "lost write": _older_seen, "double incr": _too_high}


@pytest.mark.parametrize("fault", NOTICED)
def test_a_planted_fault_in_a_long_history_is_told_by_a_handful_of_answers(fault: str) -> None:
    """Out of thousands of operations, one sentence: that is what a person can check."""
    counting = fault == "double incr"
    mix = (("get", 2.0), ("incr", 3.0)) if counting else Load().mix
    # Any unknown increment could be the second one.
    load = Load(clients=16, keys=8, operations=4000, unknown=0 if counting else 0.01, mix=mix)
    for seed in range(20):
        store = FaultyStore(fault, 3000)
        history = Recording(load, seed, store).run()
        if store.spoilt is not None and NOTICED[fault](history, store.spoilt):
            break

    checked = check(history)

    assert checked.verdict is Verdict.INVALID
    [invalid] = checked.faults
    contradiction = shrink(invalid.operations, invalid.stuck_ns)
    assert contradiction.minimal
    assert len(contradiction.operations) <= 3
    assert " although " in explain(contradiction, invalid.operations, 0)


def test_without_revisions_a_stale_read_is_found_too() -> None:
    """For histories of other stores, and so that not everything hangs on revisions."""
    store = FaultyStore("stale read", 300)
    history = Recording(Load(operations=400, clients=6), 3, store).run()
    assert store.spoilt is not None
    assert _later_known(history, store.spoilt)
    plain = [
        msgspec.structs.replace(o, result=msgspec.structs.replace(o.result, mod_rev=None))
        for o in history
        if o.args.if_mod_rev is None
    ]

    assert check(history).verdict is Verdict.INVALID
    assert check(plain).verdict is Verdict.INVALID
