"""The hunt for planted bugs: by seeds, by tests, and what is told of it."""

import pytest

from orchestrator.bugs.catalogue import BUGS, bug_named
from orchestrator.bugs.hunt import Catch, Found, hunt_by_seeds, hunt_by_tests
from orchestrator.bugs.program import main
from orchestrator.bugs.report import MARK_BEGIN, MARK_END, page_table, put_into_page, row, verdict
from orchestrator.bugs.runner import brief, run_one
from raftcache.raft import quorum

MAJORITY = "counts half of the voters as a majority"


def test_the_simulator_finds_a_bug_and_the_bug_is_gone_then() -> None:
    catch = hunt_by_seeds(MAJORITY, run_one, 20)

    assert catch.broken
    assert 1 <= catch.seeds <= 20
    assert quorum.majority(3) == 2


def test_a_hunt_ends_after_its_seeds() -> None:
    """What nothing notices is said, with how much was tried."""
    asked: list[int] = []

    def find_nothing(seed: int) -> str:
        asked.append(seed)
        return ""

    assert hunt_by_seeds(MAJORITY, find_nothing, 3)[:2] == (3, "")
    assert asked == [1, 2, 3]


def test_a_run_that_breaks_down_is_a_catch() -> None:
    def break_down(_seed: int) -> str:
        raise KeyError("n4")

    assert hunt_by_seeds(MAJORITY, break_down, 3).broken == "KeyError: 'n4'"


def test_the_tests_find_a_bug() -> None:
    """In a process of their own, so that this one stays sound."""
    assert hunt_by_tests(bug_named(MAJORITY)).startswith("raft/test_")


def test_what_nothing_notices_is_told_first() -> None:
    caught = Found(BUGS[0], Catch(7, "two leaders", 1.0), "raft/test_a.py::test_b")
    by_test = Found(BUGS[1], Catch(2_000, "", 1.0), "raft/test_a.py::test_c")
    missed = Found(BUGS[2], Catch(2_000, "", 1.0), "")

    assert "7" in row(caught)
    assert "two leaders" in row(caught)
    assert row(missed).endswith("NOTHING NOTICES")
    said = verdict([caught, by_test, missed])
    assert said[0] == "3 bugs planted, 2 noticed"
    assert said[-1] == f"NOTHING NOTICES: {BUGS[2].name}"


def test_the_page_gets_the_new_table_in_place_of_the_old() -> None:
    table = page_table([Found(BUGS[0], Catch(7, "a | b", 1.0), "")])

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
