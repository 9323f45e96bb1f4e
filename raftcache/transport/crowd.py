"""How many connections a listening socket may have; those beyond are cut as they come.

libzmq accepts without a bound. A process whose file descriptors are all taken by connections can't
open the next segment of its log, so that a crowd of idle clients would end the node.
"""

import socket as sockets
import struct
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import zmq

from .options import NOBLOCK, Socket
from .waiting import has_input

_EVENT: Final = struct.Struct("=HI")
"""What libzmq's monitor sends: the kind of event, and here the connection's file descriptor."""


class ConnectionLimit:
    """Watches one listening socket. Made before its ``bind``, so that it misses nothing.

    Args:
        context: the process's ZeroMQ context.
        socket: what is about to listen.
        connections_max: how many connections it may have at a time.
    """

    def __init__(
        self, context: zmq.Context[Socket], socket: Socket, *, connections_max: int
    ) -> None:
        self.cut = 0
        """How many connections were cut so far."""
        self._connections_max = connections_max
        self.open: set[int] = set()
        """The connections that there are, by their file descriptors, as of the last look."""
        self.on_end: Callable[[int], None] = _ignore
        """Told of each connection that has ended, when that is seen."""
        self._newest: list[int] = []
        """Those that came since the last :meth:`enforce`, in order."""
        self._socket = socket
        address = f"inproc://connections-{id(socket)}"
        socket.monitor(address, int(zmq.Event.ACCEPTED | zmq.Event.DISCONNECTED))
        self._monitor: Socket = context.socket(zmq.PAIR)
        self._monitor.setsockopt(zmq.LINGER, 0)
        # With a bound, libzmq's own thread would wait for us in a long turn of the loop.
        self._monitor.setsockopt(zmq.RCVHWM, 0)
        self._monitor.connect(address)

    @property
    def count(self) -> int:
        """How many connections there are, as of the last look."""
        return len(self.open)

    def enforce(self) -> None:
        """Cut the newest connections that are too many. Costs next to nothing when none came."""
        self.look()
        newest, self._newest = self._newest, []
        excess = len(self.open) - self._connections_max
        for descriptor in reversed(newest):
            if excess <= 0:
                return
            if descriptor in self.open:
                _cut(descriptor)
                self.cut += 1
                excess -= 1

    def look(self) -> None:
        """Bring the set of connections up to date."""
        while has_input(self._monitor):
            event, _endpoint = self._monitor.recv_multipart(NOBLOCK)
            kind, descriptor = _EVENT.unpack(event)
            if kind == zmq.Event.ACCEPTED:
                self.open.add(descriptor)
                self._newest.append(descriptor)
            else:
                self.open.discard(descriptor)
                self.on_end(descriptor)

    def close(self) -> None:
        """Stop watching. Assumes that the watched socket is open still."""
        self._socket.disable_monitor()
        self._monitor.close()


def _ignore(_descriptor: int) -> None:
    """Nobody needs to know."""


def _cut(descriptor: int) -> None:
    """End a connection in both directions; libzmq then sees its end, and closes it.

    It may be gone already. Closing it here would pull the descriptor from under libzmq.
    """
    with suppress(OSError):
        connection = sockets.socket(fileno=descriptor)
        try:
            connection.shutdown(sockets.SHUT_RDWR)
        finally:
            connection.detach()
