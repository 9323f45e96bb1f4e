"""What the tests of watches are made of."""

from typing import Any

from orchestrator.simulation.calls import Call
from orchestrator.simulation.cluster import SimulatedCluster
from raftcache.node.watches import Watches
from raftcache.store.commands import COMMAND_VERSION

from .builders import elected

Told = tuple[str, int, bytes, bytes | None]


def raised() -> tuple[SimulatedCluster, str, list[str]]:
    """Return a cluster that is raised to what watches need, its leader, and the others."""
    cluster, leader, followers = elected()
    cluster.run_until(lambda: versions(cluster) == {COMMAND_VERSION})
    return cluster, leader, followers


def versions(cluster: SimulatedCluster) -> set[int]:
    """Return the versions to which the nodes know the cluster to be raised."""
    return {process.server.store.command_version for process in cluster.running}


def at(cluster: SimulatedCluster, name: str) -> Watches:
    """Return what holds a node's watches."""
    return cluster.process(name).server.desk.watches


def told(reply: dict[str, Any]) -> list[Told]:
    """Return what an answer tells."""
    assert reply["ok"], reply
    return [
        (event["kind"], event["rev"], event["key"], event["value"]) for event in reply["events"]
    ]


def let_wait(cluster: SimulatedCluster, node: str, **fields: Any) -> Call:
    """Send a watch, and return once it waits."""
    before = len(at(cluster, node))
    call = cluster.request(node, "watch", **{"wait_ms": 60_000, **fields})
    cluster.run_until(lambda: len(at(cluster, node)) > before)
    return call


def follow(
    cluster: SimulatedCluster, node: str, from_rev: int, *, prefix: bytes = b""
) -> tuple[list[Told], int]:
    """Ask a node for all that it has from a revision on; return that, and where to go on."""
    found: list[Told] = []
    while True:
        reply = cluster.ask(node, "watch", prefix=prefix, from_rev=from_rev, wait_ms=0)
        found += told(reply)
        if not reply["events"]:
            return found, reply["next_rev"]
        from_rev = reply["next_rev"]


def is_empty(holder: Watches) -> bool:
    """Tell whether no trace of any watch is left, which would stay for ever."""
    places = vars(holder)
    containers = [
        places[name]
        for name in (
            "_waiting",
            "_deadlines",
            "_due",
            "_ahead",
            "_by_key",
            "_by_prefix",
            "_of_client",
        )
    ]
    return not any(map(len, containers)) and not places["_lengths"] and not holder.has_more
