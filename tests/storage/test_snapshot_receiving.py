"""A snapshot that comes from another node, over a network that loses, repeats and reorders."""

from random import Random

import pytest

from orchestrator.simulation.disk import SimulatedDisk
from raftcache.errors import CorruptRecord, MalformedFrames, WrongDirectory
from raftcache.storage.snapshot_receiver import SNAPSHOT_BYTES_MAX, SnapshotReceiver
from raftcache.storage.snapshots import (
    SnapshotReader,
    SnapshotWriter,
    StoredSnapshot,
    snapshot_name,
)

from .builders import CLUSTER_ID, DIRECTORY
from .snapshots import empty_disk, meta, path_of, receiver_of, shelf_of, slices_of, take

SLICES = [bytes([n]) * (n * 37 % 900 + 1) for n in range(40)]


def sent(
    cluster_id: str = CLUSTER_ID, slices: list[bytes] = SLICES
) -> tuple[StoredSnapshot, bytes]:
    """Return a snapshot as its owner announces it, and the bytes of its file."""
    disk = empty_disk()
    writer = SnapshotWriter(disk, DIRECTORY, cluster_id, meta(9, 4))
    for payload in slices:
        writer.add(payload)
    stored = writer.finish()
    return stored, disk.content(stored.path)


def test_a_snapshot_arrives_as_it_was() -> None:
    stored, data = sent()
    disk = empty_disk()
    receiver = receiver_of(disk, stored)
    for offset in range(0, len(data), 1000):
        receiver.write(offset, data[offset : offset + 1000])
    assert disk.names(DIRECTORY) == [f"incoming-{snapshot_name(9, 4)}"], "not a snapshot yet"

    assert receiver.verify().meta == meta(9, 4)
    published = receiver.publish()

    assert published == stored
    assert disk.content(path_of(9, 4)) == data
    assert shelf_of(disk).newest() == stored
    assert disk.names(DIRECTORY) == [snapshot_name(9, 4)]


