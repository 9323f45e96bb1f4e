"""The write-ahead log on a real file system: what goes in comes out."""

from pathlib import Path

import pytest

from raftcache.errors import DirectoryLocked
from raftcache.raft.types import HardState

from .builders import append, batch, entry, make, reopen


def test_a_new_directory_holds_an_empty_log(tmp_path: Path) -> None:
    make(str(tmp_path))

    wal, recovered = reopen(str(tmp_path))
    wal.close(clean=True)

    assert recovered.hard_state == HardState(0, None)
    assert recovered.entries == []
    assert recovered.notes == []


def test_what_was_written_is_there_after_opening_again(tmp_path: Path) -> None:
    make(str(tmp_path))
    wal, _ = reopen(str(tmp_path))
    append(wal, batch(entry(1), entry(2), term=1, vote="n1#1"), batch(entry(3)))
    append(wal, batch(term=2))
    wal.close(clean=True)

    wal, recovered = reopen(str(tmp_path))
    wal.close(clean=True)

    assert recovered.hard_state == HardState(2, None)
    assert recovered.entries == [entry(1), entry(2), entry(3)]


def test_entries_written_later_replace_the_suffix(tmp_path: Path) -> None:
    """A new leader's entries overwrite a conflicting tail (Figure 2, receiver rule 3)."""
    make(str(tmp_path))
    wal, _ = reopen(str(tmp_path))
    append(wal, batch(entry(1), entry(2), entry(3), entry(4), term=1))
    append(wal, batch(entry(2, term=2), term=2))
    wal.close(clean=False)

    wal, recovered = reopen(str(tmp_path))
    wal.close(clean=False)

    assert recovered.entries == [entry(1), entry(2, term=2)]


@pytest.mark.parametrize("size", [0, 10, 600, 3000, 9000, 40_000])
def test_the_log_goes_on_over_many_segments(tmp_path: Path, size: int) -> None:
    """A frame larger than a segment gets a larger segment."""
    make(str(tmp_path))
    wal, _ = reopen(str(tmp_path))
    written = [entry(i, data=bytes([i]) * size) for i in range(1, 60)]
    append(wal, batch(term=7, vote="n3#1"))
    for one in written:
        append(wal, batch(one))
        wal.prepare()
    wal.close(clean=False)

    wal, recovered = reopen(str(tmp_path))
    wal.close(clean=False)

    assert recovered.entries == written
    assert recovered.hard_state == HardState(7, "n3#1")
    assert recovered.notes == []


def test_a_directory_is_opened_once_at_a_time(tmp_path: Path) -> None:
    """Two processes that append to one log destroy it (failure E13)."""
    make(str(tmp_path))
    wal, _ = reopen(str(tmp_path))

    with pytest.raises(DirectoryLocked, match=r"is open in process \d+"):
        reopen(str(tmp_path))

    wal.close(clean=True)
    wal, _ = reopen(str(tmp_path))
    wal.close(clean=True)
