"""Entries that a new leader replaced (Figure 2, receiver rule 3), when what was before is freed."""

import pytest

from orchestrator.simulation.disk import SimulatedDisk
from raftcache.errors import WrongDirectory
from raftcache.raft.types import Entry
from raftcache.storage.outline import SegmentOutline
from raftcache.storage.replay import LogReplay
from raftcache.storage.segment import segment_name
from raftcache.storage.wal import Wal

from .builders import DIRECTORY, append, batch, entry, make, recovered_from, reopen
from .snapshots import path_of, take

SEGMENT_BYTES = 4096


def sized(index: int, term: int = 1) -> Entry:
    """Return an entry of which three fill a segment; the first segment takes two."""
    return entry(index, term, data=bytes([index, term]) * 450)


def replaced_from(first: int) -> tuple[SimulatedDisk, Wal, list[Entry]]:
    """Return a log of twelve entries; from ``first`` on, a new leader replaced up to eight."""
    disk = SimulatedDisk()
    make(DIRECTORY, disk, segment_bytes=SEGMENT_BYTES)
    wal = reopen(DIRECTORY, disk, segment_bytes=SEGMENT_BYTES)[0]
    log = [*(sized(i) for i in range(1, first)), *(sized(i, 2) for i in range(first, 13))]
    for i in range(1, 9):
        append(wal, batch(sized(i), term=1))
    for one in log[first - 1 :]:
        append(wal, batch(one, term=2))
    return disk, wal, log


@pytest.mark.parametrize("first", range(2, 9))
def test_what_a_new_leader_replaced_comes_back_from_no_segment(first: int) -> None:
    """Entries in the first remaining segment may replace some in those that are gone."""
    for covered in range(first, 13):
        disk, wal, log = replaced_from(first)
        take(disk, covered, term=2)

        wal.release(covered)
        wal.close(clean=True)

        recovered = recovered_from(disk)
        assert recovered.base == (covered, 2)
        assert recovered.entries == log[covered:]
        assert recovered.notes == [], "snapshot and log agree"


def test_a_place_that_was_replaced_is_not_where_the_log_begins() -> None:
    """Else a snapshot would seem to fit a log that ends before it."""
    replay = LogReplay()
    replay.outline.segments.append(SegmentOutline(2, 2))
    replay.begin_behind((5, 1))
    assert replay.term_at(5) == 1

    assert replay.take(batch(entry(4, 2), term=2)) == ""

    assert [replay.term_at(index) for index in (3, 4, 5)] == [None, 2, None]
    assert replay.begin == (5, 1), "a snapshot of this or later is needed all the same"


@pytest.mark.parametrize("first", range(2, 9))
def test_a_log_without_its_snapshots_begins_behind_an_entry_that_counts(first: int) -> None:
    """A segment can begin behind an entry that a later leader replaced (Figure 2, receiver rule 3).

    Once all before it was freed and every snapshot is damaged, the log begins there all the same,
    with the entry that took that place: its node did not start, as a defect (failure E10; simulated
    seed 7002876).
    """
    for covered in range(first, 13):
        disk, wal, log = replaced_from(first)
        take(disk, covered, term=2)
        wal.release(covered)
        wal.close(clean=True)
        disk.remove(path_of(covered, term=2))

        wal, recovered = reopen(DIRECTORY, disk, may_lack_snapshot=True)
        wal.close(clean=True)

        index, term = recovered.base
        assert recovered.lacks_snapshot == (index > 0)
        assert index <= covered, "all before it was freed because the snapshot held it"
        assert term == (log[index - 1].term if index else 0)
        assert recovered.entries == log[index:]


def test_a_log_that_ends_before_where_it_begins_is_refused_without_a_snapshot() -> None:
    """Nobody freed anything before the log was that long: the rest of it is gone (failure D4)."""
    disk = SimulatedDisk()
    make(DIRECTORY, disk, segment_bytes=SEGMENT_BYTES)
    wal = reopen(DIRECTORY, disk, segment_bytes=SEGMENT_BYTES)[0]
    for i in range(1, 6):
        append(wal, batch(sized(i), term=1))
    append(wal, batch(sized(4, 2), term=2))
    take(disk, 5, term=2)
    wal.release(5)
    wal.close(clean=True)
    assert [name for name in disk.names(DIRECTORY) if name.endswith(".seg")] == [segment_name(3)]
    disk.remove(path_of(5, term=2))
    before = {name: disk.content(f"{DIRECTORY}/{name}") for name in disk.names(DIRECTORY)}

    with pytest.raises(WrongDirectory, match="a snapshot of entry 5 or later"):
        reopen(DIRECTORY, disk, may_lack_snapshot=True)

    after = {name: disk.content(f"{DIRECTORY}/{name}") for name in disk.names(DIRECTORY)}
    assert {**before, "lock": b""} == {**after, "lock": b""}
