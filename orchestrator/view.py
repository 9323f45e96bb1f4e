"""The cluster as it is at this moment: what the nodes say, beside what the system says of them.

The nodes are asked (a process that exists need not work); what does not answer is explained by its
process: paused, starting, crashed, or down because somebody wanted it so.
"""

from contextlib import closing
from typing import Any

import msgspec

from .errors import NoCluster
from .paths import Paths
from .probe import Prober, Reply, is_listening
from .processes import Sample, sample
from .selectors import Candidates
from .state import KILLED, STOPPED, ClusterState, NodeRecord
from .supervisor import Child, Supervisor

ASK_SECONDS = 0.5


class NodeView(msgspec.Struct, frozen=True, kw_only=True):
    """One node, as it is."""

    name: str
    state: str
    """ready, behind, removed, paused, silent, starting, killed, stopped, crashed or down."""
    role: str | None
    term: int | None
    commit: int | None
    applied: int | None
    client: str
    pid: int | None
    resident_bytes: int | None
    supervisor: str | None
    """supervisord's word for it."""
    status: dict[str, Any] | None
    """All that the node said."""
    voter: bool = True
    """False for one that learns, before it counts for anything."""

    @property
    def has_process(self) -> bool:
        """Whether there is a process, be it paused."""
        return self.pid is not None


class ClusterView(msgspec.Struct, frozen=True, kw_only=True):
    """All nodes, and what follows from them."""

    cluster: str
    nodes: list[NodeView]
    leader: str | None
    term: int | None
    quorum: int
    supervisor_running: bool

    def node(self, name: str) -> NodeView:
        """Return one node's view."""
        return next(node for node in self.nodes if node.name == name)

    @property
    def ready(self) -> bool:
        """Whether there is a leader and every node has caught up with it."""
        return self.leader is not None and all(node.state == "ready" for node in self.nodes)

    @property
    def size(self) -> int:
        """How many nodes vote."""
        return sum(node.voter for node in self.nodes)

    @property
    def answering(self) -> int:
        """How many of those that vote told their status."""
        return sum(node.status is not None for node in self.nodes if node.voter)

    @property
    def health(self) -> str:
        """``ok``, ``degraded`` (it works, but something is off), ``no quorum`` or ``down``."""
        if not any(node.has_process for node in self.nodes):
            return "down"
        # A leader that lost its majority says for an election timeout yet that it leads.
        if self.leader is None or self.answering < self.quorum:
            return "no quorum"
        well = self.ready and self.supervisor_running and not (self.alarms or self.faults)
        return "ok" if well else "degraded"

    @property
    def alarms(self) -> list[tuple[str, str]]:
        """What nodes complain of, each with the node's name."""
        return [
            (node.name, alarm)
            for node in self.nodes
            for alarm in (node.status or {}).get("alarms", [])
        ]

    @property
    def faults(self) -> dict[str, list[Any]]:
        """The rules that harm frames between nodes on purpose, by the node that holds them."""
        told = {node.name: (node.status or {}).get("faults") for node in self.nodes}
        return {name: rules for name, rules in told.items() if rules}

    def candidates(self, state: ClusterState) -> Candidates:
        """Return what selectors choose from."""
        return Candidates(
            names=[node.name for node in self.nodes],
            up=[node.name for node in self.nodes if node.has_process],
            paused=[node.name for node in self.nodes if node.state == "paused"],
            leader=self.leader,
            old_leader=state.old_leader,
            learners=frozenset(node.name for node in self.nodes if not node.voter),
        )


def observe(
    paths: Paths, state: ClusterState, prober: Prober, seconds: float = ASK_SECONDS
) -> ClusterView:
    """Look at all nodes; a silent one costs ``seconds``, all others milliseconds."""
    supervisor = Supervisor(paths)
    children = supervisor.children()
    samples: dict[str, Sample | None] = {
        name: sample(child.pid) if child.has_process else None for name, child in children.items()
    }
    if children:
        asked = [name for name, seen in samples.items() if seen is not None and not seen.paused]
    else:  # without supervisord there may still be nodes that outlived it
        asked = [node.name for node in state.nodes if is_listening(node.client)]
    statuses = {
        name: status
        for name, status in prober.statuses(asked, seconds).items()
        # While this cluster is down, another one may have its ports.
        if status.get("cluster_id") == state.cluster_id
    }
    nodes = [
        _node_view(node, children.get(node.name), samples.get(node.name), statuses.get(node.name))
        for node in state.nodes
    ]
    leaders = [node for node in nodes if node.role == "leader"]
    leader = max(leaders, key=lambda node: node.term or 0, default=None)
    return ClusterView(
        cluster=state.cluster,
        nodes=nodes,
        leader=leader.name if leader else None,
        term=leader.term if leader else None,
        quorum=state.quorum(),
        supervisor_running=bool(children),
    )


def observe_once(paths: Paths, state: ClusterState, seconds: float = ASK_SECONDS) -> ClusterView:
    """Look once, with sockets of its own."""
    with closing(Prober(endpoints(state))) as prober:
        return observe(paths, state, prober, seconds)


def endpoints(state: ClusterState) -> dict[str, str]:
    """Return where each node takes clients."""
    return {node.name: node.client for node in state.nodes}


def require_running(view: ClusterView) -> None:
    """Refuse to go on when nothing runs.

    Raises:
        NoCluster: with the way to start it.
    """
    if not view.supervisor_running:
        raise NoCluster("the cluster is not running", hint="bin/cluster up   starts it")


def _node_view(
    node: NodeRecord, child: Child | None, seen: Sample | None, status: Reply | None
) -> NodeView:
    pid = child.pid if child and seen and not seen.zombie else None
    if pid is None and status is not None:
        pid = status.get("pid")
    return NodeView(
        name=node.name,
        state=_state_of(node, child, seen, status),
        role=_role_of(node, status),
        term=status.get("term") if status else None,
        commit=status.get("commit") if status else None,
        applied=status.get("applied") if status else None,
        client=node.client,
        pid=pid,
        resident_bytes=seen.resident_bytes if seen and pid else None,
        supervisor=child.state if child else None,
        status=status,
        voter=node.voter and not _is_removed(status),
    )


def _role_of(node: NodeRecord, status: Reply | None) -> str | None:
    role = status.get("role") if status else None
    return "learner" if role == "follower" and not node.voter else role


def _is_removed(status: Reply | None) -> bool:
    """Tell whether the others have removed a node whose process still runs."""
    return status is not None and status.get("role") == "removed"


def _state_of(
    node: NodeRecord, child: Child | None, seen: Sample | None, status: Reply | None
) -> str:
    if _is_removed(status):
        return "removed"
    if status is not None:
        return "ready" if status.get("caught_up") and status.get("leader") else "behind"
    if seen is not None and seen.paused:
        return "paused"
    if child is not None and child.has_process:
        return "starting" if child.state == "STARTING" else "silent"
    if node.wanted in {KILLED, STOPPED}:
        return node.wanted
    # BACKOFF: it crashed and will be tried again; FATAL and EXITED: it crashed and will not.
    crashed = child is not None and child.state in {"BACKOFF", "FATAL", "EXITED"}
    return "crashed" if crashed else "down"
