"""Snapshots on their way between nodes (§7, Figure 13): chunks, a window, resumed after loss.

Chunks travel on a socket of their own, so that no heartbeat ever waits behind one. The receiver
says up to where it has the file without a gap; the sender goes on there, again and again if need
be. What the files hold is checked as a whole before it is put in force.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from ..errors import CorruptRecord, RaftCacheError
from ..protocol.peer import PeerFrame, SnapshotAck, SnapshotChunk, encode_peer_frame
from ..raft.core import Raft, SnapshotPosition
from ..raft.messages import InstallSnapshot
from ..raft.types import Index, Role, ServerId
from ..storage.snapshot_receiver import SnapshotReceiver
from ..storage.snapshots import SnapshotReader, StoredSnapshot
from ..store.machine import StateMachine, StoreLimits
from ..store.restore import Restorer
from .events import EventBridge, name_of
from .outbox import Outbox
from .snapshots import Snapshots, SnapshotSetup, position_of

CHUNK_BYTES = 64 * 1024
WINDOW_BYTES = 16 * CHUNK_BYTES
"""How much may be unacknowledged, per follower: what a slow one costs the leader."""
QUIET_TICKS_MAX = 20
"""Ticks without a word from the receiver, after which the sender goes back to what it has."""
SLICES_AHEAD = 16
"""Slices of a snapshot that are read ahead while it is restored."""


class Bulk(NamedTuple):
    """A frame with a chunk, for the bulk socket to one peer."""

    peer: ServerId
    frame: bytes


class _Sending:
    """One follower's transfer."""

    def __init__(self, stored: StoredSnapshot, term: int) -> None:
        self.stored = stored
        self.term = term
        self.reader: SnapshotReader | None = None
        self.acked = 0
        self.next = 0
        self.quiet_ticks = 0
        self.is_reading = False


