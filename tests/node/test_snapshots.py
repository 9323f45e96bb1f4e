"""Snapshots of whole nodes: taken, sent, put in force, and what else must go on meanwhile."""

import msgspec
import pytest

from orchestrator.simulation.cluster import SimulatedCluster
from raftcache.protocol.peer import PeerFrame
from raftcache.raft.messages import AppendEntries

from .builders import (
    SNAPPY,
    base_index,
    elected,
    elections,
    fill,
    keep_copies,
    left_behind,
    lose,
    snapshot_size,
)

SLOW_FILES = msgspec.structs.replace(SNAPPY, job_us=(10_000, 30_000))


def caught_up(cluster: SimulatedCluster, *, within_ms: int = 10_000) -> None:
    """Wait until all running nodes have all there is, and check that their states are equal."""
    cluster.elect(within_ms=within_ms)
    assert len(set(cluster.digests().values())) == 1


def test_all_keys_remain_while_leader_after_leader_dies() -> None:
    """What only a snapshot holds any more is still there on every node (failure D1)."""
    cluster, leader, followers = elected(profile=SNAPPY)
    fill(cluster, leader, 30)
    dead = followers[0]
    cluster.kill(dead)
    fill(cluster, leader, 30)
    for _ in range(3):
        cluster.start(dead)
        caught_up(cluster)
        leader = cluster.elect()
        dead = leader
        cluster.kill(dead, power=True)
        leader = cluster.elect()
        fill(cluster, leader, 15)
        page = cluster.ask(leader, "range", prefix=b"key-")
        assert len(page["items"]) == 10

    assert all(base_index(cluster, process.name) > 30 for process in cluster.running)


def test_a_log_that_conflicts_is_replaced_once() -> None:
    """The tail of a deposed leader goes, and one transfer is enough (failure D2)."""
    cluster, old, others = elected(profile=SNAPPY)
    fill(cluster, old, 5)
    lose(cluster, lambda source, target, _: old in (source, target))
    calls = [cluster.request(old, "set", key=b"lost", value=b"%d" % n) for n in range(30)]
    cluster.run_until(lambda: all(call.done for call in calls))
    cluster.run_until(lambda: cluster.leader() in others)
    new = cluster.leader()
    assert new is not None
    fill(cluster, new, 40)
    assert base_index(cluster, new) > cluster.process(old).server.raft.state.commit_index

    cluster.heal()
    caught_up(cluster)

    assert cluster.told[old, "snapshot_receiving"] == 1
    assert cluster.told[old, "snapshot_installed"] == 1
    assert cluster.ask(new, "get", key=b"lost")["found"] is False
    fill(cluster, new, 5)
    caught_up(cluster)
    assert cluster.told[old, "snapshot_installed"] == 1


@pytest.mark.slow
@pytest.mark.parametrize("power", [False, True])
def test_a_follower_may_die_at_any_step_of_an_install(*, power: bool) -> None:
    """Receive, verify, publish, restart of the log, restore: it goes on (failures D3, D4, D7, D13).

    It dies at every few points where something leaves it or its disk changes, and comes back.
    """
    points = points_of_an_install()
    assert {"disk rename", "job done", "synced"} <= set(points)

    for step in range(1, len(points), 3 if power else 5):
        die_at(step, power=power)


def points_of_an_install() -> list[str]:
    """Return where a follower could die on its way from its start to all that there is."""
    points: list[str] = []

    def look(point: str) -> bool:
        points.append(point)
        return False

    cluster, _, _, behind = left_behind()
    cluster.start(behind).doom = look
    caught_up(cluster)
    return points


def die_at(step: int, *, power: bool) -> None:
    """Let the follower die at the point with this number, and come back."""
    cluster, leader, _, behind = left_behind()
    process = cluster.start(behind)
    left = step

    def doom(_point: str) -> bool:
        nonlocal left
        left -= 1
        return left == 0

    process.doom = doom
    fill(cluster, leader, 1)
    cluster.run_until(lambda: not process.alive or cluster.is_settled())
    if not process.alive:
        if power:
            cluster.cut_power(behind)
        cluster.start(behind)
    caught_up(cluster)


