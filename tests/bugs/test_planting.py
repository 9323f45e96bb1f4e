"""Planted bugs: each changes the program, is undone without a trace, and fails when it is stale."""

import re

import pytest

from orchestrator.bugs.catalogue import BUGS, bug_named
from orchestrator.bugs.planting import Bug, Edit, Planted, PlantingFailed
from raftcache.raft import quorum

BUGS_WANTED = 60


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name.replace(" ", "_"))
def test_a_bug_fits_the_program_as_it_is(bug: Bug) -> None:
    """Its text is there, once: when the program changes, its bugs must be looked at again."""
    Planted(bug).remove()


def test_there_are_many_and_each_is_told_apart() -> None:
    """The names are what people read; the rows say where each happened."""
    assert len(BUGS) >= BUGS_WANTED
    assert len({bug.name for bug in BUGS}) == len(BUGS)
    for bug in BUGS:
        assert bug_named(bug.name) is bug
        assert all(re.fullmatch(r"[A-G]\d{1,2}", row) for row in bug.rows), bug.name


def majority_bug(old: str, new: str) -> Bug:
    return Bug("a bug", (), "", (Edit("raftcache.raft.quorum:majority", old, new),))


def test_a_bug_is_in_force_until_it_is_removed() -> None:
    planted = Planted(majority_bug("voter_count // 2 + 1", "voter_count"))
    assert quorum.majority(5) == 5

    planted.remove()

    assert quorum.majority(5) == 3


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("text that is gone", "", "occurs 0 times"),
        ("voter_count", "", r"occurs \d times"),
        ("voter_count // 2 + 1", "(", "no Python"),
        ("voter_count // 2 + 1", "half(voter_count)", "knows no half"),
    ],
)
def test_a_stale_bug_fails_loudly(old: str, new: str, why: str) -> None:
    """One that changes nothing would prove nothing."""
    with pytest.raises(PlantingFailed, match=why):
        Planted(majority_bug(old, new))
    assert quorum.majority(5) == 3


@pytest.mark.parametrize("target", ["raftcache.raft.quorum:gone", "raftcache.raft.quorum:Outcome"])
def test_a_bug_in_no_function_fails_loudly(target: str) -> None:
    with pytest.raises(PlantingFailed, match="no"):
        Planted(Bug("a bug", (), "", (Edit(target, "a", "b"),)))
