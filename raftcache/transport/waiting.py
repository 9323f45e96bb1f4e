"""Waiting for many sockets at once, for one system call.

``zmq.Poller`` asks every socket whether it has something, before it waits and after, and each
answer takes two system calls: more work than the turn of a loop that then reads one message. Here
the sockets' descriptors are waited for, and no socket is asked.

The price: libzmq's descriptor tells that something has happened, once, and only of what comes after
the socket was last found empty. So whoever is told of a socket reads until nothing is left, or
comes back to it by himself; a socket that was just added is asked; and as sending takes such news
in, too, a socket that was sent on is asked before the next wait.
"""

import select
from typing import TypeAlias

import zmq

from .options import EVENTS, FD, POLLIN, Socket

Source: TypeAlias = Socket | int
"""What may end a wait: a ZeroMQ socket, or a file descriptor."""


class Waiter:
    """Waits until one of its sources may have something."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._sources: dict[int, Source] = {}
        self._added: set[Socket] = set()

    def register(self, source: Source, flags: int = zmq.POLLIN) -> None:
        """Wait for this one, too. ``flags`` are for file descriptors; sockets tell of all news."""
        descriptor = _descriptor_of(source)
        self._sources[descriptor] = source
        if not isinstance(source, int):
            self._added.add(source)
        is_output = isinstance(source, int) and flags & zmq.POLLOUT
        self._poll.register(descriptor, select.POLLOUT if is_output else select.POLLIN)

    def unregister(self, source: Source) -> None:
        """Wait for it no longer. Call it before the source is closed."""
        descriptor = _descriptor_of(source)
        del self._sources[descriptor]
        if not isinstance(source, int):
            self._added.discard(source)
        self._poll.unregister(descriptor)

    def pause(self, socket: Socket) -> None:
        """Do not wait for this one until :meth:`resume`; what happens to it meanwhile is kept."""
        self._added.discard(socket)
        self._poll.modify(_descriptor_of(socket), 0)

    def resume(self, socket: Socket) -> None:
        """Wait for it again, and ask it first."""
        self._added.add(socket)
        self._poll.modify(_descriptor_of(socket), select.POLLIN)

    @property
    def sources(self) -> list[Source]:
        """What is waited for."""
        return [*self._sources.values()]

    def poll(self, timeout_ms: int) -> set[Source]:
        """Return the sources that may have something, as soon as there is one, or none in time."""
        sources = self._sources
        told = self._ask_added() if self._added else set()
        found = self._poll.poll(0 if told else timeout_ms)
        return told | {sources[descriptor] for descriptor, _ in found}

    def _ask_added(self) -> set[Source]:
        """Return those of the sockets just added that have something already."""
        added, self._added = self._added, set()
        return {socket for socket in added if has_input(socket)}


def has_input(socket: Socket) -> bool:
    """Ask a socket whether it has something to receive."""
    return bool(int(socket.getsockopt(EVENTS)) & POLLIN)


def _descriptor_of(source: Source) -> int:
    if isinstance(source, int):
        return source
    descriptor = source.getsockopt(FD)
    assert isinstance(descriptor, int), "a socket has a descriptor"
    return descriptor
