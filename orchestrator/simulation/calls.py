"""What clients of a simulated cluster ask and get: real request frames, decoded replies."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec

from raftcache.protocol.joining import decode_join_frame, is_join_frame
from raftcache.protocol.limits import TIMEOUT_MS_DEFAULT
from raftcache.protocol.peer import PeerFrame, decode_peer_frame

LINE_MAX = 400

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode
_encode_json = msgspec.json.Encoder().encode
_decode_json = msgspec.json.Decoder().decode


@dataclass(slots=True)
class Call:
    """One request, and what came of it.

    Attributes:
        number: unique in its run; also the request's ``id`` and its routing id.
        node: who was asked.
        socket: 0: the clients', 1: the administration's.
        frames: what was sent, routing id first.
        sent_us: when.
        timeout_ms: for how long the client lets the node hold it, as it said.
        life: in which life of the node it arrived; 0: in none.
        replies: all answers that came; more than one is a defect.
        answered_us: when the first came; None while none has.
        on_answer: called with this call when an answer has come.
        is_fresh_read: it changes nothing, and must tell of all that was done before it came.
        floor_rev: the newest revision that any node had applied when it came.
    """

    number: int
    node: str
    socket: int
    frames: list[bytes]
    sent_us: int
    timeout_ms: int = TIMEOUT_MS_DEFAULT
    life: int = 0
    replies: list[dict[str, Any]] = field(default_factory=list)
    answered_us: int | None = None
    on_answer: Callable[["Call"], None] | None = None
    is_fresh_read: bool = False
    floor_rev: int = 0

    @property
    def done(self) -> bool:
        """Tell whether an answer came."""
        return bool(self.replies)

    @property
    def reply(self) -> dict[str, Any]:
        """The one answer."""
        assert len(self.replies) == 1, f"{len(self.replies)} answers to {self}"
        return self.replies[0]

    @property
    def outcome(self) -> str:
        """``ok``, the error's code with ``applied`` (``timeout/unknown``), or ``silence``."""
        if not self.done:
            return "silence"
        reply = self.reply
        return "ok" if reply["ok"] else f"{reply['error']}/{reply['applied']}"


def request_frames(number: int, fields: dict[str, Any], *, json: bool = False) -> list[bytes]:
    """Return what a ROUTER socket receives from a REQ socket that sends this request."""
    request = {"id": number, **fields}
    body = _encode_json(request) if json else _encode(request)
    return [routing_id(number), b"", body]


def routing_id(number: int) -> bytes:
    """Return the routing id of the connection that a call uses."""
    return b"client-%d" % number


def call_number(envelope: list[bytes]) -> int:
    """Return which call an answer in this envelope belongs to."""
    return int(envelope[0].removeprefix(b"client-"))


def decode_reply(frame: bytes) -> dict[str, Any]:
    """Decode an answer's one frame."""
    reply: dict[str, Any] = _decode_json(frame) if frame.startswith(b"{") else _decode(frame)
    return reply


def peer_frame(data: bytes) -> PeerFrame:
    """Return what a frame between members holds: nothing, if it is of one that asks to join."""
    return PeerFrame("", "", "", []) if is_join_frame(data) else decode_peer_frame(data)


def describe_frame(data: bytes) -> str:
    """Return a frame between nodes in one line."""
    if is_join_frame(data):
        return str(decode_join_frame(data))[:LINE_MAX]
    frame = decode_peer_frame(data)
    parts: list[object] = [*frame.messages, *frame.handed_on, *frame.answers, *frame.acks]
    parts += [f"chunk of {chunk.size_bytes} at {chunk.offset}" for chunk in frame.chunks]
    return " ".join(str(part) for part in parts)[:LINE_MAX]
