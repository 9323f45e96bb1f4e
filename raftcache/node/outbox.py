"""What one turn has for each peer, collected and encoded as one frame each."""

from ..protocol.peer import Answer, HandedOn, PeerFrame, encode_peer_frame
from ..raft.messages import Message
from ..raft.types import ServerId


class Outbox:
    """Collects what goes to the peers until the end of the turn."""

    __slots__ = ("_by_peer", "_cluster_id", "_source")

    def __init__(self, cluster_id: str, source: ServerId) -> None:
        self._cluster_id = cluster_id
        self._source = source
        self._by_peer: dict[ServerId, PeerFrame] = {}

    def add_messages(self, messages: list[Message]) -> None:
        """Add Raft messages, each to the frame of its target."""
        for message in messages:
            self._frame(message.target).messages.append(message)

    def add_handed_on(self, peer: ServerId, request: HandedOn) -> None:
        """Add a client's request for the leader."""
        self._frame(peer).handed_on.append(request)

    def add_answer(self, peer: ServerId, answer: Answer) -> None:
        """Add the answer to a request that ``peer`` handed on."""
        self._frame(peer).answers.append(answer)

    def take(self) -> list[tuple[ServerId, bytes]]:
        """Return one encoded frame for each peer that has anything, in a fixed order."""
        if not self._by_peer:
            return []
        frames, self._by_peer = self._by_peer, {}
        return [(peer, encode_peer_frame(frames[peer])) for peer in sorted(frames)]

    def _frame(self, peer: ServerId) -> PeerFrame:
        frame = self._by_peer.get(peer)
        if frame is None:
            frame = PeerFrame(self._cluster_id, self._source, peer, [], [], [])
            self._by_peer[peer] = frame
        return frame
