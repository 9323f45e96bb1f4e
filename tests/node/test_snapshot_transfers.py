"""A snapshot on its way: loss, leader change, rot, full disks. Bytes are counted, not seconds."""

import errno
from itertools import pairwise
from random import Random

import msgspec
import pytest

from orchestrator.simulation.cluster import SimulatedCluster
from orchestrator.simulation.process import EXIT_DISK_FAILED
from raftcache.node.sending import QUIET_TICKS_MAX, WINDOW_CHUNKS
from raftcache.protocol.peer import decode_peer_frame
from raftcache.storage.recovery import Recovered

from .builders import (
    SNAPPY,
    base_index,
    elected,
    elections,
    fill,
    left_behind,
    lose,
    snapshot_size,
)

CHUNK_BYTES = 128
WINDOW_BYTES = WINDOW_CHUNKS * CHUNK_BYTES
SMALL_CHUNKS = msgspec.structs.replace(SNAPPY, chunk_bytes=CHUNK_BYTES)


def caught_up(cluster: SimulatedCluster) -> None:
    """Wait until all running nodes have all there is, and check that their states are equal."""
    cluster.elect(within_ms=20_000)
    assert len(set(cluster.digests().values())) == 1


def test_a_transfer_goes_on_where_it_was_after_a_loss() -> None:
    """Each loss costs a window at most, never a new beginning (failures D9, F2)."""
    cluster, leader, _, behind = left_behind(profile=SMALL_CHUNKS, writes=80)
    size = snapshot_size(cluster, leader)
    assert size > 3 * WINDOW_BYTES
    chunks = 0

    def is_lost(_source: str, _target: str, data: bytes) -> bool:
        nonlocal chunks
        chunks += bool(decode_peer_frame(data).chunks)
        return chunks in (7, 20, 21, 40)

    cluster.network.blocks = is_lost
    cluster.start(behind)
    caught_up(cluster)

    assert cluster.told[behind, "snapshot_receiving"] == 1
    assert size < cluster.bulk_bytes[leader, behind] <= size + 4 * WINDOW_BYTES


