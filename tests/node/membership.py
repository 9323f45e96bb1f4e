"""What the tests of membership changes are made of."""

from typing import Any

from orchestrator.simulation.cluster import SimulatedCluster
from orchestrator.simulation.members import let_join, new_host
from orchestrator.simulation.profile import CALM, Profile
from raftcache.raft.configuration import Configuration, Member

from .builders import elected


def joinable(seed: int = 1, profile: Profile = CALM) -> tuple[SimulatedCluster, str, list[str]]:
    """Return a cluster with a leader, whose nodes ask to join when they have no state."""
    cluster, leader, others = elected(seed, profile)
    let_join(cluster)
    return cluster, leader, others


def administer(
    cluster: SimulatedCluster, node: str, op: str, *, within_ms: int = 10_000, **fields: Any
) -> dict[str, Any]:
    """Ask for a change of the members, and let time pass until the answer."""
    return cluster.ask(node, op, admin=True, within_ms=within_ms, **fields)


def add(cluster: SimulatedCluster, asked: str, *, learner: bool = False) -> str:
    """Add a new host's node and start it; return its name before it has caught up."""
    member = new_host(cluster)
    fields = endpoints(member)
    reply = administer(cluster, asked, "member_add", id=member.node_id, learner=learner, **fields)
    assert reply["ok"], reply
    cluster.start(member.node_id)
    return member.node_id


def endpoints(member: Member) -> dict[str, Any]:
    """Return where a member listens, as an operation names it."""
    return {"peer": member.peer_endpoint, "client": member.client_endpoint}


def configuration(cluster: SimulatedCluster, node: str) -> Configuration:
    return cluster.process(node).server.raft.state.configuration


def voters(cluster: SimulatedCluster) -> list[str]:
    """Return the voters by the leader's configuration: those of both halves of a joint one."""
    leader = cluster.leader()
    assert leader is not None
    found = configuration(cluster, leader)
    return sorted({*found.voters, *found.voters_outgoing})


def is_quiet(cluster: SimulatedCluster) -> bool:
    """Tell whether somebody leads, and no change is planned or under way."""
    leader = cluster.leader()
    if leader is None:
        return False
    raft = cluster.process(leader).server.raft
    planned = any(member.change for member in raft.state.configuration.members)
    return not planned and not raft.change_in_progress


def settle(cluster: SimulatedCluster, *, within_ms: int = 10_000) -> list[str]:
    """Let time pass until no change is planned or under way; return the voters."""
    cluster.run_until(lambda: is_quiet(cluster), within_ms=within_ms)
    return voters(cluster)
