"""One-shot reads and writes for the command line.

A process that lives for a tenth of a second wants no client that learns; it asks the node that led
last, then the others. A read may be asked again anywhere. A write is asked again only when it
certainly did nothing; otherwise its outcome is unknown, and the caller is told so: at once when the
node that took it dies.

Before the first request over a connection the node is asked whose it is: while this cluster is
down, another one may have its ports, and must neither be read nor written in its place.
"""

import itertools
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import msgspec
import zmq

from raftcache.client.connection import Connection

from .errors import CheckFailed, NoCluster, NoQuorum, OutcomeUnknown, TryAgain, UsageError
from .probe import Reply, is_listening
from .state import ClusterState

TIMEOUT_SECONDS = 5.0
CONNECT_SECONDS = 0.4
READ_ATTEMPT_SECONDS = 1.0
RETRY_SECONDS = 0.05
PAGE = 1_000

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode

_USAGE = {"bad_request", "unsupported", "too_large"}
_CHECK = {"conflict", "wrong_type", "out_of_range", "compacted"}


class Shot:
    """Asks one cluster, until :meth:`close`."""

    def __init__(self, state: ClusterState, *, seconds: float = TIMEOUT_SECONDS) -> None:
        self._state = state
        self.seconds = seconds
        """How long each request may take."""
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._connections: dict[str, Connection] = {}
        self._foreign: set[str] = set()
        self._ids = itertools.count(1)

    def close(self) -> None:
        """Close the sockets; what was not sent never will be."""
        for name in list(self._connections):
            self._hang_up(name)
        self._context.destroy(linger=0)

    def read(self, **fields: Any) -> Reply:
        """Ask for something that changes nothing.

        Raises:
            CheckFailed: it was understood, and refused.
            UsageError: it was not.
            NoCluster: no node is running.
            NoQuorum: too few are.
            TryAgain: nobody answered in time.
        """
        return self._ask(fields, mutation=False)

    def write(self, **fields: Any) -> Reply:
        """Ask for a change, at most once.

        Raises:
            OutcomeUnknown: it was sent, and no answer tells whether it happened.
            OrchestratorError: as for :meth:`read`; it certainly did not happen.
        """
        return self._ask(fields, mutation=True)

    def _ask(self, fields: dict[str, Any], *, mutation: bool) -> Reply:
        deadline = time.monotonic() + self.seconds
        last: Reply | None = None
        while True:
            for name in self._listening():
                left = deadline - time.monotonic()
                if left <= 0:
                    break
                reply = self._try(name, fields, left, mutation=mutation)
                if reply is None:
                    continue
                if reply["ok"]:
                    return reply
                last = reply
                if not _worth_another_try(reply):
                    raise _as_error(reply)
            if time.monotonic() + RETRY_SECONDS >= deadline:
                break
            time.sleep(RETRY_SECONDS)
        if last is not None:
            raise TryAgain(f"{last['node']}: {last['message']}")
        raise TryAgain(f"no node answered within {self.seconds:g} s", hint="bin/cluster status")

    def _try(
        self, name: str, fields: dict[str, Any], left: float, *, mutation: bool
    ) -> Reply | None:
        """Ask one node; None when it certainly did nothing and another may be asked."""
        seconds = left if mutation else min(left, READ_ATTEMPT_SECONDS)
        request = {**fields, "timeout_ms": max(1, int(seconds * 1000))}
        number = next(self._ids)
        connection = self._connection(name, min(left, READ_ATTEMPT_SECONDS))
        if connection is None:
            return None
        reply: Reply | None = None
        try:
            body = _encode({**request, "id": number})
            if not connection.send(body, min(CONNECT_SECONDS, seconds) * 1000):
                return None
            # The node itself answers at its deadline; a little more lets that answer arrive.
            reply = _await_reply(connection, number, time.monotonic() + seconds + 0.25)
        finally:
            if reply is None:  # nothing of this request may stay, to be sent or answered late
                self._hang_up(name)
        if reply is None and mutation:
            raise OutcomeUnknown(
                f"{name} took the request and did not answer: it may or may not have happened",
                hint="look with  bin/cluster get",
            )
        return reply

    def poll(self, name: str, fields: dict[str, Any], *, seconds: float) -> Reply | None:
        """Ask one node for what it may hold back for a while; None: it does not answer.

        ``seconds`` is how long that may take.
        """
        number = next(self._ids)
        connection = self._connection(name, READ_ATTEMPT_SECONDS)
        if connection is None:
            return None
        reply: Reply | None = None
        try:
            if connection.send(_encode({**fields, "id": number}), CONNECT_SECONDS * 1000):
                reply = _await_reply(connection, number, time.monotonic() + seconds)
        finally:
            if reply is None:
                self._hang_up(name)
        return reply

    def _connection(self, name: str, seconds: float) -> Connection | None:
        """Return a connection to a node of this cluster; None: it does not say that it is one."""
        if name in self._connections and self._connections[name].has_ended():
            self._hang_up(name)
        if name not in self._connections:
            made = Connection(self._context, self._state.node(name).client)
            self._connections[name] = made
            is_ours = False
            try:
                is_ours = self._is_ours(name, made, seconds)
            finally:
                if not is_ours:
                    self._hang_up(name)
        return self._connections.get(name)

    def _is_ours(self, name: str, connection: Connection, seconds: float) -> bool:
        """Ask a node which cluster it is of; silence is no answer."""
        number = next(self._ids)
        deadline = time.monotonic() + seconds
        body = _encode({"op": "status", "id": number, "timeout_ms": max(1, int(seconds * 1000))})
        if not connection.send(body, min(CONNECT_SECONDS, seconds) * 1000):
            return False
        reply = _await_reply(connection, number, deadline)
        if reply is None or not reply.get("ok"):
            return False
        if reply.get("cluster_id") == self._state.cluster_id:
            return True
        self._foreign.add(name)
        return False

    def _hang_up(self, name: str) -> None:
        self._connections.pop(name).close()

    def _listening(self) -> Iterator[str]:
        """Yield the nodes that accept connections, the last known leader first.

        Raises:
            NoCluster: there is none.
            NoQuorum: too few are left for anything to be decided.
        """
        up = [
            node.name
            for node in self._state.nodes
            if node.name not in self._foreign and is_listening(node.client)
        ]
        if not up and self._foreign:
            where = self._state.node(min(self._foreign)).client.removeprefix("tcp://")
            raise NoCluster(
                f"no node of this cluster is running: at {where} answers another cluster's",
                hint="bin/cluster up   needs these ports; others: `base_port` in cluster.yaml",
            )
        if not up:
            raise NoCluster("no node is running", hint="bin/cluster up")
        voting = {*up} & {*self._state.voters()}
        if len(voting) < self._state.quorum():
            raise NoQuorum(
                f"no quorum: {len(voting)} of {len(self._state.voters())} nodes are up, and "
                f"{self._state.quorum()} must agree; nothing was done",
                hint="bin/cluster start   brings back what is down",
            )
        led = self._state.leader.node if self._state.leader else None
        yield from sorted(up, key=lambda name: (name != led, name))

    def count(self, prefix: bytes) -> int:
        """Return how many keys have a prefix."""
        return int(self.read(op="range", prefix=prefix, count_only=True)["count"])

    def items(
        self, prefix: bytes, *, limit: int | None = None, keys_only: bool = False
    ) -> Iterator[dict[str, Any]]:
        """Yield the keys with a prefix, with what they hold unless ``keys_only``.

        All are as of one moment, however many pages it takes.
        """
        after: dict[str, Any] = {}
        left = limit
        while left is None or left > 0:
            page = PAGE if left is None else min(PAGE, left)
            reply = self.read(op="range", prefix=prefix, keys_only=keys_only, limit=page, **after)
            items = reply["items"]
            yield from items
            if left is not None:
                left -= len(items)
            if not reply["more"] or not items:
                return
            after = {"after": items[-1]["key"], "at_rev": reply["at_rev"]}


