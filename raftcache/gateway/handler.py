"""One request, from its head to its answer: the door, the target, the method, then the work."""

import asyncio
from http import HTTPStatus

from aiohttp.http import HttpVersion11
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_protocol import RequestPayloadError
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response

from .answers import HttpError, error_answer
from .conditions import parse_conditions
from .door import Door
from .keys import OCTETS, Keys
from .nodes import BODY_BYTES_MAX, Nodes
from .targets import METHODS, Resource, Target, parse_target, split_absolute
from .views import Views


class Handler:
    """Answers requests: call it with one."""

    def __init__(
        self,
        door: Door,
        keys: Keys,
        views: Views,
        nodes: Nodes,
        *,
        value_bytes: int,
        body_seconds: float,
    ) -> None:
        self._door = door
        self._keys = keys
        self._views = views
        self._nodes = nodes
        self._value_bytes = value_bytes
        self._body_seconds = body_seconds

    async def __call__(self, request: BaseRequest) -> Response:
        """Return the answer; errors too are answers."""
        try:
            return await self._answer(request)
        except HttpError as error:
            return error_answer(error)

    async def _answer(self, request: BaseRequest) -> Response:
        headers = request.headers
        host, path = split_absolute(request.raw_path)
        hosts = headers.getall("Host", []) if host is None else [host]
        self._door.check(hosts, headers.getall("Origin", []))
        target = parse_target(path)
        allowed = METHODS[target.resource]
        if request.method not in allowed:
            raise HttpError(
                HTTPStatus.METHOD_NOT_ALLOWED,
                f"this takes {', '.join(allowed)}",
                headers={"Allow": ", ".join(allowed)},
            )
        match target.resource:
            case Resource.KEY:
                return await self._key(request, target)
            case Resource.KEY_WITH_VALUE:
                return await self._key_with_value(request, target)
            case Resource.NODES | Resource.NODE:
                return await self._node(request, target)
            case Resource.CLUSTER:
                return await self._views.cluster()
            case Resource.HEALTH:
                return self._views.health()
            case Resource.READY:
                return await self._views.ready()

    async def _key(self, request: BaseRequest, target: Target) -> Response:
        headers = request.headers
        conditions = parse_conditions(
            headers.getall("If-Match", ()), headers.getall("If-None-Match", ())
        )
        if request.method == "PUT":
            value = await self._body(request)
            return await self._keys.put(target.key, value, conditions, target.ttl)
        if target.ttl is not None:
            raise HttpError(HTTPStatus.BAD_REQUEST, "only a key that is written takes ?ttl=")
        if request.method == "DELETE":
            return await self._keys.delete(target.key, conditions)
        return await self._keys.get(target.key, conditions, exact=_wants_octets(request))

    async def _key_with_value(self, request: BaseRequest, target: Target) -> Response:
        if not target.value:
            raise HttpError(
                HTTPStatus.BAD_REQUEST,
                "the value is empty: an empty one, or any bytes, can be written with PUT",
            )
        headers = request.headers
        conditions = parse_conditions(
            headers.getall("If-Match", ()), headers.getall("If-None-Match", ())
        )
        return await self._keys.post(target.key, target.value, conditions, target.ttl)

    async def _node(self, request: BaseRequest, target: Target) -> Response:
        self._nodes.admit(request.headers.getall("Authorization", ()))
        if target.resource is Resource.NODES:
            return await self._nodes.add(await self._body(request, BODY_BYTES_MAX))
        return await self._nodes.remove(target.key.decode("utf-8", "replace"))

    async def _body(self, request: BaseRequest, bytes_max: int | None = None) -> bytes:
        """Return the body, or refuse it by its announced length, before a byte of it is read."""
        headers = request.headers
        if headers.get("Content-Encoding", "identity").lower() != "identity":
            raise HttpError(
                HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "a value is stored as it comes: send it so"
            )
        if "Content-Range" in headers:
            raise HttpError(HTTPStatus.BAD_REQUEST, "a part of a value can't be written")
        if "Content-Length" not in headers and "Transfer-Encoding" not in headers:
            raise HttpError(
                HTTPStatus.LENGTH_REQUIRED,
                "there is no body: an empty value is written with Content-Length: 0",
            )
        bytes_max = self._value_bytes if bytes_max is None else bytes_max
        if (request.content_length or 0) > bytes_max:
            raise _too_large(bytes_max)
        expected = headers.get("Expect")
        if expected is not None:
            await _continue(request, expected)
        if request.content.is_eof():
            return await _read(request, bytes_max)
        try:
            async with asyncio.timeout(self._body_seconds):
                return await _read(request, bytes_max)
        except TimeoutError:
            message = "the body did not arrive in time"
            raise HttpError(HTTPStatus.REQUEST_TIMEOUT, message, close=True) from None
        except (RequestPayloadError, HttpProcessingError, ConnectionError):
            message = "the body is ill-formed, or ended too early"
            raise HttpError(HTTPStatus.BAD_REQUEST, message, close=True) from None


async def _read(request: BaseRequest, bytes_max: int) -> bytes:
    parts = []
    size = 0
    while part := await request.content.readany():
        size += len(part)
        if size > bytes_max:
            raise _too_large(bytes_max)
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(bytes_max: int) -> HttpError:
    return HttpError(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"a value has at most {bytes_max} bytes here",
        close=True,
    )


async def _continue(request: BaseRequest, expected: str) -> None:
    """Tell a client that asked first that its body may come."""
    if expected.lower() != "100-continue":
        raise HttpError(HTTPStatus.EXPECTATION_FAILED, "only 100-continue can be expected")
    if request.version >= HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # what was written is no part of the answer


def _wants_octets(request: BaseRequest) -> bool:
    accept = request.headers.get("Accept", "")
    return any(part.split(";")[0].strip().lower() == OCTETS for part in accept.split(","))
