"""The hunt for planted bugs: by seeds, by tests, and what is told of it."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from orchestrator.bugs.catalogue import BUGS, bug_named
from orchestrator.bugs.hunt import Found, hunt_by_seeds, hunt_by_tests, look_who_is_reached
from orchestrator.bugs.ledger import Ledger
from orchestrator.bugs.plugin import SURVEY_VARIABLE, Survey, pytest_configure
from orchestrator.bugs.program import PAGE, main
from orchestrator.bugs.report import (
    MARK_BEGIN,
    MARK_END,
    page_table,
    put_into_page,
    row,
    row_of_tests,
    verdict,
)
from orchestrator.bugs.rounds import Hunt
from orchestrator.bugs.runner import brief, run_one
from raftcache.raft import quorum

MAJORITY = "counts half of the voters as a majority"


class Config:
    """As much of pytest's configuration as the plugin sees."""

    def __init__(self) -> None:
        self.plugins: list[Any] = []
        self.pluginmanager = self

    def register(self, plugin: Any) -> None:
        """Keep a plugin."""
        self.plugins.append(plugin)


NO_VOTE = "stands for election early though it has no vote"


def test_the_simulator_finds_a_bug_and_the_bug_is_gone_then() -> None:
    catch = hunt_by_seeds(MAJORITY, run_one, range(1, 21))

    assert catch.broken
    assert 1 <= catch.seed <= 20
    assert quorum.majority(3) == 2


def test_a_hunt_ends_after_its_seeds() -> None:
    """What nothing notices is said, with how much was tried."""
    asked: list[int] = []

    def find_nothing(seed: int) -> str:
        asked.append(seed)
        return ""

    assert hunt_by_seeds(MAJORITY, find_nothing, [1, 2, 5])[:2] == (0, "")
    assert asked == [1, 2, 5]


def test_a_run_that_breaks_down_is_a_catch() -> None:
    def break_down(_seed: int) -> str:
        raise KeyError("n4")

    assert hunt_by_seeds(MAJORITY, break_down, [7])[:2] == (7, "KeyError: 'n4'")


def test_the_tests_find_a_bug() -> None:
    """In a process of their own, so that this one stays sound; what noticed before goes first."""
    hint = "raft/test_quorum.py::test_a_majority_is_more_than_half"
    assert hunt_by_tests(bug_named(MAJORITY), hint) == hint


def test_a_bug_that_no_test_comes_to_costs_no_test() -> None:
    assert hunt_by_tests(bug_named(MAJORITY), wanted=[]) == ""


def test_tests_that_come_to_a_bug_are_taken_down(tmp_path: Path) -> None:
    """Without any bug: the tests pass, and the place of one is among what they come to."""
    path, config = tmp_path / "survey.json", Config()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(SURVEY_VARIABLE, str(path))
        pytest_configure(config)  # type: ignore[arg-type]
    (surveyor,) = config.plugins
    try:
        surveyor.pytest_collection_finish()
        protocol = surveyor.pytest_runtest_protocol(SimpleNamespace(nodeid="test_a"))
        next(protocol)
        assert quorum.majority(3) == 2
        with pytest.raises(StopIteration):
            protocol.send(None)
        surveyor.pytest_sessionfinish()
    finally:
        surveyor.close()

    survey = msgspec.json.decode(path.read_bytes(), type=Survey)
    assert survey.tests[MAJORITY] == ["test_a"]
    assert not survey.tests[NO_VOTE]
    assert not survey.early


def test_runs_that_do_not_come_to_a_bug_are_left_out() -> None:
    """And a run that fails without any bug proves nothing about one."""

    def run(seed: int) -> str:
        if seed == 2:
            quorum.majority(3)
        return "unsound" if seed == 3 else ""

    reached, unsound = look_who_is_reached([MAJORITY, NO_VOTE], run, [1, 2, 3])

    assert reached == {1: [], 2: [MAJORITY], 3: []}
    assert unsound == {3: "unsound"}
    assert quorum.majority(5) == 3


def test_a_hunt_goes_on_where_it_was(tmp_path: Path) -> None:
    """From a file; a bug that has changed since is hunted anew."""
    path, bug = tmp_path / "kept.json", bug_named(MAJORITY)
    said: list[str] = []
    with Hunt([bug], Ledger(path), jobs=1, say=said.append) as hunt:
        (found,) = hunt.by_seeds(30)
    assert said == ["seeds 1 to 30 for 1 bug"]

    with Hunt([bug], Ledger(path), jobs=1, say=said.append) as hunt:
        assert list(hunt.by_seeds(30)) == [found]
        assert hunt.found(bug)._replace(test="") == found
    assert len(said) == 1

    changed = dataclasses.replace(bug, edits=(*bug.edits, *bug.edits))
    assert not Ledger(path).of(changed).broken


def test_what_nothing_notices_is_told_first() -> None:
    caught = Found(BUGS[0], 7, 7, "two leaders", "raft/test_a.py::test_b")
    by_test = Found(BUGS[1], 2_000, 12, "", "raft/test_a.py::test_c")
    missed = Found(BUGS[2], 2_000, 3, "", "")

    assert "7" in row(caught)
    assert "two leaders" in row(caught)
    assert row_of_tests(missed).endswith("NOTHING NOTICES")
    said = verdict([caught, by_test, missed])
    assert said[0] == "3 bugs planted, 2 noticed"
    assert said[-1] == (
        f"NOTHING NOTICES: {BUGS[2].name}; it could make a difference in 3 of 2,000 runs"
    )


def test_the_page_gets_the_new_table_in_place_of_the_old() -> None:
    table = page_table([Found(BUGS[0], 7, 7, "a | b", "")])

    page = put_into_page(f"before\n{MARK_BEGIN}\nold\n{MARK_END}\nafter\n", table)

    assert page == f"before\n{table}\nafter\n"
    assert "a \\| b" in page
    with pytest.raises(ValueError, match="lacks"):
        put_into_page("no place", table)


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        ("seed 1: n1: AssertionError('at most one leader')", "at most one leader"),
        ("seed 12: not within 20000 ms\nmore", "not within 20000 ms"),
        ("x" * 100, "x" * 89 + "…"),
    ],
)
def test_what_was_broken_is_said_in_a_line(failure: str, said: str) -> None:
    assert brief(failure) == said


def test_a_name_that_no_bug_has_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", "no such bug"]) == 64
    assert "no bug" in capsys.readouterr().out


def test_the_table_is_of_all_bugs_or_is_not_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--only", MAJORITY, "--write"]) == 64
    assert "--only" in capsys.readouterr().out


def test_the_page_tells_of_bugs_that_there_are() -> None:
    """A bug that is renamed or gone leaves no row behind; new ones come with the next hunt."""
    _, _, table = PAGE.read_text().partition(MARK_BEGIN)
    rows = [line.split(" | ") for line in table.splitlines() if line.startswith("| ")]
    names = {row[0].removeprefix("| ").removesuffix(" \\*") for row in rows[2:]}
    assert names <= {bug.name for bug in BUGS}
