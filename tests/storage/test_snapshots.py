"""Snapshot files: what goes in comes out, and nothing else ever does."""

from pathlib import Path

import pytest

from raftcache.errors import WrongDirectory
from raftcache.storage.files import OS_FILES
from raftcache.storage.snapshot_format import CHUNK_BYTES
from raftcache.storage.snapshots import SnapshotReader, SnapshotWriter, StoredSnapshot

from .builders import CLUSTER_ID
from .snapshots import SLICES, empty_disk, meta, path_of, shelf_of, slices_of, take


def test_a_snapshot_gives_back_its_slices_in_order(tmp_path: Path) -> None:
    """On a real file system, with its position, members and revision beside them."""
    stored = take(OS_FILES, 7, term=3, directory=str(tmp_path))

    reader = SnapshotReader(OS_FILES, stored.path, CLUSTER_ID)

    assert list(reader.slices()) == SLICES
    assert reader.verify() == stored
    assert stored == StoredSnapshot(
        meta(7, 3),
        f"{tmp_path}/snapshot-00000000000000000007-3",
        (tmp_path / "snapshot-00000000000000000007-3").stat().st_size,
        reader.check,
    )
    reader.close()
    assert [path.name for path in tmp_path.iterdir()] == ["snapshot-00000000000000000007-3"]


@pytest.mark.parametrize(
    "size", [1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 1_300_000]
)
def test_a_slice_of_any_size_comes_back_as_one(size: int) -> None:
    """Values may be larger than a chunk; the store gets its own slices back."""
    disk = empty_disk()
    slices = [b"before", bytes(range(256)) * (size // 256) + b"x" * (size % 256), b"after"]

    stored = take(disk, 1, slices=slices)

    assert slices_of(disk, stored.path) == slices


def test_a_snapshot_of_nothing_is_a_snapshot() -> None:
    disk = empty_disk()

    assert slices_of(disk, take(disk, 1, slices=[]).path) == []


def test_an_abandoned_snapshot_leaves_nothing() -> None:
    disk = empty_disk()
    writer = SnapshotWriter(disk, "/nodes/n1", CLUSTER_ID, meta(1))
    writer.add(b"half of it")

    writer.abort()

    assert disk.names("/nodes/n1") == []


def test_a_snapshot_of_another_cluster_is_refused_and_left_alone() -> None:
    """Put into the wrong directory by hand, it is still somebody's data (failure C11)."""
    disk = empty_disk()
    SnapshotWriter(disk, "/nodes/n1", "f" * 32, meta(1)).finish()

    with pytest.raises(WrongDirectory, match=f"is of cluster {'f' * 32}, not of {CLUSTER_ID}"):
        shelf_of(disk).newest()

    assert disk.names("/nodes/n1") == [path_of(1).rpartition("/")[2]]


def test_a_snapshot_that_is_being_read_may_be_removed() -> None:
    """A slow receiver keeps its file, and retention need not wait for it (failure D14)."""
    disk = empty_disk()
    for index in (1, 2, 3):
        take(disk, index)
    shelf = shelf_of(disk)
    reader = shelf.open((1, 1))

    assert shelf.retain(2) == 2

    assert list(reader.slices()) == SLICES
    assert shelf.positions() == [(3, 1), (2, 1)]


def test_the_newest_snapshots_stay_and_say_how_much_log_may_go() -> None:
    """One snapshot alone frees no log: behind it, the log is what is left if it rots."""
    disk = empty_disk()
    shelf = shelf_of(disk)
    assert shelf.retain(2) == 0

    released = []
    for index in (10, 20, 30, 40):
        take(disk, index)
        released.append(shelf.retain(2))

    assert released == [0, 10, 20, 30]
    assert shelf.positions() == [(40, 1), (30, 1)]
    assert shelf.retain(1) == 40
    assert shelf.positions() == [(40, 1)]
