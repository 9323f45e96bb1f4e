"""Whose directory it is, and whether all of it is there; if not, the node never votes."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from orchestrator.simulation.disk import SimulatedDisk
from raftcache.errors import CorruptRecord, DirectoryLocked, StorageError, WrongDirectory
from raftcache.storage.directory import bootstrap
from raftcache.storage.files import OS_FILES, kernel_boot_id
from raftcache.storage.identity import (
    Durability,
    Identity,
    decode_identity,
    encode_identity,
    read_identity,
)

from .builders import (
    BOOT_ID,
    CLUSTER_ID,
    DIRECTORY,
    append,
    batch,
    copy_of,
    entry,
    identity,
    make,
    recovered_from,
    reopen,
    segment_path,
    written_disk,
)

OTHER_CLUSTER = "f" * 32


def many_segments() -> SimulatedDisk:
    return written_disk(
        [batch(entry(i, data=bytes([i]) * 900), term=i) for i in range(1, 12)], segment_bytes=4096
    )


@pytest.mark.parametrize(
    ("cluster_id", "node_id", "incarnation", "says"),
    [
        (OTHER_CLUSTER, "n1", 1, "can't serve node n1 of cluster ffff"),
        (CLUSTER_ID, "n2", 1, "is of node n1#1 of cluster 0123456789abcdef"),
        (CLUSTER_ID, "n1", 2, "never takes over the state of another"),
    ],
)
def test_a_directory_of_another_is_refused_and_not_touched(
    cluster_id: str, node_id: str, incarnation: int, says: str
) -> None:
    """Swapped or copied directories are found before anything is written (failure C11)."""
    disk = written_disk([batch(entry(1), term=1)])
    changes = disk.calls.copy()

    with pytest.raises(WrongDirectory, match=says):
        reopen(DIRECTORY, disk, cluster_id=cluster_id, node_id=node_id, incarnation=incarnation)

    assert disk.calls == changes


def test_an_empty_or_missing_directory_never_becomes_a_node_by_opening(tmp_path: Path) -> None:
    """A node that lost its state could vote twice in a term (failures A2, C10)."""
    for directory in (tmp_path, tmp_path / "missing"):
        with pytest.raises(WrongDirectory, match="holds no state of a node"):
            reopen(str(directory))

    assert list(tmp_path.iterdir()) == []


def test_an_identity_whose_log_is_gone_never_votes() -> None:
    disk = written_disk([batch(entry(1), term=1)])
    disk.remove(segment_path())

    with pytest.raises(WrongDirectory, match=r"lacks wal-00000001\.seg"):
        recovered_from(disk)


@pytest.mark.parametrize("left", [0, 1, 511, 512, 1023, 1024, 8191])
def test_a_log_that_was_cut_short_is_refused(left: int) -> None:
    """A segment has its full length before it has its name, so no crash shortens it."""
    disk = written_disk([batch(entry(1), term=1)])
    data = disk.content(segment_path())[:left]
    disk.put(segment_path(), data)

    with pytest.raises(CorruptRecord) as caught:
        recovered_from(disk)

    assert caught.value.offset in (0, left)


def test_a_log_replaced_by_zeros_is_refused() -> None:
    """Behind a good header, the frame that bootstrap wrote must be there."""
    disk = written_disk([batch(entry(1), term=1)])
    data = disk.content(segment_path())
    disk.put(segment_path(), data[:512] + bytes(len(data) - 512))

    with pytest.raises(CorruptRecord, match="first frame is missing"):
        recovered_from(disk)


def test_any_missing_segment_is_noticed_the_last_one_too() -> None:
    """The seal at the end of a segment says that another one follows."""
    disk = many_segments()
    segments = [name for name in disk.names(DIRECTORY) if name.endswith(".seg")]
    assert len(segments) > 3

    for name in segments:
        lacking = copy_of(disk)
        lacking.remove(f"{DIRECTORY}/{name}")

        with pytest.raises(WrongDirectory, match=f"lacks {name}"):
            recovered_from(lacking)


def test_segments_of_others_and_under_wrong_names_are_refused() -> None:
    """A misplaced file is as wrong as a damaged one (failures C11, E11)."""
    disk = many_segments()
    first, second = disk.content(segment_path(1)), disk.content(segment_path(2))
    other = SimulatedDisk()
    bootstrap(DIRECTORY, identity(cluster_id=OTHER_CLUSTER), segment_bytes=4096, files=other)

    for name, data, says in [
        (segment_path(1), second, "is segment 2 under another's name"),
        (segment_path(2), first, "is segment 1 under another's name"),
        (segment_path(1), other.content(segment_path()), f"of cluster {OTHER_CLUSTER}"),
    ]:
        mixed = copy_of(disk)
        mixed.put(name, data)

        with pytest.raises(StorageError, match=says):
            recovered_from(mixed)


def test_an_older_copy_of_a_segment_does_not_fit_the_next_one() -> None:
    """The chain of checksums finds state put back from a backup (failure E11)."""
    early = written_disk([batch(entry(1, data=bytes(900)), term=1)], segment_bytes=4096)
    mixed = many_segments()
    mixed.put(segment_path(1), early.content(segment_path(1)))

    with pytest.raises(CorruptRecord):
        recovered_from(mixed)

    same_names = copy_of(many_segments())
    changed = written_disk(
        [batch(entry(i, data=bytes([i + 1]) * 900), term=i) for i in range(1, 12)],
        segment_bytes=4096,
    )
    same_names.put(segment_path(2), changed.content(segment_path(2)))

    with pytest.raises(CorruptRecord, match=r"does not continue wal-00000001\.seg"):
        recovered_from(same_names)


def test_a_changed_byte_in_any_segment_is_noticed() -> None:
    """Wherever it is: refused, or what it hits has no meaning (failure E2)."""
    disk = many_segments()
    whole = recovered_from(copy_of(disk))
    for number in (1, 2, 3):
        data = disk.content(segment_path(number))
        for offset in range(0, len(data), 7):
            changed = bytearray(data)
            changed[offset] ^= 0x55
            damaged_disk = copy_of(disk)
            damaged_disk.put(segment_path(number), bytes(changed))
            try:
                recovered = recovered_from(damaged_disk)
            except StorageError:
                continue
            assert recovered.entries == whole.entries
            assert recovered.hard_state == whole.hard_state


def test_bootstrap_leaves_a_directory_of_the_same_identity_as_it_is() -> None:
    disk = written_disk([batch(entry(1), term=1)])

    make(DIRECTORY, disk)

    assert recovered_from(disk).entries == [entry(1)]


@pytest.mark.parametrize(
    "other",
    [identity("n2"), identity(cluster_id=OTHER_CLUSTER), identity(incarnation=2)],
)
def test_bootstrap_refuses_the_directory_of_another(other: Identity) -> None:
    disk = written_disk([batch(entry(1), term=1)])

    with pytest.raises(WrongDirectory, match="is of node n1#1"):
        bootstrap(DIRECTORY, other, files=disk)


def test_bootstrap_never_makes_a_new_node_out_of_a_used_log() -> None:
    """A lost identity file must not turn a voter into one that has forgotten its vote."""
    disk = written_disk([batch(entry(1), term=1)])
    disk.remove(f"{DIRECTORY}/identity")

    with pytest.raises(WrongDirectory, match="holds a log but no identity"):
        make(DIRECTORY, disk)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"cluster_id": "xyz"}, "cluster_id must be 32"),
        ({"cluster_id": "A" * 32}, "cluster_id must be 32"),
        ({"node_id": ""}, "node_id must be 1 to 64 bytes"),
        ({"node_id": "n" * 65}, "node_id must be 1 to 64 bytes"),
        ({"incarnation": 0}, "incarnation must be 1 or more"),
    ],
)
def test_an_identity_that_cannot_be_stored_is_refused(change: dict[str, object], says: str) -> None:
    with pytest.raises(StorageError, match=says):
        bootstrap(DIRECTORY, msgspec.structs.replace(identity(), **change), files=SimulatedDisk())


def test_under_os_a_clean_end_outlives_the_boot() -> None:
    disk = written_disk([])
    wal, _ = reopen(DIRECTORY, disk, durability="os")
    append(wal, batch(entry(1), term=1))

    wal.close(clean=True)
    disk.lose_cache()

    _, recovered = reopen(DIRECTORY, disk, durability="os", boot_id="boot-2")
    assert recovered.entries == [entry(1)]


@pytest.mark.parametrize("durability", ["os", "fsync"])
def test_under_os_another_boot_is_refused_after_any_other_end(durability: Durability) -> None:
    """What the kernel had not yet written is gone, votes among it (failure A2)."""
    disk = written_disk([])
    wal, _ = reopen(DIRECTORY, disk, durability="os")
    append(wal, batch(entry(1), term=1))
    wal.close(clean=False)

    with pytest.raises(WrongDirectory, match="durability `os` when this host went down"):
        reopen(DIRECTORY, disk, durability=durability, boot_id="boot-2")


def test_going_from_os_to_fsync_makes_everything_durable_first() -> None:
    disk = written_disk([])
    wal, _ = reopen(DIRECTORY, disk, durability="os")
    for index in range(1, 30):
        append(wal, batch(entry(index, data=bytes(700)), term=1))
    disk.kill_process()

    wal, recovered = reopen(DIRECTORY, disk, durability="fsync")
    disk.lose_cache()

    assert len(recovered.entries) == 29
    wal, again = reopen(DIRECTORY, disk, durability="fsync", boot_id="boot-2")
    assert again.entries == recovered.entries


def test_no_changed_byte_in_the_identity_goes_unseen() -> None:
    data = encode_identity(identity())
    for offset in range(len(data)):
        for pattern in (0xFF, 0x01, 0x20):
            changed = bytearray(data)
            changed[offset] ^= pattern
            try:
                found = decode_identity(bytes(changed), "identity")
            except StorageError:
                continue
            assert found == identity(), "only the layout may differ"


def test_an_identity_cut_anywhere_is_refused() -> None:
    data = encode_identity(identity())
    for cut in range(len(data) - 2):
        with pytest.raises(CorruptRecord):
            decode_identity(data[:cut], "identity")


def test_an_identity_is_readable_by_people() -> None:
    text = encode_identity(identity()).decode()

    assert '"node_id": "n1",' in text
    assert "tcp://127.0.0.1:7503" in text


def test_a_second_process_is_told_who_has_the_directory(tmp_path: Path) -> None:
    """And the lock goes with the process, however it ends (failure E13)."""
    make(str(tmp_path))
    program = (
        "import sys; from tests.storage.builders import reopen; "
        "wal, _ = reopen(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"open\n"

        with pytest.raises(DirectoryLocked, match=f"is open in process {holder.pid}:"):
            reopen(str(tmp_path))
        with pytest.raises(DirectoryLocked):
            make(str(tmp_path))

        holder.kill()
        holder.wait()
    wal, _ = reopen(str(tmp_path))
    wal.close(clean=True)


@pytest.mark.parametrize("name", ["identity", "wal-00000001.seg"])
@pytest.mark.parametrize("put", ["symlink", "directory", "pipe"])
def test_something_else_in_a_files_place_is_refused(tmp_path: Path, name: str, put: str) -> None:
    make(str(tmp_path))
    path = tmp_path / name
    kept = tmp_path / "kept"
    path.rename(kept)
    if put == "symlink":
        path.symlink_to(kept)
    elif put == "directory":
        path.mkdir()
    else:
        os.mkfifo(path)

    with pytest.raises(StorageError, match=f"{name}.*plain files"):
        reopen(str(tmp_path))


def test_a_file_where_the_directory_should_be_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "n1"
    path.write_text("")

    for attempt in (make, reopen):
        with pytest.raises(StorageError):
            attempt(str(path))


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_what_may_not_be_opened_or_written_is_refused_with_a_reason(code: int) -> None:
    """As a file with mode 000, or on a read-only file system, would be."""
    for call, count in [("open", 2), ("create", 0), ("write", 0)]:
        disk = written_disk([])
        disk.fail(call, code, after=count)

        with pytest.raises(StorageError, match=r"Permission denied|Read-only file system"):
            reopen(DIRECTORY, disk)


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    directory = tmp_path / "nodes" / "n1"
    make(str(directory))
    wal, _ = reopen(str(directory))

    modes = {path.name: path.stat().st_mode & 0o777 for path in directory.iterdir()}

    assert set(modes.values()) == {0o600}
    assert directory.stat().st_mode & 0o777 == 0o700
    wal.close(clean=True)


def test_the_identity_holds_what_bootstrap_was_given(tmp_path: Path) -> None:
    make(str(tmp_path))

    assert read_identity(OS_FILES, str(tmp_path)) == identity()


def test_the_boot_id_names_this_run_of_the_kernel() -> None:
    assert kernel_boot_id() == kernel_boot_id()
    assert kernel_boot_id() != BOOT_ID
