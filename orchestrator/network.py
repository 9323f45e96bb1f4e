"""The verbs on links: partition, isolate, link, heal. No root: the nodes do it to themselves.

Each is planned first (whom do the selectors mean now?), then carried out: the rules of a node are
replaced in one step, those of all nodes one after the other, and a way is open only if both of its
ends say so. A node that can't be told (dead, paused) is cut off by its peers.
"""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager

import msgspec

from raftcache.protocol.faults import FaultRule

from .errors import BadConfiguration, CheckFailed, TryAgain, UsageError
from .failover import WAIT_SECONDS, Failover, await_new_leader
from .links import (
    Condition,
    Picture,
    circles,
    cuts_around,
    cuts_between,
    groups_of,
    picture_of,
    rules_for,
    rules_from,
)
from .paths import Paths
from .probe import Prober, Reply
from .selectors import resolve
from .state import ClusterState, changing
from .view import ASK_SECONDS, ClusterView, endpoints, observe, require_running

TELL_SECONDS = 1.0
"""How long a node may take to say that it has new rules."""
_LOOK_SECONDS = 0.15
_POLL_SECONDS = 0.01


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What is about to be done to the links, with nodes by their names."""

    cuts: frozenset[tuple[str, str]] = frozenset()
    conditions: tuple[Condition, ...] = ()
    replaces_cuts: bool = False
    """A partition takes the place of whatever was cut before."""
    groups: tuple[tuple[str, ...], ...] = ()
    """Of a partition."""
    alone: tuple[str, ...] = ()
    """Whom an isolation is about."""

    def applied(self, picture: Picture) -> Picture:
        """Return what the links are like afterwards."""
        kept = frozenset() if self.replaces_cuts else picture.cuts
        return Picture(kept | self.cuts, picture.conditions).with_conditions(self.conditions)

    def undone(self, picture: Picture) -> Picture:
        """Return what the links are like without it; what it replaced does not come back."""
        rest = tuple(one for one in picture.conditions if one not in self.conditions)
        return Picture(picture.cuts - self.cuts, rest)


class Struck(msgspec.Struct, frozen=True, kw_only=True):
    """What was done to the links, and what became of the leadership."""

    failover: Failover
    """Its ``nodes`` are those that no quorum can hear and be heard by."""
    picture: Picture
    everybody: list[str]
    groups: tuple[tuple[str, ...], ...]
    circles: dict[str, list[str]]
    """For each voter that lives, those with which it can talk both ways, itself included."""
    unreached: dict[str, str]
    """Nodes that could not be told, and what they are."""


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """The links as they are."""

    view: ClusterView
    state: ClusterState
    picture: Picture
    frames: dict[str, int]
    """How many were lost, delayed, doubled and reordered so far, by all nodes that told."""
    unreached: dict[str, str]


class Healed(msgspec.Struct, frozen=True, kw_only=True):
    """What a heal did."""

    mended: Picture
    """What was wrong, and is not any more."""
    left: Picture
    view: ClusterView
    unreached: dict[str, str]
    """Nodes that could not be told, and what they are; a paused one keeps what it holds."""
    ready: bool
    """Whether everybody has caught up with the leader already."""
    seconds: float


class _Network:
    """The links of one cluster, while the lock is held."""

    def __init__(self, view: ClusterView, state: ClusterState, asks: Prober, tells: Prober) -> None:
        self.state = state
        self.asks = asks
        self.view = view
        require_running(view)
        if self.view.leader is not None and self.view.term is not None:
            state.saw_leader(self.view.leader, self.view.term)
        self.everybody = [node.name for node in self.view.nodes]
        self.alive = [
            node.name for node in self.view.nodes if node.has_process and node.state != "paused"
        ]
        self._tells = tells
        self.rules: dict[str, list[FaultRule]] = {}
        self.frames: Counter[str] = Counter()
        # One that is silent may be busy: it is worth a second. One that starts holds nothing yet.
        for name in [n.name for n in view.nodes if n.status is not None or n.state == "silent"]:
            reply = self._tell(name, {"op": "fault_list"})
            if reply is not None:
                self.rules[name] = rules_from(reply.get("rules"))
                self.frames.update(reply.get("frames", {}))

    def require_any(self) -> None:
        """Refuse to go on where nobody can be told.

        Raises:
            TryAgain: no node answers.
        """
        if not self.rules:
            raise TryAgain("no node answers, so none can be told", hint="bin/cluster status")

    @property
    def picture(self) -> Picture:
        """What is wrong with the links now."""
        return picture_of(self.rules).among(self.everybody)

    @property
    def unreached(self) -> dict[str, str]:
        """The nodes that can't be told, and what they are."""
        return {node.name: node.state for node in self.view.nodes if node.name not in self.rules}

    def impose(self, picture: Picture) -> None:
        """Have every node hold its part of it, as far as they can be told."""
        reached = list(self.rules)
        picture = picture.among(self.everybody)
        for name in reached:
            rules = rules_for(picture, name, reached)
            if rules == self.rules[name]:
                continue
            plain = [msgspec.to_builtins(rule) for rule in rules]
            reply = self._tell(name, {"op": "fault_set", "rules": plain})
            if reply is None:
                del self.rules[name]
            else:
                self.rules[name] = rules

    def _tell(self, name: str, fields: Reply) -> Reply | None:
        reply = self._tells.ask([name], fields, TELL_SECONDS)[name].reply
        if reply is not None and not reply.get("ok"):
            message = str(reply.get("message", "no reason given"))
            if reply.get("error") == "forbidden":
                raise BadConfiguration(
                    message,
                    hint="write it into cluster.yaml, then:  bin/cluster down && bin/cluster up",
                )
            if fields["op"] == "fault_list":
                return None  # It has no place in the cluster yet, and no links.
            raise CheckFailed(f"{name} refuses: {message}")
        return reply


