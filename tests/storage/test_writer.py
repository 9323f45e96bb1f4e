"""The writer thread: tickets, group commit, failures."""

import threading
from pathlib import Path

from raftcache.storage.wal import Batch, Wal
from raftcache.storage.writer import WalWriter

from .builders import batch, entry, make, reopen


class _Waiter:
    """Counts notifications and lets a test wait until a condition holds."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self.count = 0

    def notify(self) -> None:
        with self._changed:
            self.count += 1
            self._changed.notify_all()

    def wait_persisted(self, writer: WalWriter, ticket: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: writer.persisted >= ticket, timeout=30)


def test_what_has_a_ticket_is_durable_once_persisted_reaches_it(tmp_path: Path) -> None:
    make(str(tmp_path))
    wal, _ = reopen(str(tmp_path))
    waiter = _Waiter()
    writer = WalWriter(wal, waiter.notify)

    tickets = [writer.submit(batch(entry(i), term=1)) for i in range(1, 101)]
    writer.begin()
    waiter.wait_persisted(writer, 100)
    writer.close(clean=False)

    assert tickets == list(range(1, 101))
    assert writer.failure is None
    assert writer.queued_bytes == 0
    wal, recovered = reopen(str(tmp_path))
    wal.close(clean=False)
    assert recovered.entries == [entry(i) for i in range(1, 101)]


def test_closing_writes_what_is_still_queued(tmp_path: Path) -> None:
    make(str(tmp_path))
    wal, _ = reopen(str(tmp_path))
    writer = WalWriter(wal, _Waiter().notify)
    for i in range(1, 51):
        writer.submit(batch(entry(i), term=1))

    writer.close(clean=True)

    assert writer.persisted == 50
    wal, recovered = reopen(str(tmp_path))
    wal.close(clean=False)
    assert len(recovered.entries) == 50


def test_all_that_waits_goes_into_one_frame(tmp_path: Path) -> None:
    """Group commit: one fsync for as many batches as came in during the last one."""
    make(str(tmp_path))
    wal, _ = reopen(str(tmp_path))
    gate = _GatedWal(wal)
    waiter = _Waiter()
    writer = WalWriter(gate.wal, waiter.notify)

    writer.submit(batch(entry(1), term=1))
    writer.begin()
    gate.wait_busy()
    for i in range(2, 12):
        writer.submit(batch(entry(i)))
        writer.begin()
    gate.open()
    waiter.wait_persisted(writer, 11)
    writer.close(clean=False)

    assert gate.frames == [1, 10]


class _GatedWal:
    """A log whose first write waits until the test says go."""

    def __init__(self, wal: Wal) -> None:
        self.wal: Wal = wal
        self.frames: list[int] = []
        self._busy = threading.Event()
        self._gate = threading.Event()
        self._write = wal.write
        wal.write = self._gated  # type: ignore[method-assign]

    def _gated(self, batches: list[Batch]) -> None:
        self._busy.set()
        assert self._gate.wait(timeout=30)
        self.frames.append(len(batches))
        self._write(batches)

    def wait_busy(self) -> None:
        assert self._busy.wait(timeout=30)

    def open(self) -> None:
        self._gate.set()


def test_nobody_is_woken_for_what_nobody_waits_for(tmp_path: Path) -> None:
    """It is durable all the same, and whoever looks sees it."""
    make(str(tmp_path))
    wal, _ = reopen(str(tmp_path))
    gate = _GatedWal(wal)
    waiter = _Waiter()
    writer = WalWriter(gate.wal, waiter.notify)
    writer.wanted = False

    writer.submit(batch(entry(1), term=1))
    writer.begin()
    gate.wait_busy()
    writer.submit(batch(entry(2)))
    writer.submit(batch(entry(3)))
    writer.begin()
    gate.open()
    writer.close(clean=True)

    assert writer.persisted == 3
    assert waiter.count == 0
