"""Which ways are cut by which words, who holds which rule, and how it is told."""

import argparse
import random
from itertools import permutations, product

import pytest

from orchestrator.cli.network import chance_of
from orchestrator.errors import UsageError
from orchestrator.link_words import describe_conditions, describe_cuts, describe_order
from orchestrator.links import (
    Condition,
    Picture,
    Way,
    as_json,
    circles,
    cuts_around,
    cuts_between,
    groups_of,
    picture_of,
    rules_for,
    rules_from,
)
from orchestrator.network import Change
from orchestrator.selectors import Candidates
from raftcache.protocol.faults import FaultRule

THREE = ["n1", "n2", "n3"]
FIVE = ["n1", "n2", "n3", "n4", "n5"]
LOSSY = FaultRule(peer="n2", direction="out", drop=0.1)


def candidates(names: list[str], leader: str | None = "n1") -> Candidates:
    return Candidates(names, names, [], leader, None)


def open_ways(
    picture_at: dict[str, Picture], names: list[str], told: list[str] | None = None
) -> set[Way]:
    """Return what gets through where each node holds its part of some picture."""
    reached = names if told is None else told
    closed: set[Way] = set()
    for name in reached:
        closed |= picture_of({name: rules_for(picture_at[name], name, reached)}).cuts
    return set(permutations(names, 2)) - closed


@pytest.mark.parametrize(
    ("texts", "groups"),
    [
        (["n1|n2,n3"], [["n1"], ["n2", "n3"]]),
        (["n1", "n2,n3"], [["n1"], ["n2", "n3"]]),
        ([" leader | followers "], [["n1"], ["n2", "n3", "n4", "n5"]]),
        (["leader|n2|followers"], [["n1"], ["n2"], ["n3", "n4", "n5"]]),
        (["leader|all"], [["n1"], ["n2", "n3", "n4", "n5"]]),
        (["n1,n2|n2,n3"], [["n1", "n2"], ["n2", "n3"]]),
    ],
)
def test_groups_are_read_with_the_selectors_in_them(
    texts: list[str], groups: list[list[str]]
) -> None:
    names = THREE if groups[-1][-1] == "n3" else FIVE

    assert groups_of(texts, candidates(names)) == groups


@pytest.mark.parametrize(
    "text", ["minority|majority", "one|one-follower|one", "random(2)|random(3)"]
)
def test_what_is_drawn_for_a_group_is_in_no_group_before(text: str) -> None:
    for seed in range(50):
        groups = groups_of([text], candidates(FIVE), random.Random(seed))
        named = [name for group in groups for name in group]
        assert len(named) == len(set(named))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("n1", "at least two groups"),
        ("n1|", "one of the groups is empty"),
        ("all|followers", "no node is left that 'followers' could mean"),
        ("n1|n9", "no node is called 'n9'"),
        ("n1|down", "no node is left that 'down' could mean"),
    ],
)
def test_groups_that_make_no_sense_are_refused(text: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint.replace("|", r"\|")):
        groups_of([text], candidates(THREE))


def test_a_partition_cuts_between_its_groups_and_leaves_the_others_as_a_bridge() -> None:
    assert cuts_between([["n1"], ["n3"]]) == {("n1", "n3"), ("n3", "n1")}
    assert cuts_between([["n1", "n2"], ["n2", "n3"]]) == {("n1", "n3"), ("n3", "n1")}
    assert len(cuts_between([["n1", "n2"], ["n3", "n4", "n5"]])) == 12


def test_an_isolation_cuts_one_direction_or_both() -> None:
    assert cuts_around(["n1"], THREE, inward=False) == {("n1", "n2"), ("n1", "n3")}
    assert cuts_around(["n1"], THREE, outward=False) == {("n2", "n1"), ("n3", "n1")}
    assert cuts_around(["n2", "n3"], THREE) == set(permutations(THREE, 2))


def test_all_64_one_way_cuts_of_three_nodes_come_back_from_the_rules_as_they_were() -> None:
    """What is told to the nodes is what they tell (failure A17)."""
    ways = list(permutations(THREE, 2))
    for chosen in product([False, True], repeat=6):
        cuts = frozenset(way for way, cut in zip(ways, chosen, strict=True) if cut)
        rules = {name: rules_for(Picture(cuts), name, THREE) for name in THREE}

        assert picture_of(rules) == Picture(cuts)
        assert open_ways(dict.fromkeys(THREE, Picture(cuts)), THREE) == set(ways) - cuts


