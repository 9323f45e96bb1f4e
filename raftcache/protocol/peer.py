"""What nodes say to each other: one frame per peer and turn of the loop.

A frame names its cluster, its sender and whom it is for, incarnations included, so that a stale
address, a wiped node or another cluster's node is told from a peer and dropped (failures C10 to
C12). It carries Raft's messages, and requests handed on to the leader with their answers.
"""

import msgspec

from ..errors import MalformedFrames
from ..raft.messages import InstallSnapshot, Message
from ..raft.types import Index, ServerId, Term


class HandedOn(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A client's request that a follower hands on to the leader: once, and never again.

    ``number`` is the follower's own, for the answer, and never used again; ``term`` that of the
    leader whom it is for; ``timeout_ms`` what is left of the client's time; ``frame`` the request
    as it came.
    """

    number: int
    term: Term
    timeout_ms: int
    frame: bytes


class Answer(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The leader's answer to a request that was handed on: the reply's frame, ready to pass on."""

    number: int
    frame: bytes


class SnapshotChunk(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A piece of a leader's snapshot file, and which file it is of (Figure 13).

    ``size_bytes`` and ``check`` tell two files of one position apart: nodes write their own.
    """

    head: InstallSnapshot
    size_bytes: int
    check: int
    offset: int
    data: bytes


class SnapshotAck(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """How much of a snapshot has come in: the sender goes on at ``offset``.

    ``damaged``: all of it came in, and it is not sound; the sender must look at its own.
    """

    last_included_index: Index
    check: int
    offset: int
    damaged: bool = False


class StateDigest(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Which digest the sender's state had after the entry at ``index``."""

    index: Index
    digest: int


class KeysRead(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Keys that were read at the sender: all that slide, and some of the others."""

    keys: list[bytes]


class PeerFrame(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """All that one node has for another after one turn.

    ``source`` and ``target`` are server ids such as ``n1#1``: node and incarnation. ``version`` is
    the newest version of commands that the sender can read, ``time_ms`` cluster time as a leader
    knows it (0 from all others). ``reply_to`` is where the sender listens for its peers, as far as
    it knows: a receiver that lags may not have it in its log yet.
    """

    cluster_id: str
    source: ServerId
    target: ServerId
    messages: list[Message]
    handed_on: list[HandedOn] = []
    answers: list[Answer] = []
    chunks: list[SnapshotChunk] = []
    acks: list[SnapshotAck] = []
    version: int = 1
    time_ms: int = 0
    digests: list[StateDigest] = []
    reply_to: str = ""
    keys_read: list[KeysRead] = []


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(PeerFrame)


def encode_peer_frame(frame: PeerFrame) -> bytes:
    """Encode a frame for one peer."""
    return _encoder.encode(frame)


def decode_peer_frame(data: bytes) -> PeerFrame:
    """Decode what came in on the peers' socket.

    Raises:
        MalformedFrames: these bytes are no frame of ours; the sender is at fault.
    """
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedFrames(f"no peer frame of {len(data)} bytes: {error}") from None
