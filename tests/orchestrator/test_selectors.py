"""Selectors: which nodes a word means."""

import random

import pytest

from orchestrator.errors import NoQuorum, UsageError
from orchestrator.selectors import Candidates, resolve

FIVE = Candidates(
    names=["n1", "n2", "n3", "n4", "n5"],
    up=["n1", "n2", "n3", "n4"],
    paused=["n3"],
    leader="n2",
    old_leader="n1",
)


@pytest.mark.parametrize(
    ("texts", "meant"),
    [
        (["n3"], ["n3"]),
        (["n5,n1", "n1"], ["n1", "n5"]),
        (["leader"], ["n2"]),
        (["old-leader"], ["n1"]),
        (["followers"], ["n1", "n3", "n4"]),
        (["all"], ["n1", "n2", "n3", "n4", "n5"]),
        (["down"], ["n5"]),
        (["paused"], ["n3"]),
        (["leader,down"], ["n2", "n5"]),
        (["random(4)"], ["n1", "n2", "n3", "n4"]),
    ],
)
def test_what_leaves_no_choice(texts: list[str], meant: list[str]) -> None:
    assert resolve(texts, FIVE, random.Random(1)) == meant


@pytest.mark.parametrize(
    ("text", "count", "among"),
    [
        ("one", 1, FIVE.up),
        ("one-follower", 1, ["n1", "n3", "n4"]),
        ("minority", 2, FIVE.up),
        ("majority", 3, FIVE.up),
        ("random(2)", 2, FIVE.up),
    ],
)
def test_what_leaves_a_choice_uses_all_of_it(text: str, count: int, among: list[str]) -> None:
    """Over many draws every node that fits is drawn, and no other."""
    chance = random.Random(7)
    draws = [resolve([text], FIVE, chance) for _ in range(200)]

    assert {len(draw) for draw in draws} == {count}
    assert {name for draw in draws for name in draw} == set(among)


def test_the_same_seed_draws_the_same() -> None:
    draws = [resolve(["minority"], FIVE, random.Random(3)) for _ in range(5)]

    assert draws.count(draws[0]) == 5


def test_a_minority_of_one_or_two_nodes_is_nobody() -> None:
    """One of two is half: without it nothing can be decided."""
    two = Candidates(["n1", "n2"], ["n1", "n2"], [], "n1", None)

    assert resolve(["minority"], two) == []


def test_a_word_that_means_nobody_now_is_refused() -> None:
    lonely = Candidates(["n1", "n2", "n3"], ["n1"], [], None, None)

    with pytest.raises(NoQuorum, match="there is no leader now"):
        resolve(["leader"], lonely)
    with pytest.raises(UsageError, match="no leader before the present one was seen"):
        resolve(["old-leader"], lonely)
    with pytest.raises(UsageError, match="majority means 2 of the nodes that fit, and there are 1"):
        resolve(["majority"], lonely)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("n9", "no node is called 'n9'"),
        ("laeder", "no node is called 'laeder'; did you mean leader?"),
        ("random(x)", "no node is called 'random(x)'; did you mean random(K)?"),
        ("", "no node is called ''"),
        ("x" * 500, f"no node is called '{'x' * 40}'"),
    ],
)
def test_an_unknown_word_is_refused_with_the_nearest(text: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolve([text], FIVE)

    assert caught.value.message.startswith(message)
    assert caught.value.hint.startswith("the nodes are n1, n2, n3, n4, n5; or say\nleader,")


def test_a_draw_of_nobody_is_refused() -> None:
    with pytest.raises(UsageError, match="means no node at all; K is 1 or more"):
        resolve(["random(0)"], FIVE)
