"""The format on disk: files of each version stay readable, and docs/storage.md tells the truth.

A change that makes these tests fail needs a new format version, and golden files of its own beside
the old ones (failure E15).
"""

import re
import struct
from pathlib import Path
from zlib import crc32

import pytest

from orchestrator.simulation.disk import SimulatedDisk
from raftcache.errors import WrongDirectory
from raftcache.raft.types import Entry, EntryKind, HardState
from raftcache.storage.segment import decode_segment_header
from raftcache.storage.wal import Batch, Wal

from .builders import (
    DIRECTORY,
    append,
    batch,
    entry,
    make,
    recovered_from,
    reopen,
    segment_path,
    written_disk,
)
from .snapshots import meta, slices_of, take

GOLDEN = Path(__file__).parent / "golden"
CURRENT = GOLDEN / "format_3"
PAGE = Path(__file__).parents[2] / "docs" / "storage.md"
SEGMENT_BYTES = 4096

ENTRIES = [
    Entry(1, 1, EntryKind.NOOP),
    Entry(2, 1, EntryKind.COMMANDS, b"set greeting hello"),
    Entry(3, 2, EntryKind.NOOP),
    Entry(4, 2, EntryKind.COMMANDS, bytes(600)),
    Entry(5, 2, EntryKind.COMMANDS, b"x" * 900),
]


SLICES = [b"one", bytes(700), b"three"]
RESTARTED = [Entry(10, 3, EntryKind.COMMANDS, b"set greeting bye")]


def write_example(wal: Wal) -> None:
    """Write what the golden files hold: a vote, a replaced entry, a masked frame, a roll."""
    append(wal, Batch(HardState(1, "n1#1"), ENTRIES[:2]))
    append(wal, Batch(None, [entry(3, term=1)]))
    append(wal, Batch(HardState(2, "n2#1"), ENTRIES[2:3]), Batch(None, ENTRIES[3:4]))
    append(wal, Batch(None, ENTRIES[4:]))


def example() -> SimulatedDisk:
    """Write what format 2 added, and 3 kept: a snapshot, and a log that restarts behind it."""
    disk = SimulatedDisk()
    make(DIRECTORY, disk, segment_bytes=SEGMENT_BYTES)
    wal, _ = reopen(DIRECTORY, disk, segment_bytes=SEGMENT_BYTES)
    write_example(wal)
    take(disk, 9, term=3, slices=SLICES)
    append(wal, Batch(HardState(3), RESTARTED, (9, 3)))
    wal.close(clean=True)
    return disk


def golden(version: int) -> SimulatedDisk:
    disk = SimulatedDisk()
    for path in (GOLDEN / f"format_{version}").iterdir():
        disk.put(f"{DIRECTORY}/{path.name}", path.read_bytes())
    return disk


def test_files_of_format_1_are_read() -> None:
    recovered = recovered_from(golden(1))

    assert recovered.entries == ENTRIES
    assert recovered.hard_state == HardState(2, "n2#1")
    assert (recovered.base, recovered.snapshot) == ((0, 0), None)
    assert recovered.notes == []


def test_a_log_of_format_1_goes_on_in_a_segment_of_format_2() -> None:
    """An older program must not read half of what a newer one meant."""
    disk = golden(1)
    wal, _ = reopen(DIRECTORY, disk, segment_bytes=SEGMENT_BYTES)

    append(wal, batch(entry(6, term=3), term=3))
    wal.close(clean=True)

    assert recovered_from(disk).entries == [*ENTRIES, entry(6, term=3)]
    headers = [
        decode_segment_header(disk.content(segment_path(segment)), "") for segment in (1, 2, 3)
    ]
    assert [header.format for header in headers] == [1, 1, 2]
    assert (headers[2].last_index, headers[2].last_term) == (5, 2)


def test_segments_of_format_1_go_once_one_of_format_2_says_where_the_log_begins() -> None:
    disk = golden(1)
    wal, _ = reopen(DIRECTORY, disk, segment_bytes=SEGMENT_BYTES)
    take(disk, 5, term=2)
    wal.release(5)
    assert "wal-00000001.seg" in disk.names(DIRECTORY)
    append(wal, batch(entry(6, term=3), term=3))

    wal.release(5)
    wal.close(clean=True)

    segments = [name for name in disk.names(DIRECTORY) if name.endswith(".seg")]
    assert segments == ["wal-00000003.seg"]
    assert recovered_from(disk).entries == [entry(6, term=3)]


