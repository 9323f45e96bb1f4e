"""The ROUTER that clients, or administrators, talk to: REQ or DEALER sockets on the other side.

A request is ``[routing_id, …, delimiter, body]``; whatever stands before the body is its envelope
and goes back with the reply, untouched.
"""

from collections import deque

import zmq

from .crowd import ConnectionLimit
from .options import NOBLOCK, NOBLOCK_MORE, Socket, new_socket, sender_of
from .presence import Presence
from .waiting import has_input

SEND_QUEUE_MESSAGES = 256
"""Replies that libzmq queues for one client; it counts messages, however large."""
BACKLOG_BYTES_MAX = 8 * 1024 * 1024
"""Bytes of further replies that are kept for one client that does not read; then it loses them,
and they are counted."""
BACKLOGS_BYTES_MAX = 64 * 1024 * 1024
"""Bytes that are kept for all such clients together."""
RECEIVE_QUEUE_MESSAGES = 2_000
CALM_MESSAGES = 2
"""After so few messages in a turn, no more are expected in the next."""
FRAMES_MAX = 16
"""Frames of one message that are kept; the rest is read and thrown away (failure F7)."""


class ClientSocket:
    """One ROUTER for requests.

    Args:
        context: the process's ZeroMQ context.
        endpoint: where to listen, ``tcp://…`` or ``ipc://…``.
        frame_bytes_max: a longer frame ends the connection it came on, with no word to it.
        connections_max: how many connections it may have; those beyond are cut.

    Raises:
        zmq.ZMQError: the endpoint can't be bound.
    """

    def __init__(
        self,
        context: zmq.Context[Socket],
        endpoint: str,
        *,
        frame_bytes_max: int,
        connections_max: int,
    ) -> None:
        self.dropped = 0
        self._stopped_early = False
        self._is_calm = True
        self.may_have_more = False
        """Whether it is worth asking :meth:`has_more`."""
        self.backlogs: dict[bytes, deque[tuple[list[bytes], bytes]]] = {}
        """Replies that wait for clients that did not read: :meth:`flush` them soon."""
        self._backlog_bytes: dict[bytes, int] = {}
        self.router = new_socket(context, zmq.ROUTER)
        self.router.setsockopt(zmq.RCVHWM, RECEIVE_QUEUE_MESSAGES)
        self.router.setsockopt(zmq.SNDHWM, SEND_QUEUE_MESSAGES)
        self.router.setsockopt(zmq.MAXMSGSIZE, frame_bytes_max)
        # Tell of a reply that can't be delivered instead of dropping it unseen (failure F1).
        self.router.setsockopt(zmq.ROUTER_MANDATORY, 1)
        self._send_frame = sender_of(self.router)
        self.connections = ConnectionLimit(context, self.router, connections_max=connections_max)
        self._presence = Presence(self.connections)
        self.take_gone = self._presence.take_gone
        self.router.bind(endpoint)

    def receive(self, messages_max: int) -> list[list[bytes]]:
        """Return what has come in, at most ``messages_max`` messages, without waiting.

        Each is its frames: the routing id, and what was sent, up to :data:`FRAMES_MAX` in all.
        """
        received: list[list[bytes]] = []
        self._stopped_early = False
        router = self.router
        recv = router.recv
        known = self._presence.known
        try:
            for _ in range(messages_max):
                if self._is_calm and received and not has_input(router):
                    break
                # Behind the routing id there is always a frame: an empty message is one, too.
                client = recv(NOBLOCK)
                # Taken like this, a frame knows whether there are more; to ask takes longer.
                frame = recv(NOBLOCK, copy=False)
                if client not in known:
                    self._learn(client, frame)
                frames = [client, frame.bytes]
                while frame.more:
                    frame = recv(NOBLOCK, copy=False)
                    if len(frames) < FRAMES_MAX:
                        frames.append(frame.bytes)
                received.append(frames)
            else:
                self._stopped_early = self.may_have_more = True
        except zmq.Again:
            pass
        # To be told `Again` costs as much as asking for a handful of messages whether they exist.
        self._is_calm = len(received) <= CALM_MESSAGES
        return received

    def _learn(self, client: bytes, frame: zmq.Frame) -> None:
        """Learn the connection of a client that may be new from a frame of it."""
        try:
            descriptor = frame.get(zmq.SRCFD)
        except zmq.ZMQError:
            # So it is with peers that speak ZMTP 1.0, as stray bytes seem to.
            return
        assert isinstance(descriptor, int), "libzmq tells it as a number"
        self._presence.learn(client, descriptor)

    def has_more(self) -> bool:
        """Tell whether there is something to receive of which no wait will tell (``waiting``)."""
        if self._stopped_early:
            return True
        self.may_have_more = False
        return has_input(self.router)

    def send(self, envelope: list[bytes], reply: bytes) -> None:
        """Send a reply behind its request's envelope; drop it when the client is gone.

        A client that does not read has a queue, and behind it a backlog, both bounded.
        """
        if envelope[0] in self.backlogs or not self._try_send(envelope, reply):
            self._hold(envelope, reply)

    def flush(self) -> None:
        """Send what is held back, as far as each client reads."""
        for client, backlog in list(self.backlogs.items()):
            while backlog and self._try_send(*backlog[0]):
                self._backlog_bytes[client] -= len(backlog.popleft()[1])
            if not backlog:
                del self.backlogs[client], self._backlog_bytes[client]

    def _try_send(self, envelope: list[bytes], reply: bytes) -> bool:
        """Send, or find out that the client is gone; False: its queue is full."""
        send = self._send_frame
        self.may_have_more = True
        try:
            for frame in envelope:
                send(frame, NOBLOCK_MORE)
            send(reply, NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            self.dropped += 1
        return True

    def _hold(self, envelope: list[bytes], reply: bytes) -> None:
        client, size = envelope[0], len(reply)
        held = self._backlog_bytes.get(client, 0)
        everyone = sum(self._backlog_bytes.values())
        if held + size > BACKLOG_BYTES_MAX or everyone + size > BACKLOGS_BYTES_MAX:
            self.dropped += 1
            return
        self.backlogs.setdefault(client, deque()).append((envelope, reply))
        self._backlog_bytes[client] = held + size

    def close(self) -> None:
        """Close the socket; what was not sent is dropped."""
        self.connections.close()
        self.router.close()
