"""What stays of the log in memory between snapshots, and that whoever needs more gets it."""

import msgspec

from orchestrator.simulation.profile import CALM
from raftcache.node.shedding import CUT_BYTES, GIVE_BACK_BYTES, AppliedLog

from .builders import SNAPPY, base_index, commit_index, elected, fill

SHORT = msgspec.structs.replace(CALM, applied_bytes=1_000)
"""Some six entries of these tests stay in memory, and no snapshot is due."""


def test_what_all_have_goes_from_memory_without_a_snapshot() -> None:
    """Not all of it: who leads next may find that a follower lacks a little."""
    cluster, leader, _ = elected(profile=SHORT)
    fill(cluster, leader, 40)
    cluster.run_ms(300)

    for name in cluster.names:
        log = cluster.process(name).server.raft.state.log
        assert log.base_index > 30
        assert 3 <= len(log.entries) <= 8
        assert cluster.told[name, "snapshot_started"] == 0
        assert cluster.told[name, "compacted"] == 0, "at every tick nobody would want to read it"


def test_a_snapshot_that_stands_for_the_log_is_told_of() -> None:
    cluster, leader, _ = elected(profile=SNAPPY)
    fill(cluster, leader, 60)

    cluster.run_until(lambda: cluster.told[leader, "compacted"] > 0, within_ms=20_000)

    assert cluster.told[leader, "snapshot_taken"] >= 1


def test_a_leader_keeps_what_a_follower_lacks() -> None:
    """Who was away for as long as it likes is sent entries, not a snapshot."""
    cluster, leader, (other, away) = elected(profile=SHORT)
    fill(cluster, leader, 3)
    cluster.kill(away)
    fill(cluster, leader, 60)
    kept, shed = base_index(cluster, leader), base_index(cluster, other)

    cluster.start(away)
    cluster.run_until(lambda: commit_index(cluster, away) >= commit_index(cluster, leader))
    cluster.run_ms(300)

    assert kept < 10
    assert shed > 50
    assert cluster.told[away, "snapshot_receiving"] == 0
    assert base_index(cluster, leader) > 50
    assert len(set(cluster.digests().values())) == 1


def test_who_lacks_more_than_a_new_leader_kept_is_sent_a_snapshot() -> None:
    """Which is taken for it: none was due, and the entries are on disk only."""
    cluster, leader, (other, away) = elected(profile=SHORT)
    fill(cluster, leader, 3)
    cluster.kill(away)
    fill(cluster, leader, 60)
    cluster.kill(leader)
    cluster.start(away)
    cluster.run_until(lambda: cluster.leader() == other, within_ms=20_000)

    cluster.run_until(lambda: cluster.told[away, "snapshot_installed"] > 0, within_ms=20_000)
    cluster.start(leader)
    cluster.elect()
    fill(cluster, other, 5)
    cluster.run_ms(300)

    assert cluster.told[other, "snapshot_started"] == 1
    assert len(set(cluster.digests().values())) == 1


def test_a_majority_does_not_wait_for_a_snapshot_that_helps_nobody_nor_for_a_slow_one() -> None:
    """What its leader was at ends before what the follower lacks (seed 1200729).

    It is given up, the next one is not paced, and whoever asked for the first gets the second.
    """
    slow = msgspec.structs.replace(SHORT, slice_bytes=256, pace_bytes=1)
    cluster, leader, (other, away) = elected(profile=slow)
    fill(cluster, leader, 3)
    cluster.kill(away)
    fill(cluster, leader, 60)
    asked = cluster.request(other, "snapshot", admin=True, timeout_ms=8_000)
    cluster.run_until(lambda: cluster.told[other, "snapshot_started"] == 1)
    useless = commit_index(cluster, other)
    fill(cluster, leader, 20)
    assert base_index(cluster, other) > useless
    cluster.kill(leader)
    cluster.start(away)
    cluster.run_until(lambda: cluster.leader() == other, within_ms=20_000)

    cluster.run_until(lambda: cluster.told[other, "snapshot_started"] == 2)
    begun_ms = cluster.scheduler.now_ms
    cluster.run_until(lambda: cluster.told[other, "snapshot_taken"] > 0)
    taken_ms = cluster.scheduler.now_ms - begun_ms
    cluster.run_until(lambda: asked.done)
    cluster.run_until(lambda: cluster.told[away, "snapshot_installed"] > 0)

    keeper = cluster.process(other).server.keeper
    assert keeper is not None
    newest = keeper.snapshots.newest
    assert newest is not None
    assert taken_ms * slow.slice_bytes < newest.size_bytes * slow.tick_ms, "a slice per tick"
    assert asked.reply["ok"]
    assert asked.reply["index"] > useless


def test_what_is_behind_a_snapshot_on_its_way_stays() -> None:
    """The receiver goes on there; all others have it already."""
    profile = msgspec.structs.replace(SNAPPY, applied_bytes=0, job_us=(20_000, 40_000))
    cluster, leader, (_, away) = elected(profile=profile)
    fill(cluster, leader, 3)
    cluster.kill(away)
    fill(cluster, leader, 40)
    cluster.run_until(lambda: base_index(cluster, leader) > 10, within_ms=20_000)
    cluster.start(away)
    cluster.run_until(lambda: cluster.told[leader, "snapshot_sending"] > 0)

    fill(cluster, leader, 30)
    cluster.run_until(lambda: cluster.told[away, "snapshot_installed"] > 0, within_ms=20_000)
    cluster.elect()
    cluster.run_until(lambda: commit_index(cluster, away) >= commit_index(cluster, leader))

    assert cluster.told[away, "snapshot_installed"] == 1


def test_a_tick_lets_go_of_little_and_memory_is_given_back_in_portions() -> None:
    """To free a great many entries at once would make a turn long."""
    cluster, leader, _ = elected()
    fill(cluster, leader, 60)
    cluster.run_ms(300)
    raft = cluster.process(leader).server.raft
    log, data = raft.state.log, bytes(CUT_BYTES)
    log.entries[:] = [msgspec.structs.replace(entry, data=data) for entry in log.entries]
    given_back: list[int] = []
    follower = next(iter(raft.state.progress.values()))
    stored, follower.match_index = follower.match_index, 0
    applied = AppliedLog(
        raft,
        applied_bytes=0,
        give_back=lambda: given_back.append(log.base_index),
    )
    for _ in range(raft.state.last_applied):
        applied.on_applied(CUT_BYTES)

    applied.on_tick()
    assert log.base_index == 0
    follower.match_index = stored
    for tick in range(1, 10):
        applied.on_tick()
        assert log.base_index == tick

    portion = GIVE_BACK_BYTES // CUT_BYTES
    assert given_back == [portion, 2 * portion]
