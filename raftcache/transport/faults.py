"""Faults between nodes, on purpose: frames are lost, late, doubled, out of order or slowed down.

Its rules: it reads no clock and draws from the random that it is given, so that it does the same
under virtual time; a new set of rules replaces the old one in one step; what it holds back is
bounded; where no rule is in force, the sockets look at :attr:`LinkFaults.active` and at nothing
else. It never makes a frame that the node itself could not have sent.
"""

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Sequence
from random import Random
from typing import NamedTuple

import msgspec

from ..errors import MalformedFrames
from ..protocol.faults import FRAME_ITEMS, FaultRule
from ..protocol.joining import JoinRequest, decode_join_frame, is_join_frame
from ..protocol.peer import PeerFrame, decode_peer_frame, encode_peer_frame
from ..raft.types import ServerId

HELD_FRAMES_MAX = 20_000
HELD_BYTES_MAX = 64 * 1024 * 1024
"""What is held back beyond this is lost, as a full queue of a real link loses it."""
LATE_MS_MAX = 20.0
"""How long a frame that is reordered, or a second copy, stays behind at most."""


class Held(NamedTuple):
    """A frame on its way, which is not due yet."""

    peer: ServerId
    frame: bytes
    bulk: bool
    incoming: bool


class _Way(NamedTuple):
    """One direction of one connection, and the rule for it: frames keep their order in each."""

    peer: ServerId
    incoming: bool
    bulk: bool
    rule: FaultRule


class _Outline(msgspec.Struct, array_like=True):
    """A frame as far as a rule for whole frames needs to know it."""

    cluster_id: str
    source: ServerId
    target: ServerId
    messages: msgspec.Raw
    handed_on: msgspec.Raw = msgspec.Raw(b"\x90")
    answers: msgspec.Raw = msgspec.Raw(b"\x90")
    chunks: msgspec.Raw = msgspec.Raw(b"\x90")


_outline_of = msgspec.msgpack.Decoder(_Outline).decode
_EMPTY_LIST = 0x90


