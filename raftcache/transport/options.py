"""Socket options that every socket here shares, with the accident behind each."""

from collections.abc import Callable
from typing import TypeAlias, cast

import zmq

Socket: TypeAlias = zmq.Socket[bytes]

NOBLOCK = int(zmq.NOBLOCK)
NOBLOCK_MORE = int(zmq.NOBLOCK | zmq.SNDMORE)
EVENTS = int(zmq.EVENTS)
FD = int(zmq.FD)
POLLIN = int(zmq.POLLIN)
"""Plain integers: pyzmq's enumerations cost more per frame than the frame does."""

RECONNECT_MS = 10
RECONNECT_MS_MAX = 200
HANDSHAKE_MS = 2_000
"""A connection that does not greet within this is dropped; libzmq's own 30 s let a few hundred
silent connections pile up (failure F8)."""

LIBZMQ_MIN = (4, 3, 5)
"""Older ones have holes for anybody who can connect, before any greeting (failure F17)."""


def libzmq_objection() -> str:
    """Say why this libzmq must not listen to anybody; "" if it may."""
    version = zmq.zmq_version_info()
    if version >= LIBZMQ_MIN:
        return ""
    found, least = (".".join(map(str, one)) for one in (version, LIBZMQ_MIN))
    return (
        f"pyzmq uses libzmq {found}, which anybody who can connect can crash; {least} is the "
        "least that will do:  pip install --force-reinstall --only-binary pyzmq pyzmq"
    )


def new_socket(context: zmq.Context[Socket], kind: int) -> Socket:
    """Make a socket that never outlives its process by lingering."""
    socket: Socket = context.socket(kind)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.HANDSHAKE_IVL, HANDSHAKE_MS)
    return socket


def sender_of(socket: Socket) -> Callable[[bytes, int], None]:
    """Return the socket's ``send``, without what pyzmq puts in front of it.

    That looks for arguments that are never given here, and takes as long as the sending.
    """
    return cast("Callable[[bytes, int], None]", super(zmq.Socket, socket).send)
