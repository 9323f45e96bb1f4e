"""The verbs on the membership: add, remove, replace, scale, and transfer.

Each holds the cluster's lock from its first look to its last step, and first sees to what a killed
one before it has left unfinished.
"""

import random
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager

import msgspec

from . import transfer as transfers
from .changes import (
    leavers,
    parity_warning,
    plan_addition,
    plan_removal,
    plan_replacement,
    require_quorum,
)
from .errors import (
    CheckFailed,
    NoQuorum,
    NoSuchNode,
    OrchestratorError,
    TryAgain,
    UsageError,
)
from .hands import RealHands
from .membership import LEARN_SECONDS, Outcome, Work
from .paths import Paths
from .probe import Prober
from .selectors import resolve
from .state import PLANNED, ClusterState, NodeRecord, load, load_existing, locked, save
from .transfer import Transfer
from .view import ClusterView, endpoints, observe_once, require_running

PATIENCE_SECONDS = 3.0
SETTLE_SECONDS = 10.0
"""How long a command with another purpose waits for what an interrupted one has begun."""

Tell = Callable[[str], None]


class Resized(msgspec.Struct, frozen=True, kw_only=True):
    """What a verb did: one outcome for each change, none where all was so already."""

    outcomes: list[Outcome]
    before: list[str]
    """Who took part."""
    view: ClusterView


class _Site:
    """What a verb works with while it holds the lock."""

    def __init__(self, paths: Paths, state: ClusterState, tell: Tell) -> None:
        self.paths = paths
        self.state = state
        self.tell = tell
        self.gone: set[str] = set()
        """Who went when an interrupted command was settled."""
        self.view = self.look()
        require_running(self.view)

    def look(self) -> ClusterView:
        """Look until somebody leads, for a moment: an election is no reason to give up."""
        deadline = time.monotonic() + PATIENCE_SECONDS * self.state.slowness
        while True:
            view = observe_once(self.paths, self.state)
            alive = sum(node.has_process and node.state != "paused" for node in view.nodes)
            works = view.leader is not None and view.answering >= view.quorum
            if works or alive < view.quorum or time.monotonic() > deadline:
                break
        if view.leader is not None and view.term is not None:
            self.state.saw_leader(view.leader, view.term)
        return view

    def work(self) -> Work:
        return Work(self.state, RealHands(self.paths, self.state), tell=self.tell)

    def choose(self, texts: Sequence[str], chance: random.Random | None) -> list[str]:
        names = resolve(texts, self.view.candidates(self.state), chance)
        if not names:
            raise UsageError("no node is like that now", hint="bin/cluster status")
        return names

    def warn(self, size: int) -> None:
        if warning := parity_warning(size):
            self.tell(f"warning: {warning}")


@contextmanager
def _site(paths: Paths, verb: str, tell: Tell, *, given_up: Iterable[str] = ()) -> Iterator[_Site]:
    load_existing(paths)  # before the lock, whose file needs the folder
    with locked(paths, verb):
        site = _Site(paths, load_existing(paths), tell)
        if site.state.change is not None:
            before = {record.name for record in site.state.nodes}
            settle(site.state, site.work(), tell, given_up=given_up)
            site.gone = before - {record.name for record in site.state.nodes}
            site.view = site.look()
        yield site
        save(paths, site.state)


def add(
    paths: Paths,
    *,
    name: str = "",
    peer_port: int | None = None,
    tell: Tell = lambda _: None,
    seconds: float = LEARN_SECONDS,
) -> Resized:
    """Add a node, by default with the next free name and ports; return once it votes.

    Nothing is done where a node with this name, and this port if any is given, is there already.

    Raises:
        CheckFailed: one with this name is there, and its peers come to another port.
        NoQuorum: nothing can be decided.
        BadConfiguration: its ports are taken.
        CheckFailed: it did not start; it is taken back.
        TryAgain: it had not caught up in time, and goes on learning.
    """
    with _site(paths, "add", tell) as site:
        before = [record.name for record in site.state.nodes]
        if name in before:
            _same(site.state.node(name), peer_port)
            return Resized(outcomes=[], before=before, view=site.view)
        require_quorum(site.view)
        change, records = plan_addition(site.state, 1, "add", name=name, peer_port=peer_port)
        site.warn(len(before) + 1)
        outcome = site.work().begin(change, records, seconds=seconds)
        return Resized(outcomes=[outcome], before=before, view=site.look())


def remove(
    paths: Paths,
    texts: Sequence[str],
    *,
    by_name: bool = False,
    tell: Tell = lambda _: None,
    chance: random.Random | None = None,
) -> Resized:
    """Remove nodes, all in one step; the rest must be able to go on.

    With ``by_name`` only names are understood, and no other selectors.

    Raises:
        NoSuchNode: with ``by_name``, one does not take part.
        UsageError: none would be left.
        NoQuorum: those that stay would not be enough.
    """
    with _site(paths, "remove", tell, given_up=_named(texts)) as site:
        before = [record.name for record in site.state.nodes]
        if _named(texts) <= site.gone:
            return Resized(outcomes=[], before=before, view=site.view)
        if by_name and (strangers := _named(texts) - {*before}):
            raise NoSuchNode(f"no node is called {', '.join(sorted(strangers))}")
        names = site.choose(texts, chance)
        change = plan_removal(site.state, site.view, names, f"remove {','.join(names)}")
        site.warn(len(before) - len(names))
        outcome = site.work().begin(change)
        return Resized(outcomes=[outcome], before=before, view=site.look())