class SnapshotSender:
    """Sends this leader's newest snapshot to the followers that need one."""

    def __init__(
        self,
        setup: SnapshotSetup,
        raft: Raft,
        snapshots: Snapshots,
        events: EventBridge,
        *,
        source: ServerId,
    ) -> None:
        self._setup = setup
        self._raft = raft
        self._snapshots = snapshots
        self._events = events
        self._source = source
        self._by_peer: dict[ServerId, _Sending] = {}
        self._bulk: list[Bulk] = []

    def on_turn(self) -> None:
        """Begin, go on with or end transfers, as the followers need."""
        in_need = self._raft.peers_in_need_of_snapshot
        for peer in [peer for peer in self._by_peer if peer not in in_need]:
            self._end(peer)
        for peer in in_need:
            sending = self._by_peer.get(peer)
            if sending is not None and self._is_over(peer, sending):
                self._end(peer)
                sending = None
            if sending is None:
                self._begin(peer)
            else:
                self._pump(peer, sending)

    def on_tick(self) -> None:
        """Go back to what a silent receiver has: chunks or its word were lost."""
        for sending in self._by_peer.values():
            sending.quiet_ticks += 1
            if sending.quiet_ticks >= QUIET_TICKS_MAX:
                sending.quiet_ticks = 0
                sending.next = sending.acked

    def on_ack(self, peer: ServerId, ack: SnapshotAck) -> None:
        """Go on where the receiver is, even if that is further back."""
        sending = self._by_peer.get(peer)
        if sending is None or ack.check != sending.stored.check:
            return
        if not 0 <= ack.offset <= sending.stored.size_bytes:
            return
        if ack.damaged:
            self._examine(sending.stored)
            self._end(peer)
            return
        sending.quiet_ticks = 0
        sending.acked = ack.offset
        sending.next = max(sending.next, ack.offset)

    @property
    def oldest_sent(self) -> Index | None:
        """Behind which index the log should stay, so that those who get a snapshot can go on."""
        indexes = [_index_of(sending) for sending in self._by_peer.values()]
        return min(indexes, default=None)

    def take(self) -> list[Bulk]:
        """Return the chunks of this turn."""
        bulk, self._bulk = self._bulk, []
        return bulk

    def _is_over(self, peer: ServerId, sending: _Sending) -> bool:
        """Tell whether the follower has this one, and needs the next, or the term has ended."""
        match_index = self._raft.state.progress[peer].match_index
        return sending.term != self._raft.current_term or match_index >= _index_of(sending)

    def _begin(self, peer: ServerId) -> None:
        stored = self._snapshots.newest
        if stored is None or stored.meta.last_included_index < self._raft.state.log.base_index:
            self._snapshots.begin()  # Nothing fits: the one there was turned out damaged.
            return
        sending = _Sending(stored, self._raft.current_term)
        self._by_peer[peer] = sending
        index = stored.meta.last_included_index
        self._events.tell(
            "snapshot_sending", sending.term, to=name_of(peer), index=index, bytes=stored.size_bytes
        )
        position = position_of(stored.meta)
        self._setup.runner.submit(
            lambda: self._setup.shelf.open(position),
            lambda reader: self._on_reader(peer, sending, reader),
        )

    def _on_reader(
        self, peer: ServerId, sending: _Sending, reader: SnapshotReader | RaftCacheError
    ) -> None:
        if isinstance(reader, RaftCacheError):
            if self._by_peer.get(peer) is sending:
                self._end(peer)
            self._examine(sending.stored)
        elif self._by_peer.get(peer) is sending:
            sending.reader = reader
        else:
            self._setup.runner.submit(reader.close, lambda _: None)

    def _pump(self, peer: ServerId, sending: _Sending) -> None:
        reader, offset = sending.reader, sending.next
        count = min(CHUNK_BYTES, sending.stored.size_bytes - offset)
        if reader is None or sending.is_reading or count <= 0:
            return
        if offset + count - sending.acked > WINDOW_BYTES:
            return
        sending.is_reading = True
        self._setup.runner.submit(
            lambda: reader.raw_read(offset, count),
            lambda data: self._on_read(peer, sending, offset, data),
        )

    def _on_read(
        self, peer: ServerId, sending: _Sending, offset: int, data: bytes | RaftCacheError
    ) -> None:
        sending.is_reading = False
        if self._by_peer.get(peer) is not sending or not self._raft.is_leader:
            return
        if isinstance(data, RaftCacheError):
            self._end(peer)
            self._examine(sending.stored)
            return
        meta = sending.stored.meta
        head = InstallSnapshot(
            self._source, peer, sending.term, meta.last_included_index, meta.last_included_term
        )
        stored = sending.stored
        chunk = SnapshotChunk(head, stored.size_bytes, stored.check, offset, data)
        frame = PeerFrame(self._setup.cluster_id, self._source, peer, [], chunks=[chunk])
        self._bulk.append(Bulk(peer, encode_peer_frame(frame)))
        if sending.next == offset:
            sending.next = offset + len(data)

    def _end(self, peer: ServerId) -> None:
        sending = self._by_peer.pop(peer)
        if sending.reader is not None:
            self._setup.runner.submit(sending.reader.close, lambda _: None)

    def _examine(self, stored: StoredSnapshot) -> None:
        """Look at the own file again: a damaged one is set aside, and another one is taken."""
        shelf = self._setup.shelf

        def look() -> StoredSnapshot | None:
            return shelf.newest()

        def done(newest: StoredSnapshot | RaftCacheError | None) -> None:
            if isinstance(newest, RaftCacheError) or newest == stored:
                return
            self._events.tell("snapshot_damaged", self._raft.current_term, path=stored.path)
            self._snapshots.newest = newest
            self._snapshots.begin()

        self._setup.runner.submit(look, done)


