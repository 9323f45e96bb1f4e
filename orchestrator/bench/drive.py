"""Puts a load on one endpoint: one process, all sockets in one poller, closed loop.

A slot is one request under way; its answer is what the next one in it waits for. So latencies are
those of a server that is kept busy, not of one that is overrun.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Protocol

import msgspec
import zmq

from ..errors import CheckFailed, TryAgain
from .loads import ID, NOT_OK, OK, SLOT_DIGITS, Load, Request, slot_digits

SILENCE_MS: Final = 10_000
TICK_SECONDS: Final = 0.25
_AT: Final = len(ID)
_MORE: Final = int(zmq.SNDMORE)  # a plain integer: pyzmq's enumerations cost more than a frame
_NOBLOCK: Final = int(zmq.NOBLOCK)


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
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    context.set(zmq.MAX_SOCKETS, load.clients + 10)
    sockets = []
    try:
        for _ in range(load.clients):
            made = context.socket(zmq.REQ if load.in_flight == 1 else zmq.DEALER)
            sockets.append(made)
            made.setsockopt(zmq.LINGER, 0)
            made.setsockopt(zmq.SNDHWM, 2 * load.in_flight)
            made.setsockopt(zmq.RCVHWM, 0)
            made.connect(endpoint)
        _keep_busy(endpoint, sockets, load, requests, clock)
    finally:
        for each in sockets:
            each.close(0)
        context.term()


def _keep_busy(
    endpoint: str,
    sockets: "Sequence[zmq.Socket[bytes]]",
    load: Load,
    requests: Sequence[Request],
    clock: Meter,
) -> None:
    window = load.in_flight
    slots = [slot_digits(slot) for slot in range(window)]
    sent = {each: [0.0] * window for each in sockets}
    count, number = len(requests), 0

    def send(each: "zmq.Socket[bytes]", slot: int, now: float) -> None:
        nonlocal number
        request = requests[number % count]
        number += 1
        sent[each][slot] = now
        if window > 1:
            each.send(b"", _MORE)
        each.send(request.head + slots[slot] + request.tail)

    poller = zmq.Poller()
    for each in sockets:
        poller.register(each, zmq.POLLIN)
        for slot in range(window):
            send(each, slot, time.perf_counter())
    while True:
        ready = poller.poll(SILENCE_MS)
        if not ready:
            raise TryAgain(f"{endpoint} has not answered for {SILENCE_MS // 1_000} s")
        for each, _ in ready:
            for frame in _drain(each, window):
                now = time.perf_counter()
                slot = slot_in(frame)
                if not clock.note(sent[each][slot], now):
                    return
                send(each, slot, now)


def _drain(each: "zmq.Socket[bytes]", most: int) -> Iterator[bytes]:
    """Yield what has arrived; a REQ has one reply, a DEALER perhaps many."""
    if most == 1:
        yield each.recv()
        return
    for _ in range(most):
        try:
            yield each.recv_multipart(_NOBLOCK)[-1]
        except zmq.Again:
            return


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
