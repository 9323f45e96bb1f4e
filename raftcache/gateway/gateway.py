"""All parts of a gateway, put together and taken apart again in the right order."""

import asyncio
import socket
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from aiohttp.web_runner import ServerRunner, SockSite

from ..client import AsyncClient
from .door import Door
from .handler import Handler
from .keys import Keys
from .nodes import Nodes
from .server import HttpServer
from .settings import NodeAddress, Settings, SettingsError
from .views import Views

BACKLOG = 1_024


class Gateway:
    """A gateway in this event loop: entering it listens, leaving it ends what is under way.

    ``port`` is where it listens.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._retiring: set[asyncio.Task[None]] = set()
        self._listener = _listen(settings.host, settings.port)
        self.port: int = self._listener.getsockname()[1]

    async def __aenter__(self) -> Self:
        """Begin to serve."""
        settings = self._settings
        seconds = settings.timeout_ms / 1_000
        self._client = self._client_of(settings.nodes)
        self._keys = Keys(self._client, seconds)
        self._views = Views(
            self._client, settings.cluster, settings.nodes, settings.ready_timeout_ms / 1_000
        )
        handler = Handler(
            Door(settings.host, self.port),
            self._keys,
            self._views,
            Nodes(settings.node_routes),
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
        for retiring in self._retiring:
            retiring.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await self._client.close()

    def use_nodes(self, nodes: Sequence[NodeAddress]) -> None:
        """Ask these nodes from now on; requests under way end as they began."""
        former, self._client = self._client, self._client_of(nodes)
        self._keys.use(self._client)
        self._views.use(self._client, nodes)
        retiring = asyncio.create_task(self._retire(former))
        self._retiring.add(retiring)
        retiring.add_done_callback(self._retiring.discard)

    def _client_of(self, nodes: Sequence[NodeAddress]) -> AsyncClient:
        endpoints = [node.client for node in nodes]
        # Whoever asks over HTTP hears of a doubt, and decides: a write is sent once.
        seconds = self._settings.timeout_ms / 1_000
        return AsyncClient(endpoints, timeout=seconds, exactly_once=False)

    async def _retire(self, client: AsyncClient) -> None:
        """Close a client once nothing that it was asked can be under way any more."""
        try:
            await asyncio.sleep(2 * self._settings.timeout_ms / 1_000)
        finally:
            await client.close()


def _listen(host: str, port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise SettingsError(f"can't listen at {host}:{port}: {error.strerror}") from error
    return listener
