"""The PUB socket of Raft events: for pages, reports and people. Nothing depends on arrival."""

import zmq

from .crowd import ConnectionLimit
from .options import Socket, new_socket

TOPIC = b"raft"
QUEUE_MESSAGES = 1_000


class Publisher:
    """Publishes ``[b"raft", event]``; slow subscribers miss events and cost nothing.

    Raises:
        zmq.ZMQError: the endpoint can't be bound.
    """

    def __init__(
        self, context: zmq.Context[Socket], endpoint: str, *, connections_max: int
    ) -> None:
        self.socket = new_socket(context, zmq.PUB)
        self.socket.setsockopt(zmq.SNDHWM, QUEUE_MESSAGES)
        self.connections = ConnectionLimit(context, self.socket, connections_max=connections_max)
        self.socket.bind(endpoint)

    def publish(self, event: bytes) -> None:
        """Send one event to whoever listens."""
        self.socket.send_multipart([TOPIC, event], zmq.NOBLOCK)

    def close(self) -> None:
        """Close the socket."""
        self.connections.close()
        self.socket.close()
