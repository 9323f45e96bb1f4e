"""Answers: how errors become HTTP, and the bytes that go back.

An error is JSON in the form of the Go original: ``{"message", "status"}``, the status in words.
One rule stands above all: 504, and only 504, says that a write may have been done.
"""

from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from aiohttp.web_response import Response

from ..client import DefiniteError, IndefiniteError, RequestError

RETRY_AFTER_SECONDS = 1
_COMMON = {"Server": "raftcache", "X-Content-Type-Options": "nosniff"}

_STATUS = {
    "too_large": HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    "no_space": HTTPStatus.INSUFFICIENT_STORAGE,
    "over_quota": HTTPStatus.INSUFFICIENT_STORAGE,
    "bad_request": HTTPStatus.BAD_REQUEST,
    "internal": HTTPStatus.INTERNAL_SERVER_ERROR,
    # What another moment may not repeat:
    "no_leader": HTTPStatus.SERVICE_UNAVAILABLE,
    "not_leader": HTTPStatus.SERVICE_UNAVAILABLE,
    "unreachable": HTTPStatus.SERVICE_UNAVAILABLE,
    "overloaded": HTTPStatus.SERVICE_UNAVAILABLE,
    "timeout": HTTPStatus.SERVICE_UNAVAILABLE,
}
"""The client's codes, as far as nothing was done. Any other is the cluster's doing: 502."""


class HttpError(Exception):
    """A request that is refused: what the error's answer is made of.

    ``close`` ends the connection with the answer: for what is not worth reading to its end.
    """

    def __init__(
        self,
        status: HTTPStatus,
        message: str,
        *,
        headers: Mapping[str, str] | None = None,
        close: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers or {}
        self.close = close


def error_of(error: RequestError, *, is_read: bool) -> HttpError:
    """Return the HTTP error that a client's error stands for.

    A read has no outcome that could be unknown: it may just be asked again.
    """
    if isinstance(error, IndefiniteError) and not is_read:
        status = HTTPStatus.GATEWAY_TIMEOUT
    elif type(error) is DefiniteError:  # a code that is newer than this client
        status = HTTPStatus.BAD_GATEWAY
    else:
        status = _STATUS.get(error.code, HTTPStatus.BAD_GATEWAY)
    headers = {}
    if status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return HttpError(status, error.message, headers=headers)


def error_body(status: HTTPStatus, message: str) -> bytes:
    """Return the JSON of an error, with a newline at its end."""
    return msgspec.json.encode({"message": message, "status": status.phrase}) + b"\n"


def error_answer(error: HttpError) -> Response:
    """Return the answer to a refused request."""
    answer = Response(
        body=error_body(error.status, error.message),
        status=error.status,
        headers={**_COMMON, **error.headers, "Content-Type": "application/json"},
    )
    if error.close:
        answer.force_close()
    return answer


def text(body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    """Return a plain text."""
    kind = {"Content-Type": "text/plain; charset=utf-8"}
    return Response(body=body, headers={**_COMMON, **kind, **(headers or {})})


def octets(body: bytes, headers: Mapping[str, str]) -> Response:
    """Return bytes as they are."""
    kind = {"Content-Type": "application/octet-stream"}
    return Response(body=body, headers={**_COMMON, **kind, **headers})


def document(value: object) -> Response:
    """Return a JSON document."""
    body = msgspec.json.encode(value) + b"\n"
    kind = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return Response(body=body, headers={**_COMMON, **kind})


def nothing(status: HTTPStatus, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer without a body."""
    return Response(status=status, headers={**_COMMON, **(headers or {})})
