"""Handing the leadership over by hand, and saying how long that took (thesis 3.10)."""

import time
from contextlib import closing
from typing import Any

import msgspec

from .errors import NoQuorum, TryAgain, UsageError
from .paths import Paths
from .probe import Prober, Reply
from .state import ClusterState
from .view import ClusterView

SECONDS_MAX = 5.0
POLL_SECONDS = 0.005


class Transfer(msgspec.Struct, frozen=True, kw_only=True):
    """Who led, and who leads."""

    old_leader: str
    old_term: int
    leader: str
    term: int
    after_ms: float
    """From the order to the election that was won; 0 when nothing had to be done."""

    @property
    def changed(self) -> bool:
        """Whether another node leads now."""
        return self.leader != self.old_leader


def choose_target(view: ClusterView, names: list[str]) -> str | None:
    """Return who of these can lead; None when the leader itself shall choose.

    Raises:
        UsageError: none of them can.
    """
    if not names:
        return None
    fit = [name for name in names if view.node(name).state == "ready" and view.node(name).voter]
    if fit:
        return fit[0]
    why = "; ".join(
        f"{name} is {view.node(name).state if view.node(name).voter else 'a learner'}"
        for name in names
    )
    raise UsageError(
        f"only a voter that has caught up can lead: {why}; nothing was done",
        hint="bin/cluster wait --for caught-up",
    )


def hand_over(
    paths: Paths,
    state: ClusterState,
    prober: Prober,
    view: ClusterView,
    target: str | None,
    seconds: float = SECONDS_MAX,
) -> Transfer:
    """Have the leader hand over to ``target``, or to whom it finds best; wait until it is done.

    Raises:
        NoQuorum: nobody leads.
        TryAgain: it leads still; nothing is lost.
    """
    leader, term = view.leader, view.term
    if leader is None or term is None:
        raise NoQuorum("there is no leader that could hand over", hint="bin/cluster status")
    if target == leader:
        return Transfer(old_leader=leader, old_term=term, leader=leader, term=term, after_ms=0.0)
    began_ms = time.monotonic() * 1000
    timeout_ms = int(seconds * 1000)
    # Another one that leads by now has not been asked to go.
    fields: dict[str, Any] = {"op": "leader_transfer", "timeout_ms": timeout_ms, "forward": False}
    if target is not None:
        fields["to"] = target
    with closing(Prober({leader: f"ipc://{paths.admin_socket(leader)}"})) as admin:
        reply = admin.ask([leader], fields, seconds + 0.25)[leader].reply
    if reply is not None and not reply.get("ok") and reply.get("error") == "bad_request":
        raise UsageError(f"{leader} refused: {reply.get('message')}")
    if reply is not None and not reply.get("ok") and reply.get("applied") == "no":
        raise TryAgain(
            f"{leader} leads on: {_reason(reply)}", hint="bin/cluster wait --for caught-up"
        )
    deadline = time.monotonic() + (1.0 if reply is not None else 0.25) * state.slowness
    others = [node.name for node in view.nodes if node.has_process and node.state != "paused"]
    while True:
        found = _successor(prober, others, term)
        if found is not None:
            break
        if time.monotonic() > deadline:
            raise TryAgain(
                f"{leader} still leads term {term}: {_reason(reply)}",
                hint="bin/cluster status   tells who has not caught up",
            )
        time.sleep(POLL_SECONDS)
    won_ms = (found.get("election") or {}).get("won_ms") or 0
    if won_ms < began_ms:
        won_ms = time.monotonic() * 1000
    state.saw_leader(found["node"], found["term"])
    return Transfer(
        old_leader=leader,
        old_term=term,
        leader=found["node"],
        term=found["term"],
        after_ms=won_ms - began_ms,
    )


def _successor(prober: Prober, names: list[str], term: int) -> dict[str, Any] | None:
    statuses = prober.statuses(names, 0.1)
    leaders = [s for s in statuses.values() if s.get("role") == "leader" and s["term"] > term]
    return max(leaders, key=lambda status: int(status["term"]), default=None)


def _reason(reply: Reply | None) -> str:
    if reply is None:
        return "it did not answer"
    return str(reply.get("message") or "the one it chose did not take over in time")
