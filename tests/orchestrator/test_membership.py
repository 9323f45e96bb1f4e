"""A change of the membership, killed at every step and finished or undone by whoever comes next.

The world here is a model: a cluster that agrees at once, processes and directories that are names
in a set. What is killed is the command, between any two things that it does to that world.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import msgspec
import pytest

from orchestrator.administration import Member, Members
from orchestrator.changes import plan_addition, plan_removal, plan_replacement
from orchestrator.errors import CheckFailed, TryAgain
from orchestrator.membership import Work
from orchestrator.resize import settle
from orchestrator.spec_values import Spec
from orchestrator.state import Change, ClusterState, NodeRecord, new_state
from orchestrator.view import ClusterView, NodeView

NEVER = 10**6
EMPTY = 0


class Killed(BaseException):
    """What kill -9 is to the command: nothing of it runs any more."""


class World:
    """A cluster, its processes and its directories; and the state file."""

    def __init__(self, size: int = 3) -> None:
        state = new_state(Spec(), size, 7400)
        state.bootstrapped = True
        names = [record.name for record in state.nodes]
        self.votes = dict.fromkeys(names, 1)  # the incarnation that votes
        self.learns: dict[str, int] = {}  # the incarnation that will
        self.mark = 1
        self.running = {*names}
        self.kept_by_supervisord = {*names}
        self.directories = dict.fromkeys(names, 1)  # of which incarnation
        self.aside: dict[str, int] = {}
        self.leader = "n1"
        self.broken: set[str] = set()
        self.gateway = names
        self.file = b""
        self.write(state)
        self.left = NEVER
        self.happened: list[str] = []

    def write(self, state: ClusterState) -> None:
        """Keep the state, as the file does."""
        self.file = msgspec.json.encode(state)

    def read(self) -> ClusterState:
        """Read the state back."""
        return msgspec.json.decode(self.file, type=ClusterState)

    def event(self, what: str) -> None:
        """Count an event; the one at which the command is to die is its last."""
        self.happened.append(what)
        if self.left == 0:
            raise Killed(what)
        self.left -= 1

    def members(self) -> Members:
        """Let those that have a process learn, and tell who takes part."""
        for name in list(self.learns):
            if name in self.running and self.directories.get(name) == EMPTY:
                self.votes[name] = self.learns.pop(name)
                self.directories[name] = self.votes[name]
        found = [self._member(name, inc, "voter") for name, inc in self.votes.items()]
        found += [self._member(name, inc, "learner") for name, inc in self.learns.items()]
        return Members(members=found)

    def _member(self, name: str, incarnation: int, role: str) -> Member:
        return Member(
            id=name,
            incarnation=incarnation,
            peer="",
            client="",
            role=role,
            joins=role == "learner",
            leaves=role == "voter" and name in self.learns,
            joined=name in self.running,
        )

    def view(self) -> ClusterView:
        """Look at the nodes."""
        unseen: dict[str, Any] = dict.fromkeys(NodeView.__struct_fields__)
        nodes = [
            NodeView(
                **{
                    **unseen,
                    "name": record.name,
                    "state": "ready",
                    "client": "",
                    "voter": record.voter,
                    "status": {} if record.name in self.running else None,
                }
            )
            for record in self.read().nodes
        ]
        return ClusterView(
            cluster="demo",
            nodes=nodes,
            leader=self.leader,
            term=1,
            quorum=self.read().quorum(),
            supervisor_running=True,
        )


class FakeHands:
    """Hands in that world; the command can die before and after each thing that they do."""

    def __init__(self, world: World, state: ClusterState) -> None:
        self._world = world
        self._state = state

    def save(self) -> None:
        """Write the state down."""
        self._world.event("save")
        self._world.write(self._state)

    def members(self) -> Members:
        """Ask the model."""
        return self._world.members()

    def ask(self, fields: dict[str, Any]) -> Members:
        """Agree at once."""
        world = self._world
        world.event(fields["op"])
        if fields["op"] == "member_replace":
            self._learn(fields["id"], replaces=fields["incarnation"])
        else:
            for one in fields["add"]:
                self._learn(one["id"], replaces=None)
            for name in fields["remove"]:
                world.votes.pop(name, None)
                world.learns.pop(name, None)
        assert world.votes, "a cluster without voters"
        world.event(f"{fields['op']} done")
        return world.members()

    def _learn(self, name: str, *, replaces: int | None) -> None:
        world = self._world
        if name in world.learns or (name in world.votes and world.votes[name] != replaces):
            return  # so it was asked for before
        world.mark += 1
        world.learns[name] = world.mark

    def hand_over(self, leaving: list[str]) -> None:
        """Have another node lead."""
        self._world.event("hand over")
        if self._world.leader in leaving:
            self._world.leader = next(name for name in self._world.votes if name not in leaving)

    def start(self, names: list[str]) -> None:
        """Start processes."""
        self._world.kept_by_supervisord = {record.name for record in self._state.nodes}
        for name in names:
            self._world.event(f"start {name}")
            if name not in self._world.broken:
                self._world.running.add(name)
                self._world.directories.setdefault(name, EMPTY)

    def stop(self, name: str) -> None:
        """End one."""
        self._world.event(f"stop {name}")
        self._world.running.discard(name)

    def forget(self, names: list[str]) -> None:
        """Keep only the nodes of the state."""
        self._world.event(f"forget {names}")
        self._world.kept_by_supervisord = {record.name for record in self._state.nodes}
        assert not self._world.running & {*names}, "supervisord keeps what runs"

    def set_aside(self, name: str, where: str) -> None:
        """Move a directory."""
        world = self._world
        world.event(f"set aside {name}")
        assert name not in world.running, "its directory is in use"
        if name in world.directories and where not in world.aside:
            world.aside[where] = world.directories.pop(name)
        world.event("was set aside")

    def kept(self, where: str) -> str | None:
        """Say where it is."""
        return where if where in self._world.aside else None

    def drop_data(self, name: str) -> None:
        """Delete one."""
        self._world.event(f"drop {name}")
        self._world.directories.pop(name, None)

    def refresh(self) -> None:
        """Tell the gateway."""
        self._world.gateway = [record.name for record in self._state.nodes]

    def hopeless(self, names: list[str]) -> dict[str, str]:
        """Name those that are broken."""
        return {name: "it refused to start" for name in names if name in self._world.broken}

    def last_words(self, _name: str) -> list[str]:
        """Say nothing."""
        return []

    def up_to_date(self, names: list[str]) -> bool:
        """All that run are."""
        return {*names} <= self._world.running


Plan = Callable[[ClusterState, ClusterView], tuple[Change, list[NodeRecord]]]


def adding(state: ClusterState, _view: ClusterView) -> tuple[Change, list[NodeRecord]]:
    return plan_addition(state, 1, "add", free=lambda _host, _port: True)


def growing(state: ClusterState, _view: ClusterView) -> tuple[Change, list[NodeRecord]]:
    return plan_addition(state, 2, "scale 5", free=lambda _host, _port: True)


def removing(state: ClusterState, view: ClusterView) -> tuple[Change, list[NodeRecord]]:
    return plan_removal(state, view, ["n1"], "remove n1"), []


def replacing(state: ClusterState, view: ClusterView) -> tuple[Change, list[NodeRecord]]:
    return plan_replacement(state, view, "n2", "replace n2"), []


AFTERWARDS: dict[Plan, set[str]] = {
    adding: {"n1", "n2", "n3", "n4"},
    growing: {"n1", "n2", "n3", "n4", "n5"},
    removing: {"n2", "n3"},
    replacing: {"n1", "n2", "n3"},
}
ALL: list[Plan] = list(AFTERWARDS)


def begin(world: World, plan: Plan) -> None:
    state = world.read()
    change, records = plan(state, world.view())
    Work(state, FakeHands(world, state), at=world.event, pause=lambda _: None).begin(
        change, records, seconds=0.0
    )


def come_next(world: World, *, given_up: tuple[str, ...] = ()) -> list[str]:
    """Do what the next command does; return what it says."""
    said: list[str] = []
    state = world.read()
    work = Work(state, FakeHands(world, state), at=world.event, pause=lambda _: None)
    settle(state, work, said.append, given_up=given_up)
    world.write(state)
    return said


def killed_after(world: World, events: int, does: Callable[[], object]) -> bool:
    """Do something with a command that dies after so many events; tell whether it did."""
    world.left = events
    try:
        does()
    except Killed:
        return True
    finally:
        world.left = NEVER
    return False


def check(world: World, plan: Plan) -> bool:
    """See that all agree on who takes part; tell whether the change was done."""
    state = world.read()
    names = {record.name for record in state.nodes}
    assert state.change is None
    assert names in (AFTERWARDS[plan], {"n1", "n2", "n3"})
    assert {*world.votes} == names
    assert world.learns == {}
    assert world.running == names
    assert world.kept_by_supervisord == names
    assert {record.name: record.incarnation for record in state.nodes} == world.votes
    assert all(record.voter for record in state.nodes)
    assert world.directories == world.votes, "each has the directory of its own life"
    assert world.leader in names
    return world.votes != {"n1": 1, "n2": 1, "n3": 1}


@pytest.mark.parametrize("plan", ALL)
def test_a_change_that_nobody_interrupts_is_done(plan: Plan) -> None:
    world = World()

    begin(world, plan)

    assert check(world, plan)
    assert {*world.gateway} == AFTERWARDS[plan]
    assert len(world.aside) == (1 if plan in (removing, replacing) else 0)


def test_a_node_that_was_removed_over_the_wire_is_ended_by_its_removal() -> None:
    """The cluster does without it already; its process and directory are what is left to do."""
    world = World()
    del world.votes["n1"]

    begin(world, removing)

    assert check(world, removing)


@pytest.mark.parametrize("plan", ALL)
def test_a_kill_at_any_moment_is_made_good_by_the_next_command(plan: Plan) -> None:
    """What the cluster never heard of is undone, all else is finished, and it says which."""
    outcomes = set()
    for events in range(NEVER):
        world = World()
        if not killed_after(world, events, partial(begin, world, plan)):
            break
        unfinished = world.read().change is not None

        said = come_next(world)

        done = check(world, plan)
        outcomes.add(done)
        if unfinished:
            assert any("finished" in line if done else "undone" in line for line in said), said
        else:
            assert said == []
        assert come_next(world) == []
    assert outcomes == {True, False}


@pytest.mark.parametrize("plan", ALL)
def test_the_command_that_makes_it_good_may_be_killed_as_well(plan: Plan) -> None:
    pairs = 0
    for first in range(NEVER):
        world = World()
        if not killed_after(world, first, partial(begin, world, plan)):
            break
        for second in range(NEVER):
            world = World()
            killed_after(world, first, partial(begin, world, plan))
            again = killed_after(world, second, partial(come_next, world))

            come_next(world)

            check(world, plan)
            pairs += 1
            if not again:
                break
    assert pairs > 50


@pytest.mark.parametrize("plan", [adding, growing])
def test_a_newcomer_that_can_not_start_is_taken_back(plan: Plan) -> None:
    world = World()
    world.broken = {"n4"}

    with pytest.raises(
        CheckFailed, match=r"n4 does not come up: it refused to start\nn4.* taken b"
    ):
        begin(world, plan)

    assert not check(world, plan)


def test_an_addition_that_is_taken_back_may_be_killed_at_any_moment() -> None:
    """By `remove`, for a node that would never come up."""
    for events in range(NEVER):
        world = World()
        killed_after(world, 8, partial(begin, world, adding))
        assert world.learns, "the cluster has agreed, and n4 does not run"
        take_back = partial(come_next, world, given_up=("n4",))
        if not killed_after(world, events, take_back):
            break

        said = come_next(world, given_up=("n4",))

        assert not check(world, adding)
        assert said in ([], ["`add` was interrupted: undone, n4 taken back"])
    else:
        pytest.fail("it never ended")


def test_a_newcomer_that_takes_its_time_stays_written_down() -> None:
    world = World()
    original = world.members
    world.members = lambda: Members(members=[])  # type: ignore[method-assign]

    with pytest.raises(TryAgain, match=r"n4 did not catch up within 0 s; `add` goes on"):
        begin(world, adding)

    change = world.read().change
    assert change is not None
    assert change.added == ["n4"]
    world.members = original  # type: ignore[method-assign]
    assert come_next(world)[-1] == "`add` is finished"
    assert check(world, adding)
