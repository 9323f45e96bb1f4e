"""Small histories with known verdicts, and the brute-force twin."""

import random

import pytest

from orchestrator.verify.history import Operation
from orchestrator.verify.linearizability import Budget, Verdict, check

from .brute_force import explained
from .builders import draw, draw_counts, op
from .simulated import Load, record

VALID = {
    "nothing happened": [],
    "a missing key": [op("a", "get -", 0, 1, rev=0)],
    "read your write": [op("a", "set v", 0, 1, rev=1), op("a", "get v", 2, 3, rev=1)],
    "an overlapping read sees the old value": [
        op("a", "set v", 0, 1),
        op("a", "set w", 2, 9),
        op("b", "get v", 3, 4),
        op("c", "get w", 5, 6),
    ],
    "at one and the same nanosecond counts as overlapping": [
        op("a", "set v", 0, 1),
        op("b", "get -", 1, 2),
    ],
    "overlapping writes in the order of their revisions": [
        op("a", "set v", 0, 9, rev=2),
        op("b", "set w", 0, 9, rev=1),
        op("c", "get v", 10, 11, rev=2),
    ],
    "an unknown write took effect late": [
        op("a", "set v", 0, 1, rev=1),
        op("b", "set w", 2, 3, unknown=True),
        op("a", "get v", 10, 11, rev=1),
        op("a", "get w", 20, 21, rev=7),
    ],
    "an unknown write never took effect": [
        op("b", "set w", 2, 3, unknown=True),
        op("a", "get -", 10, 11),
        op("a", "set v", 12, 13, rev=1, created=True),
        op("a", "get v", 20, 21, rev=1),
    ],
    "an unknown write explains that a key was there": [
        op("b", "set w", 0, None, unknown=True),
        op("a", "delete", 10, 11, deleted=True),
    ],
    "an unknown delete explains that it was gone": [
        op("a", "set v", 0, 1, rev=1),
        op("b", "delete", 2, None, unknown=True),
        op("a", "get v", 5, 6, rev=1),
        op("a", "get -", 7, 8, rev=0),
    ],
    "an unknown increment took effect": [
        op("a", "incr 1", 0, 1, rev=1),
        op("b", "incr", 2, None, unknown=True),
        op("a", "incr 3", 4, 5, rev=3),
    ],
    "an unknown increment left the revision that a condition names": [
        op("a", "incr 1", 2, 4, rev=2),
        op("b", "incr", 5, None, unknown=True),
        op("c", "set d", 12, 19, if_rev=3, rev=5),
    ],
    "an unknown increment explains that another found no room": [
        op("a", f"incr {5 - 2**62}", 0, 1, by=5 - 2**62, rev=1),
        op("b", "incr", 2, None, by=2**63 - 1, unknown=True),
        op("c", "incr", 4, 5, by=2**62, error="out_of_range"),
    ],
    "an unknown increment explains that a condition failed": [
        op("a", "incr 5", 0, 1, by=5, rev=1),
        op("b", "incr", 2, None, unknown=True),
        op("c", "set x", 4, 5, if_value="5", error="conflict"),
    ],
    "increments and sets share a key": [
        op("a", "set 41", 0, 1, rev=1),
        op("a", "incr 42", 2, 3, rev=2),
        op("b", "get 42", 4, 5, rev=2),
        op("b", "set x", 6, 7, rev=3),
        op("b", "incr", 8, 9, error="wrong_type"),
    ],
    "a chain of conditions": [
        op("a", "set v", 0, 1, if_rev=0, rev=3),
        op("b", "set w", 2, 3, if_rev=3, rev=5),
        op("c", "set x", 2, 9, if_rev=3, error="conflict", found=True, value="w", rev=5),
        op("c", "set x", 10, 11, if_value="w", rev=6),
        op("a", "delete", 12, 13, if_rev=6, deleted=True),
    ],
    "an unknown conditional write whose condition held": [
        op("a", "set v", 0, 1, rev=1),
        op("b", "set w", 2, None, if_rev=1, unknown=True),
        op("a", "get w", 5, 6, rev=2),
    ],
    "other keys do not matter": [
        op("a", "set v", 0, 1, key="x"),
        op("a", "get -", 2, 3, key="y"),
    ],
}