@contextmanager
def _network(paths: Paths, verb: str, *, seconds: float = ASK_SECONDS) -> Iterator[_Network]:
    with changing(paths, verb) as state:
        sockets = {name: f"ipc://{paths.admin_socket(name)}" for name in endpoints(state)}
        with closing(Prober(endpoints(state))) as asks, closing(Prober(sockets)) as tells:
            yield _Network(observe(paths, state, asks, seconds), state, asks, tells)


def plan_partition(
    view: ClusterView,
    state: ClusterState,
    texts: Sequence[str],
    chance: random.Random | None = None,
) -> Change:
    """Return the change to groups such as `n1|n2,n3`; a node in none keeps all its links.

    Raises:
        UsageError: there are no two groups, or no such nodes.
    """
    groups = groups_of(texts, view.candidates(state), chance)
    cuts = cuts_between(groups)
    if not cuts:
        raise UsageError("these groups share their nodes, so nothing would be cut")
    return Change(cuts=cuts, replaces_cuts=True, groups=tuple(tuple(group) for group in groups))


def plan_isolation(
    view: ClusterView,
    state: ClusterState,
    texts: Sequence[str],
    *,
    inward: bool = True,
    outward: bool = True,
    chance: random.Random | None = None,
) -> Change:
    """Return the change that cuts nodes off from everybody, or in one direction only."""
    names = _chosen(view, state, texts, chance)
    everybody = [node.name for node in view.nodes]
    cuts = cuts_around(names, everybody, inward=inward, outward=outward)
    if not cuts:
        raise UsageError("a cluster of one node has no links")
    return Change(cuts=cuts, alone=tuple(names))


def plan_link(
    view: ClusterView,
    state: ClusterState,
    ends: tuple[Sequence[str], Sequence[str]],
    rule: FaultRule,
    *,
    one_way: bool = False,
    chance: random.Random | None = None,
) -> Change:
    """Return the change to the links between two sets of nodes; ``rule`` says what it is."""
    first, second = (_chosen(view, state, texts, chance) for texts in ends)
    ways = {(a, b) for a in first for b in second if a != b}
    if not one_way:
        ways |= {(b, a) for a, b in ways}
    if not ways:
        raise UsageError("a link has two different ends", hint="bin/cluster link n1 n2 --drop 0.1")
    if rule.is_cut:
        return Change(cuts=frozenset(ways))
    conditions = [
        Condition(source, msgspec.structs.replace(rule, peer=target, direction="out"))
        for source, target in sorted(ways)
    ]
    return Change(conditions=tuple(conditions))


