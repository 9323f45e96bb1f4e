"""The sockets between nodes: one ROUTER that only receives, one DEALER per peer that only sends.

libzmq drops messages silently in the middle of a stream when a queue is full, and would replay
stale ones to a peer that comes back; so queues are short, nothing is queued for a peer that is not
there, and no send ever waits (failures F1 to F4). What is lost, Raft sends again.
"""

from collections.abc import Mapping

import zmq

from .crowd import ConnectionLimit
from .disconnects import DisconnectWatch
from .faults import LinkFaults
from .options import (
    NOBLOCK,
    RECONNECT_MS,
    RECONNECT_MS_MAX,
    Socket,
    new_socket,
)
from .waiting import Waiter, has_input

SEND_QUEUE_MESSAGES = 128
RECEIVE_QUEUE_MESSAGES = 1_000


class PeerSockets:
    """All sockets between this node and its peers.

    Args:
        context: the process's ZeroMQ context.
        endpoint: where this node listens for its peers, such as ``tcp://127.0.0.1:7501``.
        frame_bytes_max: a longer frame ends the connection it came on.
        connections_max: how many connections may come in; those beyond are cut.

    Raises:
        zmq.ZMQError: the endpoint can't be bound; its port is in use.
    """

    def __init__(
        self,
        context: zmq.Context[Socket],
        endpoint: str,
        *,
        frame_bytes_max: int,
        connections_max: int,
    ) -> None:
        self._context = context
        self._dealers: dict[str, Socket] = {}
        self._bulk: dict[str, Socket] = {}
        self._endpoints: dict[str, str] = {}
        self.dropped = 0
        self.has_more = False
        """Whether :meth:`receive` has stopped at its bound: nobody tells of what is left."""
        self.faults: LinkFaults | None = None
        """What is done to frames on purpose; None: nothing ever is."""
        self._disconnects: DisconnectWatch | None = None
        self.router = new_socket(context, zmq.ROUTER)
        self.router.setsockopt(zmq.RCVHWM, RECEIVE_QUEUE_MESSAGES)
        self.router.setsockopt(zmq.MAXMSGSIZE, frame_bytes_max)
        self.connections = ConnectionLimit(context, self.router, connections_max=connections_max)
        self.router.bind(endpoint)

    def connect(self, peer: str, endpoint: str) -> None:
        """Keep a connection to ``peer``, reconnecting quickly when it comes back."""
        self._endpoints[peer] = endpoint
        self._dealers[peer] = self._dealer(endpoint)
        if self._disconnects is not None:
            self._disconnects.add(peer, self._dealers[peer], endpoint)

    def watch_disconnects(self, waiter: Waiter) -> DisconnectWatch:
        """Find out from now on whose process is gone; return who knows it."""
        self._disconnects = watch = DisconnectWatch(self._context, waiter)
        for peer, dealer in self._dealers.items():
            watch.add(peer, dealer, self._endpoints[peer])
        return watch

    def follow(self, endpoints: Mapping[str, str]) -> None:
        """Be connected to these peers, and to no others; those that stay lose nothing."""
        for peer, endpoint in list(self._endpoints.items()):
            if endpoints.get(peer) != endpoint:
                self._disconnect(peer)
        for peer, endpoint in endpoints.items():
            if peer not in self._endpoints:
                self.connect(peer, endpoint)

    def _disconnect(self, peer: str) -> None:
        del self._endpoints[peer]
        if self._disconnects is not None:
            self._disconnects.remove(peer)
        for dealer in (self._dealers.pop(peer, None), self._bulk.pop(peer, None)):
            if dealer is not None:
                dealer.close()

    def _dealer(self, endpoint: str) -> Socket:
        dealer = new_socket(self._context, zmq.DEALER)
        dealer.setsockopt(zmq.IMMEDIATE, 1)
        dealer.setsockopt(zmq.SNDHWM, SEND_QUEUE_MESSAGES)
        dealer.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
        dealer.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MS_MAX)
        dealer.connect(endpoint)
        return dealer

    def send(self, peer: str, frame: bytes) -> bool:
        """Send a frame, or drop it when the peer is not there or its queue is full.

        Returns:
            False when it was dropped. What a fault swallows counts as sent: nobody is told of it.
        """
        if self.faults is not None and self.faults.active:
            passed = self.faults.outgoing(peer, frame, bulk=False)
            if passed != [frame]:
                for one in passed:
                    self._send(peer, one)
                return True
        return self._send(peer, frame)

    def _send(self, peer: str, frame: bytes) -> bool:
        dealer = self._dealers.get(peer)
        if dealer is not None:
            try:
                dealer.send(frame, NOBLOCK)
            except zmq.Again:
                pass
            else:
                return True
        self.dropped += 1
        return False

    def send_bulk(self, peer: str, frame: bytes) -> None:
        """Send a piece of a snapshot by a connection of its own; drop it when that is not ready.

        It shares no queue with heartbeats: none of them ever waits behind it (failure F10).
        """
        if self.faults is not None and self.faults.active:
            for one in self.faults.outgoing(peer, frame, bulk=True):
                self._send_bulk(peer, one)
        else:
            self._send_bulk(peer, frame)

    def _send_bulk(self, peer: str, frame: bytes) -> None:
        dealer = self._bulk.get(peer)
        if dealer is None and peer in self._endpoints:
            self._bulk[peer] = dealer = self._dealer(self._endpoints[peer])
        if dealer is not None:
            try:
                dealer.send(frame, NOBLOCK)
            except zmq.Again:
                self.dropped += 1

    def receive(self, frames_max: int) -> list[bytes]:
        """Return what has come in, at most ``frames_max`` frames, without waiting."""
        received = []
        router = self.router
        self.has_more = False
        for _ in range(frames_max):
            if not has_input(router):
                break
            # [routing id, frame]; whatever else a stranger sends is read and dropped.
            router.recv(NOBLOCK)
            body = router.recv(NOBLOCK, copy=False)
            if not body.more:
                received.append(body.bytes)
                continue
            self.dropped += 1
            while body.more:
                body = router.recv(NOBLOCK, copy=False)
        else:
            self.has_more = True
        if self.faults is not None and self.faults.active:
            return [one for frame in received for one in self.faults.incoming(frame)]
        return received

    def release(self, faults: LinkFaults) -> list[bytes]:
        """Send what a fault has held back for long enough; return what came in likewise."""
        arrived = []
        for held in faults.due():
            if held.incoming:
                arrived.append(held.frame)
            elif held.bulk:
                self._send_bulk(held.peer, held.frame)
            else:
                self._send(held.peer, held.frame)
        return arrived

    def close(self) -> None:
        """Close all sockets; what was not sent is dropped."""
        if self._disconnects is not None:
            self._disconnects.close()
        for dealer in (*self._dealers.values(), *self._bulk.values()):
            dealer.close()
        self.connections.close()
        self.router.close()
