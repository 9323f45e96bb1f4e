"""What steps do to nodes, and how each is undone.

Its rules: a selector is resolved when its step fires, and what it meant is recorded; the undo is
registered before the deed; a node that two faults hold is let go by the later one; at the end all
that is still registered is undone, and the cluster is looked at until it is whole.
"""

import random
import time
from collections.abc import Callable, Sequence
from contextlib import closing

import msgspec

from .. import actions
from ..cluster import Cluster
from ..errors import CheckFailed, NoQuorum, OrchestratorError, TryAgain, UsageError
from ..network import Change
from ..probe import Prober
from ..selectors import resolve
from ..view import ClusterView, endpoints, observe
from .links import Links, plan, words_of
from .scenario import BREAKING, CUTTING, LASTING, Step
from .timeline import Planned

LEADER_SECONDS_MAX = 1.0
"""How long a step that means the leader waits for there to be one."""
HEAL_SECONDS_MAX = 60.0
_SLOW = {"stop", "restart"}
"""Actions that go on for a while after they fell: they are told of before."""
_LOOK_SECONDS = 0.15
_POLL_SECONDS = 0.02
_TURN_SECONDS = 0.1


class Fault(msgspec.Struct, kw_only=True):
    """One firing, as it went. Times are CLOCK_MONOTONIC, in milliseconds."""

    number: int
    line: int
    """Of the step, in the scenario's file."""
    action: str
    selector: str
    planned_ms: int
    """Counted from the beginning of the load."""
    at_ms: float
    """When it fell."""
    targets: list[str] = []
    leader: str | None = None
    """Who led when it fell."""
    term: int | None = None
    words: str = ""
    """Of a fault of links: what it comes to."""
    skipped: str = ""
    """Why nothing was done."""
    undone_ms: float | None = None


class _Undo(msgspec.Struct):
    due_ms: float
    """CLOCK_MONOTONIC; infinite: at the end."""
    fault: Fault


