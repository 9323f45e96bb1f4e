"""The blocking client: performs what :mod:`.routing` decides, over one connection per node.

Only this file waits and reads the clock. One call runs at a time; threads that share a client
queue at its lock, within their own deadlines.
"""

import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import zmq

from ..errors import Unreachable
from . import calls, codec, routing
from .calls import Plan
from .codec import Fields
from .connection import Connection
from .records import Item, Member, Operation, Outcome, Page, Record, Text, Written

T = TypeVar("T")


class Client:
    """A client of a Raft Cache cluster.

    ``endpoints`` are client addresses of its nodes (``tcp://127.0.0.1:7401``), a list or one string
    with commas; one that lives is enough. ``timeout`` is the deadline of a call, in seconds;
    each method takes its own.

    Every method raises a :class:`raftcache.errors.DefiniteError` when nothing happened and never
    will, and an :class:`raftcache.errors.IndefiniteError` when a mutation may have taken effect:
    it was sent once, and the answer is missing. No mutation is ever sent twice unless the first
    sending is known to have had no effect; reads are repeated freely.

    Threads may share a client; their calls take turns. A process that forks makes a new one.
    """

    def __init__(self, endpoints: str | Sequence[str], *, timeout: float = 5.0) -> None:
        self._routing = routing.Routing(calls.parse_endpoints(endpoints))
        self._timeout = timeout
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._last_id = 0
        self._connections: dict[str, Connection] = {}
        self._context: zmq.Context[zmq.Socket[bytes]] | None = zmq.Context()

    def get(self, key: Text, *, local: bool = False, timeout: float | None = None) -> bytes | None:
        """Return a key's value, or None when there is no such key.

        With ``local``, any one node answers from its own state at once: perhaps an old value.
        """
        record = self.get_record(key, local=local, timeout=timeout)
        return None if record is None else record.value

    def get_record(
        self, key: Text, *, local: bool = False, timeout: float | None = None
    ) -> Record | None:
        """Return a key's value and revisions, or None when there is no such key."""
        return self._perform(calls.get_record(key, local=local), timeout)

    def set(
        self,
        key: Text,
        value: Text,
        *,
        if_mod_rev: int | None = None,
        if_value: Text | None = None,
        ttl: float | None = None,
        timeout: float | None = None,
    ) -> int:
        """Write a key and return its new revision.

        ``if_mod_rev`` and ``if_value`` make it conditional on the key's present revision (0: the
        key must not exist) and value. The key goes after ``ttl`` seconds, by the cluster's own
        time; without it, it stays.

        Raises:
            Conflict: the condition does not hold; it carries the present revision and value.
        """
        plan = calls.write(key, value, if_mod_rev=if_mod_rev, if_value=if_value, ttl=ttl)
        return self._perform(plan, timeout).mod_rev

    def write(
        self,
        key: Text,
        value: Text,
        *,
        if_mod_rev: int | None = None,
        if_value: Text | None = None,
        ttl: float | None = None,
        timeout: float | None = None,
    ) -> Written:
        """Write a key as :meth:`set` does; return also whether it is a new one."""
        plan = calls.write(key, value, if_mod_rev=if_mod_rev, if_value=if_value, ttl=ttl)
        return self._perform(plan, timeout)

    def delete(
        self,
        key: Text,
        *,
        if_mod_rev: int | None = None,
        if_value: Text | None = None,
        timeout: float | None = None,
    ) -> bool:
        """Delete a key; return whether there was one. The conditions are those of :meth:`set`."""
        plan = calls.delete(key, if_mod_rev=if_mod_rev, if_value=if_value)
        return self._perform(plan, timeout)

    def incr(
        self, key: Text, by: int = 1, *, ttl: float | None = None, timeout: float | None = None
    ) -> int:
        """Add to the number in a key (none: 0) and return the sum.

        A key that this creates goes after ``ttl`` seconds; one that is there stays as it is.

        Raises:
            WrongType: the value is no integer.
            OutOfRange: the sum would not fit in signed 64 bits.
        """
        return self._perform(calls.incr(key, by, ttl), timeout)

    def expire(self, key: Text, ttl: float | None, *, timeout: float | None = None) -> bool:
        """Let a key go ``ttl`` seconds from now, or stay (None); return whether there is one.

        Its value and revision remain as they are.
        """
        return self._perform(calls.expire(key, ttl), timeout)

    def batch(
        self, operations: Sequence[Operation], *, timeout: float | None = None
    ) -> list[Outcome]:
        """Do up to 1,000 operations in order, in one round; return an outcome for each.

        They are independent: one that fails has its error as its outcome, not raised, and stops
        nothing.
        """
        return self._perform(calls.batch(operations), timeout) if operations else []

    def range(  # noqa: PLR0913 - a range has as many fields on the wire
        self,
        prefix: Text | None = None,
        *,
        start: Text | None = None,
        end: Text | None = None,
        limit: int = calls.PAGE_LIMIT,
        keys_only: bool = False,
        after: Text | None = None,
        at_rev: int | None = None,
        local: bool = False,
        timeout: float | None = None,
    ) -> Page:
        """Return one page of the keys with ``prefix``, or from ``start`` to before ``end``.

        The next page of the same moment: ``after`` its last key, ``at_rev`` its revision.

        Raises:
            Compacted: so many changes came since ``at_rev`` that the moment is no longer kept.
        """
        plan = calls.page(
            prefix,
            start=start,
            end=end,
            limit=limit,
            keys_only=keys_only,
            after=after,
            at_rev=at_rev,
            local=local,
        )
        return self._perform(plan, timeout)

    def count(self, prefix: Text = b"", *, timeout: float | None = None) -> int:
        """Return the number of keys with ``prefix``."""
        return self._perform(calls.count(prefix), timeout)

    def items(self, prefix: Text = b"", *, timeout: float | None = None) -> Iterator[Item]:
        """Yield the keys with ``prefix`` and their values, in order, all of one moment.

        ``timeout`` is for each page. Raises what :meth:`range` raises.
        """
        return self._walk(prefix, keys_only=False, timeout=timeout)

    def keys(self, prefix: Text = b"", *, timeout: float | None = None) -> Iterator[bytes]:
        """Yield the keys with ``prefix``, in order, all of one moment."""
        return (item.key for item in self._walk(prefix, keys_only=True, timeout=timeout))

    def ping(
        self, endpoint: str | None = None, *, timeout: float | None = None
    ) -> Mapping[str, Any]:
        """Return protocol, build and cluster as any node, or ``endpoint``'s, tells them."""
        return self._perform(calls.ask("ping", endpoint), timeout)

    def status(
        self, endpoint: str | None = None, *, timeout: float | None = None
    ) -> Mapping[str, Any]:
        """Return one node's view of itself and the cluster: any node's, or ``endpoint``'s."""
        return self._perform(calls.ask("status", endpoint), timeout)

    def hash(
        self, endpoint: str | None = None, *, at: int | None = None, timeout: float | None = None
    ) -> Mapping[str, Any]:
        """Return a digest of a node's state and the log index it is of.

        At the same index it is equal on all nodes. ``at`` asks for a past index.
        """
        plan = calls.ask("hash", endpoint, None if at is None else {"at": at})
        return self._perform(plan, timeout)

    def members(self, *, timeout: float | None = None) -> list[Member]:
        """Return the nodes of the cluster, as its configuration lists them."""
        return self._perform(calls.members(), timeout)

    def close(self) -> None:
        """Close all connections. Later calls raise ``ValueError``; closing again does nothing."""
        if self._pid != os.getpid():
            return  # the sockets and threads are the parent's
        with self._lock:
            context, self._context = self._context, None
            if context is None:
                return
            for connection in self._connections.values():
                connection.close()
            self._connections.clear()
            context.term()

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def _walk(self, prefix: Text, *, keys_only: bool, timeout: float | None) -> Iterator[Item]:
        plan: Plan[Page] | None = calls.page(prefix, keys_only=keys_only)
        while plan is not None:
            page = self._perform(plan, timeout)
            yield from page.items
            plan = calls.next_page(prefix, page, keys_only=keys_only)

    def _perform(self, plan: Plan[T], timeout: float | None) -> T:
        """Perform one call: take steps until one settles it."""
        seconds = self._timeout if timeout is None else timeout
        deadline_ms = _now_ms() + seconds * 1_000
        if self._pid != os.getpid():
            raise RuntimeError("this Client was made before a fork: make a new one in the child")
        if not self._lock.acquire(timeout=max(0.0, seconds)):
            raise Unreachable("other threads kept this Client busy until the deadline")
        try:
            if self._context is None:
                raise ValueError("this Client is closed")
            call = routing.Call(self._routing, plan.kind, deadline_ms, plan.pinned)
            while True:
                step = call.next_step(_now_ms())
                if isinstance(step, routing.Pause):
                    time.sleep(max(0.0, step.until_ms - _now_ms()) / 1_000)
                    continue
                outcome, reply = self._attempt(step, plan.op, plan.fields)
                if call.settle(_now_ms(), outcome, step.endpoint):
                    return plan.read(reply)
        finally:
            self._lock.release()

    def _attempt(
        self, step: routing.Send, op: str, fields: Fields
    ) -> tuple[routing.Outcome, Fields]:
        """Send one request over a healthy connection and wait for its outcome."""
        self._last_id += 1
        request_id = self._last_id
        request = codec.encode_request(
            op, fields, request_id=request_id, timeout_ms=step.timeout_ms
        )
        try:
            connection = self._connection(step.endpoint)
        except zmq.ZMQError as error:
            return routing.NotSent(str(error)), {}
        answered = False
        try:
            if not connection.send(request, _left_ms(step.connect_by_ms)):
                reason = "refused" if connection.has_ended() else "no connection in time"
                return routing.NotSent(reason), {}
            outcome, reply = _await_reply(connection, request_id, step.answer_by_ms)
            answered = isinstance(outcome, routing.Answered | routing.Refused)
            return outcome, reply
        finally:
            # Whatever else happened, an interrupt included: nothing of this request may stay
            # in the socket, neither to be sent late nor to be answered late.
            if not answered:
                del self._connections[step.endpoint]
                connection.close()

    def _connection(self, endpoint: str) -> Connection:
        connection = self._connections.get(endpoint)
        if connection is not None and connection.has_ended():
            del self._connections[endpoint]
            connection.close()
            connection = None
        if connection is None:
            assert self._context is not None
            connection = self._connections[endpoint] = Connection(self._context, endpoint)
        return connection


def _await_reply(
    connection: Connection, request_id: int, by_ms: float
) -> tuple[routing.Outcome, Fields]:
    """Wait for the reply with this id; anything else that comes is counted and dropped."""
    strays = 0
    while connection.wait(_left_ms(by_ms)):
        # Order matters: what came before the connection's end is still to be read.
        ended = connection.has_ended()
        while (frame := connection.receive()) is not None:
            reply = codec.decode_reply(frame)
            if reply is None or reply.get("id") != request_id:
                strays += 1
                continue
            return calls.outcome_of(reply), reply
        if ended:
            return routing.Lost(), {}
        if _left_ms(by_ms) <= 0:
            break
    return routing.Silent(strays), {}


def _now_ms() -> float:
    return time.monotonic() * 1_000


def _left_ms(until_ms: float) -> float:
    return max(0.0, until_ms - _now_ms())
