"""Majorities as tables, joint configurations included (§5.2, §5.3, §6)."""

import pytest

from raftcache.raft.configuration import Configuration
from raftcache.raft.quorum import Outcome, committed_index, has_quorum, majority, vote_outcome

from .builders import FIVE, THREE

FOUR = ("n1", "n2", "n3", "n4")
JOINT = Configuration(voters=("n1", "n2", "n3"), voters_outgoing=("n3", "n4", "n5"))
"""A joint configuration whose halves share n3."""


@pytest.mark.parametrize(("voters", "expected"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3), (7, 4)])
def test_a_majority_is_more_than_half(voters: int, expected: int) -> None:
    """§5.1: any two majorities share a server."""
    assert majority(voters) == expected


@pytest.mark.parametrize(
    ("configuration", "agree", "expected"),
    [
        (Configuration(voters=("n1",)), "1", True),
        (Configuration(voters=("n1",)), "", False),
        (Configuration(voters=THREE), "12", True),
        (Configuration(voters=THREE), "3", False),
        (Configuration(voters=FOUR), "12", False),
        (Configuration(voters=FOUR), "124", True),
        (Configuration(voters=FIVE), "12", False),
        (Configuration(voters=FIVE), "135", True),
        (Configuration(voters=THREE, learners=("n4", "n5")), "145", False),
        (JOINT, "12", False),
        (JOINT, "45", False),
        (JOINT, "1245", True),
        (JOINT, "134", True),
        (JOINT, "34", False),
    ],
)
def test_a_quorum_is_a_majority_of_each_half(
    configuration: Configuration, agree: str, *, expected: bool
) -> None:
    """§6: in a joint configuration both halves must agree; learners are never asked."""
    names = {f"n{digit}" for digit in agree}

    assert has_quorum(configuration, names.__contains__) is expected


@pytest.mark.parametrize(
    ("configuration", "votes", "expected"),
    [
        (Configuration(voters=THREE), "+", Outcome.PENDING),
        (Configuration(voters=THREE), "+ +", Outcome.WON),
        (Configuration(voters=THREE), "+-", Outcome.PENDING),
        (Configuration(voters=THREE), "+--", Outcome.LOST),
        (Configuration(voters=FOUR), "++", Outcome.PENDING),
        (Configuration(voters=FOUR), "++--", Outcome.LOST),
        (Configuration(voters=FIVE), "++--", Outcome.PENDING),
        (Configuration(voters=FIVE), "++ -+", Outcome.WON),
        (JOINT, "++", Outcome.PENDING),
        (JOINT, "++ --", Outcome.LOST),
        (JOINT, "++ ++", Outcome.WON),
        (JOINT, "--+++", Outcome.LOST),
    ],
)
def test_a_vote_is_won_lost_or_pending(
    configuration: Configuration, votes: str, expected: Outcome
) -> None:
    """§5.2: lost as soon as no majority is possible any more. Column k is n(k)'s answer."""
    answers = {
        f"n{number}": vote == "+" for number, vote in enumerate(votes, 1) if vote in {"+", "-"}
    }

    assert vote_outcome(configuration, answers) is expected


@pytest.mark.parametrize(
    ("configuration", "matches", "expected"),
    [
        (Configuration(voters=("n1",)), (7,), 7),
        (Configuration(voters=("n1", "n2")), (7, 3), 3),
        (Configuration(voters=THREE), (7, 3, 5), 5),
        (Configuration(voters=THREE), (7, 0, 0), 0),
        (Configuration(voters=FOUR), (9, 8, 7, 6), 7),
        (Configuration(voters=FIVE), (9, 1, 8, 2, 7), 7),
        (Configuration(voters=THREE, learners=("n4", "n5")), (1, 1, 1, 9, 9), 1),
        (JOINT, (9, 9, 9, 1, 1), 1),
        (JOINT, (9, 9, 2, 9, 1), 2),
        (JOINT, (1, 5, 5, 5, 9), 5),
    ],
)
def test_what_a_majority_stores_may_be_committed(
    configuration: Configuration, matches: tuple[int, ...], expected: int
) -> None:
    """§5.3, §6: the highest index that a majority of each half has reached."""
    match_index = {f"n{number}": match for number, match in enumerate(matches, 1)}

    assert committed_index(configuration, match_index.__getitem__) == expected