INVALID = {
    "a stale read": [
        op("a", "set v", 0, 1, rev=1),
        op("a", "set w", 2, 3, rev=2),
        op("b", "get v", 4, 5, rev=1),
    ],
    "a stale read without revisions": [
        op("a", "set v", 0, 1),
        op("a", "set w", 2, 3),
        op("b", "get v", 4, 5),
    ],
    "two reads in turn that go back in time": [
        op("a", "set v", 0, 1),
        op("a", "set w", 2, 99),
        op("b", "get w", 3, 4),
        op("c", "get v", 5, 6),
    ],
    "a lost write": [op("a", "set v", 0, 1, rev=1), op("b", "get -", 2, 3, rev=0)],
    "a write that was answered as failed was seen": [
        op("a", "set v", 0, 1, error="no_leader"),
        op("b", "get v", 2, 3, rev=1),
    ],
    "a value nobody wrote": [op("b", "get v", 2, 3)],
    "a value from the future": [op("b", "get v", 2, 3), op("a", "set v", 4, 5)],
    "an unknown write from the future": [
        op("b", "get v", 2, 3),
        op("a", "set v", 4, None, unknown=True),
    ],
    "an unknown write seen, then gone": [
        op("a", "set v", 0, 1, rev=1),
        op("b", "set w", 2, None, unknown=True),
        op("a", "get w", 5, 6, rev=2),
        op("a", "get v", 7, 8, rev=1),
    ],
    "an increment applied twice": [
        op("a", "incr 1", 0, 1, rev=1),
        op("b", "incr 3", 2, 3, rev=3),
    ],
    "two increments answered alike": [
        op("a", "incr 1", 0, 9, rev=1),
        op("b", "incr 1", 0, 9, rev=2),
    ],
    "one unknown increment counted twice": [
        op("b", "incr", 0, None, unknown=True),
        op("a", "incr 3", 4, 5, rev=3),
    ],
    "two conditional writes on one revision": [
        op("a", "set v", 0, 1, rev=1),
        op("b", "set w", 2, 9, if_rev=1, rev=2),
        op("c", "set x", 2, 9, if_rev=1, rev=3),
    ],
    "two creations": [
        op("a", "set v", 0, 9, if_rev=0, rev=1),
        op("b", "set w", 0, 9, if_rev=0, rev=2),
    ],
    "a conflict with what is no longer there": [
        op("a", "set v", 0, 1, rev=1),
        op("a", "set w", 2, 3, rev=2),
        op("b", "set x", 4, 5, if_rev=7, error="conflict", found=True, value="v", rev=1),
    ],
    "a conflict though the condition held": [
        op("a", "set v", 0, 1, rev=1),
        op("b", "set x", 4, 5, if_rev=1, error="conflict", found=True, value="v", rev=1),
    ],
    "revisions against the order of time": [
        op("a", "set v", 0, 1, rev=2),
        op("b", "set w", 2, 3, rev=1),
    ],
    "a revision answered twice": [
        op("a", "set v", 0, 9, rev=1),
        op("b", "set w", 0, 9, rev=1),
    ],
    "a number found to be no number": [
        op("a", "set 5", 0, 1),
        op("b", "incr", 2, 3, error="wrong_type"),
    ],
    "an increment that had room, and was told it had none": [
        op("a", "incr 5", 0, 1, by=5, rev=1),
        op("b", "incr", 2, None, by=2**62, unknown=True),
        op("c", "incr", 4, 5, by=2**62 - 6, error="out_of_range"),
    ],
    "an unknown increment counted twice, to leave another no room": [
        op("b", "incr", 0, None, by=2**62, unknown=True),
        op("c", "incr", 4, 5, by=2**62 - 1, error="out_of_range"),
    ],
    "a delete of what was not there": [op("a", "delete", 0, 1, deleted=True)],
    "one fault among many keys": [
        *(op("a", f"set v{i}", i, i, key=f"k{i}") for i in range(20)),
        op("b", "get -", 50, 51, key="k7"),
    ],
}


