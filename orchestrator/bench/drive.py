"""Puts a load on one endpoint: one process, all sockets in one epoll, closed loop.

A slot is one request under way; its answer is what the next one in it waits for. So latencies are
those of a server that is kept busy, not of one that is overrun.

The sockets' descriptors are waited for, as the nodes do it: to ask each of 64 sockets whether it
has something, as ``zmq.Poller`` does, takes longer than to send and receive. A descriptor tells
once of news, and sending takes such news in, too. A REQ has none to lose, as its answer comes
behind what it sent; a DEALER is read until nothing is left, or looked at again.
"""

import select
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Final, Protocol

import msgspec
import zmq

from raftcache.transport.options import FD, NOBLOCK, Socket, sender_of

from ..errors import CheckFailed, TryAgain
from .loads import ID, NOT_OK, OK, SLOT_DIGITS, Load, Request, slot_digits, whole

SILENCE_SECONDS: Final = 10
TICK_SECONDS: Final = 0.25
_AT: Final = len(ID)
_MORE: Final = int(zmq.SNDMORE)


class Meter(Protocol):
    """Who is told of every answer."""

    def note(self, sent: float, now: float) -> bool:
        """Take when a request was sent and answered; return whether to go on."""


class Clock:
    """Counts what is answered between the warm-up's end and the end; ``tick`` is told how many."""

    def __init__(
        self, warm_up: float, seconds: float, tick: Callable[[int, float], None] | None = None
    ) -> None:
        self.began = time.perf_counter()
        self.begin = self.began + warm_up
        self.end = self.begin + seconds
        self.latencies: list[float] = []
        self.answered = 0
        self._tick = tick
        self._next_tick = self.began + TICK_SECONDS if tick is not None else float("inf")

    def note(self, sent: float, now: float) -> bool:
        """Count one answer; False: the time is over.

        On a host so busy that nothing is answered in time, the first answer ends it: a slow
        figure is one, and none at all tells nobody anything.
        """
        self.answered += 1
        is_late = now >= self.end
        if is_late and self.latencies:
            return False
        if sent >= self.begin:
            self.latencies.append(now - sent)
            if is_late:
                self.end = now
                return False
        if now >= self._next_tick:
            self._next_tick = now + TICK_SECONDS
            if self._tick is not None:
                self._tick(self.answered, now - self.began)
        return True


def drive(endpoint: str, load: Load, requests: Sequence[Request], clock: Meter) -> None:
    """Keep every slot busy until the clock says stop.

    Raises:
        TryAgain: nobody answered for ten seconds.
        CheckFailed: a request was refused; the message says why.
    """
    context: zmq.Context[Socket] = zmq.Context()
    context.set(zmq.MAX_SOCKETS, load.clients + 10)
    sockets = []
    try:
        for _ in range(load.clients):
            made = context.socket(zmq.REQ if load.in_flight == 1 else zmq.DEALER)
            sockets.append(made)
            made.setsockopt(zmq.LINGER, 0)
            # Low marks would have libzmq tell of every message that has left.
            made.setsockopt(zmq.SNDHWM, 0)
            made.setsockopt(zmq.RCVHWM, 0)
            made.connect(endpoint)
        _keep_busy(endpoint, sockets, load, requests, clock)
    finally:
        for each in sockets:
            each.close(0)
        context.term()


class _Connection:
    """A socket, and when what is under way in each of its slots was sent."""

    def __init__(self, socket: Socket, window: int) -> None:
        self.sent = [0.0] * window
        self._window = window
        self._recv, self._send = socket.recv, sender_of(socket)

    def send(self, slot: int, request: bytes, now: float) -> None:
        """Send a request in a slot."""
        self.sent[slot] = now
        if self._window > 1:
            self._send(b"", _MORE)
        self._send(request, 0)

    def answers(self) -> Iterator[bytes]:
        """Yield what has arrived, no more than there are slots: of a REQ one, of a DEALER many."""
        recv = self._recv
        try:
            for _ in range(self._window):
                if self._window > 1:
                    recv(NOBLOCK)
                yield recv(NOBLOCK)
        except zmq.Again:
            return


def _keep_busy(
    endpoint: str,
    sockets: Sequence[Socket],
    load: Load,
    requests: Sequence[Request],
    clock: Meter,
) -> None:
    window = load.in_flight
    slots = [slot_digits(slot) for slot in range(window)]
    supply = cycle(requests)
    connections: dict[int, _Connection] = {}
    with select.epoll() as epoll:
        for each in sockets:
            descriptor = int(each.getsockopt(FD))
            connections[descriptor] = connection = _Connection(each, window)
            for slot in range(window):
                connection.send(slot, whole(next(supply), slot), time.perf_counter())
            epoll.register(descriptor, select.EPOLLIN)
        heard, left = time.perf_counter(), {*connections}
        while time.perf_counter() - heard < SILENCE_SECONDS:
            told = [descriptor for descriptor, _ in epoll.poll(0 if left else SILENCE_SECONDS)]
            ready, left = left.union(told), set()
            for descriptor in ready:
                connection = connections[descriptor]
                answered = 0
                for frame in connection.answers():
                    answered += 1
                    heard = now = time.perf_counter()
                    slot = slot_in(frame)
                    if not clock.note(connection.sent[slot], now):
                        return
                    request = next(supply)
                    connection.send(slot, request.head + slots[slot] + request.tail, now)
                if answered == window > 1:
                    left.add(descriptor)
    raise TryAgain(f"{endpoint} has not answered for {SILENCE_SECONDS} s")


def slot_in(frame: bytes) -> int:
    """Make sure that a reply is ``ok``, with all in it; return the slot that its id names.

    Raises:
        CheckFailed: it is not; with the node's own words.
    """
    at = frame.find(ID)
    if at < 0 or OK not in frame or NOT_OK in frame:
        raise CheckFailed(f"a request was refused: {_reason(frame)}")
    return int(frame[at + _AT : at + _AT + SLOT_DIGITS])


def _reason(frame: bytes) -> str:
    try:
        reply = msgspec.msgpack.decode(frame)
    except msgspec.DecodeError:
        return "the answer can't be read"
    failed = [reply, *reply.get("results", [])]
    return next(
        (f"{one['error']}: {one['message']}" for one in failed if one.get("ok") is False),
        "no reason was given",
    )
