"""What the tests of whole nodes are made of."""

from collections.abc import Callable

from orchestrator.simulation.cluster import SimulatedCluster
from orchestrator.simulation.profile import CALM, Profile
from raftcache.protocol.peer import PeerFrame, decode_peer_frame

FrameTest = Callable[[str, str, PeerFrame], bool]


def elected(
    seed: int = 1, profile: Profile = CALM, *, capacity_bytes: int | None = None
) -> tuple[SimulatedCluster, str, list[str]]:
    """Return a cluster that has elected its leader, the leader, and the others."""
    cluster = SimulatedCluster(seed, profile, capacity_bytes=capacity_bytes).up()
    leader = cluster.elect()
    return cluster, leader, [name for name in cluster.names if name != leader]


def lose(cluster: SimulatedCluster, test: FrameTest) -> None:
    """Lose each frame for which ``test`` (source, target, frame) is true."""
    cluster.network.blocks = lambda source, target, data: test(
        source, target, decode_peer_frame(data)
    )


def keep_copies(
    cluster: SimulatedCluster, test: FrameTest, *, lost: bool = False
) -> list[tuple[str, str, bytes]]:
    """Copy each frame for which ``test`` is true, and let it pass or not; return the list."""
    copies: list[tuple[str, str, bytes]] = []

    def look(source: str, target: str, data: bytes) -> bool:
        if test(source, target, decode_peer_frame(data)):
            copies.append((source, target, data))
            return lost
        return False

    cluster.network.blocks = look
    return copies


def commit_index(cluster: SimulatedCluster, name: str) -> int:
    return cluster.process(name).server.raft.state.commit_index


def counter(cluster: SimulatedCluster, node: str, key: bytes = b"hits") -> bytes | None:
    """Return a key's value, read linearizably."""
    value = cluster.ask(node, "get", key=key)["value"]
    assert value is None or isinstance(value, bytes)
    return value
