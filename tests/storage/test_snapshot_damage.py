"""Damaged snapshots: seen at any byte, kept aside, and stood in for by what is older."""

import errno
import struct
from zlib import crc32

import pytest

from orchestrator.simulation.disk import SimulatedDisk
from raftcache.errors import CorruptRecord, DiskFailed, StorageError, WrongDirectory
from raftcache.storage.snapshot_format import CHUNK_BYTES, SnapshotMeta, encode_snapshot_header
from raftcache.storage.snapshots import snapshot_name

from .builders import (
    CLUSTER_ID,
    DIRECTORY,
    append,
    batch,
    copy_of,
    entry,
    make,
    recovered_from,
    reopen,
)
from .snapshots import CONFIGURATION, empty_disk, meta, path_of, shelf_of, slices_of, take

SMALL = [b"first slice", b"2", b"\0" * 40]
ENTRIES = [entry(i, data=bytes([i]) * 300) for i in range(1, 41)]


def small_file() -> bytes:
    disk = empty_disk()
    return disk.content(take(disk, 7, slices=SMALL).path)


def refused(data: bytes) -> bool:
    """Tell whether a snapshot file with these bytes is refused as damaged."""
    disk = empty_disk()
    disk.put(path_of(7), data)
    try:
        slices_of(disk, path_of(7))
    except CorruptRecord as error:
        return error.path == path_of(7) and 0 <= error.offset <= len(data)
    return False


@pytest.mark.parametrize("pattern", [0xFF, *(1 << bit for bit in range(8))])
def test_no_changed_byte_goes_unseen(pattern: int) -> None:
    """Header, members, lengths, checks, payloads, trailer: all of them (failure E10)."""
    data = small_file()
    assert not refused(data), "the control: unchanged, it is read"

    for offset in range(len(data)):
        changed = bytearray(data)
        changed[offset] ^= pattern

        assert refused(bytes(changed)), offset


def test_no_missing_or_added_byte_goes_unseen() -> None:
    data = small_file()

    for length in range(len(data)):
        assert refused(data[:length]), length
        assert refused(data[:length] + bytes(len(data) - length)) or not any(data[length:]), length
    assert refused(data + b"\0")
    assert refused(data + data)


def test_a_chunk_in_another_place_or_of_another_file_does_not_fit() -> None:
    """A stale or misplaced block has a checksum of its own that is right (failure E11)."""
    disk = empty_disk()
    same = [b"a" * CHUNK_BYTES, b"b" * CHUNK_BYTES, b"b" * CHUNK_BYTES]
    mine = disk.content(take(disk, 7, slices=same).path)
    theirs = disk.content(take(disk, 8, slices=same).path)
    size = CHUNK_BYTES + 8
    end = len(mine) - 20
    one, two, three = (slice(end - n * size, end - (n - 1) * size) for n in (3, 2, 1))
    assert mine[two][8:] == mine[three][8:], "equal payloads"

    def with_chunks(*chunks: bytes) -> bytes:
        return mine[: one.start] + b"".join(chunks) + mine[end:]

    assert not refused(with_chunks(mine[one], mine[two], mine[three]))
    for chunks in [
        (theirs[one], mine[two], mine[three]),
        (mine[one], mine[three], mine[two]),
        (mine[one], mine[two], mine[two]),
        (mine[one], mine[two]),
        (mine[one], mine[two], mine[three], mine[three]),
        (mine[two], mine[one], mine[three]),
    ]:
        assert refused(with_chunks(*chunks))


@pytest.mark.parametrize("length", [CHUNK_BYTES + 1, 2**31 - 1, 2**31, 2**32 - 1])
def test_an_absurd_length_reserves_no_memory(length: int) -> None:
    """Of a chunk, and of the header (failure E5)."""
    data = bytearray(small_file())
    header_bytes = len(encode_snapshot_header(CLUSTER_ID, meta(7)))
    for offset in (header_bytes, 36):
        changed = data.copy()
        struct.pack_into("<I", changed, offset, length)

        assert refused(bytes(changed))


@pytest.mark.parametrize("encoded", [b"\xc1", b"\x90", b"\x94\x07\x01\x90\x07"])
def test_a_header_that_makes_no_sense_is_refused(encoded: bytes) -> None:
    """Its checksum is right, so a defect wrote it, or a stranger."""
    good = small_file()
    fields = good[:36] + struct.pack("<I", len(encoded)) + encoded
    disk = empty_disk()
    disk.put(path_of(7), fields + struct.pack("<I", crc32(fields)) + good[-20:])

    with pytest.raises(CorruptRecord, match="its header can't be read"):
        slices_of(disk, path_of(7))


