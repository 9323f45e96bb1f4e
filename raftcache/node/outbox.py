"""What one turn has for each peer, collected and encoded as one frame each, or a few."""

import msgspec

from ..protocol.peer import (
    Answer,
    HandedOn,
    KeysRead,
    PeerFrame,
    SnapshotAck,
    StateDigest,
    encode_peer_frame,
)
from ..raft.messages import Message
from ..raft.types import ServerId

FRAME_BYTES_MAX = 8 * 1024 * 1024
"""Clients' requests and answers beyond this go into another frame; Raft keeps its own budget."""


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """One frame for one peer, and the numbers of the requests that it hands on."""

    peer: ServerId
    frame: bytes
    handed_on: list[int]


class Outbox:
    """Collects what goes to the peers until the end of the turn."""

    __slots__ = (
        "_bytes",
        "_cluster_id",
        "_frames",
        "_full",
        "_source",
        "reply_to",
        "time_ms",
        "version",
    )

    def __init__(self, cluster_id: str, source: ServerId) -> None:
        self._cluster_id = cluster_id
        self._source = source
        self._frames: dict[ServerId, PeerFrame] = {}
        self._bytes: dict[ServerId, int] = {}
        self._full: list[PeerFrame] = []
        self.version = 1
        """The version of commands that this node can read."""
        self.time_ms = 0
        """Cluster time, if this node leads."""
        self.reply_to = ""
        """Where this node listens for its peers; "": it does not know."""

    def add_messages(self, messages: list[Message]) -> None:
        """Add Raft messages, each to the frame of its target."""
        for message in messages:
            self._frame(message.target).messages.append(message)

    def add_handed_on(self, peer: ServerId, request: HandedOn) -> None:
        """Add a client's request for the leader."""
        self._frame_with_room(peer, len(request.frame)).handed_on.append(request)

    def add_answer(self, peer: ServerId, answer: Answer) -> None:
        """Add the answer to a request that ``peer`` handed on."""
        self._frame_with_room(peer, len(answer.frame)).answers.append(answer)

    def add_ack(self, peer: ServerId, ack: SnapshotAck) -> None:
        """Add the word on how much of a snapshot has come in."""
        self._frame(peer).acks.append(ack)

    def add_digest(self, peer: ServerId, digest: StateDigest) -> None:
        """Add the word on which state this node has had."""
        self._frame(peer).digests.append(digest)

    def add_keys_read(self, peer: ServerId, keys_read: KeysRead) -> None:
        """Add the word on which keys were read here."""
        self._frame(peer).keys_read.append(keys_read)

    def take(self) -> list[Outgoing]:
        """Return what goes to each peer that has anything, encoded, in the order of its coming."""
        if not self._frames:
            return []
        outgoing = []
        for frame in (*self._full, *self._frames.values()):
            numbers = [request.number for request in frame.handed_on] if frame.handed_on else []
            outgoing.append(Outgoing(frame.target, encode_peer_frame(frame), numbers))
        self._frames, self._bytes, self._full = {}, {}, []
        return outgoing

    def _frame(self, peer: ServerId) -> PeerFrame:
        frame = self._frames.get(peer)
        if frame is None:
            frame = PeerFrame(
                self._cluster_id,
                self._source,
                peer,
                [],
                [],
                [],
                version=self.version,
                time_ms=self.time_ms,
                reply_to=self.reply_to,
            )
            self._frames[peer] = frame
            self._bytes[peer] = 0
        return frame

    def _frame_with_room(self, peer: ServerId, size_bytes: int) -> PeerFrame:
        frame = self._frame(peer)
        if self._bytes[peer] + size_bytes > FRAME_BYTES_MAX and self._bytes[peer]:
            self._full.append(self._frames.pop(peer))
            frame = self._frame(peer)
        self._bytes[peer] += size_bytes
        return frame
