"""What the steps of a run do to the links, and how much of each is in force still.

All of it together is what the nodes are told, again and again: so that the end of one fault does
not end another that cuts the same link, and a node that could not be told for a while comes right.
"""

import random
from collections.abc import Iterable

from .. import network
from ..link_words import describe_rule
from ..links import Picture
from ..network import Change
from ..paths import Paths
from ..state import ClusterState
from ..view import ClusterView
from .link_grammar import ends_of
from .scenario import Step


class Links:
    """The links of one cluster during a run."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._in_force: dict[int, Picture] = {}
        self._touched = False

    @property
    def picture(self) -> Picture:
        """All that is in force."""
        whole = Picture()
        for _, one in sorted(self._in_force.items()):
            whole = Picture(whole.cuts | one.cuts, whole.conditions).with_conditions(one.conditions)
        return whole

    def strike(self, number: int, change: Change) -> float:
        """Do it, as the fault of this number; return when it began."""
        if change.replaces_cuts:
            for other, one in self._in_force.items():
                self._in_force[other] = Picture(frozenset(), one.conditions)
        self._in_force[number] = change.applied(Picture())
        return self._impose()

    def end(self, number: int) -> None:
        """End one fault; harmless when it has ended, or never began."""
        if self._in_force.pop(number, None):
            self._impose()

    def heal(self, names: Iterable[str]) -> float:
        """Make the links of these nodes whole; return when that began."""
        healed = set(names)
        self._in_force = {number: one.without(healed) for number, one in self._in_force.items()}
        return self._impose()

    def take_ended(self) -> list[int]:
        """Return the faults of which nothing is in force any more, each once."""
        ended = [number for number, one in self._in_force.items() if not one]
        for number in ended:
            del self._in_force[number]
        return ended

    def tell_again(self) -> None:
        """Tell the nodes once more: some could not be told when something changed."""
        if self._touched:
            self._impose()

    def _impose(self) -> float:
        self._touched = True
        return network.impose(self._paths, self.picture, "chaos")


def plan(
    step: Step, view: ClusterView, state: ClusterState, chance: random.Random
) -> tuple[Change, list[str]]:
    """Return what a step means now, and the nodes that it is about.

    Raises:
        UsageError: nothing fits.
        NoQuorum: it means the leader, and there is none.
    """
    everybody = [node.name for node in view.nodes]
    if step.action == "partition":
        change = network.plan_partition(view, state, [step.selector], chance)
        about = {name for group in change.groups for name in group}
    elif step.action == "isolate":
        change = network.plan_isolation(
            view,
            state,
            [step.selector],
            inward=step.direction != "out",
            outward=step.direction != "in",
            chance=chance,
        )
        about = set(change.alone)
    else:
        assert step.harm is not None, "the grammar gives every link its harm"
        first, second = ends_of(step.selector)
        change = network.plan_link(
            view, state, ([first], [second]), step.harm, one_way=step.one_way, chance=chance
        )
        about = {
            name for way in (*change.cuts, *(c.way for c in change.conditions)) for name in way
        }
    return change, [name for name in everybody if name in about]


def words_of(step: Step, change: Change) -> str:
    """Return in a few words what it comes to, for the story of a run."""
    if step.action == "partition":
        return " | ".join(", ".join(group) for group in change.groups)
    if step.action == "isolate":
        names = ", ".join(change.alone)
        one = len(change.alone) == 1
        heard = {
            "in": "which hears nobody" if one else "which hear nobody",
            "out": "whom nobody hears",
        }
        return names + (f", {heard[step.direction]}" if step.direction else "")
    assert step.harm is not None, "the grammar gives every link its harm"
    ways = sorted({*change.cuts, *(one.way for one in change.conditions)})
    pairs = [
        f"{a} <-> {b}" if (b, a) in ways else f"{a} -> {b}"
        for a, b in ways
        if a < b or (b, a) not in ways
    ]
    shown = ", ".join(pairs) if len(pairs) <= 2 else f"{len(pairs)} links"
    return f"{shown}: {describe_rule(step.harm)}"