def test_between_two_partitions_no_way_is_open_that_both_have_cut() -> None:
    """The nodes learn of the second one after the other."""
    first = Picture(cuts_between([["n1", "n2"], ["n3", "n4", "n5"]]))
    second = Picture(cuts_between([["n1"], ["n2", "n3"], ["n4", "n5"]]))
    allowed = open_ways(dict.fromkeys(FIVE, first), FIVE)
    allowed |= open_ways(dict.fromkeys(FIVE, second), FIVE)

    for told in range(len(FIVE) + 1):
        halfway = {name: second if FIVE.index(name) < told else first for name in FIVE}
        assert open_ways(halfway, FIVE) <= allowed


def test_a_node_that_cannot_be_told_is_cut_off_by_its_peers() -> None:
    cut = Picture(cuts_around(["n3"], THREE))

    assert open_ways(dict.fromkeys(THREE, cut), THREE, told=["n1", "n2"]) == {
        ("n1", "n2"),
        ("n2", "n1"),
    }


def test_a_disturbance_is_held_where_it_begins_or_else_where_it_ends() -> None:
    """At both ends it would happen twice."""
    picture = Picture(conditions=(Condition("n1", LOSSY),))

    assert rules_for(picture, "n1", THREE) == [LOSSY]
    assert rules_for(picture, "n2", THREE) == []
    assert rules_for(picture, "n2", ["n2", "n3"]) == [
        FaultRule(peer="n1", direction="in", drop=0.1)
    ]
    assert picture_of({"n2": rules_for(picture, "n2", ["n2"])}) == picture


def test_cuts_come_first_and_rules_for_all_messages_last() -> None:
    """The first rule that fits a message decides."""
    typed = FaultRule(peer="n2", direction="out", delay_ms=5, types=("PreVote",))
    picture = Picture(frozenset({("n1", "n3")}), (Condition("n1", LOSSY), Condition("n1", typed)))

    assert rules_for(picture, "n1", THREE) == [
        FaultRule(peer="n3", direction="out", drop=1.0),
        typed,
        LOSSY,
    ]


def test_a_link_said_again_replaces_what_was_and_other_kinds_of_message_stay() -> None:
    slow = FaultRule(peer="n2", direction="out", delay_ms=5)
    typed = FaultRule(peer="n2", direction="out", delay_ms=9, types=("PreVote",))
    picture = Picture().with_conditions([Condition("n1", LOSSY), Condition("n1", typed)])

    assert picture.with_conditions([Condition("n1", slow)]).conditions == (
        Condition("n1", typed),
        Condition("n1", slow),
    )


def test_a_partition_replaces_cuts_and_leaves_what_else_is_wrong() -> None:
    before = Picture(cuts_around(["n1"], THREE), (Condition("n1", LOSSY),))
    change = Change(cuts=cuts_between([["n1", "n2"], ["n3"]]), replaces_cuts=True)

    after = change.applied(before)

    assert after == Picture(change.cuts, before.conditions)
    assert change.undone(after) == Picture(frozenset(), before.conditions)


def test_healing_a_node_heals_its_links_at_both_ends() -> None:
    picture = Picture(cuts_around(["n1", "n2"], THREE), (Condition("n1", LOSSY),))

    assert picture.without(["n1"]) == Picture(cuts_between([["n2"], ["n3"]]))
    assert not picture.without(["n1", "n2"])


def test_a_node_that_has_left_is_left_out() -> None:
    picture = Picture(cuts_around(["n3"], THREE), (Condition("n1", LOSSY),))

    assert picture.among(["n1", "n2"]) == Picture(frozenset(), picture.conditions)
    assert not picture.among(["n1", "n3"]).conditions


