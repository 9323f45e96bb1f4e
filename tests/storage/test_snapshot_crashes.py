"""The power goes at every step of a snapshot's life, and what had been promised is kept.

Where the disk is made to lie, the same tests must find losses: the controls.
"""

from collections.abc import Callable
from itertools import count

import pytest

from orchestrator.simulation.disk import PowerCut, SimulatedDisk
from raftcache.errors import StorageError
from raftcache.raft.types import Entry, HardState
from raftcache.storage.recovery import Recovered
from raftcache.storage.snapshots import SnapshotReader

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
from .snapshots import empty_disk, meta, path_of, receiver_of, shelf_of, slices_of, take
from .test_crashes import SEEDS, cut_at_every_step

COUNT = 14


def sized(index: int, term: int = 1) -> Entry:
    return entry(index, term, data=bytes([index]) * (index * 379 % 2000))


def contents(index: int) -> list[bytes]:
    """Return what a snapshot of this index holds: a picture of all entries so far."""
    return [bytes([i]) * 150 for i in range(1, index + 1)]


class _Living:
    """Appends, takes a snapshot after every third entry, and frees the log behind them."""

    def __init__(self) -> None:
        self.begun = 0
        self.promised = 0

    def __call__(self, disk: SimulatedDisk) -> None:
        self.begun = self.promised = 0
        make(DIRECTORY, disk, segment_bytes=4096)
        wal, _ = reopen(DIRECTORY, disk, segment_bytes=4096)
        for index in range(1, COUNT + 1):
            self.begun = index
            append(wal, batch(sized(index), term=index))
            self.promised = index
            wal.prepare()
            if index % 3 == 0:
                take(disk, index, slices=contents(index))
                wal.release(shelf_of(disk).retain(2))
        wal.close(clean=True)


def lost(disk: SimulatedDisk, begun: int, promised: int) -> str:
    """Return what is wrong with a disk after a power cut, or nothing."""
    if begun == 0:
        return ""  # the cut came during bootstrap
    try:
        recovered = recovered_from(disk)
    except StorageError as error:
        return f"not opened: {error}"
    base = recovered.base[0]
    last = base + len(recovered.entries)
    if not promised <= last <= begun:
        return f"{promised} entries were promised, {last} are there"
    if recovered.entries != [sized(index) for index in range(base + 1, last + 1)]:
        return "entries have changed"
    if recovered.hard_state.current_term != last:
        return f"the term is {recovered.hard_state.current_term} and belongs to entry {last}"
    return wrong_snapshot(disk, recovered)


def wrong_snapshot(disk: SimulatedDisk, recovered: Recovered) -> str:
    base = recovered.base[0]
    if (recovered.snapshot is None) != (base == 0):
        return "the log begins where no snapshot ends"
    if recovered.snapshot is None:
        return ""
    if recovered.snapshot.meta != meta(base):
        return "position, members and revision are not of one moment"
    return "" if slices_of(disk, recovered.snapshot.path) == contents(base) else "other contents"


def test_no_promise_is_lost_at_any_power_cut() -> None:
    """While snapshots are written, named, replaced and stand for log (failures D3, D4, D7, D13)."""
    living = _Living()
    steps = 0
    bases = set()

    for disk in cut_at_every_step(living):
        steps += 1
        assert lost(disk, living.begun, living.promised) == ""
        if living.begun:
            bases.add(max(shelf_of(disk).positions(), default=(0, 0))[0])
            assert not [name for name in disk.names(DIRECTORY) if name.startswith("damaged")]

    assert steps > 100 * (1 + len(SEEDS))
    assert bases == {0, 3, 6, 9, 12}


class _LyingDisk(SimulatedDisk):
    """Claims success for a kind of call on snapshots, and does nothing."""

    lies_about = ""

    def sync(self, handle: int) -> None:
        path, _ = self._handles[handle]
        self.ignore_syncs = self.lies_about == "files" and path.endswith("snapshot-next.tmp")
        super().sync(handle)
        self.ignore_syncs = False

    def sync_directory(self, path: str) -> None:
        super().sync_directory(path)
        if self.lies_about == "names":
            for name in [name for name in self._durable_names if "/snapshot-0" in name]:
                del self._durable_names[name]


