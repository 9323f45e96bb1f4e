"""What steps do and how it is undone, on a cluster of names: registered first, undone whatever."""

import random
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from orchestrator.chaos import faults as module
from orchestrator.chaos.faults import Fault, Faults
from orchestrator.chaos.scenario import Step
from orchestrator.chaos.timeline import Planned
from orchestrator.errors import TryAgain
from orchestrator.selectors import Candidates

NAMES = ["n1", "n2", "n3"]


class World:
    """Three nodes, as far as their names and what was done to them go."""

    def __init__(self) -> None:
        self.state = dict.fromkeys(NAMES, "ready")
        self.log: list[str] = []
        self.fail: dict[str, BaseException] = {}
        self.paths = None

    def node(self, name: str) -> SimpleNamespace:
        """Return a node's view."""
        state = self.state[name]
        return SimpleNamespace(state=state, has_process=state in {"ready", "paused"})

    def observe(self, *_: object) -> SimpleNamespace:
        """Return the cluster's view."""
        up = [name for name in NAMES if self.node(name).has_process]
        paused = [name for name in NAMES if self.state[name] == "paused"]
        found = Candidates(NAMES, up, paused, "n1" if "n1" in up else None, None)
        return SimpleNamespace(
            leader=found.leader, term=1, candidates=lambda _state: found, node=self.node
        )

    def deed(self, word: str, before: set[str], after: str) -> Callable[..., SimpleNamespace]:
        """Return a verb that does this to nodes in one of these states."""

        def do(_paths: object, names: list[str], **_: object) -> SimpleNamespace:
            if word in self.fail:
                raise self.fail[word]
            changed = [name for name in names if self.state[name] in before]
            self.state.update(dict.fromkeys(changed, after))
            if changed:
                self.log.append(f"{word} {','.join(changed)}")
            return SimpleNamespace(at_ms=5.0)

        return do


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    deeds = SimpleNamespace(
        kill=made.deed("kill", {"ready", "paused"}, "down"),
        stop=made.deed("stop", {"ready", "paused"}, "down"),
        pause=made.deed("pause", {"ready"}, "paused"),
        resume=made.deed("resume", {"paused"}, "ready"),
        start=made.deed("start", {"down"}, "ready"),
    )
    monkeypatch.setattr(module, "actions", deeds)
    monkeypatch.setattr(module, "observe", made.observe)
    monkeypatch.setattr(module, "endpoints", lambda _state: {})
    monkeypatch.setattr(module, "LEADER_SECONDS_MAX", 0.0)
    return made


def faults_of(world: Any) -> Faults:
    return Faults(world, random.Random(1))


def step(action: str, selector: str, for_ms: int | None = None) -> Planned:
    return Planned(0, Step(line=1, action=action, selector=selector, at_ms=0, for_ms=for_ms), 1)


def test_a_fault_records_whom_its_selector_meant_when_it_fell(world: World) -> None:
    fault = faults_of(world).fire(step("kill", "leader"))

    assert fault == Fault(
        number=1, line=1, action="kill", selector="leader", planned_ms=0, at_ms=5.0,
        targets=["n1"], leader="n1", term=1,
    )  # fmt: skip


def test_what_lasts_for_a_while_is_undone_when_it_is_due(world: World) -> None:
    faults = faults_of(world)
    faults.fire(step("pause", "n2", for_ms=3_600_000))
    faults.fire(step("kill", "n3", for_ms=0))

    faults.undo_due()

    assert world.log == ["pause n2", "kill n3", "start n3"]
    assert faults.faults[0].undone_ms is None


@pytest.mark.parametrize("word", ["kill", "stop", "pause", "restart"])
def test_an_undo_is_registered_before_its_deed(world: World, word: str) -> None:
    """A Ctrl-C within the deed must find it, whether anything had happened yet or not."""
    faults = faults_of(world)
    world.fail = {"kill": KeyboardInterrupt(), "stop": TryAgain("x"), "pause": TryAgain("x")}
    with pytest.raises((KeyboardInterrupt, TryAgain)):
        faults.fire(step(word, "n2"))
    world.state["n2"] = "paused" if word == "pause" else "down"

    faults.undo_all()

    assert world.state["n2"] == "ready"


def test_the_last_is_undone_first_and_a_failure_keeps_none_from_being_tried(world: World) -> None:
    faults = faults_of(world)
    faults.fire(step("kill", "n1"))
    faults.fire(step("pause", "n2"))
    world.fail = {"start": TryAgain("supervisord does not answer")}

    with pytest.raises(TryAgain):
        faults.undo_all()

    assert world.log == ["kill n1", "pause n2", "resume n2"]


def test_a_node_that_two_faults_hold_is_let_go_by_the_later_one(world: World) -> None:
    faults = faults_of(world)
    faults.fire(step("pause", "n2", for_ms=0))
    faults.fire(step("kill", "n2"))

    faults.undo_due()

    assert world.state["n2"] == "down"
    faults.undo_all()
    assert world.state["n2"] == "ready"


def test_a_start_settles_the_faults_that_it_ends(world: World) -> None:
    """Else an old undo would revive a node that a later fault has killed again."""
    faults = faults_of(world)
    first = faults.fire(step("kill", "n2", for_ms=0))
    faults.fire(step("start", "down"))
    faults.fire(step("kill", "n2"))

    faults.undo_due()

    assert first.undone_ms is not None
    assert world.state["n2"] == "down"


@pytest.mark.parametrize(
    ("action", "selector", "why"),
    [
        ("kill", "leader", "there is no leader now"),
        ("pause", "n1", "n1 is down"),
        ("start", "n2", "n2 is ready"),
        ("resume", "paused", "no node is paused now"),
        ("kill", "random(3)", "random(3) means 3 of the nodes that fit, and there are 2"),
    ],
)
def test_a_step_that_fits_no_node_does_nothing_and_says_why(
    world: World, action: str, selector: str, why: str
) -> None:
    world.state["n1"] = "down"
    faults = faults_of(world)

    fault = faults.fire(step(action, selector))

    assert (fault.targets, fault.skipped, world.log) == ([], why, [])
    assert faults.next_due_ms() == float("inf")
