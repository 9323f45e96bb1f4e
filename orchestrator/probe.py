"""Asks nodes over ZeroMQ, many at once, as any client would (docs/protocol.md).

A request is sent only over a connection that stands (IMMEDIATE) and is thrown away with its socket
(LINGER 0): when :meth:`Prober.ask` says that nothing was sent, nothing will be.
"""

import itertools
import socket
import time
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import zmq

Reply = dict[str, Any]

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class Asked(msgspec.Struct):
    """What became of one request."""

    sent: bool = False
    reply: Reply | None = None


class Prober:
    """Keeps a socket to each node it has asked, until :meth:`close`."""

    def __init__(self, endpoints: Mapping[str, str]) -> None:
        self._endpoints = endpoints
        self._context = zmq.Context()
        self._sockets: dict[str, zmq.Socket[bytes]] = {}
        self._ids = itertools.count(1)

    def close(self) -> None:
        """Close all sockets at once; what was not sent never will be."""
        self._context.destroy(linger=0)

    def ask(
        self,
        names: Iterable[str],
        fields: Reply,
        seconds: float,
    ) -> dict[str, Asked]:
        """Ask several nodes the same; return after ``seconds``, or when all have answered.

        An answer is known by its ``id``; where an operation has a use of its own for that field,
        it stays as it is.
        """
        number = fields.get("id", next(self._ids))
        body = _encode({**fields, "id": number})
        asked = {name: Asked() for name in names}
        poller = zmq.Poller()
        for name in asked:
            poller.register(self._socket(name), zmq.POLLOUT | zmq.POLLIN)
        by_socket = {self._sockets[name]: name for name in asked}
        began = time.monotonic()
        waiting = len(asked)
        while waiting:
            left_ms = int((began + seconds - time.monotonic()) * 1000)
            ready = poller.poll(left_ms) if left_ms > 0 else []
            if not ready:
                break
            for ready_socket, events in ready:
                one = asked[by_socket[ready_socket]]
                if events & zmq.POLLIN and _receive(ready_socket, one, number):
                    waiting -= 1
                    poller.unregister(ready_socket)
                elif events & zmq.POLLOUT and not one.sent:
                    one.sent = _send(ready_socket, body)
                    if one.sent:
                        poller.modify(ready_socket, zmq.POLLIN)
        return asked

    def statuses(self, names: Iterable[str], seconds: float) -> dict[str, Reply]:
        """Return the status of every node that tells it in time."""
        asked = self.ask(names, {"op": "status"}, seconds)
        return {
            name: one.reply
            for name, one in asked.items()
            if one.reply is not None and one.reply.get("ok") is True
        }

    def _socket(self, name: str) -> "zmq.Socket[bytes]":
        if name not in self._sockets:
            made = self._context.socket(zmq.DEALER)
            made.setsockopt(zmq.IMMEDIATE, 1)
            made.setsockopt(zmq.LINGER, 0)
            made.setsockopt(zmq.RECONNECT_IVL, 10)
            made.setsockopt(zmq.RECONNECT_IVL_MAX, 50)
            made.connect(self._endpoints[name])
            self._sockets[name] = made
        return self._sockets[name]


def is_listening(endpoint: str) -> bool:
    """Tell whether anybody accepts connections there; on loopback the answer comes at once."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=0.2):
            return True
    except OSError:
        return False


def _send(to: "zmq.Socket[bytes]", body: bytes) -> bool:
    try:
        to.send_multipart([b"", body], zmq.NOBLOCK)
    except zmq.Again:
        return False
    return True


def _receive(from_socket: "zmq.Socket[bytes]", one: Asked, number: object) -> bool:
    """Take one message; True when it answers this request, and not one given up before."""
    frames = from_socket.recv_multipart(zmq.NOBLOCK)
    try:
        reply = _decode(frames[-1])
    except msgspec.DecodeError:
        return False
    if not isinstance(reply, dict) or reply.get("id") != number:
        return False
    one.reply = reply
    return True