@pytest.mark.parametrize("lies_about", ["files", "names"])
def test_the_same_power_cuts_lose_promises_on_a_disk_that_lies(
    lies_about: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control: no fsync of the file, or none of the directory, is found (failures D7, E8)."""
    living = _Living()
    monkeypatch.setattr(_LyingDisk, "lies_about", lies_about)

    assert any(
        lost(disk, living.begun, living.promised)
        for disk in cut_at_every_step(living, new_disk=_LyingDisk)
    )


def test_segments_are_freed_so_that_no_crash_leaves_a_gap() -> None:
    """Oldest first, each removal durable before the next; names may come back in any order."""
    disk = SimulatedDisk()
    make(DIRECTORY, disk, segment_bytes=4096)
    wal, _ = reopen(DIRECTORY, disk, segment_bytes=4096)
    for index in range(1, 30):
        append(wal, batch(sized(index), term=1))
    take(disk, 29)
    before = disk.calls.copy()

    wal.release(29)

    made = disk.calls - before
    assert made["remove"] == made["sync_directory"] > 3


class _Installing:
    """Has a log with a tail that never committed; a snapshot arrives that contradicts it."""

    index, term = 9, 7

    def __init__(self, *, tail: int, matching: bool = False, more: int = 0) -> None:
        self.tail = tail
        self.matching = matching
        self.more = more
        self.published = False
        self.promised = 0

        self.before = SimulatedDisk()
        make(DIRECTORY, self.before, segment_bytes=4096)
        wal, _ = reopen(DIRECTORY, self.before, segment_bytes=4096)
        for index in range(1, tail + 1):
            append(wal, batch(self.entry(index), term=self.term))
        wal.close(clean=True)
        other = empty_disk()
        self.theirs = take(other, self.index, self.term, slices=contents(self.index))
        self.reader = SnapshotReader(other, self.theirs.path, CLUSTER_ID)

    def new_disk(self) -> SimulatedDisk:
        return copy_of(self.before)

    def __call__(self, disk: SimulatedDisk) -> None:
        self.published = False
        self.promised = 0
        wal, _ = reopen(DIRECTORY, disk, segment_bytes=4096)
        receiver = receiver_of(disk, self.theirs)
        while not receiver.complete:
            offset = receiver.received_bytes
            receiver.write(offset, self.reader.raw_read(offset, 500))
        receiver.verify()
        receiver.publish()
        self.published = True
        if not self.matching:
            append(wal, batch(base=(self.index, self.term)))
        wal.release(self.index)
        for index in range(self.next_index(), self.next_index() + self.more):
            append(wal, batch(self.entry(index)))
            self.promised = index
        wal.close(clean=True)

    def entry(self, index: int) -> Entry:
        """Return an entry of this log: behind the snapshot, always of its term."""
        agrees = self.matching or index > self.index
        return sized(index, self.term if agrees else 1)

    def next_index(self) -> int:
        return (self.tail if self.matching else self.index) + 1


@pytest.mark.parametrize("tail", [0, 4, 8, 9, 20])
def test_a_crash_at_any_step_of_an_install_leaves_the_old_log_or_the_snapshot(tail: int) -> None:
    """Never both, with a conflicting tail that would ask for a snapshot for ever (D2, D3, D4)."""
    installing = _Installing(tail=tail, more=3)
    seen = set()

    for disk in cut_at_every_step(installing, new_disk=installing.new_disk):
        recovered = recovered_from(disk)
        base, last = recovered.base[0], recovered.base[0] + len(recovered.entries)
        assert wrong_snapshot_of(disk, recovered, installing) == ""
        if installing.published:
            assert base == 9
        if base == 9:
            seen.add("snapshot")
            assert recovered.entries == [installing.entry(i) for i in range(10, last + 1)]
            assert max(9, installing.promised) <= last <= max(9, installing.promised) + 1
        else:
            seen.add("log")
            assert recovered.entries == [installing.entry(i) for i in range(1, last + 1)]
        again = recovered_from(disk)
        assert (again.base, again.entries) == (recovered.base, recovered.entries)
        assert not again.notes

    assert seen == {"snapshot", "log"}


@pytest.mark.parametrize("tail", [9, 20])
def test_a_snapshot_that_agrees_with_the_log_leaves_what_follows_it(tail: int) -> None:
    """Entries behind it were perhaps acknowledged: they stay (Figure 13, rule 6)."""
    installing = _Installing(tail=tail, matching=True, more=2)

    for disk in cut_at_every_step(installing, new_disk=installing.new_disk):
        recovered = recovered_from(disk)
        last = recovered.base[0] + len(recovered.entries)
        assert recovered.entries == [
            installing.entry(i) for i in range(recovered.base[0] + 1, last + 1)
        ]
        if installing.published:
            assert recovered.base == (9, 7)
            assert max(tail, installing.promised) <= last <= max(tail, installing.promised) + 1


def wrong_snapshot_of(disk: SimulatedDisk, recovered: Recovered, installing: _Installing) -> str:
    if recovered.snapshot is None:
        return "" if recovered.base == (0, 0) else "no snapshot"
    if recovered.snapshot.meta != meta(installing.index, installing.term):
        return "another snapshot"
    right = slices_of(disk, recovered.snapshot.path) == contents(installing.index)
    return "" if right else "other contents"


def interrupted(prepare: Callable[[], SimulatedDisk]) -> int:
    """Interrupt an opening at each step, and compare what is found afterwards with the first."""
    whole = recovered_from(prepare())
    for step in count(1):
        for keep in (False, True):  # a power cut, and a kill -9
            disk = prepare()
            disk.interrupt_at = step
            try:
                recovered_from(disk)
            except PowerCut:
                pass
            else:
                return step
            disk.kill_process() if keep else disk.lose_cache()
            disk.interrupt_at = None

            recovered = recovered_from(disk)

            assert (recovered.base, recovered.entries) == (whole.base, whole.entries)
            assert recovered.hard_state == whole.hard_state
            assert recovered.snapshot == whole.snapshot
    raise AssertionError("an opening ends")


def test_an_opening_that_falls_back_can_be_interrupted_anywhere() -> None:
    """A damaged snapshot is set aside, what was begun is removed, again and again (failure E10)."""

    def prepare() -> SimulatedDisk:
        disk = SimulatedDisk()
        living = _Living()
        living(disk)
        path = path_of(12)
        disk.overwrite(path, 300, b"rot")
        disk.put(f"{DIRECTORY}/snapshot-next.tmp", b"half")
        disk.put(f"{DIRECTORY}/incoming-x", b"half")
        return disk

    assert recovered_from(prepare()).base == (9, 1)
    assert interrupted(prepare) > 8


def test_an_opening_that_restarts_the_log_can_be_interrupted_anywhere() -> None:
    """The restart is durable before an entry can follow there (failures D2, D4)."""

    def prepare() -> SimulatedDisk:
        disk = SimulatedDisk()
        make(DIRECTORY, disk, segment_bytes=4096)
        wal, _ = reopen(DIRECTORY, disk, segment_bytes=4096)
        for index in range(1, 21):
            append(wal, batch(sized(index), term=3, vote="n2#1"))
        wal.close(clean=True)
        take(disk, 9, 7)
        return disk

    recovered = recovered_from(prepare())
    assert (recovered.base, recovered.entries) == ((9, 7), [])
    assert recovered.hard_state == HardState(7), "a term that this node has not voted in"
    assert recovered.notes == [
        "the log ended at 20@1 without the snapshot's 9@7: it goes on behind the snapshot"
    ]
    assert interrupted(prepare) > 5


def test_the_log_goes_on_behind_a_restart_that_opening_made() -> None:
    disk = SimulatedDisk()
    make(DIRECTORY, disk, segment_bytes=4096)
    wal, _ = reopen(DIRECTORY, disk, segment_bytes=4096)
    append(wal, batch(*(sized(index) for index in range(1, 13)), term=1))
    wal.close(clean=True)
    take(disk, 9, 7)
    wal, _ = reopen(DIRECTORY, disk, segment_bytes=4096)

    append(wal, batch(sized(10, 7), sized(11, 7)))
    wal.close(clean=True)

    recovered = recovered_from(disk)
    assert recovered.entries == [sized(10, 7), sized(11, 7)]
    assert recovered.base == (9, 7)
