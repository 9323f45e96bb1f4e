"""Which of a ROUTER's clients are gone: what they wait for need not be kept for them.

libzmq tells the end of a connection by its file descriptor, and names a client by its routing id.
Which belong together is learned from a client's first message. Rules of this file:

- To take a client for gone that is there would lose its answers, so whatever is not certain is not
  told. What is kept for a client whose end was not told is bounded by other means.
- Only routing ids that libzmq has drawn are learned (they begin with a zero byte): it gives none
  twice. A client that names itself comes back under the same name.
"""

from .crowd import ConnectionLimit


class Presence:
    """Learns the connections of one socket's clients, and tells which clients are gone."""

    def __init__(self, connections: ConnectionLimit) -> None:
        self._connections = connections
        connections.on_end = self._on_end
        self.known: dict[bytes, int] = {}
        """The connection of each client that was learned, by its file descriptor."""
        self._clients: dict[int, bytes] = {}
        self._gone: list[bytes] = []

    def learn(self, client: bytes, descriptor: int) -> None:
        """Note where a message has come from whose client is not ``known``."""
        if client[:1] != b"\0":
            return
        # The end of the connection that had this descriptor before is told first.
        self._connections.look()
        if descriptor not in self._connections.open:
            self._gone.append(client)  # It came, asked, and went.
        elif descriptor not in self._clients:
            self.known[client] = descriptor
            self._clients[descriptor] = client
        else:
            # One of the two has gone, and the other has its descriptor: who knows which.
            del self.known[self._clients.pop(descriptor)]

    def take_gone(self) -> list[bytes]:
        """Return the clients that have gone since this was last called."""
        gone, self._gone = self._gone, []
        return gone

    def _on_end(self, descriptor: int) -> None:
        client = self._clients.pop(descriptor, None)
        if client is not None:
            del self.known[client]
            self._gone.append(client)