def test_late_appends_change_nothing_behind_an_installed_snapshot() -> None:
    """Entries from before, in any order, during the install and after it (failure D5, A6)."""
    cluster, leader, (other, behind) = elected(profile=SNAPPY)
    copies = keep_copies(
        cluster,
        lambda _, target, frame: (
            target == behind and any(type(m) is AppendEntries for m in frame.messages)
        ),
        lost=True,
    )
    fill(cluster, leader, 40)
    cluster.run_until(lambda: base_index(cluster, leader) > 10)
    cluster.network.blocks = lambda *_: False
    process = cluster.process(behind)
    cluster.run_until(lambda: cluster.told[behind, "snapshot_receiving"] > 0)

    for _, _, data in reversed(copies):
        process.on_peer_frame(data)
    cluster.run_until(lambda: process.server.raft.state.apply_paused)
    for _, _, data in copies:
        process.on_peer_frame(data)
    caught_up(cluster)
    for _, _, data in reversed(copies):
        process.on_peer_frame(data)
    fill(cluster, leader, 3)
    caught_up(cluster)

    assert cluster.told[behind, "snapshot_installed"] == 1
    assert cluster.process(other).alive


def test_a_second_snapshot_waits_for_the_first_one() -> None:
    """Chunks of another file while one is checked or restored are dropped (failure D8)."""
    cluster, leader, _, behind = left_behind(profile=SLOW_FILES)
    others = keep_copies(cluster, lambda _, target, frame: target == behind and bool(frame.chunks))
    process = cluster.start(behind)
    cluster.run_until(lambda: process.server.raft.state.apply_paused)
    first = others[0][2]
    fill(cluster, leader, 15)

    process.on_peer_frame(first)
    caught_up(cluster)

    assert cluster.told[behind, "snapshot_installed"] >= 1
    assert cluster.told[behind, "snapshot_receiving"] == cluster.told[behind, "snapshot_installed"]


def test_appends_and_heartbeats_do_not_begin_a_transfer_anew() -> None:
    """It takes many heartbeats, under load, and arrives at the first attempt (failures D9, F10)."""
    cluster, leader, _, behind = left_behind(
        profile=msgspec.structs.replace(SLOW_FILES, chunk_bytes=256)
    )
    began_ms = cluster.scheduler.now_ms
    before = elections(cluster)
    cluster.start(behind)
    while cluster.told[behind, "snapshot_installed"] == 0:
        fill(cluster, leader, 1)

    assert cluster.scheduler.now_ms - began_ms > 1_000  # Twenty heartbeats.
    assert cluster.told[behind, "snapshot_receiving"] == 1
    assert cluster.told[leader, "snapshot_sending"] == 1
    assert elections(cluster) == before


def test_slow_files_delay_neither_heartbeats_nor_clients() -> None:
    """A snapshot is taken and installed at a snail's pace; nobody notices (failure D10)."""
    profile = msgspec.structs.replace(SNAPPY, job_us=(200_000, 400_000))
    cluster, leader, _, behind = left_behind(profile=profile)
    before = elections(cluster)
    cluster.start(behind)

    for _ in range(30):
        assert cluster.ask(leader, "incr", key=b"hits", within_ms=100)["ok"]
        cluster.run_ms(100)

    assert cluster.told[leader, "snapshot_taken"] >= 2
    assert elections(cluster) == before


