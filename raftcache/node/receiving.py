"""A follower's side of a snapshot (§7, Figure 13): received, checked, durable, then put in force.

The file is checked as a whole before the core hears of it; from then on nothing is applied until
the state machine has been restored from it, a slice per turn. The former one is freed at the same
time, for the two together would take twice the memory; nobody reads from either.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..errors import CorruptRecord, DiskFailed, RaftCacheError
from ..protocol.peer import SnapshotAck, SnapshotChunk
from ..raft.core import Raft, SnapshotPosition
from ..raft.snapshot import is_of_use
from ..raft.types import Index, Role, ServerId, Term
from ..storage.snapshot_receiver import SnapshotReceiver
from ..storage.snapshots import SnapshotFailed, SnapshotReader, StoredSnapshot
from ..store.machine import StateMachine, StoreLimits
from ..store.restore import Restorer
from .events import EventBridge, name_of
from .outbox import Outbox
from .snapshots import Snapshots, SnapshotSetup, check_position, position_of

CHUNKS_QUEUED_MAX = 64
"""Chunks that may wait for the disk; what comes beyond that is dropped, and sent again."""
SLICES_AHEAD = 16
"""Slices of a snapshot that are read ahead while it is restored."""
REST_TICKS = 100
"""How long to take no chunks after the disk refused some, or not to read after it refused that."""
ATTEMPTS_MAX = 10
"""How often a snapshot in force that the file system won't let us read is tried."""


class _File(NamedTuple):
    """Which file chunks are of: two nodes' snapshots of one position differ in bytes."""

    last_index: Index
    last_term: Term
    size_bytes: int
    check: int


class _Receiving:
    """One file on its way in. Its methods run on the worker's thread, in order."""

    def __init__(self, setup: SnapshotSetup, file: _File) -> None:
        self.file = file
        self.queued = 0
        """Chunks that wait for the disk; the loop counts them."""
        self._setup = setup
        self._receiver: SnapshotReceiver | None = None
        self._failure: RaftCacheError | None = None

    def write(self, offset: int, data: bytes) -> int:
        """Take a chunk; return up to where there is no gap. After an error there are only more."""
        if self._failure is not None:
            raise self._failure
        try:
            return self._open().write(offset, data)
        except RaftCacheError as error:
            self._failure = error
            self.abort()
            raise

    def verify_and_publish(self) -> StoredSnapshot:
        """Read the file back; give it its name if it is sound, else leave nothing of it."""
        receiver = self._open()
        try:
            receiver.verify()
            return receiver.publish()
        except RaftCacheError:
            receiver.abort()
            raise

    def abort(self) -> None:
        """Leave nothing of the file."""
        if self._receiver is not None:
            self._receiver.abort()

    def _open(self) -> SnapshotReceiver:
        if self._receiver is None:
            setup, file = self._setup, self.file
            self._receiver = SnapshotReceiver(
                setup.files,
                setup.directory,
                setup.cluster_id,
                last_included_index=file.last_index,
                last_included_term=file.last_term,
                size_bytes=file.size_bytes,
                check=file.check,
            )
        return self._receiver


