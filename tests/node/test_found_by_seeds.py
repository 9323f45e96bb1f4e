"""What seeded runs have found, each as small as it gets, so that it stays found."""

import errno

import pytest

from orchestrator.simulation.disk import SimulatedDisk
from raftcache.errors import DiskFailed
from raftcache.raft.configuration import bootstrap_configuration
from raftcache.raft.types import Entry, EntryKind, HardState
from raftcache.storage.directory import bootstrap, open_directory
from raftcache.storage.identity import Identity
from raftcache.storage.recovery import Recovered
from raftcache.storage.wal import Batch, Wal

CLUSTER_ID = "0123456789abcdef0123456789abcdef"


def open_log(disk: SimulatedDisk) -> tuple[Wal, Recovered]:
    return open_directory(
        "/nodes/n1",
        cluster_id=CLUSTER_ID,
        node_id="n1",
        incarnation=1,
        durability="fsync",
        segment_bytes=4096,
        files=disk,
        boot_id="simulated",
    )


def new_disk() -> SimulatedDisk:
    disk = SimulatedDisk()
    identity = Identity(
        cluster_id=CLUSTER_ID,
        node_id="n1",
        incarnation=1,
        configuration=bootstrap_configuration(()),
    )
    bootstrap("/nodes/n1", identity, segment_bytes=4096, files=disk)
    return disk


def test_two_terms_in_one_frame_that_begins_a_segment_can_be_read_back() -> None:
    """Group commit of two elections across a roll: the log was refused as damaged (seed 1308)."""
    disk = new_disk()
    wal, _ = open_log(disk)
    wal.write([Batch(HardState(1, "n1#1"), [Entry(1, 1, EntryKind.COMMANDS, b"x" * 2_000)])])
    wal.sync()
    wal.write(
        [
            Batch(HardState(2, "n2#1"), [Entry(2, 2, EntryKind.COMMANDS, b"y" * 2_000)]),
            Batch(HardState(3, None), []),
        ]
    )
    wal.sync()
    wal.close(clean=False)
    disk.kill_process()

    _, recovered = open_log(disk)

    assert recovered.hard_state == HardState(3, None)
    assert [entry.index for entry in recovered.entries] == [1, 2]


def test_a_full_disk_that_refuses_to_remove_as_well_has_failed() -> None:
    """The next segment has no room, nor can its beginnings go: a bare OSError ended the node.

    Its message said nothing of what to do, and its exit code was that of a defect (seed 913).
    """
    disk = new_disk()
    disk.fail_path("sync", "wal-next", errno.ENOSPC)
    disk.fail("remove", errno.EIO)

    with pytest.raises(DiskFailed, match="remove what was begun behind"):
        open_log(disk)

    assert disk.open_handles == []