def shot(state: ClusterState, *, seconds: float = TIMEOUT_SECONDS) -> "closing[Shot]":
    """Return a :class:`Shot` for a ``with`` block."""
    return closing(Shot(state, seconds=seconds))


def _await_reply(connection: Connection, number: int, deadline: float) -> Reply | None:
    """Return the reply to a request; None at the deadline, and when the node is gone."""
    ended = False
    while not ended and (left_ms := (deadline - time.monotonic()) * 1000) > 0:
        connection.wait(left_ms)
        # In this order: what came before the connection's end is still to be read.
        ended = connection.has_ended()
        while (frame := connection.receive()) is not None:
            try:
                reply = _decode(frame)
            except msgspec.DecodeError:
                continue
            if isinstance(reply, dict) and reply.get("id") == number:
                return reply
    return None


def _worth_another_try(reply: Reply) -> bool:
    return reply.get("applied") == "no" and reply.get("error") in {
        "no_leader",
        "not_leader",
        "overloaded",
    }


def _conflict(reply: Reply) -> str:
    """Say what the key is like, where a condition on its revision did not hold."""
    if reply.get("mod_rev"):
        return f"nothing was done: the key is at revision {reply['mod_rev']}"
    return "nothing was done: there is no such key"


def _as_error(reply: Reply) -> Exception:
    code, message = reply.get("error"), f"{reply.get('message')}"
    if reply.get("applied") == "unknown":
        return OutcomeUnknown(
            f"{message} (it may or may not have happened)", hint="look with  bin/cluster get"
        )
    if code == "conflict":
        return CheckFailed(_conflict(reply))
    if code in _CHECK:
        return CheckFailed(message)
    if code in _USAGE:
        return UsageError(message)
    return TryAgain(f"{reply.get('node')}: {message}")
