"""The counts, and the whole judgement."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.verify.history import Header, History, Operation
from orchestrator.verify.judgement import judge
from orchestrator.verify.linearizability import Verdict
from orchestrator.verify.summary import Window, summarize

from .builders import MS, op
from .simulated import Load, record


def history(*operations: Operation, started_ms: int | None = None) -> History:
    started_ns = None if started_ms is None else started_ms * MS
    return History(Header(started_ns=started_ns), operations)


def test_what_was_answered_is_counted() -> None:
    counted = summarize(
        history(
            op("a", "set v", 0, 1),
            op("b", "get v", 2, 3),
            op("b", "set w", 4, 5, error="no_leader"),
            op("b", "set w", 6, 7, unknown=True, error="timeout"),
            op("c", "get v", 6, 9, key="other", unknown=True, error="timeout"),
        )
    )

    assert (counted.operations, counted.clients, counted.keys) == (5, 3, 2)
    assert (counted.acknowledged, counted.acknowledged_writes) == (2, 1)
    assert (counted.unknown, counted.failed, counted.lost) == (2, 1, 0)
    assert counted.errors == {"no_leader": 1, "timeout": 2}
    assert counted.duration_ns == 9 * MS


def test_the_longest_times_without_an_answer_come_first() -> None:
    counted = summarize(
        history(
            op("a", "get -", 10, 11),
            op("a", "set v", 12, 13),
            op("a", "set w", 14, 40, unknown=True),
            op("b", "get v", 14, 50),
            op("b", "set x", 51, 90),
            started_ms=10,
        )
    )

    gaps = [(w.start_ns // MS, w.end_ns // MS) for w in counted.windows]
    assert gaps == [(40, 80), (3, 40), (1, 3), (0, 1)]
    assert counted.write_windows == (Window(3 * MS, 80 * MS), Window(0, 3 * MS))
    assert counted.windows[0].length_ns == 40 * MS


def test_an_empty_history_has_nothing_to_count() -> None:
    counted = summarize(history())

    assert (counted.operations, counted.duration_ns, counted.windows) == (0, 0, ())


LOST = {
    "the last read is older": (
        2,
        [
            op("a", "set v", 0, 1, rev=1),
            op("a", "set w", 2, 3, rev=2),
            op("a", "set x", 4, 5, rev=3),
            op("b", "get v", 6, 7, rev=1),
        ],
    ),
    "the key is gone": (1, [op("a", "set v", 0, 1, rev=1), op("b", "get -", 2, 3)]),
    "the key may have been deleted": (
        0,
        [
            op("a", "set v", 0, 1, rev=1),
            op("c", "delete", 0, 1, unknown=True),
            op("b", "get -", 2, 3),
        ],
    ),
    "increments are missing": (
        2,
        [*(op("a", f"incr {i}", i, i) for i in range(1, 6)), op("b", "get 3", 8, 9)],
    ),
    "an old read proves nothing": (
        0,
        [op("b", "get -", 0, 9), op("a", "set v", 0, 1, rev=1)],
    ),
}


@pytest.mark.parametrize(("lost", "operations"), LOST.values(), ids=LOST)
def test_acknowledged_writes_that_are_gone_are_counted(
    lost: int, operations: list[Operation]
) -> None:
    assert summarize(history(*operations)).lost == lost


@given(seed=st.integers(0, 2**32), kind=st.sampled_from(["set", "incr"]))
@settings(deadline=None)
def test_nothing_is_lost_in_a_correct_store(seed: int, kind: str) -> None:
    mix = (("get", 3.0), (kind, 3.0), ("delete", 0.5 if kind == "set" else 0.0))

    counted = summarize(history(*record(Load(mix=mix, unknown=0.2), seed)))

    assert counted.lost == 0


def test_a_judgement_has_the_verdict_the_reasons_and_the_counts() -> None:
    good = [op("a", f"set v{i}", i, i, key=f"k{i}") for i in range(20)]
    bad = [op("b", "get -", 30, 31, key=f"k{i}") for i in range(8)]

    judged = judge(history(*good, *bad))

    assert judged.verdict is Verdict.INVALID
    assert len(judged.check.faults) == 8
    assert [violation.key for violation in judged.violations] == [f"k{i}" for i in range(5)]
    assert judged.violations[3].sentence == (
        "get k3 by b at 0.030 s returned nothing, although set v3 by a had been acknowledged at "
        "0.003 s"
    )
    assert judged.summary.lost == 8
    assert judge(history(*good)).verdict is Verdict.VALID
