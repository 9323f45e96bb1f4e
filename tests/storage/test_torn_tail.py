"""The last write that was never finished, and damage that only looks like one.

Each test builds a segment as a crash or a bad disk would leave it, and opens the directory.
"""

from itertools import pairwise, product

import pytest

from orchestrator.simulation.disk import SimulatedDisk
from raftcache.errors import CorruptRecord
from raftcache.raft.types import Entry
from raftcache.storage.frame import SECTOR_BYTES

from .builders import (
    DIRECTORY,
    append,
    batch,
    entry,
    frame_offsets,
    recovered_from,
    reopen,
    segment_path,
    with_segment,
    written_disk,
)

# Frames of one to six sectors; the zeros of one are more than a sector, which must not be
# taken for a part that the disk left out.
SIZES = [10, 300, 420, 1300, 2500]
ENTRIES = [entry(i, data=bytes([64 + i]) * size) for i, size in enumerate(SIZES, start=1)]
ENTRIES[3] = entry(4, data=bytes(1300))


def disk_and_segment(entries: list[Entry] = ENTRIES) -> tuple[SimulatedDisk, bytes]:
    disk = written_disk([batch(one) for one in entries])
    return disk, disk.content(segment_path())


@pytest.mark.parametrize("back", [1, 2, 3])
def test_a_write_cut_at_any_byte_is_as_if_it_had_not_begun(back: int) -> None:
    """The node starts, and has all that came before (failure E1)."""
    disk, full = disk_and_segment(ENTRIES[: len(ENTRIES) + 1 - back])
    *_, start, end = frame_offsets(full)
    before = ENTRIES[: len(ENTRIES) - back]

    for cut in range(start, end):
        data = full[:cut] + bytes(len(full) - cut)
        cut_disk = with_segment(disk, data)

        recovered = recovered_from(cut_disk)

        whole = recovered.entries == [*before, ENTRIES[-back]]
        if whole:
            # Nothing was cut but padding and trailer: the write got as far as it matters.
            assert end - cut < SECTOR_BYTES
        else:
            assert recovered.entries == before
            assert recovered.torn_bytes == len(data.rstrip(b"\0")) - start if cut > start else True
            assert cut_disk.content(segment_path())[start:] == bytes(len(full) - start)


def test_a_write_of_which_any_sectors_are_missing_is_as_if_it_had_not_begun() -> None:
    """Disks write the sectors of one write in any order (failures E3, E4)."""
    disk, full = disk_and_segment()
    *_, start, end = frame_offsets(full)
    sectors = (end - start) // SECTOR_BYTES
    assert sectors == 5, "few enough for all subsets"

    for kept in product([False, True], repeat=sectors):
        data = bytearray(full)
        for number, keep in enumerate(kept):
            if not keep:
                at = start + number * SECTOR_BYTES
                data[at : at + SECTOR_BYTES] = bytes(SECTOR_BYTES)

        recovered = recovered_from(with_segment(disk, bytes(data)))

        assert recovered.entries == (ENTRIES if all(kept) else ENTRIES[:-1])


def test_a_write_of_which_any_pages_are_missing_is_as_if_it_had_not_begun() -> None:
    """The same with 4,096-byte pages, whose borders lie anywhere within the frame."""
    big = [entry(1), entry(2, data=bytes(range(1, 256)) * 80)]
    disk = written_disk([batch(one) for one in big], segment_bytes=65_536)
    full = disk.content(segment_path())
    *_, start, end = frame_offsets(full)
    pages = range(start // 4096, -(-end // 4096))

    for kept in product([False, True], repeat=len(pages)):
        data = bytearray(full)
        for page, keep in zip(pages, kept, strict=True):
            if not keep:
                low, high = max(start, page * 4096), min(end, (page + 1) * 4096)
                data[low:high] = bytes(high - low)

        recovered = recovered_from(with_segment(disk, bytes(data)))

        assert recovered.entries == (big if all(kept) else big[:1])


def test_the_log_goes_on_behind_a_torn_tail() -> None:
    disk, full = disk_and_segment()
    *_, start, end = frame_offsets(full)
    torn = with_segment(disk, full[: end - SECTOR_BYTES] + bytes(len(full) - end + SECTOR_BYTES))
    wal, recovered = reopen(DIRECTORY, torn)
    assert recovered.torn_bytes > 0

    append(wal, batch(entry(5, term=2), term=2))
    wal.close(clean=False)

    assert recovered_from(torn).entries == [*ENTRIES[:4], entry(5, term=2)]
    assert frame_offsets(torn.content(segment_path()))[-2] == start


@pytest.mark.parametrize(
    "pattern", [0xFF, *(pytest.param(1 << bit, marks=pytest.mark.slow) for bit in range(8))]
)
def test_no_changed_byte_in_the_last_three_records_goes_unseen(pattern: int) -> None:
    """Damage is never taken for a torn tail: the log is whole, or refused (failure E2)."""
    disk, full = disk_and_segment()
    *_, start, _, _, end = frame_offsets(full)
    refused = 0

    for offset in range(start, end):
        data = bytearray(full)
        data[offset] ^= pattern
        try:
            recovered = recovered_from(with_segment(disk, bytes(data)))
        except CorruptRecord as error:
            refused += 1
            place = (error.path, start <= error.offset <= offset)
        else:
            assert recovered.entries == ENTRIES
            continue

        assert place == (segment_path(), True)

    assert refused > (end - start) * 0.8, "most bytes matter"


def test_no_changed_byte_in_a_segment_header_goes_unseen() -> None:
    disk, full = disk_and_segment()

    for offset in range(SECTOR_BYTES):
        data = bytearray(full)
        data[offset] ^= 0x10

        with pytest.raises(CorruptRecord):
            recovered_from(with_segment(disk, bytes(data)))


def test_a_zeroed_frame_with_others_behind_it_is_refused() -> None:
    """A lost write in the middle is damage, although it looks unwritten (failures E2, E11)."""
    disk, full = disk_and_segment()
    offsets = frame_offsets(full)

    for start, end in pairwise(offsets[:-1]):
        for length in (SECTOR_BYTES, end - start):
            data = full[:start] + bytes(length) + full[start + length :]

            with pytest.raises(CorruptRecord):
                recovered_from(with_segment(disk, data))


def test_a_torn_frame_with_anything_behind_it_is_refused() -> None:
    """Nothing is written behind a frame before it is synced, so this was no torn write."""
    disk, full = disk_and_segment()
    *_, start, end = frame_offsets(full)
    data = bytearray(full)
    data[start + SECTOR_BYTES : start + 2 * SECTOR_BYTES] = bytes(SECTOR_BYTES)
    data[end + 700] = 1

    with pytest.raises(CorruptRecord, match="others follow"):
        recovered_from(with_segment(disk, bytes(data)))
