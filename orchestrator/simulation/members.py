"""Hosts that come and go: what the tests and faults of membership changes are made of."""

from raftcache.raft.configuration import Member

from .cluster import SimulatedCluster
from .disk import SimulatedDisk
from .host import SimulatedHost, member_at


def let_join(cluster: SimulatedCluster) -> SimulatedCluster:
    """Tell every host whom to ask for a place, should it have no state; return the cluster."""
    for host in cluster.hosts.values():
        others = [one.member for one in cluster.hosts.values() if one is not host]
        host.join_peers = [member.peer_endpoint for member in others]
    return cluster


def new_host(cluster: SimulatedCluster) -> Member:
    """Add a host without a node's state; a process there asks to join. Return who it will be.

    Its incarnation is the cluster's to give.
    """
    number = 1 + max(int(name[1:]) for name in cluster.names)
    member, profile = member_at(number), cluster.profile
    host = SimulatedHost(member, capacity_bytes=None, clock_rate=profile.clock_rate(number - 1))
    host.durability = profile.durability
    cluster.hosts[member.node_id] = host
    let_join(cluster)
    return member


def is_quiet(cluster: SimulatedCluster) -> bool:
    """Tell whether somebody leads, and no change of the members is planned or under way."""
    leader = cluster.leader()
    if leader is None:
        return False
    raft = cluster.process(leader).server.raft
    planned = any(member.change for member in raft.state.configuration.members)
    return (
        not planned
        and not raft.change_in_progress
        and raft.state.configuration == cluster.checks.configuration
    )


def wipe(cluster: SimulatedCluster, name: str) -> None:
    """Let a host whose process is gone lose all that is on its disk."""
    host = cluster.hosts[name]
    assert host.process is None or not host.process.alive, f"{name} runs"
    host.disk = SimulatedDisk(host.disk.capacity_bytes)
    cluster.note(f"{name} lost its disk")