@pytest.mark.parametrize("position", [(0, 1), (1, 0), (-5, 1), (2**63, 1)])
def test_a_position_that_is_no_place_in_a_log_is_refused(position: tuple[int, int]) -> None:
    """What is read from another node's file is not believed without a look."""
    header = encode_snapshot_header(CLUSTER_ID, SnapshotMeta(*position, CONFIGURATION, 1))
    disk = empty_disk()
    disk.put(path_of(7), header + small_file()[-20:])

    with pytest.raises(CorruptRecord, match="no place in a log"):
        slices_of(disk, path_of(7))


def node_with_two_snapshots() -> SimulatedDisk:
    """Return a node's disk with snapshots of 20 and 30, a log from 20 on, and 40 entries."""
    disk = SimulatedDisk()
    make(DIRECTORY, disk, segment_bytes=4096)
    wal, _ = reopen(DIRECTORY, disk, segment_bytes=4096)
    shelf = shelf_of(disk)
    for one in ENTRIES:
        append(wal, batch(one, term=1))
        if one.index in (10, 20, 30):
            take(disk, one.index)
            wal.release(shelf.retain(2))
    wal.close(clean=True)
    assert shelf.positions() == [(30, 1), (20, 1)]
    assert "wal-00000001.seg" not in disk.names(DIRECTORY)
    return disk


def flipped(disk: SimulatedDisk, path: str, *, at: float = 0.5) -> SimulatedDisk:
    data = disk.content(path)
    damaged = copy_of(disk)
    offset = int(at * len(data))
    damaged.overwrite(path, offset, bytes([data[offset] ^ 0x10]))
    return damaged


@pytest.mark.parametrize("at", [0.0, 0.001, 0.01, 0.3, 0.9, 0.999])
def test_a_damaged_newest_snapshot_costs_nothing_but_time(at: float) -> None:
    """The older one and the log since it stand in, and the damaged one is kept (failure E10)."""
    disk = flipped(node_with_two_snapshots(), path_of(30), at=at)
    bad = disk.content(path_of(30))

    recovered = recovered_from(disk)

    assert recovered.base == (20, 1)
    assert recovered.snapshot is not None
    assert recovered.snapshot.path == path_of(20)
    assert recovered.entries == ENTRIES[20:]
    kept = f"{DIRECTORY}/damaged-{snapshot_name(30, 1)}"
    assert disk.content(kept) == bad
    first, second = recovered.notes
    assert first.startswith(f"{path_of(30)} is damaged at byte ")
    assert second == f"kept as {kept}"
    assert recovered_from(disk).notes == [], "told once"


def test_without_damage_the_newest_snapshot_counts() -> None:
    """The control of the test above."""
    recovered = recovered_from(node_with_two_snapshots())

    assert recovered.base == (30, 1)
    assert recovered.snapshot is not None
    assert recovered.snapshot.meta == meta(30)
    assert recovered.entries == ENTRIES[30:]


def test_a_first_snapshot_that_rots_leaves_the_whole_log() -> None:
    disk = SimulatedDisk()
    make(DIRECTORY, disk, segment_bytes=4096)
    wal, _ = reopen(DIRECTORY, disk, segment_bytes=4096)
    append(wal, batch(*ENTRIES[:20], term=1))
    take(disk, 10)
    wal.release(shelf_of(disk).retain(2))
    wal.close(clean=True)

    recovered = recovered_from(flipped(disk, path_of(10)))

    assert (recovered.base, recovered.snapshot) == ((0, 0), None)
    assert recovered.entries == ENTRIES[:20]


@pytest.mark.parametrize("what", ["damaged", "missing"])
def test_a_node_without_any_sound_snapshot_never_votes(what: str) -> None:
    """Its log begins in the middle; it says which file, and changes nothing (failures D4, E10)."""
    disk = node_with_two_snapshots()
    if what == "damaged":
        disk = flipped(flipped(disk, path_of(30)), path_of(20))
    else:
        disk.remove(path_of(30))
        disk.remove(path_of(20))
    before = {name: disk.content(f"{DIRECTORY}/{name}") for name in disk.names(DIRECTORY)}

    with pytest.raises(StorageError) as caught:
        recovered_from(disk)

    says = f"{path_of(30)} is damaged" if what == "damaged" else "or a snapshot of entry"
    assert says in str(caught.value)
    way_out = "bin/cluster up --wipe" if what == "damaged" else "bin/cluster replace"
    assert way_out in str(caught.value)
    after = {name: disk.content(f"{DIRECTORY}/{name}") for name in disk.names(DIRECTORY)}
    assert {**before, "lock": b""} == {**after, "lock": b""}