def look(paths: Paths, verb: str) -> Look:
    """Return the cluster and its links as they are.

    Raises:
        BadConfiguration: cluster.yaml does not allow faults.
        TryAgain: no node answers.
    """
    with _network(paths, verb) as network:
        network.require_any()
        return Look(
            view=network.view,
            state=network.state,
            picture=network.picture,
            frames=dict(network.frames),
            unreached=network.unreached,
        )


def carry_out(paths: Paths, change: Change, verb: str, *, wait: bool = True) -> Struck:
    """Do it; say who leads now, and wait for that as `kill` does, where ``wait`` is set.

    Raises:
        BadConfiguration: cluster.yaml does not allow faults.
        TryAgain: no node answers.
    """
    with _network(paths, verb) as network:
        network.require_any()
        picture = change.applied(network.picture)
        began_ms = time.monotonic() * 1_000
        network.impose(picture)
        view = network.view
        voters = [name for name in network.alive if view.node(name).voter]
        talk = circles(picture, voters)
        able = [name for name in voters if len(talk[name]) >= view.quorum]
        failover = await_new_leader(
            network.state,
            network.asks,
            before=view,
            lost=[name for name in network.everybody if name not in able],
            began_ms=began_ms,
            wait=wait,
            picture=picture,
        )
        if failover.leader is not None and failover.term is not None:
            network.state.saw_leader(failover.leader, failover.term)
        return Struck(
            failover=failover,
            picture=picture,
            everybody=network.everybody,
            groups=change.groups,
            circles=talk,
            unreached=network.unreached,
        )


def impose(paths: Paths, picture: Picture, verb: str) -> float:
    """Make the links so, whatever they were; return when that began, on CLOCK_MONOTONIC.

    Where no node answers there is nothing to do: what they were told goes with their processes.
    """
    with _network(paths, verb, seconds=_LOOK_SECONDS) as network:
        began_ms = time.monotonic() * 1_000
        network.impose(picture)
        return began_ms


def undo(paths: Paths, change: Change, verb: str) -> Healed:
    """Take a change back; others that were made meanwhile stay."""
    return _mend(paths, verb, lambda _network, picture: change.undone(picture), wait=True)


def heal(paths: Paths, texts: Sequence[str] = (), *, wait: bool = True) -> Healed:
    """Make all links whole, or those of some nodes; wait a moment until all have caught up.

    Raises:
        UsageError: there are no such nodes.
        BadConfiguration: cluster.yaml does not allow faults, so there are none.
    """

    def healed(network: _Network, picture: Picture) -> Picture:
        if not texts:
            return Picture()
        return picture.without(_chosen(network.view, network.state, texts, None))

    return _mend(paths, "heal", healed, wait=wait)


def _mend(
    paths: Paths, verb: str, change: Callable[[_Network, Picture], Picture], *, wait: bool
) -> Healed:
    began = time.monotonic()
    with _network(paths, verb) as network:
        network.require_any()
        before = network.picture
        after = change(network, before)
        network.impose(after)
        view = network.view
        if before and wait:
            view = _await_caught_up(paths, network)
    return Healed(
        mended=Picture(
            before.cuts - after.cuts,
            tuple(one for one in before.conditions if one not in after.conditions),
        ),
        left=after,
        view=view,
        unreached=network.unreached,
        ready=view.leader is not None
        and all(view.node(name).state == "ready" for name in network.alive),
        seconds=time.monotonic() - began,
    )


def _await_caught_up(paths: Paths, network: _Network) -> ClusterView:
    """Look until all that live have caught up with a leader, for as long as that usually takes."""
    deadline = time.monotonic() + WAIT_SECONDS * network.state.slowness
    while True:
        view = observe(paths, network.state, network.asks, _LOOK_SECONDS)
        ready = all(view.node(name).state == "ready" for name in network.alive)
        if (view.leader is not None and ready) or time.monotonic() > deadline:
            return view
        time.sleep(_POLL_SECONDS)


def _chosen(
    view: ClusterView, state: ClusterState, texts: Sequence[str], chance: random.Random | None
) -> list[str]:
    names = resolve(texts, view.candidates(state), chance)
    if not names:
        raise UsageError(f"no node is {', '.join(texts)} now", hint="bin/cluster status")
    return names
