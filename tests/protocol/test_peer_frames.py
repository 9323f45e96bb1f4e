"""Frames between nodes of different releases: bytes that must stay readable."""

import msgspec

from raftcache.protocol.peer import PeerFrame, decode_peer_frame, encode_peer_frame
from raftcache.raft.messages import PreVote

FRAME = PeerFrame("c", "n4#2", "n3#1", [PreVote("n4#2", "n3#1", 3, 2, 9, 2)], version=2)
SAID = "tcp://127.0.0.1:7504"
FIRST_FIELDS = 11
"""Those that a frame had before senders said where they listen, and which keys were read."""
BEFORE = bytes.fromhex(
    "9b a163 a46e342332 a46e332331 91 9701a46e342332a46e33233103020902 90 90 90 90 02 00 90"
)


def test_a_frame_of_a_release_that_does_not_say_where_it_listens_can_be_read() -> None:
    """As it was written then, byte by byte."""
    assert decode_peer_frame(BEFORE) == FRAME


def test_such_a_release_finds_in_a_frame_of_today_what_it_knows() -> None:
    """What is new is behind all that it reads."""
    frame = msgspec.structs.replace(FRAME, reply_to=SAID)

    data = encode_peer_frame(frame)

    fields = msgspec.msgpack.decode(data)
    assert msgspec.msgpack.encode(fields[:FIRST_FIELDS]) == BEFORE
    assert fields[FIRST_FIELDS:] == [SAID, []]
    assert decode_peer_frame(data) == frame
