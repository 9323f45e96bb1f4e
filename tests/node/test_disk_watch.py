"""A node whose disk is slow or full does not lead while another could."""

import errno

import pytest

from orchestrator.simulation.cluster import SimulatedCluster
from raftcache.raft.types import Role
from raftcache.storage.segment import NEXT_NAME

from .builders import counter, elected


def hang(cluster: SimulatedCluster, name: str) -> None:
    """Let a node's disk take its time with the next write."""
    cluster.process(name).writer.held = True


def let_go(cluster: SimulatedCluster, name: str) -> None:
    cluster.process(name).writer.go_on()


def alarms(cluster: SimulatedCluster, name: str) -> list[str]:
    """Return the names of the alarms that a node raises."""
    return [alarm.partition(":")[0] for alarm in cluster.ask(name, "status")["alarms"]]


def test_a_leader_whose_disk_hangs_hands_over() -> None:
    """Commits go on without its disk, but a node that can't write should not lead (failure E14)."""
    cluster, leader, followers = elected()
    hang(cluster, leader)
    call = cluster.request(leader, "incr", key=b"hits")

    waited_ms = cluster.run_until(lambda: cluster.leader() in followers, within_ms=2_000)

    assert call.outcome == "ok", "a majority had it on disk"
    assert 300 <= waited_ms <= 600
    assert cluster.told[leader, "slow_disk"] == 1
    assert alarms(cluster, leader) == ["slow_disk"]
    assert cluster.ask(followers[0], "incr", key=b"hits")["value"] == 2


def test_a_disk_that_is_idle_is_not_slow() -> None:
    """However long nothing is written."""
    cluster, leader, _ = elected()

    cluster.run_ms(5_000)

    assert cluster.leader() == leader
    assert [alarms(cluster, name) for name in cluster.names] == [[], [], []]


def test_a_disk_that_is_busy_and_quick_is_not_slow() -> None:
    """There is always something to write, and each write takes a moment only."""
    cluster, leader, _ = elected()

    for _ in range(1_000):
        cluster.request(leader, "incr", key=b"hits")
        cluster.run_ms(1)

    assert cluster.leader() == leader
    assert alarms(cluster, leader) == []


def test_a_node_that_was_stopped_accuses_no_disk() -> None:
    """The time that it slept through is one tick (failure F13)."""
    cluster, leader, (follower, _) = elected()
    cluster.request(leader, "incr", key=b"hits")
    cluster.run_ms(1)
    cluster.pause(follower)
    cluster.run_ms(3_000)

    cluster.resume(follower)
    cluster.run_ms(100)

    assert cluster.told[follower, "slow_disk"] == 0


def test_a_follower_whose_disk_hangs_does_not_campaign_and_is_not_chosen() -> None:
    """It could not even write its own vote down (failure E14)."""
    cluster, leader, (slow, other) = elected()
    hang(cluster, slow)
    cluster.ask(leader, "incr", key=b"hits")
    cluster.run_ms(500)
    assert alarms(cluster, slow) == ["slow_disk"]

    refused = cluster.ask(leader, "leader_transfer", admin=True, to=slow)
    assert refused["error"] == "conflict"
    cluster.kill(leader)
    cluster.run_ms(2_000)

    assert cluster.process(slow).server.raft.state.role is Role.FOLLOWER
    assert cluster.leader() is None
    let_go(cluster, slow)
    cluster.run_until(lambda: cluster.leader() is not None)
    assert counter(cluster, other) == b"1"


def test_the_alarm_ends_some_time_after_the_last_slow_write() -> None:
    """And then it may lead again."""
    cluster, leader, followers = elected()
    hang(cluster, leader)
    cluster.request(leader, "incr", key=b"hits")
    cluster.run_until(lambda: cluster.leader() in followers, within_ms=2_000)

    let_go(cluster, leader)
    cluster.run_ms(500)
    assert alarms(cluster, leader) == ["slow_disk"]
    cluster.run_ms(3_000)

    assert alarms(cluster, leader) == []
    successor = cluster.leader()
    assert successor is not None
    assert cluster.ask(successor, "leader_transfer", admin=True, to=leader)["ok"]


