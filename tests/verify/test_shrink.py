"""The smallest contradiction, and the sentence about it."""

import random

import msgspec
import pytest

from orchestrator.verify.explain import explain, show
from orchestrator.verify.history import Binary, Operation
from orchestrator.verify.linearizability import Budget, Verdict, check
from orchestrator.verify.shrink import Contradiction, shrink

from .brute_force import explained
from .builders import draw, loosened, op


def contradiction_of(history: list[Operation]) -> Contradiction:
    checked = check(history)
    assert checked.verdict is Verdict.INVALID
    return shrink(checked.faults[0].operations, checked.faults[0].stuck_ns)


@pytest.mark.parametrize("block", range(4))
def test_what_is_left_contradicts_and_nothing_in_it_can_be_spared(block: int) -> None:
    """By the brute-force twin: the other answers disbelieved, then one more."""
    seen = 0
    for seed in range(block * 500, block * 500 + 500):
        history = draw(random.Random(seed))
        if check(history).verdict is Verdict.VALID:
            continue
        seen += 1

        kept = contradiction_of(history).operations

        assert not explained(loosened(history, kept)), f"seed {seed}"
        for one in kept:
            fewer = [other for other in kept if other is not one]
            assert explained(loosened(history, fewer)), f"seed {seed}: {one}"
    assert seen > 100


def test_a_write_that_a_read_depends_on_is_not_made_absurd() -> None:
    """Leaving out the write of v would leave a read of a value nobody wrote, and prove nothing."""
    history = [
        op("a", "set v", 0, 1),
        op("a", "set w", 2, 3),
        op("b", "get v", 4, 5),
        op("c", "get w", 6, 7),
    ]

    contradiction = contradiction_of(history)

    assert list(contradiction.operations) == history[:3]
    assert contradiction.minimal


def test_what_wrote_the_values_is_told_beside() -> None:
    history = [
        op("a", "set v", 0, 1, rev=1),
        op("a", "set w", 2, 3, rev=2),
        op("b", "get v", 4, 5, rev=1),
    ]

    contradiction = contradiction_of(history)

    assert list(contradiction.operations) == history[1:]
    assert list(contradiction.context) == history[:1]


def test_without_budget_all_is_kept_and_said_not_to_be_the_smallest() -> None:
    history = [op("a", f"set v{i}", i, i) for i in range(3000)] + [op("b", "get v1", 5000, 5001)]
    fault = check(history).faults[0]

    contradiction = shrink(fault.operations, fault.stuck_ns, Budget(nodes=0))

    assert not contradiction.minimal
    assert op("b", "get v1", 5000, 5001) in contradiction.operations


SENTENCES: dict[str, list[Operation]] = {
    "get k by c3 at 0.013 s returned v17 (revision 17), although set v18 by c1 had been "
    "acknowledged at 0.009 s (revision 18); v17 was written by c2, sent at 0.001 s": [
        op("c2", "set v17", 1, 2, rev=17),
        op("c1", "set v18", 3, 9, rev=18),
        op("c3", "get v17", 13, 14, rev=17),
    ],
    "get k by c3 at 0.004 s returned nothing, although set v by c1 had been acknowledged at "
    "0.001 s (revision 1)": [op("c1", "set v", 0, 1, rev=1), op("c3", "get -", 4, 5, rev=0)],
    "incr k by c2 at 0.002 s returned 1 (revision 2), although incr by c1 had returned 1 at "
    "0.001 s (revision 1)": [op("c1", "incr 1", 0, 1, rev=1), op("c2", "incr 1", 2, 3, rev=2)],
    "get k by c3 at 0.002 s returned v, which nobody had ever tried to write": [
        op("c3", "get v", 2, 3)
    ],
    "get k by c3 at 0.002 s returned v, before the write of it was sent, by c1 at 0.009 s": [
        op("c3", "get v", 2, 3),
        op("c1", "set v", 9, 10),
    ],
    "get k by c3 at 0.002 s returned v, which only c1 had tried to write, and that was answered "
    "with no_leader: certainly without effect": [
        op("c1", "set v", 0, 1, error="no_leader"),
        op("c3", "get v", 2, 3),
    ],
    "incr k by c3 at 0.002 s returned 2, although all increments sent by then add up to no more "
    "than 1": [op("c3", "incr 2", 2, 3)],
    "set x in k by c2 at 0.002 s was acknowledged (revision 3) on condition of revision 1, "
    "although set w by c1 had been acknowledged at 0.001 s (revision 2) on condition of revision "
    "1": [
        op("c0", "set v", 0, 0, rev=1),
        op("c1", "set w", 1, 1, rev=2, if_rev=1),
        op("c2", "set x", 2, 3, rev=3, if_rev=1),
    ],
    "delete k by c2 at 0.004 s was acknowledged, deleting the key, although delete by c1 had been "
    "acknowledged at 0.003 s, deleting the key": [
        op("c0", "set v", 0, 1, rev=1),
        op("c1", "delete", 2, 3, deleted=True),
        op("c2", "delete", 4, 5, deleted=True),
    ],
    "set x in k by c2 at 0.002 s was refused with conflict, finding v (revision 1), which nothing "
    "that had been asked by then can have led to": [
        op("c0", "set v", 0, 1, rev=1),
        op("c2", "set x", 2, 3, if_rev=1, error="conflict", found=True, value="v", rev=1),
    ],
}


@pytest.mark.parametrize(("sentence", "history"), SENTENCES.items())
def test_a_violation_is_said_in_a_sentence(sentence: str, history: list[Operation]) -> None:
    """Who, what, when, and what stands against it."""
    assert explain(contradiction_of(history), history, 0) == sentence


def test_times_that_would_look_the_same_are_told_more_exactly() -> None:
    late = msgspec.structs.replace(op("b", "incr 1", 0, 1), call_ns=7_000, return_ns=9_000)
    history = [op("a", "incr 1", 0, 0), late]

    sentence = explain(contradiction_of(history), history, 0)

    assert "at 0.000007 s returned 1, although incr by a had returned 1 at 0.000000 s" in sentence


def test_values_are_shown_so_that_a_line_stays_a_line() -> None:
    assert show("v") == "v"
    assert show("") == "''"
    assert show("a\nb") == "'a\\nb'"
    assert show(Binary(b"\xff\x00")) == "b64:ff00"
    assert show("x" * 1000) == "x" * 39 + "…"
