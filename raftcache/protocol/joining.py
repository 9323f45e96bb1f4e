"""What a node without a place among its peers says to them, and what it is told.

Such a frame begins with a byte that begins nothing in MessagePack, so that it is told from those
of members at once: it is the one thing that a stranger may send. It still names its cluster.
"""

import re
from typing import Final, TypeAlias

import msgspec

from ..errors import MalformedFrames
from ..raft.configuration import Configuration
from ..raft.types import Index, ServerId

MARK: Final = b"\xc1"
"""The one byte that MessagePack never uses."""
ENDPOINT_BYTES_MAX: Final = 200
NAME_BYTES_MAX: Final = 64

_ENDPOINT: Final = re.compile(r"tcp://([A-Za-z0-9_.-]{1,100}|\[[0-9A-Fa-f:.]{2,45}\]):([0-9]{1,5})")
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")


class JoinRequest(msgspec.Struct, frozen=True, array_like=True, tag="join"):
    """A node asks for its place.

    ``incarnation`` is 0 for a node without state, which asks to join; else the node has heard
    nobody for a while, and asks whether it is still a member. ``claim`` is drawn by lot by each
    process that asks to join: an incarnation is given to one of them, and to no later one.
    """

    cluster_id: str
    node_id: str
    incarnation: int
    claim: str
    peer_endpoint: str
    client_endpoint: str


class JoinAnswer(msgspec.Struct, frozen=True, array_like=True, tag="joined"):
    """What became of it.

    ``verdict``: ``granted`` (join as ``incarnation``), ``wait`` (ask again), ``removed`` (this
    incarnation is no member any more, and never will be), ``member`` (it is one), ``lost``
    (``source`` has no state either). ``message`` says why, for people. ``configuration`` is the
    newest that is committed, as far as ``source`` knows, and ``index`` its place in the log.
    """

    cluster_id: str
    source: ServerId
    node_id: str
    claim: str
    incarnation: int
    verdict: str
    message: str = ""
    configuration: Configuration | None = None
    index: Index = 0


JoinFrame: TypeAlias = JoinRequest | JoinAnswer

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(JoinFrame)


def is_join_frame(data: bytes) -> bool:
    """Tell whether a frame on the peers' socket is one of these."""
    return data.startswith(MARK)


def encode_join_frame(frame: JoinFrame) -> bytes:
    """Encode one."""
    return MARK + _encoder.encode(frame)


def decode_join_frame(data: bytes) -> JoinFrame:
    """Decode one.

    Raises:
        MalformedFrames: it is none, or names what can be neither a node nor an endpoint.
    """
    frame: JoinFrame
    try:
        frame = _decoder.decode(data[len(MARK) :])
    except (msgspec.DecodeError, RecursionError) as error:
        raise MalformedFrames(f"no join frame of {len(data)} bytes: {error}") from None
    well_formed = is_node_name(frame.node_id) and 0 <= frame.incarnation < 2**63
    if isinstance(frame, JoinRequest):
        endpoints = (frame.peer_endpoint, frame.client_endpoint)
        well_formed = well_formed and all(map(is_endpoint, endpoints))
    if not well_formed or len(frame.claim) > NAME_BYTES_MAX:
        raise MalformedFrames(f"a join frame of {len(data)} bytes names no node")
    return frame


def is_endpoint(text: str) -> bool:
    """Tell whether a text is a ZeroMQ endpoint that a node can connect to."""
    match = _ENDPOINT.fullmatch(text)
    return match is not None and 0 < int(match[2]) < 2**16


def is_node_name(text: str) -> bool:
    """Tell whether a text can name a node."""
    return _NAME.fullmatch(text) is not None
