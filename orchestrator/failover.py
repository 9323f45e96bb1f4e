"""What happened after nodes were lost: who led, who leads now, by whose votes, after how long."""

import time
from typing import Any

import msgspec

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
    """Nodes that can still answer."""
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
        """Whether enough nodes are left to decide anything."""
        return self.up >= self.quorum


def await_new_leader(
    state: ClusterState,
    prober: Prober,
    *,
    before: ClusterView,
    lost: list[str],
    began_ms: float,
    wait: bool,
    together: int | None = None,
) -> Failover:
    """Look until the leadership is settled: two seconds at most, not at all without a quorum.

    Where elections are slower than by default, the two seconds are as many times longer.

    ``together``: how many voters can still talk with each other, where it is not all survivors.

    ``began_ms`` is the moment of the blow on CLOCK_MONOTONIC, which all processes of a host share.
    """
    survivors = [
        node.name
        for node in before.nodes
        if node.name not in lost and node.has_process and node.state != "paused"
    ]
    leader_lost = before.leader is None or before.leader in lost
    voting = {*survivors} & {*state.voters()}
    up = len(voting) if together is None else together
    possible = up >= state.quorum()
    found: dict[str, Any] | None = None
    seconds = WAIT_SECONDS * state.slowness if wait and leader_lost and possible else 0.0
    deadline = time.monotonic() + seconds
    while possible and leader_lost:
        found = _find_leader(prober, survivors, before.term or 0)
        if found is not None or time.monotonic() >= deadline:
            break
        time.sleep(POLL_SECONDS)
    if not leader_lost:
        node = before.leader if possible else None
        return _failover(before, lost, up, at_ms=began_ms, leader=node, term=before.term)
    if found is None:
        return _failover(
            before, lost, up, at_ms=began_ms, leader=None, term=None, waited_seconds=seconds
        )
    election = found.get("election") or {}
    won_ms = election.get("won_ms") or 0
    if won_ms < began_ms:  # it did not say when; then it is when we saw it
        won_ms = time.monotonic() * 1000
    return _failover(
        before,
        lost,
        up,
        at_ms=began_ms,
        leader=found["node"],
        term=found["term"],
        votes=election.get("votes") or [],
        reason=election.get("reason"),
        after_ms=won_ms - began_ms,
        waited_seconds=seconds,
    )


def _find_leader(prober: Prober, names: list[str], old_term: int) -> dict[str, Any] | None:
    statuses = prober.statuses(names, 0.1)
    leaders = [s for s in statuses.values() if s.get("role") == "leader" and s["term"] > old_term]
    return max(leaders, key=lambda status: int(status["term"]), default=None)


def _failover(before: ClusterView, lost: list[str], up: int, **found: Any) -> Failover:
    settled = {"votes": [], "reason": None, "after_ms": None, "waited_seconds": 0.0, **found}
    return Failover(
        nodes=lost,
        old_leader=before.leader,
        old_term=before.term,
        up=up,
        size=before.size,
        quorum=before.quorum,
        **settled,
    )
