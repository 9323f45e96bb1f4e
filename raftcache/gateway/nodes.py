"""Adding and removing nodes over HTTP: who may, and what is done.

The gateway changes nothing by itself. It runs the same command as a person would, which holds the
cluster's lock, starts and ends processes, and leaves nothing unfinished. The command's words come
from the settings; from a request come only a name and a port, both checked here.
"""

import asyncio
import hmac
import os
import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from aiohttp.web_response import Response

from . import answers
from .answers import HttpError
from .settings import NodeRoutes

BODY_BYTES_MAX = 4 * 1024
SECONDS_MAX = 120.0
"""How long an answer waits for the command; it goes on all the same."""
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,31}", re.ASCII)
_ADDRESS = re.compile(r"(?:localhost|127(?:\.[0-9]{1,3}){3}):([0-9]{4,5})", re.ASCII)
_BEARER = re.compile(r"[Bb]earer +([!-~]+) *", re.ASCII)
_SIGN_IN = {"WWW-Authenticate": 'Bearer realm="nodes of the cluster"'}

_STATUS = {
    1: HTTPStatus.CONFLICT,
    2: HTTPStatus.GATEWAY_TIMEOUT,
    64: HTTPStatus.BAD_REQUEST,
    69: HTTPStatus.SERVICE_UNAVAILABLE,
    75: HTTPStatus.SERVICE_UNAVAILABLE,
    78: HTTPStatus.CONFLICT,
}
"""What the command's exit codes are here; any other is a defect."""


class Wanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The body of a request for a node, as the Go original has it."""

    node_id: str
    addr: str = ""
    """Where its peers reach it; empty: by the cluster's own rule."""


class Nodes:
    """Adds and removes nodes of the cluster that ``routes`` tells of."""

    def __init__(self, routes: NodeRoutes) -> None:
        self._routes = routes
        self._under_way: set[asyncio.Task[tuple[int, bytes]]] = set()

    def admit(self, authorizations: Sequence[str]) -> None:
        """Let a request with these ``Authorization`` headers in.

        Raises:
            HttpError: it has no valid token, or nobody may.
        """
        access = self._routes.access
        if access == "off" or not self._routes.command:
            raise HttpError(
                HTTPStatus.FORBIDDEN,
                "nodes can't be added or removed here: gateway.node_routes in cluster.yaml is off",
                close=True,
            )
        if access == "open":
            return
        found = _BEARER.fullmatch(authorizations[0]) if len(authorizations) == 1 else None
        if found is None or not hmac.compare_digest(found[1].encode(), self._token()):
            raise HttpError(
                HTTPStatus.UNAUTHORIZED,
                "this takes the token that `bin/cluster up` prints: Authorization: Bearer TOKEN",
                headers=_SIGN_IN,
                close=True,
            )

    async def add(self, body: bytes) -> Response:
        """Add a node; answer once it votes."""
        try:
            wanted = msgspec.json.decode(body, type=Wanted)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise HttpError(
                HTTPStatus.BAD_REQUEST,
                f'the body is like {{"node_id": "n4", "addr": "127.0.0.1:7504"}}: {error}',
            ) from None
        arguments = ["add", "--name", _checked_name(wanted.node_id)]
        if wanted.addr:
            found = _ADDRESS.fullmatch(wanted.addr)
            if found is None:
                raise HttpError(
                    HTTPStatus.BAD_REQUEST,
                    "addr: all nodes of this cluster are on its own host, as 127.0.0.1:7504",
                )
            arguments += ["--peer-port", found[1]]
        return await self._run(arguments)

    async def remove(self, name: str) -> Response:
        """Remove a node; answer once the others do without it."""
        return await self._run(["remove", "--by-name", _checked_name(name)])

    async def _run(self, arguments: list[str]) -> Response:
        """Run the command to its end, whether or not whoever asked still listens."""
        task = asyncio.create_task(self._perform(arguments))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        try:
            code, out = await asyncio.wait_for(asyncio.shield(task), SECONDS_MAX)
        except TimeoutError:
            message = "it is still under way: look with `bin/cluster status`"
            raise HttpError(HTTPStatus.GATEWAY_TIMEOUT, message) from None
        document = _document(out)
        if code == 0:
            return answers.document(_about(document))
        words = str(document.get("message") or "the command failed: the gateway's log says more")
        status = _STATUS.get(code, HTTPStatus.INTERNAL_SERVER_ERROR)
        if document.get("error") == "no_such_node":
            status = HTTPStatus.NOT_FOUND
        headers = {}
        if status is HTTPStatus.SERVICE_UNAVAILABLE:
            headers["Retry-After"] = str(answers.RETRY_AFTER_SECONDS)
        raise HttpError(status, words, headers=headers)

    async def _perform(self, arguments: list[str]) -> tuple[int, bytes]:
        process = await asyncio.create_subprocess_exec(
            *self._routes.command,
            "--json",
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # supervisord ends the gateway with all of its group
        )
        out, _ = await process.communicate()
        return process.returncode or 0, out

    def _token(self) -> bytes:
        """Read the token anew: whoever replaces the file locks out all who had the old one."""
        try:
            handle = os.open(self._routes.token_file, os.O_RDONLY | os.O_NOFOLLOW)
            with open(handle, "rb") as file:  # noqa: PTH123 - of a handle
                token = file.read(1_024).strip()
        except OSError:
            token = b""
        if not token:
            name = Path(self._routes.token_file).name
            raise HttpError(
                HTTPStatus.SERVICE_UNAVAILABLE, f"the token's file, {name}, can't be read"
            )
        return token


def _checked_name(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        raise HttpError(
            HTTPStatus.BAD_REQUEST, "a node's name has 1 to 32 letters, digits, - and _, as n4"
        )
    return name


def _document(out: bytes) -> Mapping[str, Any]:
    try:
        found = msgspec.json.decode(out)
    except msgspec.DecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _about(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return of a command's document what is of interest here."""
    nodes = document.get("nodes") or []
    return {
        "leader": document.get("leader"),
        "nodes": [{"id": node["name"], "client": node["client"]} for node in nodes],
    }
