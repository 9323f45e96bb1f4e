"""A disk that refuses: the process ends, and what it had promised is kept."""

import errno
import threading
from collections.abc import Callable

import pytest

from orchestrator.simulation.disk import SECTOR_BYTES, SimulatedDisk
from raftcache.errors import DiskFailed
from raftcache.storage.wal import Wal
from raftcache.storage.writer import WalWriter

from .builders import (
    DIRECTORY,
    append,
    batch,
    copy_of,
    entry,
    make,
    recovered_from,
    reopen,
    segment_path,
)


def opened(disk: SimulatedDisk, *, segment_bytes: int = 4096) -> Wal:
    make(DIRECTORY, disk, segment_bytes=segment_bytes)
    return reopen(DIRECTORY, disk, segment_bytes=segment_bytes)[0]


class Filling:
    """Appends until something fails, and counts what was promised."""

    def __init__(self, wal: Wal, *, prepare: bool = False, data: bytes = bytes(700)) -> None:
        self.wal = wal
        self.prepare = prepare
        self.data = data
        self.promised = 0

    def run(self) -> None:
        """Append a hundred entries, one by one."""
        for index in range(1, 101):
            append(self.wal, batch(entry(index, data=self.data), term=1))
            self.promised = index
            if self.prepare:
                self.wal.prepare()


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("call", ["write", "sync", "rename", "sync_directory"])
@pytest.mark.parametrize("after", range(12))
def test_after_a_failed_call_nothing_is_written_and_nothing_promised_is_lost(
    call: str, code: int, after: int
) -> None:
    """A second fsync that succeeds proves nothing, so there is none (failures E6, E9)."""
    disk = SimulatedDisk()
    wal = opened(disk)
    disk.fail(call, code, after=after)
    filling = Filling(wal, prepare=call.startswith(("rename", "sync_d")))
    with pytest.raises(DiskFailed, match="could not"):
        filling.run()
    promised = filling.promised
    changes = disk.calls.copy()

    with pytest.raises(DiskFailed):
        wal.write([batch(entry(1))])
    with pytest.raises(DiskFailed):
        wal.sync()
    with pytest.raises(DiskFailed):
        wal.prepare()
    wal.close(clean=True)

    assert disk.calls - changes == {"remove": 1} or disk.calls == changes, "at most tidying up"
    disk.lose_cache()
    recovered = recovered_from(disk)
    assert promised <= len(recovered.entries) <= promised + 1


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
@pytest.mark.parametrize("call", ["write", "sync", "rename", "sync_directory"])
@pytest.mark.parametrize("after", range(12))
def test_a_restart_after_any_failed_call_keeps_what_it_promises_then(
    call: str, code: int, after: int
) -> None:
    """The cache may hold what the disk never got; nothing may be built on that (failure E6)."""
    disk = SimulatedDisk()
    filling = Filling(opened(disk))
    disk.fail(call, code, after=after)
    with pytest.raises(DiskFailed):
        filling.run()
    disk.kill_process()
    wal, recovered = reopen(DIRECTORY, disk, segment_bytes=4096)
    count = len(recovered.entries)

    append(wal, batch(entry(count + 1)))
    disk.lose_cache()

    assert recovered_from(disk).entries == [*recovered.entries, entry(count + 1)]


def test_what_a_failed_fsync_left_in_the_cache_is_written_again() -> None:
    """Linux calls such bytes clean: they read well and would be gone after a power cut (E6)."""
    disk = SimulatedDisk()
    wal = opened(disk)
    append(wal, batch(entry(1), term=1))
    wal.write([batch(entry(2))])
    disk.fail("sync", errno.EIO)
    with pytest.raises(DiskFailed):
        wal.sync()
    disk.kill_process()
    first = recovered_from(disk)
    assert len(first.entries) == 2, "the cache has it"

    disk.lose_cache()

    assert recovered_from(disk).entries == first.entries


@pytest.mark.parametrize(
    ("call", "after"), [("write", 0), ("write", 1), ("sync", 0), ("sync", 1), ("sync_directory", 0)]
)
def test_a_start_that_fails_leaves_nothing_of_a_torn_write_for_later(call: str, after: int) -> None:
    """Zeros may be in the cache alone: the disk then keeps what they were to clear (failure E6)."""
    disk = SimulatedDisk()
    wal = opened(disk, segment_bytes=8192)
    append(wal, batch(entry(1), term=1))
    wal.write([batch(entry(2, data=b"x" * 2000))])
    lost = len(disk.content(segment_path()).rstrip(b"\0")) // SECTOR_BYTES - 2
    disk.cut_power(keep=lambda _path, sector: sector != lost, names_kept=0)
    assert recovered_from(copy_of(disk)).torn_bytes > 0
    disk.fail(call, errno.EIO, after=after)
    with pytest.raises(DiskFailed):
        recovered_from(disk)
    disk.kill_process()
    wal, recovered = reopen(DIRECTORY, disk)
    assert recovered.entries == [entry(1)]

    append(wal, batch(entry(2)))
    disk.lose_cache()

    assert recovered_from(disk).entries == [entry(1), entry(2)]


