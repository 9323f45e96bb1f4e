"""What happened after nodes were lost: who led, who leads now, by whose votes, after how long."""

import time
from typing import Any, NamedTuple

import msgspec

from .links import Picture, circles
from .probe import Prober
from .state import ClusterState
from .view import ClusterView

WAIT_SECONDS = 2.0
POLL_SECONDS = 0.005


class Failover(msgspec.Struct, frozen=True, kw_only=True):
    """What became of the leadership."""

    nodes: list[str]
    """Those that were lost."""
    at_ms: float
    """When the blow fell, on CLOCK_MONOTONIC."""
    old_leader: str | None
    """Who led before."""
    old_term: int | None
    leader: str | None
    """Who leads now; the same as before if the leader was not among the lost."""
    term: int | None
    votes: list[str]
    """Who voted for the new leader."""
    reason: str | None
    """Why the new leader stood for election."""
    after_ms: float | None
    """From the blow to the election won; None when the leadership did not change."""
    waited_seconds: float
    """How long a new leader was waited for at most; 0: not at all."""
    up: int
    """Voters that can still answer, and hear each other."""
    alive: int
    """Voters that run: more than ``up`` where links are cut."""
    size: int
    quorum: int

    @property
    def changed(self) -> bool:
        """Whether another node leads now, or the same one in another term."""
        return self.leader is not None and (self.leader, self.term) != (
            self.old_leader,
            self.old_term,
        )

    @property
    def has_quorum(self) -> bool:
        """Whether enough nodes are left, and hear each other, to decide anything."""
        return self.up >= self.quorum


def await_new_leader(
    state: ClusterState,
    prober: Prober,
    *,
    before: ClusterView,
    lost: list[str],
    began_ms: float,
    wait: bool,
    picture: Picture | None = None,
) -> Failover:
    """Look until the leadership is settled: two seconds at most, not at all without a quorum.

    Where elections are slower than by default, the two seconds are as many times longer.

    ``picture``: which links are cut; None: none is.

    ``began_ms`` is the moment of the blow on CLOCK_MONOTONIC, which all processes of a host share.
    """
    left = _what_is_left(state, before, lost, picture or Picture())
    # One that is cut off from the others leads no more, though it may not know yet.
    if before.leader in left.able:
        return _failover(before, lost, left, at_ms=began_ms, leader=before.leader, term=before.term)
    seconds = WAIT_SECONDS * state.slowness if wait and left.able else 0.0
    found = _await_leader(prober, left.able, before.term or 0, seconds) if left.able else None
    if found is None:
        return _failover(
            before, lost, left, at_ms=began_ms, leader=None, term=None, waited_seconds=seconds
        )
    election = found.get("election") or {}
    won_ms = election.get("won_ms") or 0
    if won_ms < began_ms:  # it did not say when; then it is when we saw it
        won_ms = time.monotonic() * 1000
    return _failover(
        before,
        lost,
        left,
        at_ms=began_ms,
        leader=found["node"],
        term=found["term"],
        votes=election.get("votes") or [],
        reason=election.get("reason"),
        after_ms=won_ms - began_ms,
        waited_seconds=seconds,
    )


class _Left(NamedTuple):
    """The voters that live on after the blow."""

    alive: int
    together: int
    """The most of them that any can talk with, itself included."""
    able: list[str]
    """Those that hear enough others to lead."""


def _what_is_left(
    state: ClusterState, before: ClusterView, lost: list[str], picture: Picture
) -> _Left:
    voters = {*state.voters()} - {*lost}
    alive = [
        node.name
        for node in before.nodes
        if node.name in voters and node.has_process and node.state != "paused"
    ]
    talk = circles(picture, alive)
    able = [name for name in alive if len(talk[name]) >= state.quorum()]
    return _Left(len(alive), max(map(len, talk.values()), default=0), able)


def _await_leader(
    prober: Prober, names: list[str], old_term: int, seconds: float
) -> dict[str, Any] | None:
    deadline = time.monotonic() + seconds
    while True:
        found = _find_leader(prober, names, old_term)
        if found is not None or time.monotonic() >= deadline:
            return found
        time.sleep(POLL_SECONDS)


def _find_leader(prober: Prober, names: list[str], old_term: int) -> dict[str, Any] | None:
    statuses = prober.statuses(names, 0.1)
    leaders = [s for s in statuses.values() if s.get("role") == "leader" and s["term"] > old_term]
    return max(leaders, key=lambda status: int(status["term"]), default=None)


def _failover(before: ClusterView, lost: list[str], left: _Left, **found: Any) -> Failover:
    settled = {"votes": [], "reason": None, "after_ms": None, "waited_seconds": 0.0, **found}
    return Failover(
        nodes=lost,
        old_leader=before.leader,
        old_term=before.term,
        up=left.together,
        alive=left.alive,
        size=before.size,
        quorum=before.quorum,
        **settled,
    )