def test_segments_of_format_1_that_were_half_freed_are_left_out() -> None:
    """They go one by one, and what is left of them after a crash says nothing by itself."""
    disk = golden(1)
    wal, _ = reopen(DIRECTORY, disk, segment_bytes=SEGMENT_BYTES)
    take(disk, 5, term=2)
    append(wal, batch(entry(6, term=3), term=3))

    assert wal.release(5, segments_max=1)
    wal.close(clean=True)

    recovered = recovered_from(disk)
    assert recovered.entries == [entry(6, term=3)]
    assert recovered.base == (5, 2)
    assert recovered.notes == ["wal-00000002.seg is not used: removed"]


@pytest.mark.parametrize("version", [2, 3])
def test_files_with_a_snapshot_are_read(version: int) -> None:
    """Those of version 3 differ from 2 in the identity and in the snapshot's header."""
    disk = golden(version)

    recovered = recovered_from(disk)

    assert recovered.entries == RESTARTED
    assert recovered.hard_state == HardState(3)
    assert recovered.base == (9, 3)
    assert recovered.snapshot is not None
    assert recovered.snapshot.meta == meta(9, 3)
    assert slices_of(disk, recovered.snapshot.path) == SLICES
    assert recovered.notes == []


def test_files_of_format_3_are_written_to_the_byte() -> None:
    written, kept = example(), golden(3)
    names = [name for name in written.names(DIRECTORY) if name != "lock"]
    assert names == kept.names(DIRECTORY)
    assert names == [
        "identity",
        "snapshot-00000000000000000009-3",
        "wal-00000001.seg",
        "wal-00000002.seg",
    ]

    for name in names:
        path = f"{DIRECTORY}/{name}"
        assert written.content(path) == kept.content(path), name


def test_a_newer_format_is_refused_by_name() -> None:
    disk = written_disk([batch(entry(1), term=1)])
    sector = bytearray(disk.content(segment_path())[:508])
    struct.pack_into("<I", sector, 8, 3)
    disk.overwrite(segment_path(), 0, bytes(sector) + crc32(sector).to_bytes(4, "little"))

    with pytest.raises(WrongDirectory, match="has format 3, and this program reads format 2"):
        recovered_from(disk)


def test_a_newer_identity_is_refused_by_name() -> None:
    disk = written_disk([])
    path = f"{DIRECTORY}/identity"
    newer = disk.content(path).replace(b'"format": 2,', b'"format": 3, "colour": "red",')
    disk.put(path, newer)

    with pytest.raises(WrongDirectory, match="has format 3, and this program reads format 2"):
        recovered_from(disk)


def test_the_hexdump_in_the_page_is_that_of_the_golden_file() -> None:
    """docs/storage.md explains real bytes."""
    shown = re.search(r"```text\n(00000000 .*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None, "the page has a hexdump"

    assert hexdump((CURRENT / "wal-00000001.seg").read_bytes()).startswith(shown[1])
    assert "000005f0" in shown[1], "it shows two frames"


def test_the_snapshot_in_the_page_is_the_golden_file() -> None:
    page = PAGE.read_text(encoding="utf-8")
    shown = re.search(r"```text\n(00000000 [^`]*\|RAFTCSNP.*?)```", page, re.DOTALL)
    assert shown is not None, "the page has a snapshot's hexdump"

    assert shown[1] == hexdump((CURRENT / "snapshot-00000000000000000009-3").read_bytes())


def test_the_identity_in_the_page_is_that_of_the_golden_file() -> None:
    shown = re.search(r"```json\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert shown is not None, "the page has an identity"

    assert shown[1] == (CURRENT / "identity").read_text(encoding="utf-8")


def hexdump(data: bytes) -> str:
    """Return what ``hexdump -C`` prints."""
    lines: list[str] = []
    previous = b""
    for offset in range(0, len(data), 16):
        row = data[offset : offset + 16]
        if row == previous:
            if lines[-1] != "*":
                lines.append("*")
            continue
        previous = row
        halves = "  ".join(row[half : half + 8].hex(" ") for half in (0, 8))
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
        lines.append(f"{offset:08x}  {halves:<48}  |{text}|")
    return "\n".join([*lines, f"{len(data):08x}", ""])
