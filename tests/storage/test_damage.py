"""Damage that checksums alone would let pass: frames in the wrong place, lengths, history."""

import struct
from zlib import crc32

import pytest

from orchestrator.simulation.disk import PowerCut, SimulatedDisk
from raftcache.errors import CorruptRecord
from raftcache.raft.types import HardState
from raftcache.storage.frame import HEADER_BYTES, FrameKind, decode_header, encode_frame
from raftcache.storage.scan import scan_segment
from raftcache.storage.segment import decode_segment_header, segment_check
from raftcache.storage.wal import Batch, decode_batches, encode_batches

from .builders import (
    DIRECTORY,
    SEGMENT_BYTES,
    append,
    batch,
    entry,
    frame_offsets,
    make,
    recovered_from,
    reopen,
    segment_path,
    with_segment,
    written_disk,
)


def many_segments() -> SimulatedDisk:
    return written_disk(
        [batch(entry(i, data=bytes([i]) * 900), term=i) for i in range(1, 12)], segment_bytes=4096
    )


def test_a_frame_from_another_history_does_not_fit_the_chain() -> None:
    """Right file, right number, right checksum, and yet stale: a lost write (failure E11)."""
    one = written_disk([batch(entry(i, data=b"a")) for i in range(1, 5)])
    two = written_disk([batch(entry(i, data=b"b")) for i in range(1, 5)])
    mine, theirs = one.content(segment_path()), two.content(segment_path())
    offsets = frame_offsets(mine)

    for start, end in [(offsets[3], offsets[4]), (offsets[4], offsets[5])]:
        mixed = mine[:start] + theirs[start:end] + mine[end:]

        with pytest.raises(CorruptRecord) as caught:
            recovered_from(with_segment(one, mixed))
        assert caught.value.offset == start


def test_a_frame_written_to_the_wrong_place_is_refused() -> None:
    """A misdirected write is as wrong as a changed one (failure E11)."""
    disk = written_disk([batch(entry(i)) for i in range(1, 6)])
    data = disk.content(segment_path())
    offsets = frame_offsets(data)

    for source in offsets[:-1]:
        for target in offsets:
            if source == target:
                continue
            mixed = data[:target] + data[source : source + 512] + data[target + 512 :]

            with pytest.raises(CorruptRecord):
                recovered_from(with_segment(disk, mixed))


@pytest.mark.parametrize("length", [8192, 2**28 + 1, 2**31, 2**32 - 1])
@pytest.mark.parametrize("checked", [True, False])
def test_an_absurd_length_reserves_no_memory(length: int, *, checked: bool) -> None:
    """With and without a right checksum (failure E5)."""
    disk = written_disk([batch(entry(1), term=1)])
    data = bytearray(disk.content(segment_path()))
    at = frame_offsets(bytes(data))[-2]
    struct.pack_into("<I", data, at + 8, length)
    if checked:
        struct.pack_into("<I", data, at, crc32(data[at + 4 : at + HEADER_BYTES]))

    with pytest.raises(CorruptRecord):
        recovered_from(with_segment(disk, bytes(data)))


def test_anything_behind_a_seal_is_refused() -> None:
    disk = many_segments()
    data = bytearray(disk.content(segment_path(1)))
    data[-1] = 1
    disk.put(segment_path(1), bytes(data))

    with pytest.raises(CorruptRecord, match="follows the segment's last frame"):
        recovered_from(disk)


def test_a_lost_seal_is_refused_once_the_next_segment_is_in_use() -> None:
    disk = many_segments()
    data = disk.content(segment_path(1))
    seal = frame_offsets(data)[-1] - 512
    disk.put(segment_path(1), data[:seal] + bytes(len(data) - seal))

    with pytest.raises(CorruptRecord, match="later frames follow"):
        recovered_from(disk)


@pytest.mark.parametrize("place", ["within the last frame", "behind the last frame"])
def test_an_unfinished_roll_hides_no_damage(place: str) -> None:
    """The removal of an unused last segment waits until its predecessor has proved sound."""
    disk = interrupted_roll()
    assert recovered_from(with_second(disk)).notes == ["wal-00000002.seg is not used: removed"]
    data = bytearray(disk.content(segment_path(1)))
    offsets = frame_offsets(bytes(data))
    data[offsets[-2 if place.startswith("within") else -1] + 100] ^= 1
    damaged_disk = with_segment(disk, bytes(data))

    with pytest.raises(CorruptRecord):
        recovered_from(damaged_disk)

    assert damaged_disk.names(DIRECTORY) == disk.names(DIRECTORY)


def interrupted_roll() -> SimulatedDisk:
    """Return a disk whose second segment has its name, while the first is not sealed."""
    for step in range(1, 200):
        disk = SimulatedDisk()
        make(DIRECTORY, disk, segment_bytes=4096)
        wal, _ = reopen(DIRECTORY, disk, segment_bytes=4096)
        disk.interrupt_at = step
        try:
            for index in range(1, 10):
                append(wal, batch(entry(index, data=bytes(700)), term=1))
        except PowerCut:
            disk.lose_cache()
        if "wal-00000002.seg" in disk.names(DIRECTORY):
            return disk
    raise AssertionError("a roll publishes a segment")


def with_second(disk: SimulatedDisk) -> SimulatedDisk:
    return with_segment(disk, disk.content(segment_path(2)), segment=2)


@pytest.mark.parametrize(
    ("payload", "says"),
    [
        (b"\xc1", "can't be read"),
        (b"\x91\x01", "can't be read"),
        (encode_batches([batch(entry(5))]), "entry 5 follows entry 1"),
        (encode_batches([batch(entry(0))]), "entry 0 follows entry 1"),
        (encode_batches([batch(entry(2), entry(4))]), "not contiguous"),
        (encode_batches([batch(term=1)]), "the term falls"),
    ],
)
def test_a_frame_that_makes_no_sense_is_refused(payload: bytes, says: str) -> None:
    """Its checksum is right, so a defect wrote it; guessing would make things worse."""
    disk = written_disk([batch(entry(1), term=2)])
    data = disk.content(segment_path())
    *_, last, end = frame_offsets(data)
    before = decode_header(data, last)
    assert before is not None
    frame, _ = encode_frame(
        payload,
        kind=FrameKind.BATCHES,
        number=before.number + 1,
        chain=before.check,
        segment_check=segment_check(data),
    )
    data = data[:end] + frame + data[end + len(frame) :]

    with pytest.raises(CorruptRecord, match=says):
        recovered_from(with_segment(disk, data))


def test_each_segment_begins_with_the_term_and_vote() -> None:
    """So that older segments can go once a snapshot stands for their entries."""
    disk = written_disk([batch(term=9, vote="n2#1")])
    wal, _ = reopen(DIRECTORY, disk)
    for index in range(1, 30):
        append(wal, batch(entry(index, data=bytes(700))))
    wal.close(clean=False)

    for segment in (2, 3):
        data = disk.content(segment_path(segment))
        assert len(data) == SEGMENT_BYTES
        scan = scan_segment("", data, decode_segment_header(data[:512], ""))
        first = decode_batches(scan.frames[0][1])[0]
        assert first == Batch(HardState(9, "n2#1"), [])