def replace(
    paths: Paths,
    texts: Sequence[str],
    *,
    tell: Tell = lambda _: None,
    chance: random.Random | None = None,
    seconds: float = LEARN_SECONDS,
) -> Resized:
    """Give nodes a new life with an empty directory, one after the other.

    Raises:
        NoQuorum: the others are not enough to decide it.
        TryAgain: one had not caught up in time, and goes on learning.
    """
    with _site(paths, "replace", tell, given_up=_named(texts)) as site:
        before = [record.name for record in site.state.nodes]
        outcomes = []
        for name in site.choose(texts, chance):
            change = plan_replacement(site.state, site.view, name, f"replace {name}")
            outcomes.append(site.work().begin(change, seconds=seconds))
            site.view = site.look()
        return Resized(outcomes=outcomes, before=before, view=site.view)


def scale(
    paths: Paths,
    size: int,
    *,
    tell: Tell = lambda _: None,
    seconds: float = LEARN_SECONDS,
) -> Resized:
    """Add or remove nodes until there are ``size``, in one joint change.

    Raises:
        OrchestratorError: as for :func:`add` and :func:`remove`.
    """
    words = f"scale {size}"
    with _site(paths, words, tell) as site:
        before = [record.name for record in site.state.nodes]
        missing = size - len(before)
        if missing == 0:
            return Resized(outcomes=[], before=before, view=site.view)
        require_quorum(site.view)
        if missing > 0:
            site.warn(size)
            change, records = plan_addition(site.state, missing, words)
            outcome = site.work().begin(change, records, seconds=seconds)
        else:
            names = leavers(site.view, -missing)
            change = plan_removal(site.state, site.view, names, words)
            site.warn(size)
            outcome = site.work().begin(change)
        return Resized(outcomes=[outcome], before=before, view=site.look())


def transfer(
    paths: Paths,
    texts: Sequence[str] = (),
    *,
    tell: Tell = lambda _: None,
    chance: random.Random | None = None,
) -> Transfer:
    """Have the leader hand over, to a node of these or to the best there is.

    Raises:
        UsageError: the one that is named can't lead.
        TryAgain: the leadership did not change; nothing is lost.
    """
    with _site(paths, "transfer", tell) as site:
        require_quorum(site.view)
        if site.view.size == 1:
            raise UsageError("there is nobody else who could lead", hint="bin/cluster add")
        names = site.choose(texts, chance) if texts else []
        target = transfers.choose_target(site.view, names)
        with closing(Prober(endpoints(site.state))) as prober:
            return transfers.hand_over(paths, site.state, prober, site.view, target)


def drop_unasked(paths: Paths, tell: Tell) -> None:
    """Undo an interrupted change that the cluster never heard of, for whoever holds the lock."""
    state = load(paths)
    if state is not None and state.change is not None and state.change.step == PLANNED:
        settle(state, Work(state, RealHands(paths, state)), tell)


def settle(
    state: ClusterState,
    work: Work,
    tell: Tell,
    *,
    given_up: Iterable[str] = (),
    seconds: float = LEARN_SECONDS,
) -> None:
    """Finish or undo what an interrupted command has begun, and say which.

    What the cluster was never asked for is undone; all else is finished, unless a node that was
    to be added is ``given_up`` now.

    Raises:
        OrchestratorError: it can't be finished now; it stays written down.
    """
    change = state.change
    if change is None:
        return
    lost = {*given_up}
    if change.step == PLANNED:
        work.drop()
        tell(f"`{change.words}` was interrupted before the cluster knew of it: undone")
    elif lost & {*change.added}:
        work.take_back()
        tell(f"`{change.words}` was interrupted: undone, {', '.join(change.added)} taken back")
    elif lost & {*change.replaced}:
        state.change = None  # it is replaced again, from the start
    else:
        tell(f"`{change.words}` was interrupted: it is finished first")
        work.go_on(seconds)
        tell(f"`{change.words}` is finished")


def settle_unfinished(paths: Paths, tell: Tell, *, seconds: float = SETTLE_SECONDS) -> None:
    """Settle what was left unfinished, for a command that has another purpose.

    Where that does not succeed now, it is only said. A command that is at work is left alone.
    """
    state = load(paths)
    if state is None or state.change is None or not state.bootstrapped:
        return
    try:
        with locked(paths, "finish", seconds=0.0):
            state = load_existing(paths)
            view = observe_once(paths, state)
            if state.change is None or not view.supervisor_running:
                return
            if state.change.step != PLANNED and view.leader is None:
                raise NoQuorum("nobody leads, so it has to wait")
            work = Work(state, RealHands(paths, state), tell=tell)
            settle(state, work, tell, seconds=seconds)
    except TryAgain as error:
        if state.change is not None:
            tell(f"`{state.change.words}` is not finished yet: {error.message}")
    except OrchestratorError as error:
        assert state is not None, "it was loaded"
        words = "" if state.change is None else f"`{state.change.words}` is not finished: "
        tell(f"{words}{error.message}")


def _same(record: NodeRecord, peer_port: int | None) -> None:
    if peer_port is not None and not record.peer.endswith(f":{peer_port}"):
        raise CheckFailed(
            f"{record.name} is there already, and its peers reach it at {record.peer}",
            hint=f"bin/cluster remove {record.name}   first, if it is to move",
        )


def _named(texts: Sequence[str]) -> set[str]:
    """Return the nodes that are meant, as far as they are called by their names."""
    return {part.strip() for text in texts for part in text.split(",")}
