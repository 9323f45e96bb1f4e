"""A stretch of wire in front of a node's port for peers, which tests can let go dead.

Bytes towards the node are then read and dropped, as by a broken network; what the node sends goes
out as ever, since that runs over connections of its own.
"""

import selectors
import socket
import threading
from contextlib import suppress

POLL_S = 0.05
CHUNK_BYTES = 65_536


class Link(threading.Thread):
    """Forwards TCP connections to one address until it is closed."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(name=f"link to {port}", daemon=True)
        self._target = (host, port)
        self._listener = socket.create_server((host, 0))
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._others: dict[socket.socket, socket.socket] = {}
        self._towards_target: set[socket.socket] = set()
        self._dead = threading.Event()
        self._must_reset = threading.Event()
        self._closed = threading.Event()
        self.endpoint = f"tcp://{host}:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """Drop what goes to the node from now on; its connections seem to live."""
        self._dead.set()

    def mend(self) -> None:
        """Forward again, over new connections: what was cut in the middle makes no sense."""
        self._must_reset.set()
        self._dead.clear()

    def close(self) -> None:
        """End all connections, and the thread."""
        self._closed.set()
        self.join()

    def run(self) -> None:
        """Move bytes until closed."""
        while not self._closed.is_set():
            if self._must_reset.is_set():
                self._must_reset.clear()
                self._end_all()
            for key, _ in self._selector.select(POLL_S):
                if key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._others:
                    self._forward(key.fileobj)
        self._end_all()
        self._listener.close()
        self._selector.close()

    def _accept(self) -> None:
        source, _ = self._listener.accept()
        try:
            target = socket.create_connection(self._target)
        except OSError:
            source.close()
            return
        self._towards_target.add(source)
        for one, other in ((source, target), (target, source)):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._others[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _forward(self, source: socket.socket) -> None:
        with suppress(OSError):
            data = source.recv(CHUNK_BYTES)
            if data:
                if not (self._dead.is_set() and source in self._towards_target):
                    self._others[source].sendall(data)
                return
        self._end(source)

    def _end(self, one: socket.socket) -> None:
        for end in (one, self._others[one]):
            self._selector.unregister(end)
            self._towards_target.discard(end)
            del self._others[end]
            end.close()

    def _end_all(self) -> None:
        while self._others:
            self._end(next(iter(self._others)))
