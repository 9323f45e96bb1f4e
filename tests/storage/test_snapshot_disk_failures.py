"""A disk that refuses a snapshot: the snapshot is given up, and the node goes on."""

import errno

import pytest

from orchestrator.simulation.disk import SimulatedDisk
from raftcache.storage.snapshots import SnapshotFailed, SnapshotReader, SnapshotWriter

from .builders import (
    CLUSTER_ID,
    DIRECTORY,
    append,
    batch,
    entry,
    make,
    recovered_from,
    reopen,
    segment_path,
)
from .snapshots import empty_disk, meta, path_of, receiver_of, shelf_of, slices_of, take

SLICE = bytes(range(256)) * 256


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize(
    ("call", "after"),
    [
        ("create", 0),
        ("write", 0),
        ("write", 3),
        ("sync", 0),
        ("sync", 2),
        ("rename", 0),
        ("sync_directory", 0),
    ],
)
def test_a_refused_snapshot_leaves_the_older_one_and_nothing_half_made(
    call: str, after: int, code: int
) -> None:
    """No call is repeated: a second fsync that succeeds proves nothing (failures D7, E6, E9)."""
    disk = empty_disk()
    older = take(disk, 1)
    disk.fail(call, code, after=after)

    with pytest.raises(SnapshotFailed, match=r"could not write .*: (No space|Input/output)"):
        take(disk, 2, slices=[SLICE] * 40)

    named = [path_of(2).rpartition("/")[2]] if call == "sync_directory" else []
    assert disk.names(DIRECTORY) == [older.path.rpartition("/")[2], *named]
    assert slices_of(disk, older.path)
    disk.lose_cache()
    assert shelf_of(disk).newest() is not None
    assert not [name for name in disk.names(DIRECTORY) if name.startswith("damaged")]
    assert take(disk, 3).path == path_of(3), "the next one may succeed"


@pytest.mark.parametrize("call", ["create", "write", "sync", "rename", "sync_directory"])
def test_a_refused_transfer_leaves_nothing_half_made(call: str) -> None:
    source = empty_disk()
    stored = take(source, 5, slices=[SLICE] * 40)
    data = source.content(stored.path)
    disk = empty_disk()
    disk.fail(call, errno.ENOSPC)

    def transfer() -> None:
        receiver = receiver_of(disk, stored)
        receiver.write(0, data)
        receiver.verify()
        receiver.publish()

    with pytest.raises(SnapshotFailed, match=r"could not write .*: No space"):
        transfer()

    assert not [name for name in disk.names(DIRECTORY) if name.startswith("incoming")]


def test_a_snapshot_that_fills_the_disk_takes_nothing_from_the_log() -> None:
    """The segment in use and the next one are reserved already (failure E9)."""
    disk = SimulatedDisk(capacity_bytes=1_000_000)
    make(DIRECTORY, disk, segment_bytes=16_384)
    wal, _ = reopen(DIRECTORY, disk, segment_bytes=16_384)
    writer = SnapshotWriter(disk, DIRECTORY, CLUSTER_ID, meta(1))
    index = 0

    def take_and_append() -> None:
        nonlocal index
        for index in range(1, 41):
            append(wal, batch(entry(index, data=bytes(300)), term=1))
            writer.add(SLICE)

    with pytest.raises(SnapshotFailed, match="No space left"):
        take_and_append()

    append(wal, batch(entry(index + 1), term=2))
    wal.prepare()

    assert wal.has_room
    assert "snapshot-next.tmp" not in disk.names(DIRECTORY), "its space is free again"
    wal.close(clean=True)
    assert len(recovered_from(disk).entries) == index + 1


@pytest.mark.parametrize("call", ["open", "read"])
def test_a_snapshot_that_may_not_be_read_says_so(call: str) -> None:
    """That is no damage: it is a matter for whoever owns the files."""
    disk = empty_disk()
    stored = take(disk, 5)
    disk.fail(call, errno.EACCES)

    with pytest.raises(SnapshotFailed, match=f"could not read {stored.path}: Permission denied"):
        SnapshotReader(disk, stored.path, CLUSTER_ID)

    assert disk.names(DIRECTORY) == [stored.path.rpartition("/")[2]]


@pytest.mark.parametrize("call", ["remove", "sync_directory"])
def test_a_log_that_can_not_be_freed_ends_the_node(call: str) -> None:
    """What the disk holds is unknown then, as after any other failure of the log (failure E6)."""
    disk = SimulatedDisk()
    make(DIRECTORY, disk, segment_bytes=4096)
    wal, _ = reopen(DIRECTORY, disk, segment_bytes=4096)
    for index in range(1, 20):
        append(wal, batch(entry(index, data=bytes(700)), term=1))
    take(disk, 19)
    disk.fail(call, errno.EIO)

    with pytest.raises(Exception, match="could not free segments before") as caught:
        wal.release(19)
    with pytest.raises(type(caught.value)):
        wal.write([batch(entry(20))])

    wal.close(clean=True)
    assert recovered_from(disk).base == (19, 1)
    assert disk.content(segment_path(4))