class Faults:
    """Breaks one cluster and puts it right.

    ``tell`` hears of each fault as soon as it fell, and of each undo; ``note`` of each fault just
    before, so that what cuts the deed off leaves a trace of it.
    """

    def __init__(
        self,
        cluster: Cluster,
        chance: random.Random,
        tell: Callable[[Fault], None] = lambda _: None,
        note: Callable[[Fault], None] = lambda _: None,
    ) -> None:
        self.faults: list[Fault] = []
        self._cluster = cluster
        self._paths = cluster.paths
        self._chance = chance
        self._tell = tell
        self._note = note
        self._undos: list[_Undo] = []
        self._links = Links(cluster.paths)
        self._change = Change()
        """What the step at hand means for the links."""
        self._holders: dict[str, int] = {}
        """The number of the last fault that each node suffers from."""

    def next_due_ms(self) -> float:
        """Return when the next undo is due; infinite when none is before the end."""
        return min((undo.due_ms for undo in self._undos), default=float("inf"))

    def fire(self, planned: Planned) -> Fault:
        """Carry out a step now, on the nodes that its selector means now.

        Raises:
            OrchestratorError: it could not be carried out.
        """
        step = planned.step
        fault = Fault(
            number=len(self.faults) + 1,
            line=step.line,
            action=step.action,
            selector=step.selector,
            planned_ms=planned.at_ms,
            at_ms=time.monotonic() * 1_000,
        )
        self.faults.append(fault)
        with closing(Prober(endpoints(self._cluster.state))) as prober:
            self._aim(fault, step, prober)
        if not fault.skipped:
            if step.action in LASTING or step.action == "restart":
                due_ms = float("inf")
                if step.for_ms is not None:
                    due_ms = time.monotonic() * 1_000 + step.for_ms
                self._undos.append(_Undo(due_ms, fault))
                if step.action not in CUTTING:
                    self._holders.update(dict.fromkeys(fault.targets, fault.number))
            fault.at_ms = time.monotonic() * 1_000
            self._note(fault)
            if step.action in _SLOW:
                self._tell(fault)
            self._do(fault)
            if step.action not in (*LASTING, "heal"):
                self._let_go(fault.targets)
            self._settle_links()
        if fault.skipped or step.action not in _SLOW:
            self._tell(fault)
        return fault

    def undo_due(self) -> None:
        """Undo what has lasted long enough."""
        now_ms = time.monotonic() * 1_000
        for undo in [undo for undo in self._undos if undo.due_ms <= now_ms]:
            self._undo(undo)

    def undo_all(self) -> None:
        """Undo whatever is still to be undone, the last first; wait for nothing.

        All of it is tried, and the first failure raised at the end.
        """
        failures = []
        for undo in reversed(self._undos.copy()):
            try:
                self._undo(undo)
            except OrchestratorError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def heal(self, seconds: float = HEAL_SECONDS_MAX) -> ClusterView:
        """Bring back every node, whatever ails it, and see that all are ready.

        Raises:
            CheckFailed: they are not, in time.
        """
        self.undo_all()
        self._cluster.resume()
        self._links.tell_again()
        try:
            self._cluster.start(seconds=seconds)
            return self._cluster.wait("ready", seconds=seconds)
        except TryAgain as error:
            raise CheckFailed(
                f"every fault was undone, and {seconds:g} s later not all is well: {error.message}"
            ) from error

    def _aim(self, fault: Fault, step: Step, prober: Prober) -> None:
        """Resolve the fault's selector; note why, where nothing fits it."""
        state = self._cluster.state
        deadline = time.monotonic() + LEADER_SECONDS_MAX
        while True:
            view = observe(self._paths, state, prober, _LOOK_SECONDS)
            fault.leader, fault.term = view.leader, view.term
            try:
                if step.action in CUTTING:
                    self._change, fault.targets = plan(step, view, state, self._chance)
                    fault.words = words_of(step, self._change)
                    return
                names = resolve([fault.selector], view.candidates(state), self._chance)
                break
            except NoQuorum as error:
                if time.monotonic() > deadline:
                    fault.skipped = error.message
                    return
                time.sleep(_POLL_SECONDS)
            except UsageError as error:
                fault.skipped = error.message
                return
        fault.targets = [name for name in names if _fits(fault.action, view, name)]
        if not fault.targets:
            states = ", ".join(f"{name} is {view.node(name).state}" for name in names)
            fault.skipped = states or f"no node is {fault.selector} now"

    def _do(self, fault: Fault) -> None:
        targets = fault.targets
        match fault.action:
            case "kill":
                fault.at_ms = actions.kill(self._paths, targets, wait=False).at_ms
            case "stop":
                fault.at_ms = actions.stop(self._paths, targets, wait=False).at_ms
            case "pause":
                fault.at_ms = actions.pause(self._paths, targets, wait=False).at_ms
            case "restart":
                fault.at_ms = actions.stop(self._paths, targets, wait=False).at_ms
                self._start(targets)
            case "start":
                self._start(targets)
            case "resume":
                actions.resume(self._paths, targets)
                self._links.tell_again()
            case "partition" | "isolate" | "link":
                fault.at_ms = self._links.strike(fault.number, self._change)
            case "heal":
                fault.at_ms = self._links.heal(targets)
            case action:
                raise AssertionError(f"the grammar has no action {action}")

    def _undo(self, undo: _Undo) -> None:
        fault = undo.fault
        if fault.action in CUTTING:
            self._links.end(fault.number)
            self._end(undo)
            self._tell(fault)
            return
        mine = [name for name in fault.targets if self._holders.get(name) == fault.number]
        if mine:
            # Whatever was done: it runs again, and it is not frozen.
            actions.resume(self._paths, mine)
            if fault.action == "pause":
                self._links.tell_again()
            else:
                self._start(mine)
        self._let_go(mine)
        self._end(undo)  # it is there still where all its nodes were held by later faults
        self._tell(fault)

    def _end(self, undo: _Undo) -> None:
        """Note that there is nothing to undo any more."""
        if undo in self._undos:
            self._undos.remove(undo)
        if undo.fault.undone_ms is None:
            undo.fault.undone_ms = time.monotonic() * 1_000

    def _settle_links(self) -> None:
        """Note the faults that a heal, or another partition, has ended."""
        ended = self._links.take_ended()
        for undo in [undo for undo in self._undos if undo.fault.number in ended]:
            self._end(undo)

    def _let_go(self, names: list[str]) -> None:
        """Note that these run again: earlier faults have nothing to undo on them."""
        for name in names:
            self._holders.pop(name, None)
        for undo in self._undos.copy():
            if undo.fault.action in CUTTING:
                continue
            if all(self._holders.get(name) != undo.fault.number for name in undo.fault.targets):
                self._undos.remove(undo)
                if undo.fault.action in BREAKING:
                    undo.fault.undone_ms = time.monotonic() * 1_000

    def _start(self, names: list[str]) -> None:
        actions.start(self._paths, names, wait=False)


def drive(
    faults: Faults,
    planned: Sequence[Planned],
    *,
    began_ms: float,
    end_ms: float,
    go_on: Callable[[float], bool],
) -> None:
    """Fire each step at its time and undo what is due, until ``end_ms`` after the beginning.

    ``go_on`` hears about ten times a second how many milliseconds have gone by, and may end it.
    """
    waiting = list(reversed(planned))
    while True:
        now_ms = time.monotonic() * 1_000 - began_ms
        if now_ms >= end_ms or not go_on(now_ms):
            return
        faults.undo_due()
        if waiting and waiting[-1].at_ms <= now_ms:
            faults.fire(waiting.pop())
            continue
        next_ms = waiting[-1].at_ms if waiting else end_ms
        due_ms = min(next_ms, end_ms, faults.next_due_ms() - began_ms)
        time.sleep(min(max(0.0, (due_ms - now_ms) / 1_000), _TURN_SECONDS))


def _fits(action: str, view: ClusterView, name: str) -> bool:
    """Tell whether there is anything to do to a node."""
    node = view.node(name)
    if action == "start":
        return not node.has_process
    if action == "resume":
        return node.state == "paused"
    if action == "pause":
        return node.has_process and node.state != "paused"
    return node.has_process
