"""The writer thread of a node, without a thread: group commit whose syncs take virtual time.

It stands in for ``raftcache.storage.writer.WalWriter`` and groups as that does: whatever came in
while the disk was busy goes into one frame with one sync. The log below it is the real one.
"""

from collections.abc import Callable
from random import Random

from raftcache.errors import DiskFailed
from raftcache.raft.types import Index
from raftcache.storage.wal import Batch, Wal
from raftcache.storage.writer import GROUP_BYTES_MAX

from .profile import CALM, Profile
from .scheduler import Scheduler

RETRY_US = 1_000_000
"""How often to see whether a full disk has room again."""
SLOW_FACTOR = 100


class SimulatedWriter:
    """Implements ``raftcache.node.ports.Storage``.

    Args:
        wal: the log, open.
        notify: called after each sync, after a failure, and when there is room again or no more.
        guarded: runs a step of the disk, unless the process is dead or stopped; then it runs
            when the process goes on, or never.
        on_durable: told which batches have just become durable.
        point: called where a process may die, with the place's name and the batches at stake.
    """

    def __init__(
        self,
        wal: Wal,
        scheduler: Scheduler,
        random: Random,
        profile: Profile,
        *,
        notify: Callable[[], None],
        guarded: Callable[[Callable[[], None]], None],
        on_durable: Callable[[list[Batch]], None],
        point: Callable[[str, list[Batch] | None], None],
    ) -> None:
        self.persisted = 0
        self.queued_bytes = 0
        self.has_room = wal.has_room
        self.size_bytes = wal.size_bytes
        self.failure: DiskFailed | None = None
        self.wal = wal
        self.held = False
        """True: the disk takes its time; nothing more becomes durable until it is False again."""
        self._scheduler = scheduler
        self._random = random
        self._profile = profile
        self._notify = notify
        self._guarded = guarded
        self._on_durable = on_durable
        self._point = point
        self._waiting: list[tuple[Batch, int]] = []
        self._under_way: list[Batch] = []
        self.overwrites = False
        """What is under way takes the place of entries that were written before."""
        self._busy = False
        self._finish: Callable[[], None] | None = None
        """Ends the write that is under way."""
        self._submitted = 0
        self._release_index: Index | None = None
        if not self.has_room:
            self._retry_later()

    @property
    def restart_under_way(self) -> Index:
        """Behind which entry the log restarts by what is written and not yet synced; 0: it doesn't.

        Whoever starts after a kill reads that back: the kernel has it, though nobody was told.
        """
        return max(
            (batch.base[0] for batch in self._under_way if batch.base is not None), default=0
        )

    @property
    def first_on_its_way(self) -> Index:
        """The first entry that is to be written, or to be synced; 0: none is."""
        batches = [*self._under_way, *(batch for batch, _ in self._waiting)]
        return min((batch.entries[0].index for batch in batches if batch.entries), default=0)

    def submit(self, batch: Batch) -> int:
        """Take a batch; its ticket is 1, 2, 3 and so on."""
        size = sum(len(entry.data) for entry in batch.entries)
        self._submitted += 1
        self.queued_bytes += size
        self._waiting.append((batch, size))
        self._start_soon()
        return self._submitted

    def go_on(self) -> None:
        """Let a held disk go on."""
        self.held = False
        self._start_soon()

    def release(self, index: Index) -> None:
        """Free segments whose entries are all at or before ``index``, after what was submitted."""
        self._release_index = index
        self._free_soon()

    def close(self, *, clean: bool) -> None:
        """Write all that waits, at once, and close the log."""
        if clean and self.failure is None:
            self.wal.sync()
            batches = [batch for batch, _ in self._waiting]
            if batches:
                self.wal.write(batches)
                self.wal.sync()
            self._on_durable([*self._under_way, *batches])
        self._waiting, self._under_way = [], []
        self.wal.close(clean=clean)

    def _start_soon(self) -> None:
        if self._waiting and not self._busy and not self.held:
            self._busy = True
            self._scheduler.after(1, lambda: self._guarded(self._start))

    def _start(self) -> None:
        group: list[Batch] = []
        size = 0
        while self._waiting and size < GROUP_BYTES_MAX:
            batch, batch_bytes = self._waiting.pop(0)
            group.append(batch)
            size += batch_bytes
        self._under_way = group
        self.overwrites = _overwrites(group, self.wal.last_index)
        self._point("write", group)
        try:
            self.wal.write(group)
        except DiskFailed as failure:
            self._fail(failure)
            return
        duration_us = self._random.randint(*self._profile.disk_us)
        if self._random.randrange(1000) < self._profile.slow_disk:
            duration_us *= SLOW_FACTOR
        self._finish = self._finisher(group, size)
        self._end_after(duration_us)

    def calm_down(self) -> None:
        """Be quick from now on, with what is under way too."""
        self._profile = CALM
        self.go_on()
        if self._finish is not None:
            self._end_after(1)

    def _end_after(self, delay_us: int) -> None:
        """Let the write that is under way end, unless it has by then."""
        finish = self._finish

        def end() -> None:
            if finish is not None and finish is self._finish:
                finish()

        self._scheduler.after(delay_us, lambda: self._guarded(end))

    def _finisher(self, group: list[Batch], size: int) -> Callable[[], None]:
        def finish() -> None:
            if self.held:
                self._end_after(1_000)
                return
            self._finish = None
            self._point("sync", group)
            try:
                self.wal.sync()
                self._under_way = []
                self._on_durable(group)
                self.persisted += len(group)
                self.queued_bytes -= size
                self.size_bytes = self.wal.size_bytes
                self._point("synced", group)
                self._notify()
                self._prepare()
            except DiskFailed as failure:
                self._fail(failure)
                return
            self._busy = False
            self._start_soon()
            self._free_soon()

        return finish

    def _free_soon(self) -> None:
        if self._release_index is not None:
            self._scheduler.after(1, lambda: self._guarded(self._free))

    def _free(self) -> None:
        """Free one segment, unless something is to be written first."""
        if self._busy or self._waiting or self._release_index is None:
            return
        try:
            more = self.wal.release(self._release_index, segments_max=1)
        except DiskFailed as failure:
            self._fail(failure)
            return
        self.size_bytes = self.wal.size_bytes
        if more:
            self._free_soon()
        else:
            self._release_index = None

    def _prepare(self) -> None:
        self.wal.prepare()
        if self.has_room != self.wal.has_room:
            self.has_room = self.wal.has_room
            self._notify()
            if not self.has_room:
                self._retry_later()

    def _retry_later(self) -> None:
        def retry() -> None:
            if self._busy:
                self._retry_later()
                return
            try:
                self._prepare()
            except DiskFailed as failure:
                self._fail(failure)
                return
            if not self.has_room:
                self._retry_later()

        self._scheduler.after(RETRY_US, lambda: self._guarded(retry))

    def _fail(self, failure: DiskFailed) -> None:
        self.failure = failure
        self._notify()


def _overwrites(group: list[Batch], last_index: Index) -> bool:
    for batch in group:
        if batch.base is not None:
            last_index = batch.base[0]
        if batch.entries:
            if batch.entries[0].index <= last_index:
                return True
            last_index = batch.entries[-1].index
    return False