def test_snapshots_slower_than_the_writes_between_them_come_one_at_a_time() -> None:
    """The next is due long before one is done; states stay equal and logs short (failure D11)."""
    cluster, leader, _ = elected(profile=SLOW_FILES)

    fill(cluster, leader, 250)
    cluster.run_ms(1_000)

    for name in cluster.names:
        assert cluster.told[name, "snapshot_started"] - cluster.told[name, "snapshot_taken"] <= 1
        assert cluster.told[name, "snapshot_taken"] >= 2
        assert cluster.told[name, "snapshot_failed"] == 0
        assert len(cluster.process(name).server.raft.state.log.entries) < 200
    caught_up(cluster)


def test_a_follower_that_is_down_costs_its_leader_bounded_memory_and_disk() -> None:
    """However much is written meanwhile; then a snapshot brings it back (failure D12, F11)."""
    profile = msgspec.structs.replace(SNAPPY, segment_bytes=4096, slice_bytes=16_384)
    cluster, leader, followers = elected(profile=profile)
    fill(cluster, leader, 20)
    cluster.kill(followers[0])
    fill(cluster, leader, 40)
    cluster.run_ms(1_500)
    sizes = []
    for _ in range(8):
        fill(cluster, leader, 40)
        server = cluster.process(leader).server
        sizes.append((len(server.raft.state.log.entries), server.storage.size_bytes))

    assert max(entries for entries, _ in sizes) < 30
    assert max(size for _, size in sizes) < 6 * 4096
    cluster.start(followers[0])
    caught_up(cluster)
    assert cluster.told[followers[0], "snapshot_installed"] >= 1


def test_a_receiver_that_stands_still_does_not_keep_its_leader_from_snapshots() -> None:
    """Nor from freeing its log, once what is held for the receiver is too much (failure D14)."""
    profile = msgspec.structs.replace(SNAPPY, held_bytes=2_000)
    cluster, leader, _, behind = left_behind(profile=profile)
    lose(cluster, lambda _, target, frame: target == behind and bool(frame.chunks))
    cluster.start(behind)
    cluster.run_until(lambda: cluster.told[leader, "snapshot_sending"] > 0)
    taken, base = cluster.told[leader, "snapshot_taken"], base_index(cluster, leader)

    fill(cluster, leader, 100)

    assert cluster.told[leader, "snapshot_taken"] >= taken + 3
    assert base_index(cluster, leader) > base + 30
    cluster.heal()
    caught_up(cluster)


def test_whoever_waits_for_what_is_compacted_away_is_answered() -> None:
    """Digests of the past, and one that comes with the snapshot that is installed (failure D15)."""
    cluster, leader, _, behind = left_behind(profile=SLOW_FILES)
    base = base_index(cluster, leader)
    cluster.start(behind)
    waiting = cluster.request(behind, "hash", at=base, timeout_ms=8_000)
    never = cluster.request(behind, "hash", at=base + 1_000, timeout_ms=500)

    cluster.run_until(lambda: waiting.done and never.done)
    caught_up(cluster)

    assert waiting.reply["digest"] == cluster.ask(leader, "hash", at=base)["digest"]
    assert never.outcome == "timeout/no"


def test_reads_through_a_node_that_restores_are_answered_by_the_leader() -> None:
    """Never from what is half restored; and no snapshot is taken of that."""
    cluster, leader, _, behind = left_behind(profile=SLOW_FILES)
    before = cluster.ask(leader, "get", key=b"key-1")
    process = cluster.start(behind)
    cluster.run_until(lambda: process.server.raft.state.apply_paused)

    through = cluster.ask(behind, "get", key=b"key-1")
    asked = cluster.ask(behind, "snapshot", admin=True)

    assert process.server.raft.state.apply_paused
    assert through["mod_rev"] == before["mod_rev"]
    assert (asked["ok"], asked["error"]) == (False, "conflict")
    caught_up(cluster)