def test_where_all_disks_hang_the_leader_stays() -> None:
    """Nobody would do better; what was promised is kept."""
    cluster, leader, _ = elected()
    for name in cluster.names:
        hang(cluster, name)
    call = cluster.request(leader, "incr", key=b"hits", timeout_ms=60_000)
    cluster.run_ms(3_000)

    assert not call.done
    for name in cluster.names:
        let_go(cluster, name)
    cluster.run_until(lambda: call.done)

    assert call.outcome in ("ok", "timeout/unknown")
    cluster.run_until(lambda: cluster.leader() is not None)


def test_a_disk_that_all_share_moves_no_leader() -> None:
    """All stall at about one time, under load, and go on at one time: that is nobody's fault.

    What each has heard of the others' disks is older than the stall.
    """
    cluster, leader, followers = elected()
    term = cluster.process(leader).server.raft.state.current_term

    def load(ms: int) -> None:
        for _ in range(ms // 5):
            cluster.request(leader, "incr", key=b"hits", timeout_ms=60_000)
            cluster.run_ms(5)

    load(100)
    for name in (leader, *followers):
        hang(cluster, name)
        load(5)
    while not cluster.told[leader, "slow_disk"]:
        load(5)
    for name in (*followers, leader):
        let_go(cluster, name)
    load(1_000)

    assert cluster.leader() == leader
    assert cluster.process(leader).server.raft.state.current_term == term
    assert cluster.ask(leader, "incr", key=b"hits")["ok"]


def fill_segment(cluster: SimulatedCluster, leader: str, full: str) -> None:
    """Write until ``full`` finds no room for another segment."""
    number = 0
    while cluster.process(full).writer.has_room:
        number += 1
        assert number < 50, "a segment is soon full"
        cluster.request(leader, "set", key=b"a", value=b"%d" % number + b"x" * 500)
        cluster.run_ms(5)


def test_a_leader_without_room_hands_over_to_a_node_with_room() -> None:
    """Writes go on there, and reads everywhere (failure E9)."""
    cluster, leader, followers = elected(capacity_bytes=10**6)
    cluster.hosts[leader].disk.capacity_bytes = 1
    fill_segment(cluster, leader, leader)

    cluster.run_until(lambda: cluster.leader() in followers, within_ms=1_000)

    assert alarms(cluster, leader) == ["no_space"]
    assert cluster.ask(followers[0], "incr", key=b"hits")["value"] == 1
    assert cluster.process(leader).alive
    assert cluster.ask(leader, "get", key=b"hits")["value"] == b"1"


def test_a_follower_without_room_takes_no_commands_and_lives() -> None:
    """It votes and follows; the others have the majority. With room again it has all (E9)."""
    cluster, leader, (full, other) = elected(capacity_bytes=10**7)
    cluster.hosts[full].disk.capacity_bytes = 1
    fill_segment(cluster, leader, full)

    for number in range(200):
        cluster.request(leader, "set", key=b"b", value=b"%d" % number + b"x" * 500)
        cluster.run_ms(5)

    assert cluster.process(full).alive
    assert alarms(cluster, full) == ["no_space"]
    assert cluster.ask(leader, "get", key=b"b")["value"].startswith(b"199")
    state = cluster.process(full).server.raft.state
    assert state.log.last_index < cluster.process(leader).server.raft.state.commit_index

    # Its vote is still worth something.
    cluster.kill(leader)
    cluster.run_until(lambda: cluster.leader() == other, within_ms=5_000)

    cluster.hosts[full].disk.capacity_bytes = 10**7
    cluster.run_until(lambda: alarms(cluster, full) == [], within_ms=10_000)
    cluster.run_until(
        lambda: len(set(cluster.digests().values())) == 1 and len(cluster.digests()) == 2,
        within_ms=10_000,
    )


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENFILE])
def test_without_a_file_descriptor_for_the_next_segment_nothing_is_lost(code: int) -> None:
    """The segment in use is sound: that is no failed disk (failure E9)."""
    cluster, leader, followers = elected()
    cluster.hosts[leader].disk.fail_path("create", NEXT_NAME, code, times=10_000)
    fill_segment(cluster, leader, leader)

    cluster.run_until(lambda: cluster.leader() in followers, within_ms=1_000)

    assert cluster.process(leader).alive
    assert alarms(cluster, leader) == ["no_space"]
    assert cluster.ask(followers[0], "incr", key=b"hits")["ok"]