def test_a_node_without_any_sound_snapshot_may_ask_another_node_for_one() -> None:
    """Term, vote and log are whole; what it must not do until then, it is told (failure E10)."""
    sound = node_with_two_snapshots()
    disk = flipped(flipped(sound, path_of(30)), path_of(20))

    wal, recovered = reopen(DIRECTORY, disk, segment_bytes=4096, may_lack_snapshot=True)

    assert recovered.lacks_snapshot
    assert recovered.snapshot is None
    assert recovered.base[0] <= 20
    assert recovered.entries == ENTRIES[recovered.base[0] :]
    assert recovered.hard_state == recovered_from(sound).hard_state
    wal.close(clean=True)
    with pytest.raises(WrongDirectory, match="or a snapshot of entry"):
        recovered_from(disk)
    take(disk, 35)
    assert recovered_from(disk).entries == ENTRIES[35:]


def test_a_sound_node_is_never_told_that_it_lacks_a_snapshot() -> None:
    _, recovered = reopen(DIRECTORY, node_with_two_snapshots(), may_lack_snapshot=True)

    assert not recovered.lacks_snapshot
    assert recovered.base == (30, 1)


def test_an_old_snapshot_does_not_stand_in_where_the_log_is_gone() -> None:
    """Between it and the log's beginning, acknowledged entries would be missing (failure D4)."""
    disk = node_with_two_snapshots()
    for position in ((30, 1), (20, 1)):
        disk.remove(path_of(*position))
    take(disk, 5)

    with pytest.raises(WrongDirectory, match="or a snapshot of entry"):
        recovered_from(disk)


def test_a_sector_that_can_not_be_read_is_damage_too() -> None:
    """Most rot shows as an error of the disk; one in the log stops the node, as ever."""
    sound = node_with_two_snapshots()
    bases = []

    for after in range(30):
        disk = copy_of(sound)
        disk.fail("read", errno.EIO, after=after)
        try:
            bases.append(recovered_from(disk).base)
        except DiskFailed:
            continue
        aside = f"damaged-{snapshot_name(30, 1)}" in disk.names(DIRECTORY)
        assert aside == (bases[-1] == (20, 1))

    assert set(bases) == {(20, 1), (30, 1)}


def test_a_snapshot_under_the_name_of_another_is_set_aside() -> None:
    disk = node_with_two_snapshots()
    disk.put(path_of(35), disk.content(path_of(30)))

    recovered = recovered_from(disk)

    assert recovered.base == (30, 1)
    assert recovered.entries == ENTRIES[30:]
    assert "has a wrong name" in recovered.notes[0]


def test_what_is_set_aside_replaces_nothing() -> None:
    disk = empty_disk()
    shelf = shelf_of(disk)

    kept = [shelf.set_aside(take(disk, 7, slices=[bytes([n])]).path) for n in (1, 2, 3)]

    assert kept == [f"{DIRECTORY}/damaged-{snapshot_name(7, 1)}{end}" for end in ("", ".2", ".3")]
    assert shelf.positions() == []


def test_a_snapshot_of_a_newer_format_is_refused_and_not_set_aside() -> None:
    """A program that was rolled back must not take what it can't read for damage (failure E15)."""
    disk = node_with_two_snapshots()
    data = bytearray(disk.content(path_of(30)))
    length = struct.unpack_from("<I", data, 36)[0]
    struct.pack_into("<I", data, 8, 3)
    struct.pack_into("<I", data, 40 + length, crc32(data[: 40 + length]))
    disk.put(path_of(30), bytes(data))

    with pytest.raises(WrongDirectory, match="has format 3, and this program reads format 2"):
        recovered_from(disk)

    assert snapshot_name(30, 1) in disk.names(DIRECTORY)


def test_what_was_never_finished_is_removed_at_the_next_start() -> None:
    """Nobody was told of it (failure D7)."""
    disk = node_with_two_snapshots()
    for name in ("snapshot-next.tmp", f"incoming-{snapshot_name(50, 2)}"):
        disk.put(f"{DIRECTORY}/{name}", b"half")

    recovered = recovered_from(disk)

    assert recovered.base == (30, 1)
    assert not [name for name in disk.names(DIRECTORY) if name.endswith((".tmp", "-2"))]
