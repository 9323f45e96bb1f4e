"""Which peers' processes are gone, known within milliseconds, and never guessed.

When the connection to a peer ends, its port is asked with a plain connection. Only a refusal by
the same host counts: then nobody listens there. A timeout, a reset, a shortage of ports here, or a
connection that succeeds say nothing. Nothing here waits: what does not come at once is polled.
"""

import errno
import socket as sockets
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Final

import zmq

from .options import NOBLOCK, Socket
from .waiting import Source, Waiter, has_input

ASK_TIMES: Final = 10
"""How often a port is asked after a connection has ended, tick by tick. A process that is killed
closes its connections before its ports, or after; and what it had sent may come in late, and would
pass for life."""
_LOOPBACK: Final = "127."


class DisconnectWatch:
    """Watches the connections to peers.

    Args:
        context: the process's ZeroMQ context.
        waiter: where the loop waits; all that has to wake it is registered there.
    """

    def __init__(self, context: zmq.Context[Socket], waiter: Waiter) -> None:
        self._context = context
        self._waiter = waiter
        self._monitors: dict[str, tuple[Socket, Socket]] = {}
        self._addresses: dict[str, tuple[str, int]] = {}
        self._questions_left: dict[str, int] = {}
        self._probes: dict[str, sockets.socket] = {}
        self._added = 0
        self._sources: set[Source] = set()

    def add(self, peer: str, dealer: Socket, endpoint: str) -> None:
        """Watch the connection of ``dealer`` to a peer; one that is not on this host is left out.

        On another host a refusal may come from anybody in between.
        """
        address = _loopback_address(endpoint)
        if address is None:
            return
        self._added += 1
        # Never the same name twice: libzmq gives one free some time after its socket is closed.
        where = f"inproc://disconnects-{id(self)}-{self._added}"
        dealer.monitor(where, int(zmq.Event.DISCONNECTED))
        monitor: Socket = self._context.socket(zmq.PAIR)
        monitor.setsockopt(zmq.LINGER, 0)
        # With a bound, libzmq's own thread would wait for us in a long turn of the loop.
        monitor.setsockopt(zmq.RCVHWM, 0)
        monitor.connect(where)
        self._monitors[peer] = (dealer, monitor)
        self._addresses[peer] = address
        self._sources.add(monitor)
        self._waiter.register(monitor)

    def remove(self, peer: str) -> None:
        """Watch a peer no longer. Assumes that its socket is open still."""
        if peer in self._monitors:
            dealer, monitor = self._monitors.pop(peer)
            del self._addresses[peer]
            self._questions_left.pop(peer, None)
            self._end_probe(peer)
            self._sources.remove(monitor)
            self._waiter.unregister(monitor)
            dealer.disable_monitor()
            monitor.close()

    def is_concerned(self, ready: AbstractSet[Source]) -> bool:
        """Tell whether any of what has ended a wait is for :meth:`take_gone`."""
        return not self._sources.isdisjoint(ready)

    def take_gone(self) -> list[str]:
        """Return the peers whose hosts have just said that nobody listens; never waits.

        Call it behind the receiving: what has come in from a peer was sent before.
        """
        gone = [peer for peer in list(self._probes) if self._is_refused_now(peer)]
        for peer, (_, monitor) in self._monitors.items():
            if _take_all(monitor):
                self._questions_left[peer] = ASK_TIMES
                if self._ask(peer):
                    gone.append(peer)
        return gone

    def ask_again(self) -> list[str]:
        """Ask once more where a connection has ended lately; call it at each tick.

        Returns:
            The peers that are gone, as :meth:`take_gone` does.
        """
        return [peer for peer in list(self._questions_left) if self._ask(peer)]

    def close(self) -> None:
        """Stop watching. Assumes that the watched sockets are open still."""
        for peer in list(self._monitors):
            self.remove(peer)

    def _ask(self, peer: str) -> bool:
        """Begin a connection to the peer's port; True: it was refused at once."""
        self._questions_left[peer] -= 1
        if not self._questions_left[peer]:
            del self._questions_left[peer]
        if peer in self._probes:
            return self._is_refused_now(peer)  # The question before is still open.
        try:
            probe = sockets.socket(sockets.AF_INET, sockets.SOCK_STREAM)
        except OSError:
            return False  # No descriptor is left here: that says nothing about the peer.
        probe.setblocking(False)
        code = probe.connect_ex(self._addresses[peer])
        if code == errno.EINPROGRESS:
            self._probes[peer] = probe
            self._sources.add(probe.fileno())
            self._waiter.register(probe.fileno(), zmq.POLLOUT)
            return self._is_refused_now(peer)  # On one host the answer is there at once.
        probe.close()
        return code == errno.ECONNREFUSED

    def _is_refused_now(self, peer: str) -> bool:
        """Look at a connection that had not been decided; True: it was refused by now."""
        probe = self._probes[peer]
        code = probe.getsockopt(sockets.SOL_SOCKET, sockets.SO_ERROR)
        if code == 0:
            with suppress(OSError):
                probe.getpeername()
                # Somebody listens: still, perhaps, for a process may end piece by piece.
                self._end_probe(peer)
            return False
        self._end_probe(peer)
        return code == errno.ECONNREFUSED

    def _end_probe(self, peer: str) -> None:
        probe = self._probes.pop(peer, None)
        if probe is not None:
            self._sources.remove(probe.fileno())
            self._waiter.unregister(probe.fileno())
            probe.close()


def _take_all(monitor: Socket) -> bool:
    """Read all events that are there; they are all of one kind. False: there was none."""
    found = False
    while has_input(monitor):  # to be told `Again` would cost ten times as much, in every turn
        monitor.recv_multipart(NOBLOCK)
        found = True
    return found


def _loopback_address(endpoint: str) -> tuple[str, int] | None:
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    if not endpoint.startswith("tcp://") or not host.startswith(_LOOPBACK):
        return None
    return host, int(port)
