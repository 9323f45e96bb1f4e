"""Socket options that every socket here shares, with the accident behind each."""

from typing import TypeAlias

import zmq

Socket: TypeAlias = zmq.Socket[bytes]

RECONNECT_MS = 10
RECONNECT_MS_MAX = 200
HANDSHAKE_MS = 2_000
"""A connection that does not greet within this is dropped; libzmq's own 30 s let a few hundred
silent connections pile up (failure F8)."""


def new_socket(context: zmq.Context[Socket], kind: int) -> Socket:
    """Make a socket that never outlives its process by lingering."""
    socket: Socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
    return socket
