"""Histories of everything that changes a store: transactions, ranges, time, sessions, fences."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.verify.history import Header, HistoryWriter, read_history
from orchestrator.verify.judgement import judge
from orchestrator.verify.linearizability import Verdict, check

from ..effort import scaled
from .simulated import Load
from .simulated_whole import FAULTS, WholeRecording


@given(
    seed=st.integers(0, 2**32),
    unknown=st.sampled_from([0.0, 0.05, 0.3]),
    clients=st.integers(1, 10),
    operations=st.integers(1, 200),
)
@settings(max_examples=scaled(150), deadline=None)
def test_what_a_correct_store_answers_is_valid(
    seed: int, unknown: float, clients: int, operations: int
) -> None:
    """No false alarm."""
    load = Load(clients=clients, operations=operations, unknown=unknown)

    checked = check(WholeRecording(load, seed).run())

    assert [(one.key, one.verdict) for one in checked.faults] == []
    assert [one.sentence for one in checked.breaches] == []


@pytest.mark.parametrize("fault", FAULTS)
def test_a_store_that_breaks_a_promise_is_found_out(fault: str) -> None:
    """Of each kind; not each history shows it, but of a few some do."""
    verdicts = []
    for seed in range(10):
        load = Load(clients=4, operations=250, unknown=0.02)
        history = WholeRecording(load, seed, fault).run()
        verdicts.append(check(history).verdict)

    assert Verdict.INVALID in verdicts
    assert Verdict.UNKNOWN not in verdicts


def test_what_contradicts_over_several_keys_is_told_in_a_sentence(tmp_path: Path) -> None:
    """From a file, as `bin/cluster chaos` leaves it: a write behind a fence of the past."""
    path = tmp_path / "history.jsonl"
    recorded = WholeRecording(Load(clients=4, operations=250), 1, "a fence of the past").run()
    with path.open("wb") as file:
        writer = HistoryWriter(file, Header(name="fences"))
        for operation in recorded:
            writer.write(operation)

    history = read_history(path)
    judgement = judge(history)

    assert list(history.operations) == recorded
    assert judgement.verdict is Verdict.INVALID
    assert "was done behind a fence of" in judgement.violations[0].sentence
    assert len(judgement.violations[0].contradiction.operations) == 2