def test_a_node_that_restores_may_lead_and_answers_once_it_is_done() -> None:
    """Its log is complete, only its state is not: reads wait, and see everything."""
    cluster, leader, other, behind = left_behind(profile=SLOW_FILES)
    process = cluster.start(behind)
    cluster.run_until(lambda: process.server.raft.state.apply_paused)
    process.worker.held = True
    cluster.run_until(
        lambda: process.server.raft.state.log.last_index >= base_index(cluster, leader)
    )
    expected = cluster.ask(leader, "get", key=b"key-7")
    cluster.kill(leader)
    lose(cluster, lambda source, _t, frame: source == other and asks_for_votes(frame))
    cluster.run_until(lambda: cluster.leader() == behind)

    call = cluster.request(behind, "get", key=b"key-7", timeout_ms=8_000)
    cluster.run_ms(300)
    assert process.server.raft.state.apply_paused
    assert not call.done
    process.worker.go_on()
    cluster.run_until(lambda: call.done)

    assert call.reply["mod_rev"] == expected["mod_rev"]
    cluster.heal()
    cluster.start(leader)
    caught_up(cluster)


def asks_for_votes(frame: PeerFrame) -> bool:
    return any(type(message).__name__ in ("PreVote", "RequestVote") for message in frame.messages)


def test_a_snapshot_under_way_gives_way_to_one_that_a_leader_sends() -> None:
    """It reads a state that is about to be replaced; whoever waits for it is told."""
    cluster, leader, (_, behind) = elected(profile=SNAPPY)
    fill(cluster, leader, 5)
    process = cluster.process(behind)
    process.worker.held = True
    call = cluster.request(behind, "snapshot", admin=True, timeout_ms=8_000)
    cluster.run_until(lambda: cluster.told[behind, "snapshot_started"] > 0)
    lose(cluster, lambda _, target, frame: target == behind and not frame.chunks)
    fill(cluster, leader, 40)
    cluster.run_until(lambda: base_index(cluster, leader) > 20)
    cluster.heal()
    cluster.run_until(lambda: cluster.told[leader, "snapshot_sending"] > 0)

    process.worker.go_on()
    cluster.run_until(lambda: call.done)
    caught_up(cluster)

    assert cluster.told[behind, "snapshot_installed"] == 1
    assert call.outcome in ("ok", "conflict/no")
    assert cluster.ask(behind, "snapshot", admin=True)["index"] >= 40


@pytest.mark.parametrize("who", ["leader", "receiver"])
def test_a_node_stops_at_once_in_the_middle_of_a_snapshot(who: str) -> None:
    """SIGTERM waits for no file; whoever waits for a snapshot is told."""
    cluster, leader, other, behind = left_behind(profile=SLOW_FILES)
    cluster.start(behind)
    cluster.run_until(lambda: cluster.told[behind, "snapshot_receiving"] > 0)
    call = cluster.request(leader, "snapshot", admin=True, timeout_ms=60_000)
    fill(cluster, leader, 12)
    stopped = leader if who == "leader" else behind
    process = cluster.process(stopped)

    cluster.stop(stopped)
    took_ms = cluster.run_until(lambda: not process.alive)

    assert process.exit_code == 0
    assert took_ms <= 1_100
    if who == "leader":
        cluster.run_ms(10)
        assert call.done
    cluster.start(stopped)
    caught_up(cluster)
    assert cluster.process(other).alive


def test_snapshots_on_request_are_answered_in_time_whatever_the_disk_does() -> None:
    """The answer is `unknown` when the disk takes longer (failure C14)."""
    cluster, leader, _ = elected(profile=SNAPPY)
    fill(cluster, leader, 3)
    cluster.process(leader).worker.held = True

    reply = cluster.ask(leader, "snapshot", admin=True, timeout_ms=300, within_ms=400)
    cluster.process(leader).worker.go_on()
    again = cluster.ask(leader, "snapshot", admin=True)

    assert (reply["error"], reply["applied"]) == ("timeout", "unknown")
    assert again["index"] == cluster.process(leader).server.store.last_applied
    assert snapshot_size(cluster, leader) == again["bytes"]
