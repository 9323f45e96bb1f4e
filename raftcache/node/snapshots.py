"""Snapshots of this node: when one is taken, how it is cut into slices, what goes afterwards (§7).

The state machine is read in slices, one per turn of the loop and not many per tick; a slice goes to
the worker's thread, which writes it. Only when the whole file is durable does the log lose anything
that somebody may need: in memory all but a tail for followers that are a little behind, on disk
what the oldest kept snapshot holds. A snapshot that fails costs nothing but itself: the log is
still there.
"""

from collections import deque
from collections.abc import Callable
from itertools import islice
from random import Random
from typing import NamedTuple, Protocol, TypeVar

import msgspec

from ..errors import CorruptRecord, RaftCacheError
from ..raft.core import Raft
from ..raft.types import Index, Term
from ..storage.files import Files
from ..storage.snapshot_shelf import SnapshotShelf
from ..storage.snapshots import SnapshotMeta, SnapshotWriter, StoredSnapshot
from ..store.machine import StateMachine, StoreLimits
from .events import EventBridge
from .pace import Pace
from .ports import Storage
from .shedding import ENTRY_OVERHEAD_BYTES, AppliedLog
from .taking import Taking

_T = TypeVar("_T")

SLICES_QUEUED_MAX = 8
"""Slices that may wait for the disk; then no more are cut until it has caught up."""
KEYS_FREED_PER_TURN = 1_000
RETRY_TICKS = 1_000
"""How long to leave the disk alone after a snapshot failed."""
NEEDED_RETRY_TICKS = 100
"""The same where a follower waits for one: a majority may need him."""


class JobRunner(Protocol):
    """Runs file work elsewhere: a ``Worker`` in a process, the scheduler in a simulation."""

    def submit(self, job: Callable[[], _T], done: Callable[[_T | RaftCacheError], None]) -> None:
        """Let ``job`` run; ``done`` gets its result, or the error of ours that it raised."""


class SnapshotSizes(msgspec.Struct, frozen=True, kw_only=True):
    """Into what pieces snapshots are cut, and how much log stays in memory; all in bytes."""

    slice_bytes: int = 16 * 1024
    """What one turn of the loop cuts."""
    pace_bytes: int = 128 * 1024
    """What a tick cuts at the most, for a while; then more and more (``pace``)."""
    chunk_bytes: int = 64 * 1024
    """What one message to a follower holds."""
    applied_bytes: int = 8 * 1024 * 1024
    """Applied entries that stay in memory though no follower is known to lack them."""
    tail_bytes: int = 4 * 1024 * 1024
    """Entries behind a snapshot that stay in memory for followers that are a little behind."""
    held_bytes: int = 64 * 1024 * 1024
    """The most that stays in memory for a follower that is being sent a snapshot, unless that
    snapshot is larger."""


class Hold(NamedTuple):
    """What of the log the followers still need."""

    behind: Index | None
    """What comes after this entry; None: nothing more than the tail."""
    size_bytes: int
    """Of the largest snapshot that is or was on its way to them."""


class SnapshotSetup(msgspec.Struct, frozen=True):
    """Where snapshots live and when they are taken."""

    files: Files
    directory: str
    cluster_id: str
    shelf: SnapshotShelf
    runner: JobRunner
    newest: StoredSnapshot | None
    """What the node has been restored from."""
    log_bytes: int
    """Bytes of log after which a snapshot is taken, more or less: each node draws its own."""
    kept: int
    """How many snapshots stay on disk, 1 or more; the log reaches back to the oldest."""
    sizes: SnapshotSizes = SnapshotSizes()
    give_back: Callable[[], None] | None = None
    """Gives freed memory back to the system, where the jobs run; None: it needs no such thing."""


