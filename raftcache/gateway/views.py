"""What can be asked about the gateway and the cluster behind it, rather than about a key."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp.web_response import Response

from ..client import AsyncClient, RequestError
from . import answers
from .answers import error_of
from .settings import NodeAddress

_READY_KEY = b"\0ready"
"""Reading it proves a leader that a majority follows; whether it exists does not matter."""


class Views:
    """Views of the cluster behind ``client``; a node that is silent costs ``seconds``."""

    def __init__(
        self, client: AsyncClient, cluster: str, nodes: Sequence[NodeAddress], seconds: float
    ) -> None:
        self._client = client
        self._cluster = cluster
        self._nodes = nodes
        self._seconds = seconds

    def use(self, client: AsyncClient, nodes: Sequence[NodeAddress]) -> None:
        """Look at these nodes from now on."""
        self._client, self._nodes = client, nodes

    def health(self) -> Response:
        """Say that this process works; nothing of the cluster."""
        return answers.text(b"ok\n", {"Cache-Control": "no-store"})

    async def ready(self) -> Response:
        """Say whether requests can be served now: by serving one."""
        try:
            await self._client.get_record(_READY_KEY, timeout=self._seconds)
        except RequestError as error:
            raise error_of(error, is_read=True) from error
        return answers.text(b"ready\n", {"Cache-Control": "no-store"})

    async def cluster(self) -> Response:
        """Show every node as it tells itself, side by side."""
        nodes = await asyncio.gather(*(self._node(node) for node in self._nodes))
        leaders = [node for node in nodes if node.get("role") == "leader"]
        leader = max(leaders, key=lambda node: node["term"], default=None)
        return answers.document(
            {
                "cluster": self._cluster,
                "leader": leader and leader["id"],
                "term": leader and leader["term"],
                "nodes": nodes,
            }
        )

    async def _node(self, node: NodeAddress) -> Mapping[str, Any]:
        about: dict[str, Any] = {"id": node.id, "client": node.client}
        try:
            status = await self._client.status(node.client, timeout=self._seconds)
        except RequestError as error:
            return about | {"answers": False, "message": error.message}
        shown = ("role", "term", "commit", "applied", "store_rev", "caught_up", "alarms")
        return about | {"answers": True, **{name: status.get(name) for name in shown}}