def _index_of(sending: _Sending) -> Index:
    return sending.stored.meta.last_included_index


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
        self._key: tuple[int, int, int, int] | None = None
        self._receiver: SnapshotReceiver | None = None
        self._is_checking = False
        self._restoring: _Restoring | None = None

    @property
    def has_more(self) -> bool:
        """Tell whether the next turn can go on restoring."""
        return self._restoring is not None and self._restoring.has_slices

    def on_chunk(self, source: ServerId, chunk: SnapshotChunk) -> None:
        """Take one chunk; the core has seen its head."""
        head, state = chunk.head, self._raft.state
        if state.role is not Role.FOLLOWER or state.leader_id != source:
            return
        if head.last_included_index <= state.commit_index:
            configuration = state.configuration
            self._raft.install_snapshot(
                SnapshotPosition(head.last_included_index, head.last_included_term, configuration)
            )
            return
        if self._is_checking or self._restoring is not None:
            return  # One at a time (failure D8); the sender asks again.
        key = (head.last_included_index, head.last_included_term, chunk.size_bytes, chunk.check)
        if key != self._key:
            self._begin(source, key)
        receiver = self._receiver
        if receiver is not None:
            self._setup.runner.submit(
                lambda: receiver.write(chunk.offset, chunk.data),
                lambda offset: self._on_written(source, receiver, offset),
            )

    def on_turn(self) -> None:
        """Restore one slice of the snapshot that is being put in force."""
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

    def _begin(self, source: ServerId, key: tuple[int, int, int, int]) -> None:
        before, self._receiver, self._key = self._receiver, None, key
        if before is not None:
            self._setup.runner.submit(before.abort, lambda _: None)
        setup = self._setup
        index, term, size_bytes, check = key
        self._events.tell(
            "snapshot_receiving", self._raft.current_term, source=name_of(source), index=index
        )

        def make() -> SnapshotReceiver:
            return SnapshotReceiver(
                setup.files,
                setup.directory,
                setup.cluster_id,
                last_included_index=index,
                last_included_term=term,
                size_bytes=size_bytes,
                check=check,
            )

        def made(receiver: SnapshotReceiver | RaftCacheError) -> None:
            if isinstance(receiver, RaftCacheError):
                self._give_up(receiver)
            elif self._key == key:
                self._receiver = receiver
                self._ack(source, receiver, 0)
            else:
                setup.runner.submit(receiver.abort, lambda _: None)

        setup.runner.submit(make, made)

    def _on_written(
        self, source: ServerId, receiver: SnapshotReceiver, offset: int | RaftCacheError
    ) -> None:
        if receiver is not self._receiver or self._is_checking:
            return
        if isinstance(offset, RaftCacheError):
            self._give_up(offset)
            return
        self._ack(source, receiver, offset)
        if offset == receiver.size_bytes:
            self._is_checking = True
            self._setup.runner.submit(
                lambda: _verify_and_publish(receiver),
                lambda stored: self._on_published(source, receiver, stored),
            )

    def _on_published(
        self, source: ServerId, receiver: SnapshotReceiver, stored: StoredSnapshot | RaftCacheError
    ) -> None:
        self._is_checking = False
        self._receiver = self._key = None
        if isinstance(stored, RaftCacheError):
            if isinstance(stored, CorruptRecord):
                self._ack(source, receiver, 0, damaged=True)
            self._events.tell("snapshot_failed", self._raft.current_term, reason=str(stored))
            return
        if self._raft.is_leader:
            return
        index, term = position_of(stored.meta)
        position = SnapshotPosition(index, term, stored.meta.configuration)
        if self._raft.install_snapshot(position):
            self._snapshots.abandon("a leader's snapshot takes its place")
            self._raft.pause_apply(paused=True)
            self._restoring = _Restoring(stored)

    def _ack(
        self, source: ServerId, receiver: SnapshotReceiver, offset: int, *, damaged: bool = False
    ) -> None:
        index = receiver.position[0]
        self._outbox.add_ack(source, SnapshotAck(index, receiver.check, offset, damaged))

    def _give_up(self, error: RaftCacheError) -> None:
        self._receiver = self._key = None
        self._events.tell("snapshot_failed", self._raft.current_term, reason=str(error))


class _Restoring:
    """A state machine that is being built from a snapshot, beside the one in use."""

    def __init__(self, stored: StoredSnapshot) -> None:
        self.stored = stored
        self._restorer = Restorer(StoreLimits())
        self._slices: list[bytes] = []
        self._source: Iterator[bytes] | None = None
        self._is_reading = False
        self._is_read = False

    @property
    def has_slices(self) -> bool:
        """Tell whether there is something to do without waiting for the disk."""
        return bool(self._slices) or self._is_read

    def step(self, setup: SnapshotSetup) -> StateMachine | None:
        """Take in one slice, reading ahead; return the state machine when it is complete."""
        if self._slices:
            self._restorer.feed(self._slices.pop(0))
        elif self._is_read:
            return self._restorer.finish()
        if not self._is_reading and not self._is_read and len(self._slices) < SLICES_AHEAD // 2:
            self._is_reading = True
            setup.runner.submit(lambda: self._read(setup), self._on_slices)
        return None

    def _read(self, setup: SnapshotSetup) -> list[bytes]:
        if self._source is None:
            self._source = setup.shelf.open(position_of(self.stored.meta)).slices()
        found: list[bytes] = []
        for piece in self._source:
            found.append(piece)
            if len(found) >= SLICES_AHEAD:
                break
        return found

    def _on_slices(self, slices: list[bytes] | RaftCacheError) -> None:
        if isinstance(slices, RaftCacheError):
            raise slices  # It was sound a moment ago; the log is gone: this node can't go on.
        self._is_reading = False
        self._is_read = len(slices) < SLICES_AHEAD
        self._slices.extend(slices)


def _verify_and_publish(receiver: SnapshotReceiver) -> StoredSnapshot:
    try:
        receiver.verify()
        return receiver.publish()
    except CorruptRecord:
        receiver.abort()
        raise
