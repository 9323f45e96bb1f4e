"""One connection under asyncio, shared by many calls: replies find their calls by id.

Driven by the sockets' file descriptors in the event loop itself, without zmq.asyncio, which takes
four times the CPU. The rules:

- A request waits here, in order, until the connection takes it; one whose call is over is skipped.
  So what was not taken never leaves, and what was taken is known as sent.
- After a silence the channel is retired: whoever waits may still get an answer, he who was told of
  the silence included, but nothing new is sent, and it closes with its last call. What is left in
  its socket goes with it.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Protocol

import zmq

from . import calls, codec, routing
from .codec import Fields
from .connection import Connection

FRAMES_PER_TURN = 500
"""Frames taken before the loop gets to do other things."""


class Listener(Protocol):
    """Whoever made a request and waits for what becomes of it."""

    @property
    def is_waiting(self) -> bool:
        """Whether it still waits; false as soon as it was cancelled."""
        ...

    def report(self, request_id: int, outcome: routing.Outcome, reply: Fields) -> None:
        """Hear the outcome of a request, and the reply; silence may be followed by another."""
        ...


class _Flight:
    """One request, from its submission to its outcome."""

    __slots__ = ("answer_by_ms", "listener", "request", "sent", "strays", "timer")

    def __init__(
        self, request: bytes, answer_by_ms: float, listener: Listener, strays: int
    ) -> None:
        self.request = request
        self.answer_by_ms = answer_by_ms
        self.listener = listener
        self.strays = strays
        self.sent = False
        self.timer: asyncio.TimerHandle | None = None


class Channel:
    """A connection to ``endpoint``; ``on_retired`` is called once, when it takes no more."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        context: "zmq.Context[zmq.Socket[bytes]]",
        endpoint: str,
        on_retired: Callable[["Channel"], None],
    ) -> None:
        self.endpoint = endpoint
        self._loop = loop
        self._on_retired = on_retired
        self._connection = Connection(context, endpoint)
        self._flights: dict[int, _Flight] = {}
        self._waiting: deque[int] = deque()
        self._strays = 0
        self._retired = False
        self._closed = False
        self._pump_is_due = False
        self._dealer_fd, self._monitor_fd = self._connection.descriptors
        loop.add_reader(self._dealer_fd, self._pump)
        loop.add_reader(self._monitor_fd, self._look_for_end)
        # The word of either descriptor may have been swallowed before anybody listened.
        loop.call_soon(self._look_for_end)
        self._pump_soon()

    @property
    def closed(self) -> bool:
        """Whether the connection is closed; its calls have been told."""
        return self._closed

    def submit(
        self,
        request_id: int,
        request: bytes,
        listener: Listener,
        *,
        connect_by_ms: float,
        answer_by_ms: float,
    ) -> None:
        """Send a request as soon as may be; ``listener`` hears its outcome, by the times given."""
        assert not self._retired, "a retired channel takes no requests"
        flight = _Flight(request, answer_by_ms, listener, self._strays)
        self._flights[request_id] = flight
        self._waiting.append(request_id)
        # One timer for both limits: most requests are answered before even the first.
        flight.timer = self._loop.call_at(connect_by_ms / 1_000, self._on_time, request_id)
        self._pump_soon()

    def forget(self, request_id: int) -> None:
        """Drop a request that nobody waits for any more; what is still here never leaves."""
        flight = self._flights.pop(request_id, None)
        if flight is not None and flight.timer is not None:
            flight.timer.cancel()
        if self._retired and not self._flights:
            self.close()

    def close(self) -> None:
        """Close the connection at once; whoever still waits is told."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._dealer_fd)
        self._loop.remove_reader(self._monitor_fd)
        self._connection.close()
        self._retire()
        for request_id, flight in list(self._flights.items()):
            outcome = routing.Lost() if flight.sent else routing.NotSent("refused")
            self._settle(request_id, flight, outcome, {})

    def _retire(self) -> None:
        if not self._retired:
            self._retired = True
            self._on_retired(self)

    def _pump_soon(self) -> None:
        if not self._pump_is_due:
            self._pump_is_due = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Send what waits and take what has come, until the socket has no more of either."""
        self._pump_is_due = False
        for _ in range(FRAMES_PER_TURN):
            if self._closed:
                return
            self._send_waiting()
            frame = self._connection.receive()
            if frame is not None:
                self._take(frame)
            elif not self._connection.has_work(sending=bool(self._waiting)):
                return
        self._pump_soon()

    def _send_waiting(self) -> None:
        waiting = self._waiting
        while waiting:
            flight = self._flights.get(waiting[0])
            # Else it was forgotten or cancelled, and never leaves.
            if flight is not None and flight.listener.is_waiting:
                if not self._connection.try_send(flight.request):
                    return
                flight.sent = True
            waiting.popleft()

    def _take(self, frame: bytes) -> None:
        reply = codec.decode_reply(frame)
        request_id = None if reply is None else reply.get("id")
        if reply is None or type(request_id) is not int:
            self._strays += 1
            return
        flight = self._flights.get(request_id)
        if flight is not None and flight.sent:  # else it comes too late, and nobody waits
            self._settle(request_id, flight, calls.outcome_of(reply), reply)

    def _look_for_end(self) -> None:
        if self._closed or not self._connection.has_ended():
            return
        # What came before the end is still to be read, however much it is.
        while (frame := self._connection.receive()) is not None:
            self._take(frame)
        self.close()

    def _on_time(self, request_id: int) -> None:
        flight = self._flights[request_id]
        if not flight.sent:
            self._settle(request_id, flight, routing.NotSent("no connection in time"), {})
        elif flight.answer_by_ms > self._loop.time() * 1_000:
            due = flight.answer_by_ms / 1_000
            flight.timer = self._loop.call_at(due, self._on_time, request_id)
        else:
            # It stays, for an answer may still come.
            self._retire()
            strays = self._strays - flight.strays
            flight.listener.report(request_id, routing.Silent(strays), {})

    def _settle(
        self, request_id: int, flight: _Flight, outcome: routing.Outcome, reply: Fields
    ) -> None:
        flight.listener.report(request_id, outcome, reply)
        self.forget(request_id)
