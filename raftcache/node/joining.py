"""A node without state, on its way into the cluster.

It takes no part in Raft: it asks its peers for a place, again and again, until the leader has put
one in the log. Until then it says ``no_leader`` to whoever wants data, and why it waits to whoever
asks for its status. It never begins a cluster of its own.
"""

from collections import Counter
from random import Random
from typing import NamedTuple

from ..errors import MalformedFrames
from ..protocol.envelope import request_frame, split_envelope
from ..protocol.joining import (
    JoinAnswer,
    JoinRequest,
    decode_join_frame,
    encode_join_frame,
    is_join_frame,
)
from ..protocol.limits import Limits, Refused
from ..protocol.replies import ReplyHeader, ping_fields
from ..protocol.requests import decode_request
from ..raft.configuration import Configuration, server_id_of
from ..raft.types import ServerId
from .admission import CALLER_MS, CALLERS_MAX, data_is_gone, lost_voters
from .answers import Answers
from .events import EventBridge
from .outbox import Outbox, Outgoing
from .pending import ClientOrigin, Pending
from .ports import EventSink
from .values import About, Effects

ASK_MS = 100
"""How often each peer is asked."""
CLAIM_BITS = 128
HEARD_MAX = 64
"""How many peers are remembered; a cluster has a few."""


class Errand(NamedTuple):
    """Why a node asks to join, whom, and where it listens itself."""

    why: str
    peers: list[str]
    peer_endpoint: str
    client_endpoint: str


