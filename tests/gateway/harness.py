"""A gateway in a thread, a node that is a real state machine, and HTTP as bytes on a socket.

Every wait has a bound that only a defect reaches.
"""

import asyncio
import contextlib
import json
import socket
import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, NamedTuple, Self

import msgspec

from raftcache.gateway.gateway import Gateway
from raftcache.gateway.settings import NodeAddress, Settings
from raftcache.protocol.limits import Limits, Refused
from raftcache.protocol.replies import ReplyHeader, encode_refused, encode_reply
from raftcache.protocol.requests import decode_request
from raftcache.store.commands import encode_commands
from raftcache.store.machine import StateMachine
from tests.client.fake_node import FakeNode, Fields, Request

BOUND_S = 30.0
VALUE_BYTES = 64 * 1024


def patiently(check: Callable[[int], None]) -> None:
    """Check with a time for each request, in ms; with a longer one where a busy host took it."""
    for timeout_ms in (100, 2_000):
        with contextlib.suppress(AssertionError, OSError):
            return check(timeout_ms)
    return check(20_000)


class Store:
    """A script for fake nodes: the real protocol over the real state machine.

    ``before`` is called with each request; fields that it returns are the answer.
    """

    def __init__(self, before: Callable[[Request], Fields | None] = lambda _: None) -> None:
        self.machine = StateMachine()
        self.before = before
        self._lock = threading.Lock()

    def __call__(self, _node: FakeNode, request: Request) -> Fields:
        """Answer one request."""
        fields = self.before(request)
        if fields is not None:
            return fields
        if request["op"] == "status":
            return {
                "role": "leader",
                "term": 1,
                "commit": 7,
                "applied": 7,
                "caught_up": True,
                "alarms": [],
            }
        with self._lock:
            reply: Fields = msgspec.msgpack.decode(self._reply(request))
        del reply["leader"]  # the fake node tells of itself
        return reply

    def _reply(self, request: Request) -> bytes:
        header = ReplyHeader("n1", 1, None, self.machine.store_rev)
        try:
            decoded = decode_request(msgspec.msgpack.encode(request), Limits())
        except Refused as refused:
            return encode_refused(refused, header)
        if decoded.command is not None:
            data = encode_commands([decoded.command], 0)
            [result] = self.machine.apply(self.machine.last_applied + 1, data)
        else:
            assert decoded.query is not None
            result = self.machine.read(decoded.query)
        return encode_reply(decoded, header, result)


class Answer(NamedTuple):
    """One HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> tuple[str, str]:
        """The message and the status of an error's JSON; fails when it is none."""
        assert self.headers["content-type"] == "application/json"
        document = json.loads(self.body)
        assert set(document) == {"message", "status"}
        return document["message"], document["status"]


class Wire:
    """One connection to a gateway; what is sent is up to the test."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=BOUND_S)
        self._host = f"127.0.0.1:{port}"
        self._rest = b""

    def __enter__(self) -> Self:
        """Return the connection."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self._socket.sendall(data)

    def ask(
        self, method: str, target: str | bytes, body: bytes | None = None, **headers: str
    ) -> Answer:
        """Send a request and read its answer; header names have ``_`` for ``-``."""
        self.send(self.head(method, target, body, **headers) + (body or b""))
        return self.read(method)

    def head(
        self, method: str, target: str | bytes, body: bytes | None = None, **headers: str
    ) -> bytes:
        """Return the head of a request."""
        path = target.encode() if isinstance(target, str) else target
        fields = {"Host": self._host, **{n.replace("_", "-"): v for n, v in headers.items()}}
        if body is not None:
            fields.setdefault("Content-Length", str(len(body)))
        lines = [f"{name}: {value}\r\n".encode() for name, value in fields.items()]
        return b"%s %s HTTP/1.1\r\n%s\r\n" % (method.encode(), path, b"".join(lines))

    def read(self, method: str = "GET") -> Answer:
        """Read one answer."""
        while b"\r\n\r\n" not in self._rest:
            self._receive()
        head, self._rest = self._rest.split(b"\r\n\r\n", 1)
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        status = int(first.split(" ")[1])
        empty = method == "HEAD" or status in {100, 204, 304}
        length = 0 if empty else int(headers.get("content-length", "0"))
        while len(self._rest) < length:
            self._receive()
        body, self._rest = self._rest[:length], self._rest[length:]
        return Answer(status, headers, body)

    def is_closed(self) -> bool:
        """Wait for the end of the connection; False when more bytes come instead."""
        try:
            return self._rest == b"" and self._socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _receive(self) -> None:
        data = self._socket.recv(65_536)
        assert data, f"the connection ended in the middle of an answer: {self._rest!r}"
        self._rest += data


class Running:
    """A gateway in a thread of its own, in front of these endpoints."""

    def __init__(self, endpoints: Sequence[str], **settings: Any) -> None:
        nodes = [NodeAddress(f"n{n}", endpoint) for n, endpoint in enumerate(endpoints, 1)]
        self._settings = Settings(
            format=1,
            cluster="test",
            host="127.0.0.1",
            port=0,
            nodes=nodes,
            **{"value_bytes": VALUE_BYTES, **settings},
        )
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Self:
        """Start it."""
        self._thread.start()
        assert self._started.wait(BOUND_S), "the gateway did not start"
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop it."""
        self.stop()

    def stop(self) -> None:
        """End it in order; return when it has ended."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join(BOUND_S)
        assert not self._thread.is_alive(), "the gateway did not end"

    def begin_stop(self) -> None:
        """Tell it to end, and do not wait."""
        self._loop.call_soon_threadsafe(self._stop.set)

    def use_nodes(self, endpoints: Sequence[str]) -> None:
        """Tell it of other nodes."""
        nodes = [NodeAddress(f"n{n}", endpoint) for n, endpoint in enumerate(endpoints, 1)]
        self._loop.call_soon_threadsafe(self._gateway.use_nodes, nodes)

    def connect(self) -> Wire:
        """Return a new connection."""
        return Wire(self.port)

    def ask(
        self, method: str, target: str | bytes, body: bytes | None = None, **headers: str
    ) -> Answer:
        """Make one request over a connection of its own."""
        with self.connect() as wire:
            return wire.ask(method, target, body, **headers)

    async def _run(self) -> None:
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        async with Gateway(self._settings) as gateway:
            self._gateway = gateway
            self.port = gateway.port
            self._started.set()
            await self._stop.wait()
