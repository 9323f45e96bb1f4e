"""The power goes at every single step, and what had been promised is kept.

Each test runs a piece of work again and again, and cuts the power one change later every time,
once with all that was not synced lost, and several times with a random part of it kept.
"""

from collections.abc import Callable, Iterator
from random import Random

import pytest

from orchestrator.simulation.disk import PowerCut, SimulatedDisk
from raftcache.errors import StorageError, WrongDirectory
from raftcache.raft.types import Entry

from ..effort import scaled
from .builders import DIRECTORY, append, batch, copy_of, entry, make, recovered_from, reopen

SEEDS = range(scaled(16))


def cut_at_every_step(
    work: Callable[[SimulatedDisk], object],
    *,
    new_disk: Callable[[], SimulatedDisk] = SimulatedDisk,
) -> Iterator[SimulatedDisk]:
    """Yield the disk as each possible power cut during ``work`` leaves it."""
    step = 0
    finished = False
    while not finished:
        step += 1
        for seed in (None, *SEEDS):
            disk = new_disk()
            disk.interrupt_at = step
            try:
                work(disk)
            except PowerCut:
                pass
            else:
                finished = True
            if seed is None:
                disk.lose_cache()
            else:
                disk.crash(Random(seed))
            yield disk


def test_bootstrap_interrupted_anywhere_is_completed_by_the_next() -> None:
    """Killed midway and repeated, ``up`` goes on; until then nothing can be opened (failure E8)."""
    count = 0

    for disk in cut_at_every_step(lambda disk: make(DIRECTORY, disk)):
        count += 1
        try:
            recovered_from(disk)
        except WrongDirectory:
            pass
        else:
            assert disk.names(DIRECTORY), "only a complete directory opens"
        make(DIRECTORY, disk)

        assert recovered_from(disk).entries == []

    assert count > 60, "bootstrap has many steps"


class _Writing:
    """Appends entries of several sizes over several segments, and knows what was promised."""

    def __init__(self, *, ignore_syncs: bool = False) -> None:
        self.ignore_syncs = ignore_syncs
        self.begun = 0
        self.promised = 0

    def __call__(self, disk: SimulatedDisk) -> None:
        self.begun = self.promised = 0
        make(DIRECTORY, disk, segment_bytes=4096)
        wal, _ = reopen(DIRECTORY, disk, segment_bytes=4096)
        disk.ignore_syncs = self.ignore_syncs
        for index in range(1, 13):
            self.begun = index
            append(wal, batch(sized(index), term=index, vote=f"n{index}#1"))
            self.promised = index
            wal.prepare()
        wal.close(clean=True)


def sized(index: int) -> Entry:
    return entry(index, term=index, data=bytes([index]) * (index * 379 % 2000))


def lost_promise(disk: SimulatedDisk, writing: _Writing) -> str:
    """Return what is wrong with a disk after a power cut, or nothing."""
    if writing.begun == 0:
        return ""  # the cut came during bootstrap
    try:
        recovered = recovered_from(disk)
    except StorageError as error:
        return f"not opened: {error}"
    count = len(recovered.entries)
    if not writing.promised <= count <= writing.begun:
        return f"{writing.promised} entries were promised, {count} are there"
    if recovered.entries != [sized(index) for index in range(1, count + 1)]:
        return "entries have changed"
    if recovered.hard_state.current_term != count:
        return "term and entries were written in one frame and are not of one moment"
    return ""


def test_no_promised_write_is_lost_at_any_power_cut() -> None:
    """Whatever survives of the unsynced, across rolls to new segments (failures E1, E4, E7, E8)."""
    writing = _Writing()
    count = 0

    for disk in cut_at_every_step(writing):
        count += 1
        assert lost_promise(disk, writing) == ""

    assert count > 500, "there are many steps"


def test_the_same_power_cuts_lose_writes_if_fsync_does_nothing() -> None:
    """The control: with a disk that lies, the test above must fail (failure E7)."""
    writing = _Writing(ignore_syncs=True)

    lost = [lost_promise(disk, writing) for disk in cut_at_every_step(writing)]

    assert any("were promised" in why for why in lost)


def test_a_killed_process_loses_nothing_that_was_written() -> None:
    """Not even under durability ``os``: the kernel has it (failure E12)."""
    disk = SimulatedDisk()
    make(DIRECTORY, disk, segment_bytes=4096)
    wal, _ = reopen(DIRECTORY, disk, segment_bytes=4096, durability="os")
    for index in range(1, 13):
        append(wal, batch(sized(index), term=index))

    disk.kill_process()

    wal, recovered = reopen(DIRECTORY, disk, segment_bytes=4096, durability="os")
    assert recovered.entries == [sized(index) for index in range(1, 13)]


def test_opening_interrupted_anywhere_can_be_repeated() -> None:
    """Recovery clears, removes and writes again; a power cut during that loses nothing."""

    def torn_log(disk: SimulatedDisk) -> None:
        """Leave a log whose last frame is torn, and whose roll to a segment is not finished."""
        make(DIRECTORY, disk, segment_bytes=4096)
        wal, _ = reopen(DIRECTORY, disk, segment_bytes=4096)
        append(wal, batch(sized(1), term=1))
        append(wal, batch(sized(2), term=2))
        wal.write([batch(sized(3), term=3)])
        disk.cut_power(keep=lambda _path, sector: sector % 2 == 1, names_kept=0)

    prepared = SimulatedDisk()
    torn_log(prepared)
    assert recovered_from(copy_of(prepared)).torn_bytes > 0
    step = 0
    while True:
        step += 1
        for seed in SEEDS:
            disk = copy_of(prepared)
            disk.interrupt_at = step
            try:
                recovered_from(disk)
            except PowerCut:
                pass
            else:
                assert step > 5, "recovery changes several things"
                return
            disk.crash(Random(seed))

            assert recovered_from(disk).entries == [sized(1), sized(2)]


def test_two_power_cuts_in_a_row_lose_nothing() -> None:
    """What recovery read is durable before anyone acts on it, even if it was in the cache only."""
    for step in range(1, 400):
        disk = SimulatedDisk()
        writing = _Writing()
        disk.interrupt_at = step
        try:
            writing(disk)
        except PowerCut:
            pass
        else:
            return
        if writing.begun == 0:
            continue
        disk.interrupt_at = None
        disk.kill_process()
        first = recovered_from(disk)

        disk.lose_cache()

        assert recovered_from(disk).entries == first.entries
    pytest.fail("the work takes fewer steps than that")
