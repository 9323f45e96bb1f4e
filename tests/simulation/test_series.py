"""Many seeds in worker processes: each reported once, and no death or standstill passed over."""

import multiprocessing
import os
import time

import pytest

from orchestrator.simulation import series
from orchestrator.simulation.run import Options, Outcome, run_seed
from orchestrator.simulation.series import Lost, Tally, run_series

pytestmark = pytest.mark.processes

SHORT = Options(profile="calm", changes={"events": 50})


def reports(first: int, end: int) -> list[Outcome | Lost]:
    return [one for one in run_series(first, end, SHORT, workers=2) if one is not None]


def test_each_seed_is_run_once_and_as_it_is_alone() -> None:
    found = reports(3, 12)

    assert sorted(one.seed for one in found) == list(range(3, 12))
    assert {one.seed: one for one in found}[5] == run_seed(5, SHORT)


def test_a_worker_that_dies_is_told_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    def deadly(seed: int, options: Options) -> Outcome:
        if seed == 4:
            os._exit(9)
        return run_seed(seed, options)

    monkeypatch.setattr(series, "run_seed", deadly)

    found = reports(1, 9)

    assert [one for one in found if isinstance(one, Lost)] == [
        Lost(4, "its worker process died: exit code 9")
    ]
    assert sorted(one.seed for one in found) == list(range(1, 9))


def test_a_run_that_does_not_end_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(seed: int, options: Options) -> Outcome:
        while seed == 2:
            time.sleep(60)
        return run_seed(seed, options)

    monkeypatch.setattr(series, "run_seed", endless)
    monkeypatch.setattr(series, "HANG_SECONDS", 3.0)
    monkeypatch.setattr(series, "BEAT_SECONDS", 0.1)

    lost = [one for one in reports(1, 4) if isinstance(one, Lost)]

    assert Lost(2, "the run did not end within 3 s") in lost


def test_whoever_stops_early_leaves_no_process_behind() -> None:
    going_on = run_series(1, 1_000_000, SHORT, workers=2)
    tally = Tally()
    for report in going_on:
        if report is not None:
            tally.add(report)
        if tally.seeds >= 5:
            break

    going_on.close()

    assert multiprocessing.active_children() == []
    assert tally.ok
    assert tally.events >= 5 * 50