class Joiner:
    """A node that asks to join; the loop drives it as it does a server.

    Args:
        about: who this is; its incarnation is 0.
        errand: what it is about.
        tick_ms: how often the loop ticks.
        limits: what clients may send.
        random: draws the claim.
        publish: takes events.
    """

    def __init__(
        self,
        *,
        about: About,
        errand: Errand,
        tick_ms: int,
        limits: Limits,
        random: Random,
        publish: EventSink,
    ) -> None:
        self.about = about
        self.tick_ms = tick_ms
        self.now_ms = self.started_ms = 0
        self.client_count = 0
        self.longest_turn_ms = 0.0
        self.granted: JoinAnswer | None = None
        """The place that this node was given; None: none yet."""
        self.dropped: Counter[str] = Counter()
        self._limits = limits
        self._server_id = server_id_of(about.node_id, 0)
        self._request = JoinRequest(
            about.cluster_id,
            about.node_id,
            0,
            f"{random.getrandbits(CLAIM_BITS):032x}",
            errand.peer_endpoint,
            errand.client_endpoint,
        )
        self._why = errand.why
        self._message = ""
        self._peers = [peer for peer in errand.peers if peer != errand.peer_endpoint]
        self._first_peers = len(self._peers)
        self._known: tuple[int, Configuration] | None = None
        self._homeless: dict[str, int] = {}
        """Who has no state either, by name, and when that was heard."""
        self._callers: dict[ServerId, str] = {}
        self._asked_ms = 0
        self._alarm = ""
        self._endpoints: dict[ServerId, str] = {}
        self._outgoing: list[Outgoing] = []
        self._events = EventBridge(publish)
        header = ReplyHeader(about.node_id, 0, None, 0)
        self._answers = Answers(header, Outbox(about.cluster_id, self._server_id))

    # What the loop asks of whatever it drives

    has_more = False
    may_stop = True
    due_ms = None

    @property
    def is_finished(self) -> bool:
        """Tell whether this node has its place: a server takes over."""
        return self.granted is not None

    def start(self, now_ms: int) -> None:
        """Note when the node began."""
        self.now_ms = self.started_ms = now_ms
        self._events.tell("joining", 0, reason=self._why)

    def on_persisted(self) -> None:
        """Do nothing: nothing was handed to any disk."""

    def on_not_sent(self, outgoing: Outgoing) -> None:
        """Do nothing: it is asked again."""

    def on_long_turn(self, turn_ms: float, cpu_ms: float) -> None:  # noqa: ARG002 - nobody waits
        """Note the longest turn."""
        self.longest_turn_ms = max(self.longest_turn_ms, turn_ms)

    def on_peer_gone(self, peer: ServerId, now_ms: int) -> None:
        """Do nothing: it is asked again."""

    def on_time(self, now_ms: int) -> None:
        """Do nothing: ticks are enough."""

    def begin_stop(self) -> None:
        """Do nothing: there is nothing to hand over."""

    def finish_stop(self) -> Effects:
        """Answer what came last."""
        return self.turn()

    def on_tick(self) -> None:
        """Ask all peers, now and then."""
        for name, heard_ms in list(self._homeless.items()):
            if heard_ms + CALLER_MS <= self.now_ms:
                del self._homeless[name]
        self._look_for_loss()
        if self.now_ms < self._asked_ms + ASK_MS:
            return
        self._asked_ms = self.now_ms
        frame = encode_join_frame(self._request)
        self._outgoing += [Outgoing(peer, frame, []) for peer in self._peers]

    def on_client_gone(self, socket: int, client: bytes) -> None:
        """Forget nothing: nobody waits here."""

    def on_peer_frame(self, data: bytes) -> None:
        """Take an answer; tell others without state that there is none here either."""
        if not is_join_frame(data):
            self.dropped["joining"] += 1  # What was meant for a former life of this node.
            return
        try:
            frame = decode_join_frame(data)
        except MalformedFrames:
            self.dropped["malformed"] += 1
            return
        if frame.cluster_id != self.about.cluster_id:
            self.dropped["other_cluster"] += 1
        elif isinstance(frame, JoinRequest):
            self._on_request(frame)
        else:
            self._on_answer(frame)

    def on_client(self, socket: int, frames: list[bytes]) -> None:
        """Answer a request: only what is about this node can be told."""
        envelope, body = split_envelope(frames)
        origin = ClientOrigin(socket, envelope)
        try:
            frame = request_frame(envelope, body)
            request = decode_request(frame, self._limits)
        except Refused as refused:
            self._answers.refused(origin, refused)
            return
        pending = Pending(origin, request, frame, self.now_ms)
        if request.op == "ping":
            self._answers.result(pending, ping_fields(self.about.build, self.about.cluster))
        elif request.op == "status":
            self._answers.result(pending, self._status())
        else:
            self._answers.refuse(pending, "no_leader", self._sentence())

    def turn(self) -> Effects:
        """Return what there is to be sent."""
        outgoing, self._outgoing = self._outgoing, []
        endpoints = {peer: peer for peer in self._peers} | self._callers
        changed = endpoints != self._endpoints
        self._endpoints = endpoints
        return Effects(self._answers.take(), outgoing, [], endpoints if changed else None)

    def _on_request(self, request: JoinRequest) -> None:
        if request.incarnation:
            return  # It has its state; who leads, this node can't tell.
        self._homeless[request.node_id] = self.now_ms
        caller = server_id_of(request.node_id, 0)
        if caller not in self._callers and len(self._callers) >= CALLERS_MAX:
            return
        self._callers[caller] = request.peer_endpoint
        answer = JoinAnswer(
            request.cluster_id,
            self._server_id,
            request.node_id,
            request.claim,
            request.incarnation,
            "lost",
        )
        self._outgoing.append(Outgoing(caller, encode_join_frame(answer), []))

    def _on_answer(self, answer: JoinAnswer) -> None:
        asked = self._request
        if (answer.node_id, answer.claim) != (asked.node_id, asked.claim):
            self.dropped["other_target"] += 1  # For a former life of this node.
            return
        told = answer.configuration
        if answer.verdict == "lost":
            if len(self._homeless) < HEARD_MAX:
                self._homeless[answer.source.partition("#")[0]] = self.now_ms
            return
        if told is not None and (self._known is None or answer.index >= self._known[0]):
            self._known = (answer.index, told)
            own = asked.peer_endpoint
            endpoints = {member.peer_endpoint for member in told.members} - {own}
            self._peers = sorted({*self._peers[: self._first_peers], *endpoints})
        if answer.verdict == "granted" and told is not None and answer.incarnation > 0:
            self.granted = answer
            self._events.tell("joined", 0, incarnation=answer.incarnation)
        elif answer.message:
            self._say(answer.message)

    def _say(self, message: str) -> None:
        if message != self._message:
            self._message = message
            self._events.tell("joining", 0, reason=message)

    def _look_for_loss(self) -> None:
        """See whether so many have lost their state that nobody can give a place to anybody."""
        homeless = {*self._homeless, self.about.node_id}
        alarm = ""
        if self._known is not None:
            configuration = self._known[1]
            lost = lost_voters(configuration, homeless)
            alarm = data_is_gone(lost, len(configuration.voters)) if lost else ""
        elif 2 * len(homeless) > self._first_peers + 1:
            alarm = data_is_gone(sorted(homeless), self._first_peers + 1)
        if alarm and alarm != self._alarm:
            self._events.tell("data_is_gone", 0, reason=alarm)
        self._alarm = alarm

    def _sentence(self) -> str:
        told = self._alarm or self._message or "nobody has answered yet"
        return f"{self.about.node_id} has no state and asks to join: {told}"

    def _status(self) -> dict[str, object]:
        return {
            "cluster": self.about.cluster,
            "cluster_id": self.about.cluster_id,
            "incarnation": 0,
            "role": "joining",
            "joining": {"message": self._sentence(), "why": self._why},
            "commit": 0,
            "applied": 0,
            "last_index": 0,
            "snapshot_index": 0,
            "caught_up": False,
            "peers": [],
            "sizes": {"keys": 0, "bytes": 0, "sessions": 0, "wal_bytes": 0, "log_entries": 0},
            "election": None,
            "leader_contact_ms": self.now_ms - self.started_ms,
            "clients": self.client_count,
            "longest_turn_ms": round(self.longest_turn_ms, 1),
            "uptime_ms": self.now_ms - self.started_ms,
            "pid": self.about.pid,
            "build": self.about.build,
            "durability": self.about.durability,
            "alarms": [self._alarm] if self._alarm else [],
            "faults": [],
            "dropped": dict(sorted(self.dropped.items())),
        }