class LinkFaults:
    """The rules of one node, and what they hold back at the moment.

    Args:
        random: draws what is left to chance.
        now_ms: tells the time, of a clock that only goes forward.
    """

    def __init__(self, random: Random, now_ms: Callable[[], float]) -> None:
        self.active = False
        """Whether there is anything to do: a rule in force, or a frame held back."""
        self.rules: tuple[FaultRule, ...] = ()
        self.counts: Counter[str] = Counter()
        """How many frames were ``lost``, ``delayed``, ``doubled``, ``reordered`` so far."""
        self._random = random
        self._now_ms = now_ms
        self._by_way: dict[tuple[str, bool], tuple[FaultRule, ...]] = {}
        self._held: list[tuple[float, int, Held]] = []
        self._held_bytes = 0
        self._numbers = itertools.count()
        self._last_ms: dict[_Way, float] = {}
        self._free_ms: dict[_Way, float] = {}

    def replace(self, rules: Sequence[FaultRule]) -> None:
        """Put these rules in force instead of all others, in one step.

        What is held back keeps its time, but is lost if its way is cut now; without any rule it
        arrives at once.
        """
        self.rules = tuple(rules)
        grouped: dict[tuple[str, bool], list[FaultRule]] = {}
        for rule in self.rules:
            grouped.setdefault((rule.peer, rule.direction == "in"), []).append(rule)
        self._by_way = {way: tuple(found) for way, found in grouped.items()}
        self._last_ms.clear()
        self._free_ms.clear()
        self._held = [one for one in self._held if not self._is_cut(one[2])]
        if not self.rules:
            self._held = [(0.0, number, held) for _, number, held in self._held]
        heapq.heapify(self._held)
        self._held_bytes = sum(len(held.frame) for _, _, held in self._held)
        self._settle()

    def outgoing(self, peer: ServerId, frame: bytes, *, bulk: bool) -> list[bytes]:
        """Take a frame that is about to leave; return what leaves now, in its stead."""
        return self._pass(peer, frame, incoming=False, bulk=bulk)

    def is_cut(self, peer: ServerId) -> bool:
        """Tell whether nothing reaches this peer, or nothing of it comes here."""
        name = _name_of(peer)
        return any(
            rule.is_cut
            for incoming in (False, True)
            for rule in self._by_way.get((name, incoming), ())
        )

    def incoming(self, frame: bytes) -> list[bytes]:
        """Take a frame that came in; return what the node gets now, in its stead."""
        try:
            if is_join_frame(frame):
                join = decode_join_frame(frame)
                sender = join.node_id if isinstance(join, JoinRequest) else join.source
                return self._pass(sender, frame, incoming=True, bulk=False)
            outline = _outline_of(frame)
        except (msgspec.MsgspecError, RecursionError, MalformedFrames):
            return [frame]  # a stranger's: the node will say so
        bulk = memoryview(outline.chunks)[0] != _EMPTY_LIST
        return self._pass(outline.source, frame, incoming=True, bulk=bulk)

    def due(self) -> list[Held]:
        """Return what has been held back for long enough, in its order."""
        found: list[Held] = []
        now_ms = self._now_ms()
        while self._held and self._held[0][0] <= now_ms:
            _, _, held = heapq.heappop(self._held)
            self._held_bytes -= len(held.frame)
            found.append(held)
        if found:
            self._settle()
        return found

    @property
    def next_due_ms(self) -> float:
        """When something is due next; infinite when nothing is held back."""
        return self._held[0][0] if self._held else float("inf")

    def _pass(self, peer: ServerId, frame: bytes, *, incoming: bool, bulk: bool) -> list[bytes]:
        rules = self._by_way.get((_name_of(peer), incoming), ())
        if not rules:
            return [frame]
        if any(rule.types for rule in rules):
            try:
                pieces = _pieces(frame, rules)
            except MalformedFrames:
                return [frame]
        else:
            pieces = [(rules[0], frame)]
        now: list[bytes] = []
        for rule, piece in pieces:
            if rule is None:
                now.append(piece)
            else:
                now += self._suffer(_Way(peer, incoming, bulk, rule), piece)
        return now

    def _suffer(self, way: _Way, frame: bytes) -> list[bytes]:
        """Do to a frame what its rule says; return it if it arrives at once."""
        rule, random = way.rule, self._random
        if rule.drop and random.random() < rule.drop:
            self.counts["lost"] += 1
            return []
        now_ms = self._now_ms()
        due_ms = now_ms
        if rule.bandwidth is not None:
            due_ms = max(now_ms, self._free_ms.get(way, now_ms))
            due_ms += len(frame) * 1_000 / rule.bandwidth
            self._free_ms[way] = due_ms
        due_ms += rule.delay_ms
        if rule.jitter_ms:
            due_ms = max(now_ms, due_ms + random.uniform(-rule.jitter_ms, rule.jitter_ms))
        doubled = rule.duplicate and random.random() < rule.duplicate
        if rule.reorder and random.random() < rule.reorder:
            self.counts["reordered"] += 1
            due_ms += random.uniform(1.0, LATE_MS_MAX)
        else:
            due_ms = max(due_ms, self._last_ms.get(way, due_ms))
            self._last_ms[way] = due_ms
        if doubled:
            self.counts["doubled"] += 1
            self._hold(due_ms + random.uniform(0.0, LATE_MS_MAX), way, frame)
        if due_ms <= now_ms:
            return [frame]
        self.counts["delayed"] += 1
        self._hold(due_ms, way, frame)
        return []

    def _hold(self, due_ms: float, way: _Way, frame: bytes) -> None:
        too_many = len(self._held) >= HELD_FRAMES_MAX
        if too_many or self._held_bytes + len(frame) > HELD_BYTES_MAX:
            self.counts["lost"] += 1
            return
        held = Held(way.peer, frame, way.bulk, way.incoming)
        heapq.heappush(self._held, (due_ms, next(self._numbers), held))
        self._held_bytes += len(frame)

    def _is_cut(self, held: Held) -> bool:
        rules = self._by_way.get((_name_of(held.peer), held.incoming), ())
        if any(rule.is_cut for rule in rules):
            self.counts["lost"] += 1
            return True
        return False

    def _settle(self) -> None:
        self.active = bool(self.rules) or bool(self._held)


def _pieces(frame: bytes, rules: tuple[FaultRule, ...]) -> list[tuple[FaultRule | None, bytes]]:
    """Return the parts of a frame with the rule for each; one about a place is a single message."""
    if is_join_frame(frame):
        return [(_rule_for(type(decode_join_frame(frame)).__name__, rules), frame)]
    return _split(decode_peer_frame(frame), rules)


def _rule_for(kind: str, rules: tuple[FaultRule, ...]) -> FaultRule | None:
    return next((one for one in rules if not one.types or kind in one.types), None)


def _split(frame: PeerFrame, rules: tuple[FaultRule, ...]) -> list[tuple[FaultRule | None, bytes]]:
    """Return the parts of a frame that fall under each rule, each as a frame of its own.

    They come in the order of the rules; what falls under none comes last.
    """
    parts: dict[FaultRule | None, PeerFrame] = {}

    def part(kind: str) -> PeerFrame:
        rule = _rule_for(kind, rules)
        if rule not in parts:
            # What the sender says of itself stands in each part.
            nothing: dict[str, list[object]] = {name: [] for name in ("messages", *FRAME_ITEMS)}
            parts[rule] = msgspec.structs.replace(frame, **nothing)
        return parts[rule]

    for message in frame.messages:
        part(type(message).__name__).messages.append(message)
    for name, kind in FRAME_ITEMS.items():
        items = getattr(frame, name)
        if items:
            getattr(part(kind), name).extend(items)
    order = [*rules, None]
    return [(rule, encode_peer_frame(parts[rule])) for rule in order if rule in parts]


def _name_of(server_id: ServerId) -> str:
    return server_id.partition("#")[0]