class SnapshotInstaller:
    """Receives a leader's snapshot, and puts it in force once all of it is checked and durable."""

    def __init__(
        self,
        setup: SnapshotSetup,
        raft: Raft,
        outbox: Outbox,
        snapshots: Snapshots,
        events: EventBridge,
        replace_store: Callable[[StateMachine], None],
    ) -> None:
        self._setup = setup
        self._raft = raft
        self._outbox = outbox
        self._snapshots = snapshots
        self._events = events
        self._replace_store = replace_store
        self._receiving: _Receiving | None = None
        self._is_checking = False
        self._restoring: _Restoring | None = None
        self._rest_ticks = 0

    @property
    def has_work(self) -> bool:
        """Tell whether a snapshot is on its way in, or is being put in force."""
        return self._receiving is not None or self._restoring is not None

    @property
    def has_more(self) -> bool:
        """Tell whether the next turn can go on restoring."""
        return self._restoring is not None and self._restoring.has_slices

    @property
    def is_restoring(self) -> bool:
        """Tell whether there is no state machine to read from now."""
        return self._restoring is not None or self._raft.state.needs_snapshot > 0

    def on_chunk(self, source: ServerId, chunk: SnapshotChunk) -> None:
        """Take one chunk; the core has seen its head."""
        head, state = chunk.head, self._raft.state
        if state.role is not Role.FOLLOWER or state.leader_id != source:
            return
        if not is_of_use(state, head.last_included_index):
            configuration = state.configuration
            self._raft.install_snapshot(
                SnapshotPosition(head.last_included_index, head.last_included_term, configuration)
            )
            return
        if self._is_checking or self._restoring is not None or self._rest_ticks:
            return  # One at a time (failure D8); the sender asks again.
        file = _File(
            head.last_included_index, head.last_included_term, chunk.size_bytes, chunk.check
        )
        receiving = self._receiving
        if receiving is None or receiving.file != file:
            receiving = self._begin(source, file)
        if receiving.queued < CHUNKS_QUEUED_MAX:
            receiving.queued += 1
            self._setup.runner.submit(
                lambda: receiving.write(chunk.offset, chunk.data),
                lambda offset: self._on_written(source, receiving, offset),
            )

    def on_tick(self) -> None:
        """Let one tick pass."""
        if self._rest_ticks:
            self._rest_ticks -= 1
        if self._restoring is not None:
            self._restoring.on_tick()

    def on_turn(self) -> None:
        """Restore one slice of the snapshot that is being put in force."""
        self._drop_superfluous()
        restoring = self._restoring
        if restoring is None:
            return
        store = restoring.step(self._setup)
        if store is None:
            return
        self._restoring = None
        self._replace_store(store)
        self._raft.pause_apply(paused=False)
        self._snapshots.adopt(restoring.stored, store)
        index = restoring.stored.meta.last_included_index
        self._events.tell("snapshot_installed", self._raft.current_term, index=index)

    def _begin(self, source: ServerId, file: _File) -> _Receiving:
        self._give_up_receiving()
        self._receiving = receiving = _Receiving(self._setup, file)
        self._events.tell(
            "snapshot_receiving",
            self._raft.current_term,
            source=name_of(source),
            index=file.last_index,
        )
        return receiving

    def _give_up_receiving(self) -> None:
        receiving, self._receiving = self._receiving, None
        if receiving is not None:
            self._setup.runner.submit(receiving.abort, lambda _: None)

    def _drop_superfluous(self) -> None:
        """Free the space of a file that will never be completed: what it holds is here already."""
        receiving, state = self._receiving, self._raft.state
        if receiving is None or self._is_checking:
            return
        if state.role is Role.LEADER or not is_of_use(state, receiving.file.last_index):
            self._give_up_receiving()

    def _on_written(
        self, source: ServerId, receiving: _Receiving, offset: int | RaftCacheError
    ) -> None:
        receiving.queued -= 1
        if receiving is not self._receiving or self._is_checking:
            return
        if isinstance(offset, RaftCacheError):
            self._receiving = None
            self._on_failure(offset)
            return
        self._ack(source, receiving.file, offset)
        if offset == receiving.file.size_bytes:
            self._is_checking = True
            self._setup.runner.submit(
                receiving.verify_and_publish,
                lambda stored: self._on_published(source, receiving.file, stored),
            )

    def _on_published(
        self, source: ServerId, file: _File, stored: StoredSnapshot | RaftCacheError
    ) -> None:
        self._is_checking = False
        self._receiving = None
        if isinstance(stored, CorruptRecord):
            self._ack(source, file, 0, damaged=True)
            self._tell_failure(stored)
            return
        if isinstance(stored, RaftCacheError):
            self._on_failure(stored)
            return
        if self._raft.is_leader:
            return  # A leader has all that is committed, so also what this snapshot holds.
        index, term = position_of(stored.meta)
        position = SnapshotPosition(index, term, stored.meta.configuration)
        if self._raft.install_snapshot(position):
            self._snapshots.abandon("a leader's snapshot takes its place")
            self._raft.pause_apply(paused=True)
            self._replace_store(self._snapshots.give_up_state())
            self._restoring = _Restoring(stored)

    def _ack(self, source: ServerId, file: _File, offset: int, *, damaged: bool = False) -> None:
        self._outbox.add_ack(source, SnapshotAck(file.last_index, file.check, offset, damaged))

    def _on_failure(self, error: RaftCacheError) -> None:
        self._rest_ticks = REST_TICKS
        self._tell_failure(error)

    def _tell_failure(self, error: RaftCacheError) -> None:
        self._events.tell("snapshot_failed", self._raft.current_term, reason=str(error))


class _Restoring:
    """A state machine that is being built from a snapshot."""

    def __init__(self, stored: StoredSnapshot) -> None:
        self.stored = stored
        self._restorer = Restorer(StoreLimits())
        self._slices: deque[bytes] = deque()
        self._reader: SnapshotReader | None = None
        self._source: Iterator[bytes] = iter(())
        self._is_reading = False
        self._is_read = False
        self._rest_ticks = 0
        self._attempts = 1

    def on_tick(self) -> None:
        """Let one tick pass."""
        if self._rest_ticks:
            self._rest_ticks -= 1

    @property
    def has_slices(self) -> bool:
        """Tell whether there is something to do without waiting for the disk."""
        return bool(self._slices) or self._is_read

    def step(self, setup: SnapshotSetup) -> StateMachine | None:
        """Take in one slice, reading ahead; return the state machine when it is complete."""
        if self._slices:
            self._restorer.feed(self._slices.popleft())
        elif self._is_read:
            return check_position(self._restorer.finish(), self.stored)
        may_read = not (self._is_reading or self._is_read or self._rest_ticks)
        if may_read and len(self._slices) < SLICES_AHEAD // 2:
            self._is_reading = True
            setup.runner.submit(lambda: self._read(setup), self._on_slices)
        return None

    def _read(self, setup: SnapshotSetup) -> list[bytes]:
        """Read some slices, on the worker's thread."""
        if self._reader is None:
            self._reader = setup.shelf.open(position_of(self.stored.meta))
            self._source = self._reader.slices()
        found: list[bytes] = []
        try:
            for piece in self._source:
                found.append(piece)
                if len(found) >= SLICES_AHEAD:
                    return found
        except RaftCacheError:
            self._reader.close()
            self._reader = None
            raise
        self._reader.close()
        return found

    def _on_slices(self, slices: list[bytes] | RaftCacheError) -> None:
        if isinstance(slices, SnapshotFailed) and self._attempts < ATTEMPTS_MAX:
            # The file system may let us some other time: no descriptor was free, for example.
            self._begin_again()
            return
        if isinstance(slices, RaftCacheError):
            # It was sound a moment ago, and the log before it is gone: this life can't go on. The
            # next one reads all of it again, and knows what else there is.
            raise DiskFailed(f"a snapshot that was just checked can't be read: {slices}")
        self._is_reading = False
        self._is_read = len(slices) < SLICES_AHEAD
        self._slices.extend(slices)

    def _begin_again(self) -> None:
        self._attempts += 1
        self._rest_ticks = REST_TICKS
        self._restorer = Restorer(StoreLimits())
        self._slices.clear()
        self._is_reading = False