def test_who_can_lead_is_who_can_talk_both_ways_with_a_quorum() -> None:
    deaf = Picture(cuts_around(["n1"], THREE, outward=False))

    assert circles(deaf, THREE) == {"n1": ["n1"], "n2": ["n2", "n3"], "n3": ["n2", "n3"]}
    assert circles(Picture(), ["n1", "n3"]) == {"n1": ["n1", "n3"], "n3": ["n1", "n3"]}


@pytest.mark.parametrize(
    ("cuts", "words"),
    [
        (cuts_between([["n1"], ["n2", "n3"]]), ["cut: n1 | n2, n3"]),
        (cuts_between([["n1"], ["n3"]]), ["cut: n1 | n3  (n2 is in touch with all)"]),
        (cuts_around(THREE, THREE), ["cut: n1 | n2 | n3"]),
        (cuts_around(["n1"], THREE, inward=False), ["cut: nobody hears n1"]),
        (cuts_around(["n1"], THREE, outward=False), ["cut: n1 hears nobody"]),
        (frozenset({("n1", "n2")}), ["cut: n2 does not hear n1"]),
        (
            cuts_around(["n1"], THREE) | {("n2", "n3")},
            ["cut: n1 from all others", "cut: n3 does not hear n2"],
        ),
        (frozenset(), []),
    ],
)
def test_cuts_are_told_in_as_few_words_as_they_can_be(
    cuts: frozenset[Way], words: list[str]
) -> None:
    assert describe_cuts(Picture(cuts), THREE) == words


def test_a_ring_is_told_link_by_link() -> None:
    ring = {("n1", "n2"), ("n2", "n3"), ("n3", "n4"), ("n4", "n5"), ("n5", "n1")}
    cuts = frozenset(way for way in permutations(FIVE, 2) if not {way, way[::-1]} & ring)

    assert describe_cuts(Picture(cuts), FIVE) == [
        "cut: n1 | n3", "cut: n1 | n4", "cut: n2 | n4", "cut: n2 | n5", "cut: n3 | n5",
    ]  # fmt: skip


def test_disturbances_are_told_once_where_both_directions_are_alike() -> None:
    back = FaultRule(peer="n1", direction="out", drop=0.1)
    slow = FaultRule(
        peer="n3", direction="out", delay_ms=20, jitter_ms=5, bandwidth=1024, types=("PreVote",)
    )
    picture = Picture(
        conditions=(Condition("n1", LOSSY), Condition("n2", back), Condition("n1", slow))
    )

    assert describe_conditions(picture) == [
        "n1 <-> n2: 10 % lost",
        "n1 -> n3: 20 ms late +- 5 ms, 1,024 bytes/s (of PreVote)",
    ]
    assert as_json(picture)["links"][0] == {"from": "n1", "to": "n2", "drop": 0.1}


@pytest.mark.parametrize(
    ("cuts", "order"),
    [
        (cuts_around(["n1"], THREE), "n1 is told: be cut off from n2, n3"),
        (cuts_around(["n1"], THREE, inward=False), "n1 is told: be silent to n2, n3"),
        (cuts_around(["n2"], THREE, inward=False), "n1 is told: be deaf to n2"),
        (frozenset(), "n1 is told: no more faults on its links"),
    ],
)
def test_an_order_is_told_as_it_was_given(cuts: frozenset[Way], order: str) -> None:
    assert describe_order("n1", rules_for(Picture(cuts), "n1", THREE)) == order
    more = [*rules_for(Picture(cuts), "n1", THREE), LOSSY]
    assert describe_order("n1", more).endswith("on bad links with n2")


def test_a_rule_of_a_newer_node_is_passed_over() -> None:
    told = [{"peer": "n2", "direction": "out", "drop": 1}, {"peer": "n2", "gravity": 9.81}]

    assert rules_from(told) == [FaultRule(peer="n2", direction="out", drop=1.0)]
    assert rules_from(None) == []


@pytest.mark.parametrize(("text", "chance"), [("0.1", 0.1), ("10%", 0.1), ("1", 1.0), (".5", 0.5)])
def test_a_chance_is_a_number_or_a_percentage(text: str, chance: float) -> None:
    assert chance_of(text) == chance


@pytest.mark.parametrize("text", ["2", "-1", "101%", "ten", "", "nan"])
def test_what_is_no_chance_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="is no chance"):
        chance_of(text)
