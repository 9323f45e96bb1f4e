"""A leader's snapshots on their way to followers (§7, Figure 13): chunks, a window, resumed.

Chunks travel on a socket of their own, so that no heartbeat ever waits behind one. The receiver
says up to where it has the file without a gap; the sender goes on there, again and again if need
be, until Raft says that the follower has it. What goes wrong is tried again after a rest.
"""

from typing import NamedTuple

from ..errors import RaftCacheError
from ..protocol.peer import PeerFrame, SnapshotAck, SnapshotChunk, encode_peer_frame
from ..raft.core import Raft
from ..raft.messages import InstallSnapshot
from ..raft.progress import ProgressState
from ..raft.types import Index, ServerId, Term
from ..storage.snapshots import SnapshotReader, StoredSnapshot
from .events import EventBridge, name_of
from .snapshots import Hold, Snapshots, SnapshotSetup, position_of

WINDOW_CHUNKS = 16
"""How much may be unacknowledged, per follower: what a slow one costs the leader."""
QUIET_TICKS_MAX = 20
"""Ticks without a word from the receiver, after which the sender goes back to what it has."""
CONTACT_TICKS_MAX = 100
"""Ticks without any word from a follower, after which it is taken for gone: nothing is sent to it,
and no log is held for it, until it is heard again."""
REPEATED_ACKS = 3
"""So many words from the receiver that it is still where it was mean that a chunk was lost."""
REST_TICKS = 20
"""How long to leave a file alone that could not be read."""


class Bulk(NamedTuple):
    """A frame with a chunk, for the bulk socket to one peer."""

    peer: ServerId
    frame: bytes


