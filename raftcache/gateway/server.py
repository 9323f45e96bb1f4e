"""The HTTP server: aiohttp's protocol, bounds on what a connection may take, our errors."""

import asyncio
import logging
from http import HTTPStatus
from typing import Any

from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import InvalidURLError, LineTooLong
from aiohttp.web_protocol import RequestHandler, RequestPayloadError
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import StreamResponse
from aiohttp.web_server import Server

from .answers import RETRY_AFTER_SECONDS, HttpError, error_answer, error_body
from .handler import Handler
from .settings import Settings

LINE_BYTES_MAX = 16 * 1024
"""The request line, and each header: a key of 1,024 bytes, each in percent signs, has 3,072."""
HEADERS_MAX = 100
LINGER_SECONDS = 1.0
"""How long the rest of a refused body is thrown away, so that its sender sees the answer."""

_log = logging.getLogger("raftcache.gateway")
_NO_ACCESS_LOG = logging.getLogger("raftcache.gateway.access")
_NO_ACCESS_LOG.disabled = True


class HttpServer(Server):
    """Makes a protocol for each connection; call it without arguments, as asyncio does."""

    def __init__(self, handler: Handler, settings: Settings) -> None:
        super().__init__(handler)
        self._settings = settings

    def __call__(self) -> Any:
        """Return the protocol of one more connection, or a polite refusal when there are many."""
        settings = self._settings
        if len(self._connections) >= settings.connections:
            return _Full()
        return Connection(
            self,
            loop=asyncio.get_running_loop(),
            header_seconds=settings.header_timeout_ms / 1_000,
            keepalive_timeout=settings.keepalive_ms / 1_000,
        )


class Connection(RequestHandler):
    """One connection; a head that trickles in is not waited for."""

    __slots__ = ("_head_timer", "_header_seconds")

    def __init__(
        self,
        server: HttpServer,
        *,
        loop: asyncio.AbstractEventLoop,
        header_seconds: float,
        keepalive_timeout: float,
    ) -> None:
        super().__init__(
            server,
            loop=loop,
            keepalive_timeout=keepalive_timeout,
            access_log=_NO_ACCESS_LOG,
            logger=_log,
            max_line_size=LINE_BYTES_MAX,
            max_field_size=LINE_BYTES_MAX,
            max_headers=HEADERS_MAX,
            lingering_time=LINGER_SECONDS,
            auto_decompress=False,
        )
        self._header_seconds = header_seconds
        self._head_timer: asyncio.TimerHandle | None = None

    def data_received(self, data: bytes) -> None:
        """Take bytes; a head that has begun must be whole in time."""
        super().data_received(data)
        if self._messages and not isinstance(self._messages[-1][0], RawRequestMessage):
            self._break_off_bodies()
        if self._awaits_head():
            if self._head_timer is None:
                self._head_timer = self._loop.call_later(self._header_seconds, self._too_slow)
        elif self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def connection_lost(self, exc: BaseException | None) -> None:
        """Forget the timer."""
        if self._head_timer is not None:
            self._head_timer.cancel()
        super().connection_lost(exc)

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """Answer what is no HTTP, or what met a defect, as we answer all errors."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer has begun: another can't be sent")
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            _log.error("a defect in the gateway", exc_info=exc)
            words = "a defect: the log of the gateway says more"
        elif isinstance(exc, LineTooLong):
            status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
            words = f"the request line and each header may have {LINE_BYTES_MAX} bytes"
        elif isinstance(exc, InvalidURLError):
            words = "a byte in the path must be written with a percent sign, such as %C3"
        else:
            why = (message or "").partition("\n")[0].rstrip(":")
            words = f"this is no well-formed HTTP request: {why}"
        return error_answer(HttpError(HTTPStatus(status), words, close=True))

    def log_exception(self, *args: Any, **kw: Any) -> None:
        """Log a defect; that a client breaks off is none, and must not fill the log."""
        if not isinstance(kw.get("exc_info"), RequestPayloadError | ConnectionError):
            super().log_exception(*args, **kw)

    def _break_off_bodies(self) -> None:
        """Tell who reads a body that no more of it comes: behind nonsense there is no request."""
        bodies = [body for _, body in self._messages]
        if self._current_request is not None:
            bodies.append(self._current_request.content)
        for body in bodies:
            if not body.is_eof():
                body.set_exception(RequestPayloadError("ill-formed"))

    def _awaits_head(self) -> bool:
        return self._waiter is not None and not self._waiter.done()

    def _too_slow(self) -> None:
        self._head_timer = None
        if self._awaits_head() and self.transport is not None:
            self.transport.write(
                _raw(HTTPStatus.REQUEST_TIMEOUT, "the head of the request did not arrive in time")
            )
            self.force_close()


class _Full(asyncio.Protocol):
    """Sends one more connection away."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport), "a connection can be written to"
        words = "too many connections: come again"
        transport.write(_raw(HTTPStatus.SERVICE_UNAVAILABLE, words))
        transport.close()


def _raw(status: HTTPStatus, message: str) -> bytes:
    body = error_body(status, message)
    head = (
        f"HTTP/1.1 {status.value} {status.phrase}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nRetry-After: {RETRY_AFTER_SECONDS}\r\n"
        "Connection: close\r\n\r\n"
    )
    return head.encode() + body
