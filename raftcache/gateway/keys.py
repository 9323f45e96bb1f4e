"""What is done with a key: read, written, deleted, under the conditions that the request makes.

The conditions are settled by the store itself: each attempt names the one revision that it relies
on, so nothing can come in between. An attempt that failed for another's change had no effect, and
the next one relies on what that change left; one whose outcome is unknown is never repeated.
"""

import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import TypeVar

from aiohttp.web_response import Response

from ..client import AsyncClient, Conflict, RequestError
from . import answers
from .answers import HttpError, error_of
from .conditions import Conditions, etag

T = TypeVar("T")

ATTEMPTS_MAX = 50
"""How often a conditional change is tried while others change the key in between."""
OCTETS = "application/octet-stream"
_CACHING = {"Cache-Control": "no-cache", "Vary": "Accept"}
_MISSING = "there is no such key"


class Keys:
    """The keys of the cluster behind ``client``; a request takes ``seconds`` at most."""

    def __init__(self, client: AsyncClient, seconds: float) -> None:
        self._client = client
        self._seconds = seconds

    def use(self, client: AsyncClient) -> None:
        """Ask with this client from now on."""
        self._client = client

    async def get(self, key: bytes, conditions: Conditions, *, exact: bool) -> Response:
        """Answer with a key's value, as it is at this moment for the whole cluster.

        A text gets a newline at its end, as people and the Go original want it, unless the value
        is asked for ``exact``; what is no text never gets one.
        """
        try:
            record = await self._client.get_record(key, timeout=self._seconds)
        except RequestError as error:
            raise error_of(error, is_read=True) from error
        if record is None:
            raise HttpError(HTTPStatus.NOT_FOUND, _MISSING)
        headers = {"ETag": etag(record.mod_rev), **_CACHING}
        if conditions.if_match is not None and not conditions.if_match.match(record.mod_rev):
            raise _failed(record.mod_rev)
        if not conditions.permit(record.mod_rev):
            return answers.nothing(HTTPStatus.NOT_MODIFIED, headers)
        if exact or not _is_text(record.value):
            return answers.octets(record.value, headers)
        return answers.text(record.value + b"\n", headers)

    async def put(
        self, key: bytes, value: bytes, conditions: Conditions, ttl: float | None = None
    ) -> Response:
        """Write a key, for ``ttl`` seconds or for good; 201 when it is new, 204 when it is not."""

        async def attempt(mod_rev: int | None, seconds: float) -> Response:
            written = await self._client.write(
                key, value, if_mod_rev=mod_rev, ttl=ttl, timeout=seconds
            )
            status = HTTPStatus.CREATED if written.created else HTTPStatus.NO_CONTENT
            return answers.nothing(status, {"ETag": etag(written.mod_rev)})

        return await self._change(key, conditions, attempt)

    async def post(
        self, key: bytes, value: bytes, conditions: Conditions, ttl: float | None = None
    ) -> Response:
        """Write a key whose value stood in the path; 200, as the Go original answers."""

        async def attempt(mod_rev: int | None, seconds: float) -> Response:
            new = await self._client.set(key, value, if_mod_rev=mod_rev, ttl=ttl, timeout=seconds)
            return answers.nothing(HTTPStatus.OK, {"ETag": etag(new)})

        return await self._change(key, conditions, attempt)

    async def delete(self, key: bytes, conditions: Conditions) -> Response:
        """Delete a key; 404 when there is none, whatever the conditions (RFC 9110, 13.2.1)."""

        async def attempt(mod_rev: int | None, seconds: float) -> Response:
            if mod_rev == 0:
                raise HttpError(HTTPStatus.NOT_FOUND, _MISSING)
            if not await self._client.delete(key, if_mod_rev=mod_rev, timeout=seconds):
                raise HttpError(HTTPStatus.NOT_FOUND, _MISSING)
            return answers.nothing(HTTPStatus.OK)

        return await self._change(key, conditions, attempt, missing_is_not_found=True)

    async def _change(
        self,
        key: bytes,
        conditions: Conditions,
        attempt: Callable[[int | None, float], Awaitable[Response]],
        *,
        missing_is_not_found: bool = False,
    ) -> Response:
        """Attempt a change until it is done, or its conditions don't hold.

        ``attempt`` gets the revision that the change relies on (None: any), and its time.
        """
        deadline = time.monotonic() + self._seconds
        try:
            if conditions.absent:
                return await attempt(None, self._seconds)
            mod_rev = conditions.first_guess()
            if mod_rev is None:
                mod_rev = await self._revision(key)
            for _ in range(ATTEMPTS_MAX):
                if mod_rev == 0 and missing_is_not_found:
                    raise HttpError(HTTPStatus.NOT_FOUND, _MISSING)
                if not conditions.permit(mod_rev):
                    raise _failed(mod_rev)
                seconds = deadline - time.monotonic()
                if seconds <= 0:
                    break
                try:
                    return await attempt(mod_rev, seconds)
                except Conflict as conflict:
                    mod_rev = conflict.mod_rev
            raise HttpError(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "the key changed again and again: nothing was done",
                headers={"Retry-After": str(answers.RETRY_AFTER_SECONDS)},
            )
        except RequestError as error:
            raise error_of(error, is_read=False) from error

    async def _revision(self, key: bytes) -> int:
        try:
            record = await self._client.get_record(key, timeout=self._seconds)
        except RequestError as error:
            raise error_of(error, is_read=True) from error
        return 0 if record is None else record.mod_rev


def _failed(mod_rev: int) -> HttpError:
    now = f"the key is at {etag(mod_rev)} now" if mod_rev else _MISSING
    headers = {"ETag": etag(mod_rev)} if mod_rev else {}
    return HttpError(
        HTTPStatus.PRECONDITION_FAILED, f"the condition does not hold: {now}", headers=headers
    )


def _is_text(value: bytes) -> bool:
    if value.isascii():
        return True
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
