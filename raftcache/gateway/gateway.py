"""All parts of a gateway, put together and taken apart again in the right order."""

import socket
from types import TracebackType
from typing import Self

from aiohttp.web_runner import ServerRunner, SockSite

from ..client import AsyncClient
from .door import Door
from .handler import Handler
from .keys import Keys
from .server import HttpServer
from .settings import Settings, SettingsError
from .views import Views

BACKLOG = 1_024


class Gateway:
    """A gateway in this event loop: entering it listens, leaving it ends what is under way.

    ``port`` is where it listens.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._listener = _listen(settings.host, settings.port)
        self.port: int = self._listener.getsockname()[1]

    async def __aenter__(self) -> Self:
        """Begin to serve."""
        settings = self._settings
        seconds = settings.timeout_ms / 1_000
        self._client = AsyncClient([node.client for node in settings.nodes], timeout=seconds)
        handler = Handler(
            Door(settings.host, self.port),
            Keys(self._client, seconds),
            Views(
                self._client, settings.cluster, settings.nodes, settings.ready_timeout_ms / 1_000
            ),
            value_bytes=settings.value_bytes,
            body_seconds=settings.body_timeout_ms / 1_000,
        )
        self._runner = ServerRunner(
            HttpServer(handler, settings), shutdown_timeout=settings.stop_ms / 1_000
        )
        await self._runner.setup()
        await SockSite(self._runner, self._listener, backlog=BACKLOG).start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Take no more connections, let requests under way end, then close the client."""
        await self._runner.cleanup()
        await self._client.close()


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SettingsError(f"can't listen at {host}:{port}: {error.strerror}") from error
    return listener