def test_a_link_that_is_cut_in_the_middle_costs_no_new_beginning() -> None:
    """The receiver keeps what it has, and so does the sender, through many election timeouts."""
    cluster, leader, _, behind = left_behind(profile=SMALL_CHUNKS, writes=80)
    size = snapshot_size(cluster, leader)
    cluster.start(behind)
    cluster.run_until(lambda: cluster.bulk_bytes[leader, behind] > size // 2)

    cluster.isolate(behind)
    cluster.run_ms(1_500)
    cluster.heal()
    caught_up(cluster)

    assert cluster.told[behind, "snapshot_receiving"] == 1
    assert cluster.bulk_bytes[leader, behind] <= size + 2 * WINDOW_BYTES


def test_a_new_leader_goes_on_with_a_snapshot_of_its_own() -> None:
    """Two nodes' files are not mixed, whatever their positions (failure D9)."""
    cluster, leader, other, behind = left_behind(profile=SMALL_CHUNKS, writes=80)
    size = snapshot_size(cluster, leader)
    cluster.start(behind)
    cluster.run_until(lambda: cluster.bulk_bytes[leader, behind] > size // 2)

    cluster.kill(leader)
    cluster.run_until(lambda: cluster.leader() == other)
    fill(cluster, other, 3)
    caught_up(cluster)

    assert cluster.told[behind, "snapshot_installed"] >= 1
    assert cluster.told[behind, "snapshot_failed"] == 0


@pytest.mark.parametrize("point", ["disk sync", "disk rename", "job done"])
def test_a_receiver_that_dies_with_all_of_it_gets_it_again(point: str) -> None:
    """It has acknowledged the last byte, and has nothing: the sender must not wait for ever."""
    cluster, leader, _, behind = left_behind()
    process = cluster.start(behind)
    cluster.run_until(lambda: cluster.told[behind, "snapshot_receiving"] > 0)

    def doom(at: str) -> bool:
        keeper = process.server.keeper
        assert keeper is not None
        return at == point and keeper._installer._is_checking

    process.doom = doom
    cluster.run_until(lambda: not process.alive)
    cluster.cut_power(behind)
    cluster.start(behind)
    caught_up(cluster)

    assert cluster.leader() == leader


@pytest.mark.parametrize("call", ["create", "write", "sync", "rename"])
def test_a_receiver_whose_disk_refuses_gets_it_again(call: str) -> None:
    """Many chunks wait behind the one that fails, and none of them ends the node (failure E9)."""
    cluster, _, _, behind = left_behind(profile=SMALL_CHUNKS)
    process = cluster.start(behind)
    cluster.hosts[behind].disk.fail_path(call, "incoming", errno.ENOSPC, times=2)

    caught_up(cluster)

    assert process.alive
    assert cluster.told[behind, "snapshot_failed"] >= 1
    assert not any("incoming" in path for path in cluster.hosts[behind].disk.open_handles)


@pytest.mark.parametrize("call", ["create", "write", "sync", "rename"])
def test_a_snapshot_that_the_disk_refuses_costs_nothing_but_itself(call: str) -> None:
    """Slices wait behind the one that fails; the log stays, and the next attempt works (E9)."""
    profile = msgspec.structs.replace(SNAPPY, slice_bytes=70_000, snapshot_log_bytes=500_000)
    cluster, leader, _ = elected(profile=profile)
    disk = cluster.hosts[leader].disk
    for number in range(40):
        cluster.ask(leader, "set", key=b"large-%d" % number, value=b"x" * 20_000)
    cluster.run_ms(1_000)
    failed = cluster.told[leader, "snapshot_failed"]
    disk.fail_path(call, "snapshot-next", errno.ENOSPC)

    refused = cluster.ask(leader, "snapshot", admin=True)
    fill(cluster, leader, 1)
    taken = cluster.ask(leader, "snapshot", admin=True)

    assert refused["error"] == "conflict"
    assert cluster.told[leader, "snapshot_failed"] == failed + 1
    assert taken["ok"]
    assert not any("snapshot" in path for path in disk.open_handles)
    caught_up(cluster)


def test_a_full_disk_is_left_alone_for_a_while() -> None:
    """Failing over and over would keep it busy; for a follower in need, once in a second."""
    cluster, leader, _, behind = left_behind()
    cluster.hosts[leader].disk.fail_path("create", "snapshot-next", errno.ENOSPC, times=1_000)
    path = cluster.hosts[leader].damage_newest_snapshot(Random(1))
    fill(cluster, leader, 15)
    cluster.start(behind)
    cluster.run_ms(3_000)

    assert path
    assert 2 <= cluster.told[leader, "snapshot_failed"] <= 5
    assert cluster.told[leader, "snapshot_sending"] <= 20


@pytest.mark.parametrize("seed", range(1, 6))
def test_a_leader_whose_newest_snapshot_is_damaged_takes_another(seed: int) -> None:
    """The receiver finds out; the file is set aside and never deleted (failure E10)."""
    cluster, leader, _, behind = left_behind(seed)
    cluster.run_ms(1_000)
    before = elections(cluster)
    path = cluster.hosts[leader].damage_newest_snapshot(Random(seed))
    newest = cluster.hosts[leader].snapshots()[-1]
    cluster.start(behind)

    caught_up(cluster)

    disk, directory = cluster.hosts[leader].disk, cluster.hosts[leader].directory
    assert "damaged-" + path.rpartition("/")[2] in disk.names(directory)
    assert cluster.told[leader, "snapshot_damaged"] == 1
    assert cluster.told[leader, "snapshot_sending"] <= 3
    assert cluster.hosts[leader].snapshots()[-1] >= newest
    assert elections(cluster) == before
    cluster.run_ms(100)
    assert not any("snapshot" in path for path in disk.open_handles)


def test_a_snapshot_that_was_cut_short_is_found_out_while_it_is_read() -> None:
    """Not sent for ever in pieces of nothing (failure E10)."""
    cluster, leader, _, behind = left_behind(profile=SMALL_CHUNKS, writes=80)
    host = cluster.hosts[leader]
    # Until none is being taken: it would take the place of the one that is sent.
    cluster.run_until(lambda: "snapshot-next.tmp" not in host.disk.names(host.directory))
    size = snapshot_size(cluster, leader)
    cluster.start(behind)
    cluster.run_until(lambda: cluster.bulk_bytes[leader, behind] > size // 3)
    name = next(n for n in reversed(host.disk.names(host.directory)) if n.startswith("snapshot-0"))
    host.disk.truncate(f"{host.directory}/{name}", size // 2)

    caught_up(cluster)

    assert cluster.told[leader, "snapshot_damaged"] == 1
    assert cluster.bulk_bytes[leader, behind] < 4 * size


def test_a_snapshot_that_is_replaced_while_it_is_sent_is_no_damage() -> None:
    """A slow receiver keeps the file that it began with (failure D14)."""
    profile = msgspec.structs.replace(SMALL_CHUNKS, snapshots_kept=1)
    cluster, leader, _, behind = left_behind(profile=profile, writes=80)
    cluster.start(behind)
    cluster.run_until(lambda: cluster.bulk_bytes[leader, behind] > 500)
    lose(cluster, lambda _, target, frame: target == behind and bool(frame.chunks))
    fill(cluster, leader, 40)
    cluster.heal()

    caught_up(cluster)

    assert cluster.told[leader, "snapshot_damaged"] == 0
    assert cluster.told[behind, "snapshot_failed"] == 0


@pytest.mark.parametrize("seed", range(1, 4))
def test_a_follower_with_a_damaged_newest_snapshot_starts_from_an_older_one(seed: int) -> None:
    """The older one and the log since then are enough (failure E10)."""
    cluster, leader, (victim, _) = elected(seed, SNAPPY)
    fill(cluster, leader, 60)
    cluster.kill(victim, power=True)
    assert len(cluster.hosts[victim].snapshots()) == 2
    cluster.hosts[victim].damage_newest_snapshot(Random(seed))

    recovered: Recovered = cluster.start(victim).recovered
    caught_up(cluster)

    assert recovered.snapshot is not None
    assert any("kept as" in note for note in recovered.notes)
    assert base_index(cluster, leader) >= recovered.base[0]


def test_installs_leave_no_file_open() -> None:
    """A node that is sent a snapshot every day must not run out of descriptors."""
    cluster, leader, _, behind = left_behind()
    for _ in range(3):
        cluster.start(behind)
        caught_up(cluster)
        cluster.run_ms(1_000)
        opened = cluster.hosts[behind].disk.open_handles
        assert not any("snapshot" in path for path in opened)
        assert not any("snapshot" in path for path in cluster.hosts[leader].disk.open_handles)
        cluster.kill(behind)
        fill(cluster, leader, 40)


def test_what_is_not_needed_any_more_is_not_kept_half_received() -> None:
    """Appends have brought it here meanwhile: the space is freed."""
    cluster, leader, _, behind = left_behind(profile=SMALL_CHUNKS, writes=80)
    size = snapshot_size(cluster, leader)
    process = cluster.start(behind)
    cluster.run_until(lambda: cluster.bulk_bytes[leader, behind] > size // 2)
    process.worker.held = True
    cluster.run_ms(50)
    process.worker.go_on()
    caught_up(cluster)
    cluster.run_ms(500)

    names = cluster.hosts[behind].disk.names(cluster.hosts[behind].directory)
    assert not any(name.startswith("incoming-") for name in names)


def test_a_lost_chunk_is_sent_again_without_waiting_for_silence() -> None:
    """The receiver's repeated word is enough; each loss cost a fifth of a second (failure D9)."""
    cluster, leader, _, behind = left_behind(profile=SMALL_CHUNKS, writes=80)
    assert snapshot_size(cluster, leader) > 3 * WINDOW_BYTES
    chunks = 0
    sent_ms: list[int] = []

    def is_lost(_source: str, _target: str, data: bytes) -> bool:
        nonlocal chunks
        if decode_peer_frame(data).chunks:
            chunks += 1
            sent_ms.append(cluster.scheduler.now_ms)
        return bool(decode_peer_frame(data).chunks) and chunks == 8

    cluster.network.blocks = is_lost
    cluster.start(behind)
    caught_up(cluster)

    pauses = [later - earlier for earlier, later in pairwise(sent_ms)]
    assert chunks > 8
    assert max(pauses) < QUIET_TICKS_MAX * cluster.profile.tick_ms


def test_a_transfer_that_outlasts_what_is_held_of_the_log_is_the_last_one() -> None:
    """As long as no more is written meanwhile than it holds; else it would never end (D9, D14)."""
    profile = msgspec.structs.replace(
        SMALL_CHUNKS, chunk_bytes=512, job_us=(5_000, 15_000), held_bytes=2_000
    )
    cluster, leader, (_, behind) = elected(profile=profile)
    cluster.kill(behind)
    for number in range(60):
        assert cluster.ask(leader, "set", key=b"large-%d" % number, value=b"x" * 1_000)["ok"]
    cluster.run_until(lambda: base_index(cluster, leader) > 30)
    cluster.run_ms(2_000)
    cluster.start(behind)
    written = 0
    while cluster.told[behind, "snapshot_installed"] == 0:
        fill(cluster, leader, 1)
        written += 1
        cluster.run_ms(20)
    assert written * 100 > 2 * profile.held_bytes
    fill(cluster, leader, 20)
    caught_up(cluster)

    assert cluster.told[behind, "snapshot_installed"] == 1


@pytest.mark.parametrize("call", ["open", "read"])
def test_a_checked_snapshot_that_can_not_be_read_for_a_moment_is_read_later(call: str) -> None:
    """No descriptor was free, say: that is no reason to end the node (failures D7, F11)."""
    cluster, leader, _, behind = left_behind(profile=SMALL_CHUNKS, writes=80)
    process = cluster.start(behind)
    cluster.run_until(lambda: cluster.told[leader, "snapshot_sending"] > 0)
    cluster.hosts[behind].disk.fail_path(call, "/snapshot-0", errno.EMFILE, times=3)

    caught_up(cluster)

    assert process.alive
    assert cluster.told[behind, "snapshot_installed"] == 1
    cluster.run_ms(100)
    assert not any("snapshot" in path for path in cluster.hosts[behind].disk.open_handles)


def test_a_checked_snapshot_that_stays_unreadable_ends_the_node() -> None:
    """The next life reads all there is, and knows what else it has (failure E6)."""
    cluster, leader, _, behind = left_behind(profile=SMALL_CHUNKS, writes=80)
    process = cluster.start(behind)
    cluster.run_until(lambda: cluster.told[leader, "snapshot_sending"] > 0)
    cluster.hosts[behind].disk.fail_path("open", "/snapshot-0", errno.EMFILE, times=100)

    cluster.run_until(lambda: not process.alive, within_ms=60_000)

    assert process.exit_code == EXIT_DISK_FAILED
