"""Raft, the store and the requests that wait, put together, still without I/O or clock.

Inputs are the ``on_`` methods; :meth:`Server.turn` then answers all that came in together. The same
code runs in a process (``loop``) and, many times over, under virtual time.
"""

from collections import Counter
from random import Random

from ..errors import MalformedFrames
from ..protocol.envelope import request_frame, split_envelope
from ..protocol.joining import is_join_frame
from ..protocol.limits import Limits, Refused
from ..protocol.peer import HandedOn, PeerFrame, decode_peer_frame
from ..protocol.replies import Leader, ReplyHeader
from ..protocol.requests import ADMIN_OPS, decode_request
from ..raft import membership, transfer
from ..raft.configuration import server_id_of
from ..raft.core import Raft
from ..raft.options import Options
from ..raft.types import Role, ServerId
from ..store.machine import StateMachine, StoreLimits
from ..transport.faults import LinkFaults
from .admin import LEADER_OPS, administer, answer_node_operation, expire_snapshots
from .admission import Admission
from .answers import Answers
from .chores import NOTHING, Chores
from .detection import LeaderWatch
from .disk_watch import DiskWatch
from .events import EventBridge
from .keeper import SnapshotKeeper, position_of
from .keeping_up import KeepingUp
from .membership import Membership
from .office import Office
from .outbox import Outbox, Outgoing
from .pending import ClientOrigin, Origin, PeerOrigin, Pending
from .plausible import is_plausible
from .ports import EventSink, Storage
from .ready import ReadyCycle
from .repeats import LIFE_BITS, Repeats
from .requests import RequestDesk
from .transfers import Transfers
from .upkeep import Upkeep
from .values import ADMIN_SOCKET, About, Durable, Effects

SLOW_TURN_MS = 20.0
"""A turn that is told of: two ticks by default, and still far from a heartbeat."""


