"""Blocking calls, one at a time: performs what :mod:`.routing` decides, a connection per node.

Only this file of the blocking client waits on sockets. A sending that met silence is listened to
until its call ends; then its connection goes, and with it whatever was not sent or answered.
"""

import math
import os
import threading
import time

import zmq

from ..errors import OutcomeUnknown
from . import calls, codec, routing
from .codec import Fields
from .connection import Connection
from .sockets import Sockets

LOOK_MS = 200
"""A call that waits looks so often whether it is to end. Shorter: more wakeups for nothing."""


class Interrupted(Exception):  # noqa: N818 - an event, and nobody's error
    """The caller was closed while it waited."""


class Bell:
    """Ends the calls of a :class:`Caller` from another thread: rung once, it is heard for ever."""

    def __init__(self) -> None:
        self.has_rung = False
        self.descriptor, self._rope = os.pipe()
        self._lock = threading.Lock()
        self._closed = False

    def ring(self) -> None:
        """Let the call that is performed, and all later ones, raise Interrupted."""
        with self._lock:
            if not self.has_rung and not self._closed:
                os.write(self._rope, b"!")
            self.has_rung = True

    def close(self) -> None:
        """Close it; its caller's connections are closed before."""
        with self._lock:
            if not self._closed:
                self._closed = True
                os.close(self.descriptor)
                os.close(self._rope)


class Caller:
    """Performs calls one after the other; with a ``bell`` another thread can end them."""

    def __init__(self, routing_: routing.Routing, bell: "Bell | None" = None) -> None:
        self.routing = routing_
        self._bell = bell
        self.interrupted = False
        """Set by another thread, or a signal handler: the call ends soon (:class:`Interrupted`)."""
        self._last_id = 0
        self._connections: dict[str, Connection] = {}
        self._unanswered: dict[int, Connection] = {}
        """Sendings of the present call, by id; of all but the last nobody expects much any more.
        When the call ends they go: nothing of it may stay, to be sent late or answered late."""
        self._context = Sockets()

    def perform(self, call: routing.Call, op: str, fields: Fields) -> Fields:
        """Perform one call and return the reply, which is ``ok``.

        Raises:
            RequestError: it failed; the class tells whether it may have had an effect.
            Interrupted: the bell was rung, or the caller is to end.
        """
        try:
            while True:
                self._heed_bell()
                step = call.next_step(now_ms())
                reply: Fields | None
                if isinstance(step, routing.Pause):
                    reply = self._pause(call, step.until_ms)
                else:
                    reply = self._send(call, step, op, fields)
                if reply is not None:
                    return reply
        except Interrupted:
            if call.kind is not routing.Kind.READ and (call.in_doubt or self._unanswered):
                raise OutcomeUnknown("the client was closed before an answer came") from None
            raise
        finally:
            for connection in self._unanswered.values():
                connection.close()
            self._unanswered.clear()

    def close(self) -> None:
        """Close all connections, by the thread that performs calls or after it has ended."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
        self._context.end()

    def _pause(self, call: routing.Call, until_ms: float) -> Fields | None:
        if not self._unanswered:
            while (left_ms := _left_ms(until_ms)) > 0:
                time.sleep(min(left_ms, LOOK_MS) / 1_000)
                self._heed_bell()
            return None
        return self._listen(call, None, 0, until_ms)

    def _send(
        self, call: routing.Call, step: routing.Send, op: str, fields: Fields
    ) -> Fields | None:
        """Send one request over a healthy connection; return the reply that settles the call."""
        self._last_id += 1
        request_id = self._last_id
        request = codec.encode_request(
            op, fields, request_id=request_id, timeout_ms=step.timeout_ms
        )
        endpoint = step.endpoint
        try:
            connection = self._connection(endpoint)
        except zmq.ZMQError as error:
            call.settle(now_ms(), routing.NotSent(str(error)), endpoint)
            return None
        self._unanswered[request_id] = self._connections.pop(endpoint)
        if connection.send(request, _left_ms(step.connect_by_ms)):
            return self._listen(call, connection, request_id, step.answer_by_ms)
        del self._unanswered[request_id]
        reason = "refused" if connection.has_ended() else "no connection in time"
        connection.close()
        call.settle(now_ms(), routing.NotSent(reason), endpoint)
        return None

    def _listen(
        self, call: routing.Call, current: Connection | None, current_id: int, by_ms: float
    ) -> Fields | None:
        """Wait for an answer to any sending of this call; None: time for another step."""
        strays = 0
        while True:
            for request_id, connection in [*self._unanswered.items()]:
                outcome, reply, others = _take_reply(connection, request_id)
                strays += others
                if outcome is None:
                    continue
                del self._unanswered[request_id]
                self._keep_or_close(connection, outcome)
                if call.settle(now_ms(), outcome, connection.endpoint):
                    return reply
                if request_id == current_id:
                    return None
            left_ms = _left_ms(by_ms)
            if left_ms <= 0:
                break
            self._wait(min(left_ms, LOOK_MS))
            self._heed_bell()
        if current is not None:
            call.settle(now_ms(), routing.Silent(strays), current.endpoint)
        return None

    def _keep_or_close(self, connection: Connection, outcome: routing.Outcome) -> None:
        """Keep a connection that has answered all that it was asked, for the next call."""
        answered = isinstance(outcome, routing.Answered | routing.Refused)
        if answered and connection.endpoint not in self._connections:
            self._connections[connection.endpoint] = connection
        else:
            connection.close()

    def _connection(self, endpoint: str) -> Connection:
        connection = self._connections.get(endpoint)
        if connection is not None and connection.has_ended():
            del self._connections[endpoint]
            connection.close()
            connection = None
        if connection is None:
            bell_fd = None if self._bell is None else self._bell.descriptor
            connection = Connection(self._context, endpoint, bell_fd)
            self._connections[endpoint] = connection
        return connection

    def _wait(self, left_ms: float) -> None:
        """Wait until an answer may have come."""
        if len(self._unanswered) == 1:
            [connection] = self._unanswered.values()
            connection.wait(left_ms)
            return
        poller = zmq.Poller()
        for connection in self._unanswered.values():
            connection.listen_with(poller)
        poller.poll(math.ceil(left_ms))

    def _heed_bell(self) -> None:
        if self.interrupted or (self._bell is not None and self._bell.has_rung):
            raise Interrupted


def _take_reply(
    connection: Connection, request_id: int
) -> tuple[routing.Outcome | None, Fields, int]:
    """Return the outcome of a request if it is there, and how many frames were no reply to it."""
    strays = 0
    # Order matters: what came before the connection's end is still to be read.
    ended = connection.has_ended()
    while (frame := connection.receive()) is not None:
        reply = codec.decode_reply(frame)
        if reply is not None and reply.get("id") == request_id:
            return calls.outcome_of(reply), reply, strays
        strays += 1
    return (routing.Lost() if ended else None), {}, strays


def now_ms() -> float:
    """Return the monotonic clock."""
    return time.monotonic() * 1_000


def _left_ms(until_ms: float) -> float:
    return max(0.0, until_ms - now_ms())