@pytest.mark.parametrize("history", VALID.values(), ids=VALID)
def test_a_history_with_an_explanation_is_valid(history: list[Operation]) -> None:
    assert check(history).verdict is Verdict.VALID


@pytest.mark.parametrize("history", INVALID.values(), ids=INVALID)
def test_a_history_without_an_explanation_is_invalid(history: list[Operation]) -> None:
    assert check(history).verdict is Verdict.INVALID


@pytest.mark.parametrize("block", range(6))
def test_the_verdict_is_that_of_trying_every_order(block: int) -> None:
    """Two checkers that share no code; every shortcut of the fast one is at stake."""
    verdicts = set()
    for seed in range(block * 1000, block * 1000 + 1000):
        history = draw(random.Random(seed))

        valid = check(history).verdict is Verdict.VALID

        assert valid is explained(history), f"seed {seed}: {history}"
        verdicts.add(valid)
    assert verdicts == {True, False}


def test_near_the_limits_of_numbers_the_verdict_is_that_of_trying_every_order() -> None:
    """A refusal that names no number may need an increment whose outcome nobody knows.

    It waited for a sum that needs it, and a sound history was found guilty (seed 7002323).
    """
    verdicts = set()
    for seed in range(2000):
        history = draw_counts(random.Random(seed))

        valid = check(history).verdict is Verdict.VALID

        assert valid is explained(history), f"seed {seed}: {history}"
        verdicts.add(valid)
    assert verdicts == {True, False}


def test_the_order_of_the_lines_does_not_matter() -> None:
    history = record(Load(operations=200), seed=5)
    shuffled = random.Random(1).sample(history, len(history))

    assert check(history).verdict is Verdict.VALID
    assert check(shuffled).verdict is Verdict.VALID


def test_a_search_beyond_its_budget_is_no_verdict() -> None:
    """An honest unknown; and the keys that were judged in time are not dragged along."""
    history = record(Load(operations=9000, clients=32, keys=1), seed=5)
    small = [op("a", "set v", 0, 1, key="small"), op("a", "get -", 2, 3, key="small")]

    out_of_nodes = check(history, Budget(nodes=1))
    out_of_time = check(history, Budget(seconds=0))
    beside = check([*history, *small], Budget(nodes=1))

    assert out_of_nodes.verdict is Verdict.UNKNOWN
    assert out_of_time.verdict is Verdict.UNKNOWN
    assert beside.verdict is Verdict.INVALID
    assert [fault.key for fault in beside.faults] == ["small", "k0"]


def test_hundreds_of_unknown_writes_on_one_key_cost_nothing() -> None:
    """They stay open to the end, and would double the search each; nobody saw them."""
    unknown = [op("u", f"set u{i}", i, None, unknown=True) for i in range(500)]
    known = [op("a", f"set v{i}", 10 * i, 10 * i + 1) for i in range(200)]
    reads = [op("b", f"get v{i}", 10 * i + 2, 10 * i + 3) for i in range(200)]

    checked = check([*unknown, *known, *reads])

    assert checked.verdict is Verdict.VALID
    assert checked.nodes <= 1000


def test_hundreds_of_unknown_writes_do_not_hide_a_stale_read() -> None:
    unknown = [op("u", f"set u{i}", i, None, unknown=True) for i in range(500)]
    known = [op("a", f"set v{i}", 10 * i, 10 * i + 1) for i in range(200)]
    stale = op("b", "get v7", 5000, 5001)

    checked = check([*unknown, *known, stale])

    assert checked.verdict is Verdict.INVALID
    assert checked.nodes <= 5000
