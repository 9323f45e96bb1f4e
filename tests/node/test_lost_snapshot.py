"""Nodes whose every snapshot is damaged: they come back, and a peer gives them another (E10)."""

import errno

import msgspec
import pytest

from orchestrator.simulation.cluster import SimulatedCluster
from raftcache.errors import CorruptRecord

from .builders import SNAPPY, elected, elections, fill, lose
from .test_snapshots import caught_up

SMALL_SEGMENTS = msgspec.structs.replace(SNAPPY, segment_bytes=4096, slice_bytes=16_384)
"""So that the log on disk does not reach back to its beginning."""


def damage_all(cluster: SimulatedCluster, name: str) -> list[str]:
    """Change a byte in each snapshot of a dead node; return the names of the files."""
    host = cluster.hosts[name]
    found = [n for n in host.disk.names(host.directory) if n.startswith("snapshot-0")]
    for file in found:
        path = f"{host.directory}/{file}"
        data = host.disk.content(path)
        host.disk.overwrite(path, len(data) // 2, bytes([data[len(data) // 2] ^ 1]))
    return found


def with_lost_snapshots(
    seed: int = 1, *, nodes: int = 3
) -> tuple[SimulatedCluster, str, list[str], list[str]]:
    """Return a cluster, its leader, the others of which the first is dead, and its bad files."""
    profile = msgspec.structs.replace(SMALL_SEGMENTS, nodes=nodes)
    cluster, leader, others = elected(seed, profile)
    fill(cluster, leader, 150)
    cluster.run_ms(500)
    cluster.kill(others[0])
    found = damage_all(cluster, others[0])
    assert len(found) == 2
    return cluster, leader, others, found


def needs(cluster: SimulatedCluster, name: str) -> int:
    return cluster.process(name).server.raft.state.needs_snapshot


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_node_with_nothing_but_damaged_snapshots_gets_one_from_its_leader(seed: int) -> None:
    """It comes back by itself, and the damaged files are kept (failure E10)."""
    cluster, leader, (lost, _), found = with_lost_snapshots(seed)
    fill(cluster, leader, 5)
    before = elections(cluster)

    cluster.start(lost)
    assert needs(cluster, lost) > 0
    caught_up(cluster)

    assert needs(cluster, lost) == 0
    assert cluster.told[lost, "snapshot_installed"] == 1
    assert cluster.told[leader, "snapshot_sending"] == 1
    assert elections(cluster) == before
    host = cluster.hosts[lost]
    assert {f"damaged-{file}" for file in found} <= set(host.disk.names(host.directory))
    cluster.kill(lost, power=True)
    cluster.start(lost)
    assert needs(cluster, lost) == 0
    caught_up(cluster)


def test_meanwhile_it_says_so_and_answers_nothing_by_itself() -> None:
    """Nothing is read from an empty state; linearizable requests pass through (failure E10)."""
    cluster, leader, (lost, _), _ = with_lost_snapshots()
    lose(cluster, lambda _, target, frame: target == lost and bool(frame.chunks))
    cluster.start(lost)
    cluster.run_ms(1_000)

    status = cluster.ask(lost, "status")
    local = cluster.ask(lost, "get", key=b"key-1", read="local")
    digest = cluster.ask(lost, "hash")
    through = cluster.ask(lost, "get", key=b"key-1")
    taken = cluster.ask(lost, "snapshot", admin=True)

    assert [alarm.partition(":")[0] for alarm in status["alarms"]] == ["snapshot_lost"]
    assert (status["caught_up"], status["applied"]) == (False, 0)
    assert (local["error"], digest["error"]) == ("overloaded", "overloaded")
    assert through["found"]
    assert not taken["ok"]
    assert cluster.ask(leader, "status")["alarms"] == []
    cluster.heal()
    caught_up(cluster)
    assert cluster.ask(lost, "status")["alarms"] == []


def test_a_leader_that_needs_its_vote_and_its_disk_takes_the_snapshot_it_lacks() -> None:
    """The third node is away: what is lost here counts as stored, and writes go on (E10)."""
    cluster, leader, (lost, other), _ = with_lost_snapshots()
    cluster.kill(other)
    cluster.kill(leader)
    cluster.start(lost)
    cluster.run_ms(2_000)
    assert cluster.leader() is None, "it must not lead"

    cluster.start(leader)
    caught_up(cluster)

    fill(cluster, leader, 5)
    assert len(cluster.ask(leader, "range", prefix=b"key-")["items"]) == 10
    cluster.start(other)
    caught_up(cluster)


def test_it_may_die_and_come_back_before_it_has_one() -> None:
    """The damaged files are out of the way by then; it still knows what it lacks (E10)."""
    cluster, leader, (lost, _), _ = with_lost_snapshots()
    lose(cluster, lambda _, target, frame: target == lost and bool(frame.chunks))
    for power in (False, True):
        cluster.start(lost)
        cluster.run_ms(300)
        fill(cluster, leader, 20)
        assert needs(cluster, lost) > 0
        cluster.kill(lost, power=power)
    cluster.start(lost)
    cluster.heal()

    caught_up(cluster)


def test_a_leader_with_older_snapshots_takes_a_newer_one_for_it() -> None:
    """The follower's log may begin behind the newest snapshot of its leader (failure E10)."""
    cluster, leader, (lost, _) = elected(profile=SMALL_SEGMENTS)
    cluster.hosts[leader].disk.fail_path("create", "snapshot-next", errno.ENOSPC, times=1)
    fill(cluster, leader, 150)
    cluster.run_ms(500)
    assert cluster.hosts[leader].snapshots() == []
    cluster.kill(lost)
    damage_all(cluster, lost)

    cluster.start(lost)
    assert needs(cluster, lost) > 0
    caught_up(cluster, within_ms=30_000)

    assert cluster.hosts[leader].snapshots() != []


def test_when_all_have_lost_theirs_nobody_leads_and_each_says_so() -> None:
    """An empty state would be worse than none (failure E10)."""
    cluster, leader, others, _ = with_lost_snapshots()
    for name in (leader, others[1]):
        cluster.kill(name)
        damage_all(cluster, name)
    cluster.up()
    cluster.run_ms(3_000)

    assert cluster.leader() is None
    for name in cluster.names:
        assert "snapshot_lost" in cluster.ask(name, "status")["alarms"][0]


def test_the_only_node_of_a_cluster_is_refused_and_changes_nothing() -> None:
    """Nobody could ever send it another: it names the file and the ways out (failure E10)."""
    cluster, _, _ = elected(profile=msgspec.structs.replace(SMALL_SEGMENTS, nodes=1))
    fill(cluster, "n1", 150)
    cluster.run_ms(500)
    cluster.kill("n1")
    found = damage_all(cluster, "n1")
    host = cluster.hosts["n1"]

    with pytest.raises(CorruptRecord, match="bin/cluster snapshot restore FILE") as caught:
        cluster.start("n1")

    assert max(found) in str(caught.value)
    assert set(found) <= set(host.disk.names(host.directory))
