"""Freeing the log behind a snapshot: what may go, what must stay, and what then still counts."""

import threading
from pathlib import Path

import msgspec
import pytest

from orchestrator.simulation.disk import SimulatedDisk
from raftcache.errors import CorruptRecord, WrongDirectory
from raftcache.raft.types import Entry, HardState
from raftcache.storage.directory import bootstrap
from raftcache.storage.frame import FrameKind, decode_header, encode_frame
from raftcache.storage.scan import scan_segment
from raftcache.storage.segment import (
    decode_segment_header,
    encode_segment_header,
    segment_check,
    segment_name,
)
from raftcache.storage.wal import Wal, encode_batches
from raftcache.storage.writer import WalWriter

from .builders import (
    DIRECTORY,
    append,
    batch,
    copy_of,
    entry,
    frame_offsets,
    identity,
    make,
    recovered_from,
    reopen,
    segment_path,
    with_segment,
)
from .snapshots import take

SEGMENT_BYTES = 4096


def opened(disk: SimulatedDisk) -> Wal:
    make(DIRECTORY, disk, segment_bytes=SEGMENT_BYTES)
    return reopen(DIRECTORY, disk, segment_bytes=SEGMENT_BYTES)[0]


def sized(index: int, term: int = 1) -> Entry:
    """Return an entry of which three fill a segment; the first segment takes two."""
    return entry(index, term, data=bytes([index, term]) * 450)


def segments(disk: SimulatedDisk) -> list[int]:
    return [int(name[4:-4]) for name in disk.names(DIRECTORY) if name.endswith(".seg")]


def test_only_whole_segments_up_to_the_index_go() -> None:
    for index in range(20):
        disk = SimulatedDisk()
        wal = opened(disk)
        for i in range(1, 16):
            append(wal, batch(sized(i), term=i))
        before = wal.size_bytes
        covered = min(max(1, index), 15)
        take(disk, covered)

        wal.release(index)

        first = 1 if index < 2 else 2 + (index - 2) // 3
        assert segments(disk) == list(range(min(first, 6), 7))
        assert (wal.size_bytes < before) == (first > 1)
        wal.close(clean=True)
        recovered = recovered_from(disk)
        assert recovered.entries == [sized(i) for i in range(covered + 1, 16)]
        assert recovered.hard_state == HardState(15)


def test_the_segment_in_use_never_goes() -> None:
    """It holds term and vote, whatever entries are gone (failure A2)."""
    disk = SimulatedDisk()
    wal = opened(disk)
    for i in range(1, 16):
        append(wal, batch(sized(i), term=i, vote="n2#1"))
    take(disk, 15)

    wal.release(10**9)
    wal.close(clean=True)

    assert len(segments(disk)) == 1
    recovered = recovered_from(disk)
    assert (recovered.entries, recovered.base) == ([], (15, 1))
    assert recovered.hard_state == HardState(15, "n2#1")


def test_a_segment_that_was_begun_does_not_stand_for_term_and_vote() -> None:
    """A crash between a roll and its frame leaves it empty: the one before must stay."""
    disk = SimulatedDisk()
    wal = opened(disk)
    append(wal, batch(sized(1), term=5, vote="n2#1"), batch(sized(2)))
    wal.write([batch(sized(3))])
    assert segments(disk) == [1, 2]
    disk.lose_cache()
    take(disk, 2)
    wal, recovered = reopen(DIRECTORY, disk, segment_bytes=SEGMENT_BYTES)
    assert recovered.hard_state == HardState(5, "n2#1")

    wal.release(2)
    assert segments(disk) == [1, 2]
    append(wal, batch(entry(3)))
    wal.release(2)
    assert segments(disk) == [2]
    wal.close(clean=True)

    recovered = recovered_from(disk)
    assert recovered.hard_state == HardState(5, "n2#1")
    assert recovered.entries == [entry(3)]