class _Sending:
    """One follower's transfer."""

    def __init__(self, stored: StoredSnapshot, term: Term) -> None:
        self.stored = stored
        self.term = term
        self.reader: SnapshotReader | None = None
        self.acked = 0
        self.next = 0
        self.window = 1
        """How many chunks may be unacknowledged: one, as long as nobody answers."""
        self.quiet_ticks = 0
        self.repeated_acks = 0
        """How often in a row the receiver said the same."""
        self.is_reading = False
        self.is_lost = False
        """The follower was gone for a time, and no log was held for it."""

    @property
    def index(self) -> Index:
        """The last entry that the snapshot holds."""
        return self.stored.meta.last_included_index


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
        self._catching_up: dict[ServerId, int] = {}
        """Followers that had a snapshot, and do not have all that came since; with its size."""
        self._bulk: list[Bulk] = []
        self._examined: StoredSnapshot | None = None
        self._rest_ticks = 0

    @property
    def has_work(self) -> bool:
        """Tell whether somebody is sent a snapshot, or has had one and catches up with the log."""
        return bool(self._by_peer or self._catching_up)

    def on_turn(self) -> None:
        """Begin, go on with or end transfers, as the followers need."""
        in_need = self._raft.peers_in_need_of_snapshot
        for peer in [peer for peer in self._by_peer if peer not in in_need]:
            self._catching_up[peer] = self._by_peer[peer].stored.size_bytes
            self._end(peer)
        self._forget_who_caught_up()
        for peer in in_need:
            sending = self._by_peer.get(peer)
            if self._raft.state.progress[peer].ticks_since_contact >= CONTACT_TICKS_MAX:
                if sending is not None:
                    sending.is_lost = True
                continue
            if sending is not None and self._is_over(peer, sending):
                self._end(peer)
                sending = None
            if sending is not None:
                self._pump(peer, sending)
            elif not self._rest_ticks and self._examined is None:
                self._begin(peer)

    def _forget_who_caught_up(self) -> None:
        """Hold no log for those who have all of it, need another one, or are gone."""
        state = self._raft.state
        for peer in list(self._catching_up):
            progress = state.progress.get(peer)
            if (
                progress is None
                or progress.state is ProgressState.SNAPSHOT
                or progress.match_index >= state.commit_index
                or progress.ticks_since_contact >= CONTACT_TICKS_MAX
            ):
                del self._catching_up[peer]

    def on_tick(self) -> None:
        """Go back to what a silent receiver has: chunks or its word were lost.

        One that had everything and has not put it in force may have died since, or its disk may
        be full: the last chunk, sent again, makes it say what it has now.
        """
        if self._rest_ticks:
            self._rest_ticks -= 1
        for sending in self._by_peer.values():
            if sending.is_lost:
                continue
            sending.quiet_ticks += 1
            if sending.quiet_ticks >= QUIET_TICKS_MAX:
                sending.quiet_ticks = 0
                sending.window = 1
                last = max(0, sending.stored.size_bytes - self._setup.sizes.chunk_bytes)
                sending.next = min(sending.acked, last)

    def on_ack(self, peer: ServerId, ack: SnapshotAck) -> None:
        """Go on where the receiver is, even if that is further back."""
        sending = self._by_peer.get(peer)
        if sending is None or ack.check != sending.stored.check:
            return
        if not 0 <= ack.offset <= sending.stored.size_bytes:
            return
        if ack.damaged:
            self._end(peer)
            self._examine(sending.stored)
            return
        sending.quiet_ticks = 0
        sending.window = WINDOW_CHUNKS
        sending.repeated_acks = sending.repeated_acks + 1 if ack.offset == sending.acked else 0
        # What was sent behind a lost chunk is dropped there, and each says so: no need to wait for
        # silence. Once is enough; if that is lost too, the silence is told by the ticks.
        if ack.offset < sending.acked or sending.repeated_acks == REPEATED_ACKS:
            sending.next = ack.offset
        sending.acked = ack.offset
        sending.next = max(sending.next, ack.offset)

    def hold(self) -> Hold:
        """Tell what of the log should stay, so that nobody needs another snapshot at once.

        That is all behind a snapshot on its way, and what a follower has yet to get that has just
        put one in force.
        """
        progress = self._raft.state.progress
        sent = [sending for sending in self._by_peer.values() if not sending.is_lost]
        size_bytes = max((sending.stored.size_bytes for sending in sent), default=0)
        behind = [sending.index for sending in sent]
        behind += [progress[peer].match_index for peer in self._catching_up]
        return Hold(min(behind, default=None), max([size_bytes, *self._catching_up.values()]))

    def take(self) -> list[Bulk]:
        """Return the chunks of this turn."""
        bulk, self._bulk = self._bulk, []
        return bulk

    def _is_over(self, peer: ServerId, sending: _Sending) -> bool:
        """Tell whether the follower has this one, or it is of no more use."""
        state = self._raft.state
        if sending.is_lost:
            # It is back. If the log went on without it, it would need another one at once.
            sending.is_lost = False
            if sending.index < state.log.base_index:
                return True
        progress = state.progress[peer]
        if progress.needs_snapshot:  # Its log may be further; what is before that, it lost.
            has_it = sending.index < progress.needs_snapshot
        else:
            has_it = progress.match_index >= sending.index
        return sending.term != state.current_term or has_it

    def _begin(self, peer: ServerId) -> None:
        stored, state = self._snapshots.newest, self._raft.state
        needed = max(state.log.base_index, state.progress[peer].needs_snapshot)
        if stored is None or stored.meta.last_included_index < needed:
            # Nothing fits: the one there was turned out damaged, or the follower had newer ones.
            if state.last_applied >= needed:
                hurry = self._raft.commits_wait_for_snapshot
                self._snapshots.begin_for_follower(needed, hurry=hurry)
            return
        sending = _Sending(stored, self._raft.current_term)
        self._by_peer[peer] = sending
        self._events.tell(
            "snapshot_sending",
            sending.term,
            to=name_of(peer),
            index=sending.index,
            bytes=stored.size_bytes,
        )
        position = position_of(stored.meta)
        self._setup.runner.submit(
            lambda: self._setup.shelf.open(position),
            lambda reader: self._on_reader(peer, sending, reader),
        )

    def _on_reader(
        self, peer: ServerId, sending: _Sending, reader: SnapshotReader | RaftCacheError
    ) -> None:
        is_current = self._by_peer.get(peer) is sending
        if isinstance(reader, RaftCacheError):
            if is_current:
                self._end(peer)
            self._examine(sending.stored)
        elif is_current and (reader.size_bytes, reader.check) == _file_of(sending.stored):
            sending.reader = reader
        else:
            # Another file of the same position has taken its place: the next turn begins anew.
            self._setup.runner.submit(reader.close, _ignore)
            if is_current:
                self._end(peer)
                self._examine(sending.stored)

    def _pump(self, peer: ServerId, sending: _Sending) -> None:
        reader, offset = sending.reader, sending.next
        chunk_bytes = self._setup.sizes.chunk_bytes
        count = min(chunk_bytes, sending.stored.size_bytes - offset)
        if reader is None or sending.is_reading or count <= 0:
            return
        if offset + count - sending.acked > sending.window * chunk_bytes:
            return
        sending.is_reading = True
        self._setup.runner.submit(
            lambda: reader.raw_read(offset, count),
            lambda data: self._on_read(peer, sending, offset, count, data),
        )

    def _on_read(
        self,
        peer: ServerId,
        sending: _Sending,
        offset: int,
        count: int,
        data: bytes | RaftCacheError,
    ) -> None:
        sending.is_reading = False
        if self._by_peer.get(peer) is not sending or not self._raft.is_leader:
            return
        if isinstance(data, RaftCacheError) or len(data) != count:
            self._end(peer)
            self._examine(sending.stored)
            return
        meta, stored = sending.stored.meta, sending.stored
        head = InstallSnapshot(
            self._source, peer, sending.term, meta.last_included_index, meta.last_included_term
        )
        chunk = SnapshotChunk(head, stored.size_bytes, stored.check, offset, data)
        frame = PeerFrame(self._setup.cluster_id, self._source, peer, [], chunks=[chunk])
        self._bulk.append(Bulk(peer, encode_peer_frame(frame)))
        if sending.next == offset:
            sending.next = offset + count

    def _end(self, peer: ServerId) -> None:
        sending = self._by_peer.pop(peer)
        if sending.reader is not None:
            self._setup.runner.submit(sending.reader.close, _ignore)

    def _examine(self, stored: StoredSnapshot) -> None:
        """Look at the own file again: a damaged one is set aside, and another one is taken.

        Until that is known, nobody is sent anything more of it.
        """
        self._rest_ticks = REST_TICKS
        if self._examined is not None:
            return
        self._examined = stored
        self._setup.runner.submit(self._setup.shelf.newest, self._on_examined)

    def _on_examined(self, newest: StoredSnapshot | RaftCacheError | None) -> None:
        stored, self._examined = self._examined, None
        assert stored is not None, "one is examined at a time"
        if isinstance(newest, RaftCacheError) or newest == stored:
            return
        for peer in [peer for peer, one in self._by_peer.items() if one.stored == stored]:
            self._end(peer)
        if self._snapshots.newest != stored:
            return  # It was replaced meanwhile, as any snapshot is in the end.
        self._snapshots.newest = newest
        if newest is None or newest.meta.last_included_index < stored.meta.last_included_index:
            self._events.tell("snapshot_damaged", self._raft.current_term, path=stored.path)
            self._snapshots.begin_for_follower(0, hurry=False)


def _file_of(stored: StoredSnapshot) -> tuple[int, int]:
    return stored.size_bytes, stored.check


def _ignore(_outcome: object) -> None:
    """Nothing depends on it."""