class Server:
    """One node without its sockets, its threads and its clock.

    Args:
        about: who this is.
        durable: what the disk had.
        options: Raft's timings, in ticks.
        tick_ms: the length of a tick, for what people read.
        limits: what clients may send.
        storage: takes batches; its word comes back through :meth:`on_persisted`.
        random: draws election timeouts.
        publish: takes events.
    """

    def __init__(
        self,
        *,
        about: About,
        durable: Durable,
        options: Options,
        tick_ms: int,
        limits: Limits,
        storage: Storage,
        random: Random,
        publish: EventSink,
    ) -> None:
        self.about = about
        self.tick_ms = tick_ms
        self.limits = limits
        self.storage = storage
        self.now_ms = self.started_ms = self.client_count = 0
        self.longest_turn_ms = 0.0
        self.election_started_ms = self.election_won_ms = 0
        self.dropped: Counter[str] = Counter()
        self.server_id = server_id_of(about.node_id, about.incarnation)
        self.events = EventBridge(publish)
        self.raft = Raft(
            self.server_id,
            durable.configuration,
            options=options,
            random=random,
            hard_state=durable.hard_state,
            entries=durable.entries,
            snapshot=durable.lost or position_of(durable.snapshots),
            trace=self.events.on_trace,
        )
        self.leader_watch = LeaderWatch(self.raft, random, tick_ms)
        self.store = durable.store or StateMachine(StoreLimits())
        self.outbox = Outbox(about.cluster_id, self.server_id)
        header = ReplyHeader(about.node_id, self.raft.current_term, None, 0)
        self.answers = Answers(header, self.outbox)
        self.upkeep = Upkeep(self)
        self.desk = RequestDesk(
            self.raft,
            self.store,
            storage,
            self.outbox,
            self.answers,
            life=random.getrandbits(LIFE_BITS),
            now_ms=lambda: self.now_ms,
            upkeep=self.upkeep,
        )
        self.admission = Admission(self, (durable.configuration_index, durable.configuration))
        self.membership = Membership(self)
        self.desk.administer = self._administer
        setup = durable.snapshots
        self.keeper = SnapshotKeeper(self, setup, random) if setup is not None else None
        on_applied = self.keeper.on_applied if self.keeper else _ignore
        self._cycle = ReadyCycle(
            self.raft, self.store, storage, self.outbox, self.desk, on_applied=on_applied
        )
        self.faults: LinkFaults | None = None  # allowed only where chaos is
        self.hash_waiting: list[Pending] = []
        self.snapshot_waiting: list[Pending] = []
        self.transfers, self.disk = Transfers(self), DiskWatch(self)
        self.chores, self.office = Chores(self), Office(self)
        self.keeping_up = KeepingUp(self)
        self._repeats = Repeats()
        self._first_term = self.raft.current_term
        self._header_leader: ServerId | None = None

    def start(self, now_ms: int) -> None:
        """Note when the node began; times are milliseconds of one monotonic clock."""
        self.now_ms = self.started_ms = now_ms

    def on_client(self, socket: int, frames: list[bytes]) -> None:
        """Take in one message from a client's or an administrator's socket."""
        envelope, body = split_envelope(frames)
        origin = ClientOrigin(socket, envelope)
        try:
            frame = request_frame(envelope, body)
            request = decode_request(frame, self.limits)
        except Refused as refused:
            self.refresh_header()
            self.answers.refused(origin, refused)
            return
        self._take(Pending(origin, request, frame, self.now_ms + request.timeout_ms), socket)

    def on_client_gone(self, socket: int, client: bytes) -> None:
        """Note that the client with this routing id is gone, and reads no answers."""
        self.desk.watches.drop((socket, client))

    def on_peer_frame(self, data: bytes) -> None:
        """Take in one frame from the peers' socket; strangers' are counted and dropped."""
        if is_join_frame(data):
            self.chores.are_due = True
            self.admission.on_frame(data)
            return
        try:
            frame = decode_peer_frame(data)
        except MalformedFrames:
            self.dropped["malformed"] += 1
            return
        if refusal := self._refusal(frame):
            self._on_refused(frame, refusal)
            return
        for message in frame.messages:
            to_us = message.source == frame.source and message.target == self.server_id
            if to_us and is_plausible(message):
                self.raft.step(message)
            else:
                self.dropped["malformed"] += 1
        for request in frame.handed_on:
            self._on_handed_on(frame.source, request)
        for answer in frame.answers:
            self.desk.on_handed_on_answer(answer.number, answer.frame)
        self.upkeep.on_peer_frame(frame)
        if self.keeper is not None and (frame.chunks or frame.acks):
            self.chores.are_due = True
            self.keeper.on_peer_frame(frame)

    def on_persisted(self) -> None:
        """Note that the storage's ``persisted`` ticket has risen."""
        self._cycle.on_persisted()

    def on_tick(self) -> None:
        """Let one tick of Raft's time pass, and answer whose time is up."""
        self.chores.are_due = True
        self.disk.on_tick()
        self.raft.tick()
        self.keeping_up.on_tick()
        self.upkeep.on_tick()
        self.refresh_header()
        self.desk.retry_waiting()
        self.desk.expire(self.now_ms)
        if self.hash_waiting:
            waiting, self.hash_waiting = self.hash_waiting, []
            for pending in waiting:
                answer_node_operation(self, pending)
        expire_snapshots(self, "the snapshot was not finished in time: look for it later")
        if self.keeper is not None:
            self.keeper.on_tick()
        self.membership.on_tick()
        self.admission.on_tick()
        self.events.on_tick(self.raft.current_term, self.raft.state.commit_index)

    def on_not_sent(self, outgoing: Outgoing) -> None:
        """Note that a frame could not be sent; Raft repeats its own, requests wait."""
        self.desk.on_not_sent(outgoing.handed_on)

    def turn(self) -> Effects:
        """Answer everything that came in since the last turn."""
        state, chores = self.raft.state, self.chores
        self.upkeep.on_turn()
        self.desk.start_turn()
        if (self.answers.header.term, self._header_leader) != (state.current_term, state.leader_id):
            self.refresh_header()
        self._cycle.run()
        if chores.are_due:
            chores.answer_members()
        self.office.look()
        done = chores.see_to() if chores.are_due else NOTHING
        frames, replies = [*self.outbox.take(), *done.frames], self.answers.take()
        wanted, crowded = self._cycle.wants_disk, self.desk.is_crowded
        return Effects(replies, frames, done.bulk, done.endpoints, wanted, crowded)

    is_finished = False

    @property
    def due_ms(self) -> int | None:
        """When :meth:`on_time` has something to do; None: never."""
        return self.leader_watch.due_ms

    def on_peer_gone(self, peer: ServerId, now_ms: int) -> None:
        """Note that a peer's process is gone: the leader's, perhaps."""
        self.leader_watch.on_disconnected(peer, now_ms)

    def on_time(self, now_ms: int) -> None:
        """Do what is due."""
        if self.leader_watch.due_ms is not None:
            self.leader_watch.on_time(now_ms)

    @property
    def awaits_disk(self) -> bool:
        """Tell whether something was handed to the disk that is not durable yet."""
        return self._cycle.awaits_disk

    @property
    def has_more(self) -> bool:
        """Tell whether another turn has work to do without any new input."""
        watches = self.desk.watches
        if self._cycle.has_more or (watches.is_awake and watches.has_more):
            return True
        return self.chores.are_due and self.keeper is not None and self.keeper.has_more

    def replace_store(self, store: StateMachine) -> None:
        """Go on with another state machine: an empty one, then what a snapshot restored."""
        self.store = self.desk.store = self._cycle.store = store

    def on_long_turn(self, turn_ms: float, cpu_ms: float) -> None:
        """Note a turn that was the longest so far, or slow: so long, the node heard nobody.

        ``cpu_ms`` of it the loop was at work; else it had no processor, or no interpreter.
        """
        self.longest_turn_ms = max(self.longest_turn_ms, turn_ms)
        if turn_ms >= SLOW_TURN_MS:
            self.events.on_slow_turn(self.raft.current_term, turn_ms, cpu_ms)

    def begin_stop(self) -> None:
        """Hand the leadership over, if there is someone to take it (thesis §3.10)."""
        self.events.tell("stopping", self.raft.current_term)
        target = transfer.best_target(self.raft.state) if self.raft.accepts_proposals else None
        if target is not None:
            self.raft.transfer_leadership(target)

    @property
    def may_stop(self) -> bool:
        """Tell whether the leadership is handed over and nobody waits."""
        return self.desk.is_idle and self.membership.is_idle and not self.raft.is_handing_over

    def finish_stop(self) -> Effects:
        """Answer all that still waits."""
        self.desk.close()
        self.membership.close()
        self.transfers.give_up(f"{self.about.node_id} is stopping: look at `status`")
        waiting, self.hash_waiting = self.hash_waiting, []
        for pending in waiting:
            message = f"{self.about.node_id} is stopping: ask another"
            self.answers.refuse(pending, "timeout", message)
        expire_snapshots(self, f"{self.about.node_id} is stopping", all_of_them=True)
        return Effects(self.answers.take(), self.outbox.take(), [])

    def _administer(self, pending: Pending) -> None:
        self.chores.are_due = True
        administer(self, pending)

    def _take(self, pending: Pending, socket: int) -> None:
        request = pending.request
        if request.op in ADMIN_OPS and socket != ADMIN_SOCKET:
            self.refresh_header()
            message = f"`{request.op}` is for administration: use the node's admin socket"
            self.answers.refuse(pending, "forbidden", message)
        elif request.is_own:
            self.chores.are_due = True
            self.refresh_header()
            if request.op in LEADER_OPS:
                self.desk.take(pending)
            else:
                answer_node_operation(self, pending)
        elif self.admission.is_removed:
            self.answers.refuse(pending, "no_leader", self.admission.removed_message)
        elif request.local and request.query is not None:
            self.refresh_header()
            if self.keeper is not None and self.keeper.is_restoring:
                self.desk.refuse_overloaded(pending, "is taking over a snapshot")
                return
            self.answers.result(pending, self.store.read(request.query), age_ms=self.age_ms)
        else:
            self.desk.take(pending)

    @property
    def age_ms(self) -> int:
        """How long ago this node heard of a leader, itself included."""
        state = self.raft.state
        return 0 if state.role is Role.LEADER else state.leader_ticks * self.tick_ms

    def _refusal(self, frame: PeerFrame) -> str:
        """Say what is wrong with who sent a frame to whom; "" if nothing is."""
        if frame.cluster_id != self.about.cluster_id:
            return "other_cluster"
        if frame.target != self.server_id:
            return "other_target"
        if not membership.may_take_part(self.raft.state, frame.source):
            return "stranger"
        return ""

    def _on_refused(self, frame: PeerFrame, refusal: str) -> None:
        """Count it; what clients have asked of a former member is served all the same."""
        self.dropped[refusal] += 1
        if refusal == "stranger" and self.admission.is_former(frame.source):
            for request in frame.handed_on:
                self._on_handed_on(frame.source, request)

    def _on_handed_on(self, source: ServerId, handed: HandedOn) -> None:
        # Of what was meant for a former life of this node, that life knew; a word about it from
        # here, even a refusal, might be wrong. Whoever handed it on learns that the term is over.
        if handed.term <= self._first_term or not self._repeats.is_new(source, handed.number):
            self.dropped["repeated"] += 1
            return
        origin: Origin = PeerOrigin(source, handed.number)
        try:
            request = decode_request(handed.frame, self.limits)
        except Refused as refused:
            self.answers.refused(origin, refused)
            return
        if request.is_own and request.op not in LEADER_OPS:
            self.dropped["malformed"] += 1  # No node hands on what it can answer itself.
            return
        deadline_ms = self.now_ms + min(handed.timeout_ms, request.timeout_ms)
        self.desk.take(Pending(origin, request, handed.frame, deadline_ms))

    def refresh_header(self) -> None:
        """Bring what each reply begins with up to date."""
        state, header = self.raft.state, self.answers.header
        if self._header_leader != state.leader_id:
            self._header_leader = state.leader_id
            member = state.configuration.member(state.leader_id) if state.leader_id else None
            leader = Leader(member.node_id, member.client_endpoint) if member else None
        else:
            leader = header.leader
        self.answers.header = ReplyHeader(
            # It never falls: while a snapshot is put in force, that of before is told.
            header.node,
            state.current_term,
            leader,
            max(header.store_rev, self.store.store_rev),
        )


def _ignore(_size_bytes: int) -> None:
    """Count nothing: this node takes no snapshots."""