def test_a_restart_voids_all_that_was_before_it() -> None:
    """An uncommitted tail that was longer than the snapshot keeps no segment alive."""
    disk = SimulatedDisk()
    wal = opened(disk)
    for i in range(1, 12):
        append(wal, batch(sized(i), term=1))
    take(disk, 5, term=3)
    append(wal, batch(entry(6, 3), term=3, base=(5, 3)))

    wal.release(5)
    wal.close(clean=True)

    assert len(segments(disk)) == 1
    recovered = recovered_from(disk)
    assert (recovered.base, recovered.entries) == ((5, 3), [entry(6, 3)])


def test_a_log_that_restarts_with_entries_goes_on_in_further_segments() -> None:
    """Each segment says behind which entry it begins; entries of the restart's own batch count.

    A follower that took a snapshot over and got the next entry in the same turn would not start
    again (simulated seeds 229 and 2000025).
    """
    disk = SimulatedDisk()
    wal = opened(disk)
    for i in range(1, 3):
        append(wal, batch(sized(i), term=1))
    take(disk, 5, term=3)
    append(wal, batch(entry(6, 3), term=3, base=(5, 3)))
    later = [sized(i, 3) for i in range(7, 14)]
    for one in later:
        append(wal, batch(one))
    wal.close(clean=True)

    assert len(segments(disk)) > 2
    recovered = recovered_from(disk)
    assert (recovered.base, recovered.entries) == ((5, 3), [entry(6, 3), *later])


def test_a_snapshot_behind_the_restart_of_another_term_is_refused() -> None:
    """Both claim to be committed: one of the two is wrong, and nobody knows which."""
    disk = SimulatedDisk()
    wal = opened(disk)
    take(disk, 5, term=3)
    append(wal, batch(term=4, base=(5, 3)))
    wal.close(clean=True)
    disk.remove(f"{DIRECTORY}/snapshot-{5:020d}-3")
    take(disk, 5, term=4)

    with pytest.raises(CorruptRecord, match="restarted behind entry 5 of another term"):
        recovered_from(disk)


@pytest.mark.parametrize("missing", [1, 2, 3, 4])
def test_a_missing_segment_is_noticed_though_some_may_be_gone(missing: int) -> None:
    """Only what a snapshot stands for may be missing, and only at the front (failure D4)."""
    disk = SimulatedDisk()
    wal = opened(disk)
    for i in range(1, 12):
        append(wal, batch(sized(i), term=1))
    wal.close(clean=True)
    assert segments(disk) == [1, 2, 3, 4]
    take(disk, 1)
    lacking = copy_of(disk)
    lacking.remove(segment_path(missing))

    with pytest.raises(WrongDirectory, match=f"lacks {segment_name(missing)}"):
        recovered_from(lacking)


def test_a_segment_of_an_older_history_does_not_pass_for_the_first() -> None:
    """The header says where the log stood; the segment before must have led there (E11)."""
    disk = SimulatedDisk()
    wal = opened(disk)
    for i in range(1, 7):
        append(wal, batch(sized(i), term=1))
    wal.close(clean=True)
    other = SimulatedDisk()
    wal = opened(other)
    append(wal, batch(sized(1), sized(2), term=1))
    for i in range(3, 7):
        append(wal, batch(sized(i), term=1))
    wal.close(clean=True)

    with pytest.raises(CorruptRecord, match="it does not continue"):
        recovered_from(with_segment(disk, other.content(segment_path(2)), segment=2))


def test_a_segment_that_claims_another_place_in_the_log_is_refused() -> None:
    """One day it may be the first that is left, and its word the only one (failure D4)."""
    disk = SimulatedDisk()
    wal = opened(disk)
    for i in range(1, 5):
        append(wal, batch(sized(i), term=1))
    wal.close(clean=True)
    data = disk.content(segment_path(2))
    header = decode_segment_header(data[:512], "")
    frames = scan_segment("", data, header).frames
    sector = encode_segment_header(msgspec.structs.replace(header, last_index=1))
    forged, number, chain = sector, header.first_frame, header.chain
    for _, payload in frames:
        frame, chain = encode_frame(
            payload,
            kind=FrameKind.BATCHES,
            number=number,
            chain=chain,
            segment_check=segment_check(sector),
        )
        forged += frame
        number += 1

    with pytest.raises(CorruptRecord, match=r"claims to begin behind entry \(1, 1\)"):
        recovered_from(with_segment(disk, forged.ljust(len(data), b"\0"), segment=2))


