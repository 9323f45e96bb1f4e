"""A ROUTER that plays a node as a test scripts it: answers, refuses, stalls, answers late, dies."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self, TypeAlias

import msgspec
import zmq

Request: TypeAlias = dict[str, Any]
Fields: TypeAlias = dict[str, Any]
Script: TypeAlias = Callable[["FakeNode", Request], Fields | None]
"""Takes a request, gives the reply's fields, or None for no answer now."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def found(value: bytes) -> Fields:
    """Return the fields of a ``get`` that found this value."""
    return {"found": True, "value": value, "mod_rev": 7, "create_rev": 3, "key_version": 2}


def refusal(code: str, applied: str = "no", **extra: Any) -> Fields:
    """Return the fields of an error."""
    return {"ok": False, "error": code, "message": "as scripted", "applied": applied, **extra}


def leader_at(endpoint: str | None) -> Fields:
    """Return the field that names the leader."""
    return {"leader": None if endpoint is None else {"id": "n1", "client": endpoint}}


class FakeNode:
    """A node of one thread; ``requests`` is what it has received, decoded, in order.

    It answers ``ping`` by itself, unrecorded: so a test has its connection before time counts.
    """

    def __init__(self, script: Script, endpoint: str | None = None) -> None:
        self.requests: list[Request] = []
        self.received = threading.Semaphore(0)
        self._script = script
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._router.setsockopt(zmq.LINGER, 0)
        self._router.bind(endpoint or "tcp://127.0.0.1:*")
        self.endpoint = self._router.getsockopt_string(zmq.LAST_ENDPOINT)
        self._waiting: list[tuple[list[bytes], Request]] = []
        self._control = self._pair("inproc://control", bind=True)
        self._commands = self._pair("inproc://control", bind=False)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def answer_late(self, fields: Fields) -> None:
        """Answer everything that was left without an answer, now, from within a script."""
        waiting, self._waiting = self._waiting, []
        for envelope, request in waiting:
            self._reply(envelope, request, fields)

    def send_raw(self, body: bytes) -> None:
        """Send these bytes to the client whose request is being answered, from within a script."""
        self._router.send_multipart([*self._envelope, body])

    def die(self) -> None:
        """Close all connections at once, from within a script, as a killed process does."""
        self._router.close(0)

    def close(self) -> None:
        """End the thread and everything else."""
        self._commands.send(b"")
        self._thread.join()
        self._context.destroy(0)

    def __enter__(self) -> Self:
        """Return the node."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def _pair(self, endpoint: str, *, bind: bool) -> "zmq.Socket[bytes]":
        socket = self._context.socket(zmq.PAIR)
        if bind:
            socket.bind(endpoint)
        else:
            socket.connect(endpoint)
        return socket

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._control, zmq.POLLIN)
        poller.register(self._router, zmq.POLLIN)
        while True:
            ready = dict(poller.poll())
            if self._control in ready:
                return
            *self._envelope, body = self._router.recv_multipart()
            request = _decode(body)
            if request["op"] == "ping":
                self._reply(self._envelope, request, leader_at(None))
                continue
            self.requests.append(request)
            fields = self._script(self, request)
            if self._router.closed:
                poller.unregister(self._router)
            elif fields is None:
                self._waiting.append((self._envelope, request))
            else:
                self._reply(self._envelope, request, fields)
            self.received.release()

    def _reply(self, envelope: list[bytes], request: Request, fields: Fields) -> None:
        header = {"ok": True, "id": request["id"], "node": "n1", "term": 1, "store_rev": 9}
        reply = header | leader_at(self.endpoint) | fields
        self._router.send_multipart([*envelope, _encode(reply)])
