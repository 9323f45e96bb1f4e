"""A search that is stuck asks a few answers around that place: often quick, and never wrong."""

import random

import pytest

from orchestrator.verify import evidence, search
from orchestrator.verify.evidence import Evidence
from orchestrator.verify.linearizability import Verdict, check
from orchestrator.verify.moves import moves_of
from orchestrator.verify.search import Found

from .brute_force import explained
from .builders import draw, op
from .simulated import FaultyStore, Load, Recording, record


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let searches ask at every node, and look at few answers first."""
    monkeypatch.setattr(evidence, "FIRST_ANSWERS", 2)
    monkeypatch.setattr(search, "_DOUBTS_AFTER", 1)
    monkeypatch.setattr(search, "_LOOKS_AT_BUDGET_EVERY", 1)


@pytest.mark.usefixtures("eager")
def test_the_verdict_is_still_that_of_trying_every_order() -> None:
    verdicts = []
    for seed in range(500):
        history = draw(random.Random(seed))
        verdicts.append(check(history).verdict is Verdict.VALID)
        assert verdicts[-1] is explained(history), f"seed {seed}: {history}"

    assert set(verdicts) == {True, False}


@pytest.mark.usefixtures("eager")
def test_no_few_answers_of_a_correct_store_contradict_each_other() -> None:
    for seed in range(8):
        history = record(Load(operations=100, keys=1, values=seed % 3), seed)
        for operation in history:
            look = Evidence(history, lambda _nodes: True)
            assert not look.contradicts(operation.return_ns or 0), f"seed {seed}"


def test_a_contradiction_late_in_a_long_history_is_seen_without_undoing_all_of_it() -> None:
    """To rule out every other way for hundreds of unknown outcomes takes many times longer."""
    load = Load(operations=6_000, clients=32, keys=1, unknown=0.01)
    store = FaultyStore("stale read", 5_400)
    history = Recording(load, 1, store).run()

    checked = check(history)

    assert checked.verdict is Verdict.INVALID
    assert store.spoilt is not None
    assert checked.faults[0].stuck_ns >= store.spoilt.call_ns
    exhaustive = search.search(moves_of(history), lambda _nodes: True)
    assert checked.nodes < exhaustive.nodes // 2


@pytest.mark.usefixtures("eager")
def test_looks_that_are_in_vain_come_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """They may cost a little, not more than the search itself."""
    looks: list[int] = []

    def look(*_: object) -> Found:
        looks.append(1)
        return Found(None, 0, 0)

    monkeypatch.setattr(evidence, "search", look)
    history = [op("a", f"set v{i}", i, i) for i in range(200)]
    tired = Evidence(history, lambda _nodes: True)

    assert not any(tired.contradicts(moment) for moment in range(100))
    assert len(looks) < 50
