"""Who may come in: only what addresses this very server, by a name of this host.

A web page elsewhere can make a browser send requests to a loopback address, and with a name of its
own that resolves to 127.0.0.1 (DNS rebinding) it may even read the answers. Both give themselves
away: by an ``Origin`` that is not ours, or by a ``Host`` that is not.
"""

from collections.abc import Sequence
from http import HTTPStatus

from .answers import HttpError

_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
_HTTP_PORT = 80


class Door:
    """The names that a gateway at ``host`` and ``port`` answers to."""

    def __init__(self, host: str, port: int) -> None:
        names = {*_LOOPBACK_NAMES, host}
        self._hosts = {f"{name}:{port}" for name in names}
        if port == _HTTP_PORT:
            self._hosts |= names
        self._origins = {f"http://{name}" for name in self._hosts}
        self._here = f"http://{host}:{port}"

    def check(self, hosts: Sequence[str], origins: Sequence[str]) -> None:
        """Let a request with these ``Host`` and ``Origin`` headers in.

        Raises:
            HttpError: it is not for us, or comes from a foreign page.
        """
        if len(hosts) != 1:
            raise HttpError(HTTPStatus.BAD_REQUEST, "a request has exactly one Host header")
        if hosts[0].lower() not in self._hosts:
            raise HttpError(
                HTTPStatus.FORBIDDEN,
                f"this server does not answer to that Host: use {self._here}",
                close=True,
            )
        for origin in origins:
            if origin.lower() not in self._origins:
                raise HttpError(
                    HTTPStatus.FORBIDDEN,
                    "a page of another origin may not use this server",
                    close=True,
                )