class Snapshots:
    """Takes snapshots of one node's state machine, one at a time."""

    def __init__(
        self,
        setup: SnapshotSetup,
        raft: Raft,
        store: StateMachine,
        storage: Storage,
        events: EventBridge,
        random: Random,
    ) -> None:
        self._setup = setup
        self._raft = raft
        self._store = store
        self._storage = storage
        self._events = events
        self._random = random
        self._taking: Taking | None = None
        self._dismantling: deque[StateMachine] = deque()
        self._log_bytes = 0
        self._due_bytes = self._draw_due()
        self._rest_ticks = 0
        self._waiting: list[Callable[[StoredSnapshot | RaftCacheError], None]] = []
        self.newest = setup.newest
        self.hold: Callable[[], Hold] = lambda: Hold(None, 0)
        """Asked what the followers still need of the log (``sending``)."""
        self._applied = AppliedLog(
            raft,
            applied_bytes=setup.sizes.applied_bytes,
            give_back=self._give_back,
        )

    @property
    def has_work(self) -> bool:
        """Tell whether a snapshot is being taken, or what one has replaced is being freed."""
        return self._taking is not None or bool(self._dismantling)

    @property
    def has_more(self) -> bool:
        """Tell whether the next turn has work to do."""
        return self._may_cut or bool(self._dismantling)

    @property
    def _may_cut(self) -> bool:
        taking = self._taking
        return (
            taking is not None
            and taking.writer is not None
            and not taking.read_to_end
            and taking.queued < SLICES_QUEUED_MAX
            and taking.pace.allows_more
        )

    def on_applied(self, size_bytes: int) -> None:
        """Count an entry that the state machine has applied."""
        self._log_bytes += size_bytes + ENTRY_OVERHEAD_BYTES
        self._applied.on_applied(size_bytes)

    def on_tick(self) -> None:
        """Begin a snapshot when the log has grown enough (§7); shorten what is in memory."""
        self._applied.on_tick()
        if self._taking is not None:
            self._taking.pace.on_tick()
        if self._rest_ticks:
            self._rest_ticks -= 1
        elif self._log_bytes >= self._due_bytes:
            self.begin()

    def on_turn(self) -> None:
        """Cut one slice, if the disk keeps up."""
        if self._may_cut:
            self._cut()
        if self._dismantling and self._dismantling[0].dismantle(KEYS_FREED_PER_TURN):
            self._dismantling.popleft()

    def wait_for_one(self, done: Callable[[StoredSnapshot | RaftCacheError], None]) -> None:
        """Take a snapshot now, or wait for the one under way; ``done`` gets it, or why not."""
        self._waiting.append(done)
        if self._taking is None:
            self.begin()

    def begin_for_follower(self, needed: Index, *, hurry: bool) -> None:
        """Begin one for a follower, but leave a disk alone that has just refused one.

        One that is under way is given up if it ends before ``needed``, the first entry that would
        help. ``hurry``: nothing is committed without that follower, so that it is not paced.
        """
        taking = self._taking
        if taking is not None and taking.meta.last_included_index < needed:
            self._give_up()  # Whoever waits for it gets the next one.
        if self._rest_ticks <= RETRY_TICKS - NEEDED_RETRY_TICKS:
            self.begin()
        if hurry and self._taking is not None:
            self._taking.pace.hurry()

    def begin(self) -> None:
        """Fix what the snapshot will hold: all that is applied at this moment."""
        if self._taking is not None:
            return
        if self._raft.state.apply_paused:
            self._tell_waiting(RaftCacheError("a leader's snapshot is awaited or put in force"))
            return
        index = self._store.last_applied
        term = self._raft.state.log.term_at(index)
        if term is None or (self.newest is not None and _index(self.newest) >= index):
            self._log_bytes = 0
            self._tell_waiting(self.newest or RaftCacheError("there is nothing to take yet"))
            return
        run = self._store.begin_snapshot()
        configuration, store_rev = self._raft.configuration_at(index), self._store.store_rev
        meta = SnapshotMeta(index, term, configuration, store_rev, run.contents_version)
        pace = Pace(self._setup.sizes.pace_bytes)
        self._taking = taking = Taking(run, meta, pace)
        self._log_bytes = 0
        self._due_bytes = self._draw_due()
        self._events.tell("snapshot_started", self._raft.current_term, index=index)
        setup = self._setup
        setup.runner.submit(
            lambda: SnapshotWriter(setup.files, setup.directory, setup.cluster_id, meta),
            lambda writer: self._on_writer(taking, writer),
        )

    def abandon(self, why: str) -> None:
        """Give the snapshot under way up: the state that it reads is about to be replaced."""
        if self._taking is not None:
            self._give_up()
            self._tell_waiting(RaftCacheError(why))

    def give_up_state(self) -> StateMachine:
        """Free the state, bit by bit, which a leader's snapshot will replace; return an empty one.

        Assumes that nothing is applied until the snapshot is adopted.
        """
        assert self._taking is None, "no snapshot is taken of what is freed"
        self._dismantling.append(self._store)
        self._store = StateMachine(StoreLimits())
        return self._store

    def adopt(self, stored: StoredSnapshot, store: StateMachine) -> None:
        """Go on from a snapshot that a leader has sent."""
        self._store = store
        self._log_bytes = 0
        self._applied.begin_anew()
        self._after(stored)

    def _give_up(self) -> None:
        taking, self._taking = self._taking, None
        assert taking is not None, "the caller looked"
        taking.run.abort()
        if taking.writer is not None:
            self._setup.runner.submit(taking.writer.abort, lambda _: None)

    def _on_writer(self, taking: Taking, writer: SnapshotWriter | RaftCacheError) -> None:
        if isinstance(writer, RaftCacheError):
            self._fail(taking, writer)
        elif taking is self._taking:
            taking.writer = writer
        else:
            self._setup.runner.submit(writer.abort, lambda _: None)

    def _cut(self) -> None:
        taking = self._taking
        assert taking is not None, "the caller asked _may_cut"
        writer = taking.writer
        assert writer is not None, "the caller asked _may_cut"
        piece = taking.run.next_slice(self._setup.sizes.slice_bytes)
        taking.queued += 1
        if piece is None:
            taking.read_to_end = True
            self._setup.runner.submit(
                lambda: taking.finish(writer), lambda stored: self._finish(taking, stored)
            )
        else:
            data = piece
            taking.pace.on_cut(len(data))
            self._setup.runner.submit(
                lambda: taking.write(writer, data), lambda error: self._on_written(taking, error)
            )

    def _on_written(self, taking: Taking, error: RaftCacheError | None) -> None:
        taking.queued -= 1
        if error is not None:
            self._fail(taking, error)

    def _finish(self, taking: Taking, stored: StoredSnapshot | RaftCacheError) -> None:
        if isinstance(stored, RaftCacheError):
            self._fail(taking, stored)
            return
        if taking is self._taking:
            self._taking = None
        self._events.tell(
            "snapshot_taken", self._raft.current_term, index=_index(stored), bytes=stored.size_bytes
        )
        self._after(stored)
        self._applied.give_back()
        self._tell_waiting(stored)

    def _fail(self, taking: Taking, error: RaftCacheError) -> None:
        if taking is not self._taking:
            return
        self._taking = None
        taking.run.abort()
        self._rest_ticks = RETRY_TICKS
        self._log_bytes = self._due_bytes
        self._events.tell("snapshot_failed", self._raft.current_term, reason=str(error))
        self._tell_waiting(error)

    def _after(self, stored: StoredSnapshot) -> None:
        """Let go of what the durable snapshot makes superfluous."""
        if self.newest is None or _index(stored) >= _index(self.newest):
            self.newest = stored
        index = self._tail_start(_index(stored))
        self._events.tell("compacted", self._raft.current_term, index=index)
        self._applied.let_go(index)
        kept = self._setup.kept
        self._setup.runner.submit(lambda: self._setup.shelf.retain(kept), self._on_retained)

    def _on_retained(self, index: Index | RaftCacheError) -> None:
        if isinstance(index, RaftCacheError):
            self._events.tell("snapshot_failed", self._raft.current_term, reason=str(index))
        elif index > 0:
            self._storage.release(index)

    def _tail_start(self, index: Index) -> Index:
        """Return up to where the log in memory may go, leaving a tail before ``index``.

        A follower that is being sent a snapshot goes on behind it: so far the log is kept too,
        within bounds, or the follower would need another one at once. The bound grows with the
        snapshot: whoever writes faster than it is sent would outrun any follower anyway.
        """
        log, sizes = self._raft.state.log, self._setup.sizes
        needed, sent_bytes = self.hold()
        held_bytes = max(sizes.held_bytes, sent_bytes)
        size = 0
        # Newest first. With small entries these are many, and a turn must not take long.
        for entry in islice(reversed(log.entries), log.last_index - index, None):
            size += len(entry.data) + ENTRY_OVERHEAD_BYTES
            if size > sizes.tail_bytes and (
                needed is None or entry.index <= needed or size > held_bytes
            ):
                return entry.index
        return log.base_index

    def _give_back(self) -> None:
        if self._setup.give_back is not None:
            self._setup.runner.submit(self._setup.give_back, lambda _: None)

    def _tell_waiting(self, outcome: StoredSnapshot | RaftCacheError) -> None:
        waiting, self._waiting = self._waiting, []
        for done in waiting:
            done(outcome)

    def _draw_due(self) -> int:
        """Draw when the next one is due: nodes that all took theirs at once would all be slow."""
        return int(self._setup.log_bytes * self._random.uniform(0.75, 1.25))


def _index(stored: StoredSnapshot) -> Index:
    return stored.meta.last_included_index


def position_of(meta: SnapshotMeta) -> tuple[Index, Term]:
    """Return the index and term that a snapshot ends with."""
    return meta.last_included_index, meta.last_included_term


def check_position(store: StateMachine, stored: StoredSnapshot) -> StateMachine:
    """Return the store, if its contents end where the file's name and header say.

    Raises:
        CorruptRecord: they don't: the log behind it would not fit.
    """
    index = stored.meta.last_included_index
    if store.last_applied != index:
        raise CorruptRecord(
            f"{stored.path} holds the state after entry {store.last_applied}, not {index}",
            path=stored.path,
            offset=0,
        )
    return store