def test_a_full_disk_is_noticed_while_there_is_room_for_votes() -> None:
    """Mutations are refused in time, votes still go in, and space brings all back (failure E9)."""
    disk = SimulatedDisk(capacity_bytes=4096 * 3)
    wal = opened(disk)
    index = 0
    while wal.has_room:
        index += 1
        append(wal, batch(entry(index, data=bytes(300)), term=1))
        wal.prepare()

    for term in range(2, 6):
        append(wal, batch(term=term, vote="n2#1"))
        wal.prepare()
    assert [wal.has_room] == [False]
    disk.capacity_bytes = None
    wal.prepare()
    assert [wal.has_room] == [True]
    for more in range(index + 1, index + 40):
        append(wal, batch(entry(more, data=bytes(300))))

    wal.close(clean=False)
    recovered = recovered_from(disk)
    assert len(recovered.entries) == index + 39
    assert recovered.hard_state.current_term == 5


def test_a_node_whose_disk_ran_full_starts_again() -> None:
    """Full to the last sector: it stops, and starts even before space is freed (failure E9)."""
    disk = SimulatedDisk(capacity_bytes=4096 * 3)
    wal = opened(disk)
    filling = Filling(wal)
    with pytest.raises(DiskFailed, match="No space left"):
        filling.run()
    disk.kill_process()

    wal, recovered = reopen(DIRECTORY, disk, segment_bytes=4096)

    assert len(recovered.entries) == filling.promised
    assert not wal.has_room


def test_a_disk_that_fails_otherwise_while_preparing_ends_the_log() -> None:
    disk = SimulatedDisk()
    wal = opened(disk, segment_bytes=1024 * 1024)
    append(wal, batch(entry(1, data=bytes(200_000)), term=1))
    disk.fail("sync", errno.EIO)

    with pytest.raises(DiskFailed, match=r"prepare the next segment after .*: Input/output error"):
        wal.prepare()


def test_opening_on_a_failing_disk_says_so_and_frees_the_directory() -> None:
    disk = SimulatedDisk()
    make(DIRECTORY, disk)
    for call in ("sync", "write", "sync_directory", "open", "read", "create"):
        disk.fail(call, errno.EIO)

        with pytest.raises(DiskFailed, match="Input/output error"):
            reopen(DIRECTORY, disk)

    assert recovered_from(disk).entries == []


@pytest.mark.parametrize("call", ["write", "sync"])
def test_the_writer_thread_reports_a_failure_and_promises_nothing_more(call: str) -> None:
    disk = SimulatedDisk()
    notified = threading.Semaphore(0)
    wal = opened(disk, segment_bytes=65_536)
    writer = WalWriter(wal, notified.release)
    writer.submit(batch(entry(1), term=1))
    writer.begin()
    assert notified.acquire(timeout=30)
    disk.fail(call, errno.EIO)

    writer.submit(batch(entry(2)))
    writer.begin()
    assert notified.acquire(timeout=30)
    writer.submit(batch(entry(3)))
    with pytest.raises(DiskFailed):
        writer.close(clean=True)

    assert isinstance(writer.failure, DiskFailed)
    assert writer.persisted == 1
    assert writer.queued_bytes > 0


def test_a_defect_in_the_writer_thread_is_a_failure_too() -> None:
    """A thread that dies in silence would leave clients waiting for ever."""
    notified = threading.Semaphore(0)
    writer = WalWriter(opened(SimulatedDisk()), notified.release)

    writer.submit(batch(entry(7)))
    writer.begin()
    assert notified.acquire(timeout=30)

    assert "the log has no gaps" in str(writer.failure)
    with pytest.raises(DiskFailed):
        writer.close(clean=True)


def test_the_writer_tells_when_room_goes_and_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("raftcache.storage.writer._RETRY_SECONDS", 0.01)
    disk = SimulatedDisk(capacity_bytes=4096 * 3)
    changed = threading.Semaphore(0)
    writer = WalWriter(opened(disk), changed.release)

    def wait_until(done: Callable[[], bool]) -> None:
        while not done():
            assert changed.acquire(timeout=30)

    for index in range(1, 8):
        ticket = writer.submit(batch(entry(index, data=bytes(300)), term=1))
        writer.begin()
        wait_until(lambda ticket=ticket: writer.persisted >= ticket)  # type: ignore[misc]
    wait_until(lambda: not writer.has_room)

    disk.capacity_bytes = None
    wait_until(lambda: writer.has_room)

    writer.close(clean=False)


def test_a_failure_names_the_file() -> None:
    disk = SimulatedDisk()
    wal = opened(disk)
    disk.fail("write", errno.EIO)

    with pytest.raises(DiskFailed, match=rf"write to {segment_path()}: Input/output error"):
        append(wal, batch(entry(1), term=1))
