"""The ZeroMQ context of one client, which may be dropped without being closed.

A plain one knows its sockets by weak references. When a client becomes garbage as a whole these are
cleared first, and the context then waits, for ever, for sockets that it can't see any more.
"""

import warnings
from typing import Any

import zmq


class Sockets(zmq.Context["zmq.Socket[bytes]"]):
    """A context that keeps its sockets until they are closed, and closes those that are left."""

    _open: "tuple[zmq.Socket[bytes], ...]" = ()

    def socket(self, *args: Any, **kwargs: Any) -> "zmq.Socket[bytes]":
        """Make a socket."""
        made: zmq.Socket[bytes] = super().socket(*args, **kwargs)
        self._open = (*(one for one in self._open if not one.closed), made)
        return made

    def end(self) -> None:
        """Close all sockets, and what was not sent is dropped; end again does nothing."""
        for one in self._open:
            one.close(0)  # in a child of a fork that does nothing: they are the parent's
        self._open = ()
        self.term()

    def __del__(self) -> None:
        """Close what a client left open that was dropped."""
        if not self.closed:
            warnings.warn(
                "a client of Raft Cache was dropped without close(): its session, and its locks,"
                " stay until their time is over",
                ResourceWarning,
                stacklevel=2,
                source=self,
            )
            self.end()