def test_a_first_segment_without_term_and_vote_is_refused() -> None:
    """A node that forgot its vote could vote twice (failure A2)."""
    disk = SimulatedDisk()
    opened(disk).close(clean=True)
    data = disk.content(segment_path())
    frame = decode_header(data, frame_offsets(data)[0])
    assert frame is not None
    forged, _ = encode_frame(
        encode_batches([batch(entry(1))]),
        kind=FrameKind.BATCHES,
        number=1,
        chain=0,
        segment_check=segment_check(data),
    )
    disk.put(segment_path(), data[:512] + forged + data[512 + len(forged) :])

    with pytest.raises(CorruptRecord, match="does not begin with term and vote"):
        recovered_from(disk)


@pytest.mark.parametrize("gone", ["identity alone", "identity and most of the log"])
def test_a_used_directory_is_never_made_anew(gone: str) -> None:
    """Its first segment may be gone for good reasons; its data is still somebody's (C11)."""
    disk = SimulatedDisk()
    wal = opened(disk)
    for i in range(1, 12):
        append(wal, batch(sized(i), term=1))
    take(disk, 11)
    wal.release(11)
    wal.close(clean=True)
    disk.remove(f"{DIRECTORY}/identity")
    if gone != "identity alone":
        for segment in segments(disk):
            disk.remove(segment_path(segment))

    with pytest.raises(WrongDirectory, match="holds a log but no identity"):
        bootstrap(DIRECTORY, identity(), files=disk)


def test_the_writer_frees_the_log_on_its_own_thread(tmp_path: Path) -> None:
    """In the order of what was submitted, a segment at a time, and without being waited for."""
    directory = str(tmp_path)
    make(directory, segment_bytes=SEGMENT_BYTES)
    wal, _ = reopen(directory, segment_bytes=SEGMENT_BYTES)
    durable = threading.Semaphore(0)
    writer = WalWriter(wal, durable.release)
    for i in range(1, 31):
        writer.submit(batch(sized(i), term=1))
        writer.begin()
        assert durable.acquire(timeout=30)
    assert len(list(tmp_path.glob("*.seg"))) == 11
    full = writer.size_bytes

    writer.release(20)
    writer.submit(batch(sized(31)))
    writer.begin()
    assert durable.acquire(timeout=30)
    writer.close(clean=True)

    left = sorted(path.name for path in tmp_path.glob("*.seg"))
    assert writer.failure is None
    assert writer.persisted == 31
    # The end was asked for while segments were still to go; the rest goes next time.
    assert 1 <= 11 - len(left) <= 7
    assert writer.size_bytes < full


def test_the_writer_frees_all_that_may_go_when_nothing_else_is_to_do(tmp_path: Path) -> None:
    directory = str(tmp_path)
    make(directory, segment_bytes=SEGMENT_BYTES)
    wal, _ = reopen(directory, segment_bytes=SEGMENT_BYTES)
    freed = threading.Event()
    durable = threading.Semaphore(0)
    release = wal.release

    def watched(index: int, *, segments_max: int = 1) -> bool:
        assert threading.current_thread().name == "wal-writer"
        more = release(index, segments_max=segments_max)
        if not more:
            freed.set()
        return more

    wal.release = watched  # type: ignore[method-assign]
    writer = WalWriter(wal, durable.release)
    for i in range(1, 31):
        writer.submit(batch(sized(i), term=1))
        writer.begin()
        assert durable.acquire(timeout=30)

    writer.release(20)
    writer.begin()
    assert freed.wait(timeout=30)
    writer.close(clean=True)

    assert min(path.name for path in tmp_path.glob("*.seg")) == segment_name(8)
