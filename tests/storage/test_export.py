"""Snapshots outside of a node's directory: saved, checked, and what a new cluster begins with."""

import errno
from pathlib import Path
from random import Random

import pytest

from orchestrator.simulation.disk import PowerCut, SimulatedDisk
from raftcache.errors import CorruptRecord, StorageError, WrongDirectory
from raftcache.storage.directory import bootstrap
from raftcache.storage.export import export, read_export
from raftcache.storage.files import OS_FILES
from raftcache.storage.snapshots import SnapshotFailed, SnapshotReader

from .builders import CLUSTER_ID, DIRECTORY, append, batch, entry, identity, recovered_from, reopen
from .snapshots import SLICES, empty_disk, meta, path_of, slices_of, take

OTHER_CLUSTER = "f" * 32
SAVED = "/saved/state.snapshot"


def reader_of(disk: SimulatedDisk, index: int = 7) -> SnapshotReader:
    stored = take(disk, index, term=3)
    return SnapshotReader(disk, stored.path, CLUSTER_ID)


def saving_disk() -> SimulatedDisk:
    disk = empty_disk()
    disk.make_directory("/saved")
    return disk


def test_an_export_is_the_snapshot_s_file(tmp_path: Path) -> None:
    """Nothing about it depends on the node that wrote it."""
    stored = take(OS_FILES, 7, term=3, directory=str(tmp_path))
    saved = tmp_path / "saved.snapshot"

    with_path = export(SnapshotReader(OS_FILES, stored.path, CLUSTER_ID), str(saved))

    assert (with_path.meta, with_path.check) == (stored.meta, stored.check)
    assert saved.read_bytes() == Path(stored.path).read_bytes()
    reader = read_export(str(saved))
    assert (reader.cluster_id, reader.meta) == (CLUSTER_ID, meta(7, 3))
    assert list(reader.slices()) == SLICES


def test_a_relative_path_is_the_working_directory_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stored = take(OS_FILES, 7, directory=str(tmp_path))

    export(SnapshotReader(OS_FILES, stored.path, CLUSTER_ID), "saved.snapshot")

    assert read_export("saved.snapshot").verify().check == stored.check


def test_a_file_that_exists_is_never_replaced() -> None:
    """It may be the only copy of something."""
    disk = saving_disk()
    disk.put(SAVED, b"precious")

    with pytest.raises(StorageError, match="exists already"):
        export(reader_of(disk), SAVED, disk)

    assert disk.content(SAVED) == b"precious"
    assert disk.names("/saved") == ["state.snapshot"]


def test_a_damaged_snapshot_is_not_exported() -> None:
    disk = saving_disk()
    reader = reader_of(disk)
    disk.overwrite(path_of(7, 3), 400, b"rot")

    with pytest.raises(CorruptRecord):
        export(reader, SAVED, disk)

    assert disk.names("/saved") == []


@pytest.mark.parametrize("call", ["create", "write", "sync", "rename"])
def test_an_export_to_a_full_disk_leaves_nothing(call: str) -> None:
    disk = saving_disk()
    reader = reader_of(disk)
    disk.fail(call, errno.ENOSPC)

    with pytest.raises(SnapshotFailed, match=f"could not write {SAVED}: No space left"):
        export(reader, SAVED, disk)

    assert disk.names("/saved") == []


def test_an_export_that_was_cut_short_has_no_name() -> None:
    for step in range(1, 50):
        for seed in range(8):
            disk = saving_disk()
            reader = reader_of(disk)
            disk.interrupt_at = step
            try:
                export(reader, SAVED, disk)
            except PowerCut:
                pass
            else:
                return
            disk.crash(Random(seed))

            if "state.snapshot" in disk.names("/saved"):
                assert list(read_export(SAVED, disk).slices()) == SLICES
    pytest.fail("an export takes fewer steps than that")


@pytest.mark.parametrize(
    ("data", "says"), [(b"", "does not begin"), (b"RAFTCSNP", "does not begin"), (b"{}", "begin")]
)
def test_a_file_of_another_kind_is_no_export(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(data)

    with pytest.raises(CorruptRecord, match=says):
        read_export(str(path))


def test_a_missing_export_says_so(tmp_path: Path) -> None:
    with pytest.raises(SnapshotFailed, match=r"could not read .*/none: No such file"):
        read_export(str(tmp_path / "none"))


def seeded(disk: SimulatedDisk, reader: SnapshotReader) -> None:
    bootstrap(
        DIRECTORY, identity(cluster_id=OTHER_CLUSTER), segment_bytes=4096, files=disk, seed=reader
    )


def test_a_new_cluster_begins_with_an_export() -> None:
    """Under an id of its own, with its own members, at the saved revision."""
    reader = reader_of(saving_disk())
    disk = SimulatedDisk()

    seeded(disk, reader)

    wal, recovered = reopen(DIRECTORY, disk, cluster_id=OTHER_CLUSTER)
    append(wal, batch(entry(8, 4), term=4))
    wal.close(clean=True)
    assert (recovered.base, recovered.entries, recovered.notes) == ((7, 3), [], [])
    assert recovered.hard_state.current_term == 3
    assert recovered.snapshot is not None
    assert recovered.snapshot.meta.store_rev == meta(7).store_rev
    assert recovered.snapshot.meta.configuration == identity().configuration
    again = SnapshotReader(disk, recovered.snapshot.path, OTHER_CLUSTER)
    assert list(again.slices()) == SLICES
    assert reopen(DIRECTORY, disk, cluster_id=OTHER_CLUSTER)[1].entries == [entry(8, 4)]


def test_a_new_cluster_is_nothing_without_its_export() -> None:
    """An empty node could else outvote those that have the data."""
    disk = SimulatedDisk()
    seeded(disk, reader_of(saving_disk()))
    disk.remove(path_of(7, 3))

    with pytest.raises(WrongDirectory, match="lacks a snapshot of entry 7 or later"):
        reopen(DIRECTORY, disk, cluster_id=OTHER_CLUSTER)


def test_a_beginning_that_was_interrupted_anywhere_is_completed() -> None:
    """``restore`` killed midway and repeated goes on (failure E8)."""
    reader = reader_of(saving_disk())
    for step in range(1, 100):
        for seed in range(8):
            disk = SimulatedDisk()
            disk.interrupt_at = step
            try:
                seeded(disk, reader)
            except PowerCut:
                pass
            else:
                return
            disk.crash(Random(seed))

            seeded(disk, reader)

            assert slices_of_other(disk) == SLICES
    pytest.fail("a bootstrap takes fewer steps than that")


def slices_of_other(disk: SimulatedDisk) -> list[bytes]:
    _, recovered = reopen(DIRECTORY, disk, cluster_id=OTHER_CLUSTER)
    assert recovered.base == (7, 3)
    assert recovered.snapshot is not None
    return list(SnapshotReader(disk, recovered.snapshot.path, OTHER_CLUSTER).slices())


def test_a_directory_with_another_snapshot_is_not_seeded() -> None:
    reader = reader_of(saving_disk())
    disk = empty_disk()
    take(disk, 99)

    with pytest.raises(WrongDirectory, match="holds a log but no identity"):
        seeded(disk, reader)

    assert slices_of(disk, path_of(99)) == SLICES
    with pytest.raises(WrongDirectory):
        recovered_from(disk)