@pytest.mark.parametrize("seed", range(20))
def test_a_transfer_goes_on_wherever_it_was_broken_off(seed: int) -> None:
    """Pieces are lost, repeated, reordered and cut anew; one number says where to go on."""
    stored, data = sent()
    random = Random(seed)
    disk = empty_disk()
    receiver = receiver_of(disk, stored)
    flight: list[tuple[int, bytes]] = []
    offset = 0

    while not receiver.complete:
        count = random.randint(1, 3000)
        flight.append((offset, data[offset : offset + count]))
        offset += count
        if offset >= len(data) or random.random() < 0.2:
            random.shuffle(flight)
            for start, piece in flight:
                if random.random() < 0.7:
                    assert receiver.write(start, piece) == receiver.received_bytes
                    assert receiver.received_bytes <= len(data)
            flight = random.sample(flight, k=len(flight) // 2)  # these come late
            offset = receiver.received_bytes

    receiver.verify()
    assert disk.content(receiver.publish().path) == data


def test_a_transfer_may_go_on_at_every_single_offset() -> None:
    stored, data = sent(slices=[b"short"])
    for cut in range(1, len(data)):
        disk = empty_disk()
        receiver = receiver_of(disk, stored)
        assert receiver.write(0, data[:cut]) == cut
        assert receiver.write(cut + 1, data[cut + 1 :]) == cut, "nothing counts behind a gap"

        assert receiver.write(max(0, cut - 3), data[max(0, cut - 3) :]) == len(data)

        receiver.verify()


@pytest.mark.parametrize(
    ("offset", "count"),
    [(-1, 1), (-(2**63), 10), (0, 10**6), (1, 10**6), (2**40, 1), (2**63, 0), (10**18, 10)],
)
def test_a_piece_outside_of_the_file_is_refused_and_harms_nothing(offset: int, count: int) -> None:
    """It would grow the file without bound, or write where nothing belongs."""
    stored, data = sent()
    disk = empty_disk()
    receiver = receiver_of(disk, stored)
    receiver.write(0, data[:500])

    with pytest.raises(MalformedFrames):
        receiver.write(offset, bytes(count))

    assert receiver.write(500, data[500:]) == len(data)
    receiver.verify()


@pytest.mark.parametrize(
    "changed",
    [
        {"size_bytes": 0},
        {"size_bytes": -1},
        {"size_bytes": SNAPSHOT_BYTES_MAX + 1},
        {"last_included_index": 0},
        {"last_included_index": 2**63},
        {"last_included_term": 0},
        {"last_included_term": -7},
    ],
)
def test_an_announcement_that_makes_no_sense_makes_no_file(changed: dict[str, int]) -> None:
    disk = empty_disk()

    with pytest.raises(MalformedFrames):
        receiver_of(disk, sent()[0], **changed)

    assert disk.names(DIRECTORY) == []


@pytest.mark.parametrize(
    "changed", [{"last_included_index": 10}, {"last_included_term": 5}, {"check": 1}]
)
def test_another_file_than_was_announced_is_refused(changed: dict[str, int]) -> None:
    """Two nodes' files of one position differ in bytes; a mixture of both is none (failure D9)."""
    stored, data = sent()
    disk = empty_disk()
    receiver = receiver_of(disk, stored, **changed)
    receiver.write(0, data)

    with pytest.raises(CorruptRecord, match="announced"):
        receiver.verify()
    receiver.abort()

    assert disk.names(DIRECTORY) == []


def test_halves_of_two_nodes_files_make_no_snapshot() -> None:
    stored, mine = sent()
    other, theirs = sent(slices=list(reversed(SLICES)))
    assert stored.size_bytes == other.size_bytes
    half = len(mine) // 2
    receiver = receiver_of(empty_disk(), stored)
    receiver.write(0, mine[:half])
    receiver.write(half, theirs[half:])

    with pytest.raises(CorruptRecord):
        receiver.verify()


def test_no_byte_that_changes_on_the_way_or_on_the_disk_goes_unseen() -> None:
    """What is verified is what this disk gives back, not what came (failure E10)."""
    stored, data = sent(slices=[b"short", b"and a bit longer"])
    for offset in range(len(data)):
        changed = bytearray(data)
        changed[offset] ^= 4
        on_the_way = receiver_of(empty_disk(), stored)
        on_the_way.write(0, bytes(changed))
        disk = empty_disk()
        on_the_disk = receiver_of(disk, stored)
        on_the_disk.write(0, data)
        disk.overwrite(
            f"{DIRECTORY}/incoming-{snapshot_name(9, 4)}",
            offset,
            bytes(changed[offset : offset + 1]),
        )

        for receiver in (on_the_way, on_the_disk):
            with pytest.raises(CorruptRecord):
                receiver.verify()


def test_a_snapshot_of_another_cluster_is_refused() -> None:
    """An address may have a new owner (failure C12)."""
    stored, data = sent(cluster_id="f" * 32)
    receiver = receiver_of(empty_disk(), stored)
    receiver.write(0, data)

    with pytest.raises(WrongDirectory, match="is of cluster"):
        receiver.verify()


def test_a_transfer_begins_anew_after_it_was_given_up() -> None:
    stored, data = sent()
    disk = empty_disk()
    first = receiver_of(disk, stored)
    first.write(0, data[:700])
    first.abort()

    second = receiver_of(disk, stored)
    assert second.received_bytes == 0
    second.write(0, data)
    second.verify()
    second.publish()

    assert disk.content(path_of(9, 4)) == data


def test_a_node_takes_its_own_snapshot_while_another_one_arrives() -> None:
    """Neither waits for the other, nor takes the other's file (failure D8)."""
    stored, data = sent()
    disk = SimulatedDisk()
    disk.make_directory(DIRECTORY)
    receiver: SnapshotReceiver = receiver_of(disk, stored)
    receiver.write(0, data[:100])

    own = take(disk, 5)
    receiver.write(100, data[100:])
    receiver.verify()
    receiver.publish()

    assert shelf_of(disk).positions() == [(9, 4), (5, 1)]
    assert slices_of(disk, own.path) != slices_of(disk, path_of(9, 4)) == SLICES


def test_raw_reads_of_a_file_that_lost_its_name_go_on() -> None:
    """A slow receiver is served to the end, whatever retention does meanwhile (failure D14)."""
    disk = empty_disk()
    stored = take(disk, 1)
    data = disk.content(stored.path)
    reader = SnapshotReader(disk, stored.path, CLUSTER_ID)
    half = reader.raw_read(0, 500)

    take(disk, 2)
    take(disk, 3)
    shelf_of(disk).retain(2)

    assert half + reader.raw_read(500, len(data)) == data
    assert reader.raw_read(len(data), 10) == b""
