"""What the tests of whole nodes are made of."""

from collections.abc import Callable

from orchestrator.simulation.calls import peer_frame
from orchestrator.simulation.cluster import SimulatedCluster
from orchestrator.simulation.profile import CALM, Profile
from raftcache.protocol.peer import PeerFrame

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
    cluster.network.blocks = lambda source, target, data: test(source, target, peer_frame(data))


def keep_copies(
    cluster: SimulatedCluster, test: FrameTest, *, lost: bool = False
) -> list[tuple[str, str, bytes]]:
    """Copy each frame for which ``test`` is true, and let it pass or not; return the list."""
    copies: list[tuple[str, str, bytes]] = []

    def look(source: str, target: str, data: bytes) -> bool:
        if test(source, target, peer_frame(data)):
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


SNAPPY = Profile(snapshot_log_bytes=1_700, tail_bytes=0, slice_bytes=512, chunk_bytes=512)
"""A snapshot every ten writes or so, in pieces, and no log in memory behind it."""


def fill(cluster: SimulatedCluster, node: str, count: int, *, size: int = 100) -> None:
    """Write ``count`` keys, one entry of the log each."""
    for number in range(count):
        reply = cluster.ask(node, "set", key=b"key-%d" % (number % 10), value=b"x" * size)
        assert reply["ok"], reply


def base_index(cluster: SimulatedCluster, name: str) -> int:
    return cluster.process(name).server.raft.state.log.base_index


def left_behind(
    seed: int = 1, profile: Profile = SNAPPY, *, writes: int = 40
) -> tuple[SimulatedCluster, str, str, str]:
    """Return a cluster, its leader, a follower, and one that is dead and needs a snapshot."""
    cluster, leader, (other, behind) = elected(seed, profile)
    fill(cluster, leader, 3)
    cluster.kill(behind)
    fill(cluster, leader, writes)
    cluster.run_until(lambda: base_index(cluster, leader) > 10, within_ms=20_000)
    return cluster, leader, other, behind


def elections(cluster: SimulatedCluster) -> int:
    """Return how often any node has stood for election."""
    return sum(count for (_, kind), count in cluster.told.items() if kind == "election_started")


def snapshot_size(cluster: SimulatedCluster, name: str) -> int:
    """Return the length of the newest snapshot of a node."""
    keeper = cluster.process(name).server.keeper
    assert keeper is not None
    assert keeper.snapshots.newest is not None
    return keeper.snapshots.newest.size_bytes
