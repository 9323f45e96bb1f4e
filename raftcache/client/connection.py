"""One connection to one node: a DEALER that connects once and is thrown away when it breaks.

libzmq would reconnect by itself and send what was still queued to a node that comes back, long
after the caller was told that the outcome is unknown. So automatic reconnection is off: one object
here is one TCP connection, and its end is an event that the driver sees at once.

A request that was taken by the socket and one that was not are told apart by ``IMMEDIATE``: until
the node has completed the handshake, there is no queue that could take it.
"""

import math

import zmq

_ENDED = (
    zmq.Event.CLOSED
    | zmq.Event.DISCONNECTED
    | zmq.Event.HANDSHAKE_FAILED_NO_DETAIL
    | zmq.Event.HANDSHAKE_FAILED_PROTOCOL
    | zmq.Event.HANDSHAKE_FAILED_AUTH
)
"""Each of these is the end of a socket that does not reconnect."""

_HANDSHAKE_MS = 2_000


class Connection:
    """A DEALER to ``endpoint`` and the monitor that tells of its end.

    ``bell_fd`` is a descriptor that, once it is readable, ends every wait.
    """

    def __init__(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        endpoint: str,
        bell_fd: int | None = None,
    ) -> None:
        self.endpoint = endpoint
        self._bell_fd = bell_fd
        self._dealer = context.socket(zmq.DEALER)
        self._monitor: zmq.Socket[bytes] | None = None
        try:
            self._dealer.setsockopt(zmq.LINGER, 0)
            self._dealer.setsockopt(zmq.IMMEDIATE, 1)
            self._dealer.setsockopt(zmq.RECONNECT_IVL, -1)
            self._dealer.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_MS)
            self._monitor = monitor = self._dealer.get_monitor_socket(int(_ENDED))
            self._dealer.connect(endpoint)
        except BaseException:
            self.close()
            raise
        self._poller = zmq.Poller()
        self._poller.register(monitor, zmq.POLLIN)
        self._poller.register(self._dealer, zmq.POLLIN)
        if bell_fd is not None:
            self._poller.register(bell_fd, zmq.POLLIN)

    def send(self, request: bytes, wait_ms: float) -> bool:
        """Send a request once there is a connection to take it; False: none within ``wait_ms``."""
        if self.try_send(request):
            return True
        self._poller.modify(self._dealer, zmq.POLLOUT)
        try:
            ready = dict(self._poller.poll(math.ceil(wait_ms)))
        finally:
            self._poller.modify(self._dealer, zmq.POLLIN)
        return self._dealer in ready and self.try_send(request)

    def try_send(self, request: bytes) -> bool:
        """Send a request if the connection can take it now."""
        try:
            self._dealer.send_multipart((b"", request), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def wait(self, wait_ms: float) -> bool:
        """Wait until frames or the connection's end may be there; False: neither came."""
        return bool(self._poller.poll(math.ceil(wait_ms)))

    def listen_with(self, poller: zmq.Poller) -> None:
        """Let ``poller`` tell what :meth:`wait` waits for, beside other connections."""
        if self._monitor is not None:
            poller.register(self._monitor, zmq.POLLIN)
        poller.register(self._dealer, zmq.POLLIN)
        if self._bell_fd is not None:
            poller.register(self._bell_fd, zmq.POLLIN)

    def receive(self) -> bytes | None:
        """Return the body of the next message, empty when ill-formed; None when none is there."""
        try:
            frames = self._dealer.recv_multipart(zmq.NOBLOCK)
        except zmq.Again:
            return None
        return frames[1] if len(frames) == 2 and not frames[0] else b""

    def has_ended(self) -> bool:
        """Tell whether the connection is over. Frames that came before may still be waiting."""
        return self._monitor is None or bool(self._monitor.poll(0))

    @property
    def descriptors(self) -> tuple[int, int]:
        """The file descriptors that become readable when frames, or the end, may be there.

        They tell of changes only, and any use of the socket may swallow the word: after each, ask
        :meth:`has_work`, or :meth:`has_ended`, before waiting again.
        """
        assert self._monitor is not None, "a connection that is open has a monitor"
        return int(self._dealer.getsockopt(zmq.FD)), int(self._monitor.getsockopt(zmq.FD))

    def has_work(self, *, sending: bool) -> bool:
        """Tell whether frames are there or, when ``sending``, a request would be taken."""
        events = int(self._dealer.getsockopt(zmq.EVENTS))
        return bool(events & (zmq.POLLIN | zmq.POLLOUT if sending else zmq.POLLIN))

    def close(self) -> None:
        """Close both sockets; what was not sent is dropped."""
        if self._dealer.closed:
            return
        self._dealer.disable_monitor()
        if self._monitor is not None:
            self._monitor.close(0)
        self._dealer.close(0)
