"""Steps about links: what a file may say, what is in force at any moment, how it is told."""

import random
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.chaos import links as module
from orchestrator.chaos.account import describe, healed_of
from orchestrator.chaos.faults import Fault
from orchestrator.chaos.grammar import parse_scenario
from orchestrator.chaos.links import Links, plan, words_of
from orchestrator.chaos.scenario import Step
from orchestrator.errors import BadConfiguration
from orchestrator.links import Condition, Picture, cuts_around, cuts_between
from orchestrator.network import Change
from orchestrator.selectors import Candidates
from raftcache.protocol.faults import FaultRule

NAMES = ["n1", "n2", "n3"]
LOSSY = FaultRule(peer="", direction="out", drop=0.1)


def step_of(text: str) -> Step:
    [step] = parse_scenario(f"steps:\n  - {{at: 1s, {text}}}".encode()).steps
    return step


def planned(text: str) -> tuple[Step, Change, list[str]]:
    step = step_of(text)
    found = Candidates(NAMES, NAMES, [], "n1", None)
    view: Any = SimpleNamespace(
        nodes=[SimpleNamespace(name=name) for name in NAMES], candidates=lambda _state: found
    )
    state: Any = None
    return step, *plan(step, view, state, random.Random(1))


class World:
    """What the nodes were told last."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: list[Picture] = []
        monkeypatch.setattr(
            module, "network", SimpleNamespace(impose=lambda _, picture, __: self.impose(picture))
        )
        paths: Any = None
        self.links = Links(paths)

    def impose(self, picture: Picture) -> float:
        """Take a picture."""
        self.told.append(picture)
        return 5.0


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_a_link_step_has_its_harm() -> None:
    step = step_of(
        'link: n1 n2, drop: 10%, delay: 20ms, jitter: 5ms, bandwidth: 1MiB, type: "answer,PreVote"'
    )

    assert (step.action, step.selector, step.one_way) == ("link", "n1 n2", False)
    assert step.harm == FaultRule(
        peer="", direction="out", drop=0.1, delay_ms=20, jitter_ms=5, bandwidth=1024 * 1024,
        types=("Answer", "PreVote"),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("partition: n1", "partition: a partition has at least two groups"),
        ('partition: "n1|n9"', "partition: no node is called 'n9'"),
        ('partition: "n1,n2|n1,n2"', "partition: these groups share their nodes"),
        ("link: n1, drop: 1", "link: a link has two ends"),
        ("link: n1 n1, drop: 1", "link: a link has two different ends"),
        ("link: n1 n2", "link: what shall be wrong with it? Add one of drop, delay"),
        ("link: n1 n2, drop: 2", "drop: '2' is not allowed; use 0 to 1, or 10%"),
        ("link: n1 n2, drop: 1, type: Vote", "type: no message is called `Vote`"),
        ("isolate: n1, drop: 1", "drop: goes with `link`, and not with isolate"),
        ("kill: n1, one_way: true", "one_way: goes with `link`, and not with kill"),
        ("kill: n1, direction: in", "direction: goes with `isolate`, not with kill"),
        ("isolate: n1, direction: up", "direction: 'up' is not allowed; use in or out"),
        ("heal: n1, for: 2s", "for: heal leaves nothing to undo"),
    ],
)
def test_what_makes_no_sense_is_refused_with_what_is_right(text: str, complaint: str) -> None:
    with pytest.raises(BadConfiguration) as refused:
        step_of(text)

    assert f": {complaint}" in refused.value.message


def test_a_cluster_of_one_has_no_links() -> None:
    with pytest.raises(BadConfiguration, match="a cluster of one node has no links"):
        parse_scenario(b"cluster: {nodes: 1}\nsteps: [{at: 1s, isolate: n1}]")


def test_heal_means_all_where_none_are_named() -> None:
    assert step_of("heal: ").selector == "all"


@pytest.mark.parametrize(
    ("text", "cuts", "about", "words"),
    [
        (
            "partition: leader|followers",
            cuts_between([["n1"], ["n2", "n3"]]),
            NAMES,
            "n1 | n2, n3",
        ),
        ("isolate: n2", cuts_around(["n2"], NAMES), ["n2"], "n2"),
        (
            "isolate: leader, direction: in",
            cuts_around(["n1"], NAMES, outward=False),
            ["n1"],
            "n1, which hears nobody",
        ),
        (
            "isolate: followers, direction: out",
            cuts_around(["n2", "n3"], NAMES, inward=False),
            ["n2", "n3"],
            "n2, n3, whom nobody hears",
        ),
        (
            "link: n1 n2, drop: 1, one_way: true",
            frozenset({("n1", "n2")}),
            ["n1", "n2"],
            "n1 -> n2: all lost",
        ),
        ("link: n1 n2, drop: 10%", frozenset(), ["n1", "n2"], "n1 <-> n2: 10 % lost"),
        (
            "link: leader all, delay: 9ms",
            frozenset(),
            NAMES,
            "n1 <-> n2, n1 <-> n3: 9 ms late",
        ),
    ],
)
def test_a_step_is_settled_when_it_fires_and_told_in_words(
    text: str, cuts: frozenset[tuple[str, str]], about: list[str], words: str
) -> None:
    step, change, nodes = planned(text)

    assert (change.cuts, nodes, words_of(step, change)) == (cuts, about, words)


def test_the_story_tells_who_led_and_what_became_whole() -> None:
    fault = Fault(
        number=1, line=1, action="isolate", selector="leader", planned_ms=0, at_ms=0,
        targets=["n1"], leader="n1", term=4, words="n1, which hears nobody",
    )  # fmt: skip

    assert describe(fault) == "isolate n1, which hears nobody (the leader of term 4)"
    assert healed_of(fault) == "the links of n1"


def test_the_end_of_one_fault_leaves_what_another_cuts_as_well(world: World) -> None:
    lonely = Change(cuts=cuts_around(["n1"], NAMES), alone=("n1",))
    lossy = Change(conditions=(Condition("n1", FaultRule(peer="n2", direction="out", drop=0.1)),))
    world.links.strike(1, lonely)
    world.links.strike(2, Change(cuts=cuts_around(["n2"], NAMES), alone=("n2",)))
    world.links.strike(3, lossy)

    world.links.end(1)
    world.links.end(1)

    assert world.told[-1] == Picture(cuts_around(["n2"], NAMES), lossy.conditions)
    assert len(world.told) == 4


def test_a_partition_ends_the_cuts_before_it_and_what_it_ended_needs_no_undo(world: World) -> None:
    split = Change(cuts=cuts_between([["n1", "n2"], ["n3"]]), replaces_cuts=True)
    world.links.strike(1, Change(cuts=cuts_around(["n1"], NAMES)))

    world.links.strike(2, split)

    assert world.links.take_ended() == [1]
    assert world.links.take_ended() == []
    world.links.end(1)
    assert world.told[-1] == Picture(split.cuts)


def test_a_heal_of_some_nodes_leaves_the_rest_of_a_fault(world: World) -> None:
    world.links.strike(1, Change(cuts=cuts_around(NAMES, NAMES)))

    world.links.heal(["n1"])
    assert (world.links.take_ended(), world.told[-1].cuts) == ([], cuts_between([["n2"], ["n3"]]))
    world.links.heal(NAMES)

    assert (world.links.take_ended(), world.told[-1]) == ([1], Picture())


def test_nobody_is_told_again_where_nothing_was_ever_done(world: World) -> None:
    world.links.tell_again()
    assert world.told == []
    world.links.strike(1, Change(cuts=cuts_around(["n1"], NAMES)))
    world.links.end(1)

    world.links.tell_again()

    assert world.told[-1] == Picture()
    assert len(world.told) == 3
