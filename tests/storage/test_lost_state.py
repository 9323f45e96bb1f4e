"""A node whose state is gone, or may be, never goes on as its former self (failure C10)."""

from typing import Final

import msgspec
import pytest

from orchestrator.simulation.disk import PowerCut, SimulatedDisk
from raftcache.errors import DirectoryLocked, StateLost, StorageError, WrongDirectory
from raftcache.raft.types import HardState
from raftcache.storage.directory import begin_anew, bootstrap, open_directory
from raftcache.storage.identity import Identity, read_identity
from raftcache.storage.memory import MemoryFiles, lock_for_memory, take_identity
from raftcache.storage.wal import Batch

from .builders import (
    CLUSTER_ID,
    DIRECTORY,
    SEGMENT_BYTES,
    append,
    entry,
    identity,
    reopen,
    written_disk,
)
from .snapshots import take

OWNER: Final = {"cluster_id": CLUSTER_ID, "node_id": "n1"}


def joined(incarnation: int = 7) -> Identity:
    """Return the identity of a node that was given a place."""
    return msgspec.structs.replace(
        identity(), incarnation=incarnation, configuration_index=40, state="none"
    )


def open_any(disk: SimulatedDisk) -> tuple[int, HardState, int]:
    """Open a directory whatever its incarnation; return that, term and vote, and the log's end."""
    wal, recovered = open_directory(
        DIRECTORY,
        cluster_id=CLUSTER_ID,
        node_id="n1",
        incarnation=None,
        durability="fsync",
        segment_bytes=SEGMENT_BYTES,
        files=disk,
        boot_id="",
    )
    wal.close(clean=True)
    return recovered.identity.incarnation, recovered.hard_state, len(recovered.entries)


def test_a_new_incarnation_begins_with_nothing_that_a_former_one_left() -> None:
    disk = written_disk([Batch(HardState(5, "n2#1"), [entry(1, term=5)])])
    take(disk, 1, term=5)

    begin_anew(DIRECTORY, joined(), files=disk)

    assert open_any(disk) == (7, HardState(), 0)
    assert disk.names(DIRECTORY) == ["identity", "lock", "wal-00000001.seg"]
    found = read_identity(disk, DIRECTORY)
    assert found is not None
    assert (found.state, found.configuration_index) == ("kept", 40)


def test_interrupted_at_any_change_it_begins_all_the_same() -> None:
    """Until the identity is there, the former state is; after that, none of it is (C10)."""
    change = 0
    outcomes = set()
    while True:
        change += 1
        disk = written_disk([Batch(HardState(5, "n2#1"), [entry(1, term=5)])])
        disk.interrupt_at = change
        try:
            begin_anew(DIRECTORY, joined(), files=disk)
            open_any(disk)
        except PowerCut:
            disk.lose_cache()
        else:
            break
        found = open_any(disk)
        assert found in {(1, HardState(5, "n2#1"), 1), (7, HardState(), 0)}
        outcomes.add(found[0])
    assert outcomes == {1, 7}
    assert change > 10


def test_the_directory_of_another_is_not_taken() -> None:
    disk = written_disk([])
    other = msgspec.structs.replace(joined(), node_id="n2")

    with pytest.raises(WrongDirectory, match="is of node n1#1"):
        begin_anew(DIRECTORY, other, files=disk)


def test_a_log_without_an_identity_is_no_empty_directory() -> None:
    """Somebody may put the file back; nothing is thrown away on a guess."""
    disk = written_disk([])
    disk.remove(f"{DIRECTORY}/identity")

    with pytest.raises(WrongDirectory, match="holds a log but no identity") as refused:
        open_any(disk)
    assert not isinstance(refused.value, StateLost)


def test_in_memory_a_directory_stands_for_one_life() -> None:
    disk = SimulatedDisk()
    bootstrap(DIRECTORY, in_memory(), files=disk)
    assert disk.names(DIRECTORY) == ["identity", "lock"]

    taken, _ = take_identity(DIRECTORY, **OWNER, files=disk)
    disk.lose_cache()

    assert taken.incarnation == 1
    with pytest.raises(StateLost, match="which lived in memory"):
        take_identity(DIRECTORY, **OWNER, files=disk)
    with pytest.raises(StateLost, match="which lived in memory"):
        open_any(disk)


def test_a_bootstrap_that_is_repeated_gives_no_second_life() -> None:
    """`up`, killed and called again, completes the others' directories."""
    disk = SimulatedDisk()
    bootstrap(DIRECTORY, in_memory(), files=disk)
    take_identity(DIRECTORY, **OWNER, files=disk)
    disk.kill_process()

    bootstrap(DIRECTORY, in_memory(), files=disk)

    with pytest.raises(StateLost):
        take_identity(DIRECTORY, **OWNER, files=disk)


def test_a_log_on_disk_is_not_forgotten_in_memory() -> None:
    with pytest.raises(StorageError, match="under `memory` it would be forgotten"):
        take_identity(DIRECTORY, **OWNER, files=written_disk([]))


def test_a_directory_serves_one_process_also_in_memory() -> None:
    """Failure E13."""
    disk = SimulatedDisk()
    lock_for_memory(DIRECTORY, **OWNER, files=disk)

    with pytest.raises(DirectoryLocked):
        lock_for_memory(DIRECTORY, **OWNER, files=disk)


def test_files_in_memory_are_files() -> None:
    files = MemoryFiles()
    handle = files.create("/m/a")
    files.write(handle, b"world", 6)
    files.write(handle, b"hello", 0)
    files.rename("/m/a", "/m/b")
    files.remove("/m/b")

    assert files.names("/m") == []
    assert files.read(handle, 100, 0) == b"hello\0world"
    assert files.size(handle) == 11
    files.close(handle)
    with pytest.raises(FileNotFoundError):
        files.open("/m/b", write=False)


def test_a_clean_life_on_disk_goes_on() -> None:
    disk = written_disk([])
    wal, _ = reopen(DIRECTORY, disk)
    append(wal, Batch(HardState(3, "n1#1"), []))
    wal.close(clean=True)

    assert open_any(disk) == (1, HardState(3, "n1#1"), 0)


def in_memory() -> Identity:
    return msgspec.structs.replace(identity(), durability="memory")
