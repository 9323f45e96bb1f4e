"""Both clients behind one face, so that a test is written once."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

import pytest

from raftcache.client import AsyncClient, Client

from .fake_node import FakeNode
from .fake_store import FakeStore

Connect: TypeAlias = Callable[..., "Face"]


class Face:
    """A client whose methods block, whichever it is."""

    def __init__(self, inner: Any, loop: asyncio.AbstractEventLoop | None) -> None:
        self.inner = inner
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        """Return a method that blocks."""
        method = getattr(self.inner, name)
        if self._loop is None or not asyncio.iscoroutinefunction(method):
            return method
        return lambda *args, **kwargs: self.run(method(*args, **kwargs))

    def run(self, awaitable: Any) -> Any:
        """Wait for what the asynchronous client gives; anything else is returned as it is."""
        return awaitable if self._loop is None else self._loop.run_until_complete(awaitable)

    def wait(self, seconds: float) -> None:
        """Let so much time pass, in which the client does what it does by itself."""
        if self._loop is None:
            time.sleep(seconds)
        else:
            self._loop.run_until_complete(asyncio.sleep(seconds))

    def until(self, condition: Callable[[], bool]) -> None:
        """Wait, and let the client do what it does by itself; the test's time limit bounds it."""
        while not condition():
            self.wait(0.002)


@contextmanager
def connected(kind: str, *nodes: FakeNode, **options: Any) -> Iterator[Face]:
    """Make a client of this kind that begins at the first of these nodes, connected to it."""
    endpoints = [node.endpoint for node in nodes]
    if kind == "sync":
        with Client(endpoints, **options) as client:
            client.ping(endpoints[0], timeout=30)
            client._routing._position = 0
            yield Face(client, None)
        return
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        inner = AsyncClient(endpoints, **options)
        loop.run_until_complete(inner.ping(endpoints[0], timeout=30))
        inner._routing._position = 0
        try:
            yield Face(inner, loop)
        finally:
            loop.run_until_complete(inner.close())


@contextmanager
def playing(store: FakeStore, count: int = 1) -> Iterator[list[FakeNode]]:
    """Let so many nodes play one cluster."""
    nodes = [FakeNode(store.script) for _ in range(count)]
    try:
        yield nodes
    finally:
        for node in nodes:
            node.close()


BOTH_CLIENTS = pytest.mark.parametrize("kind", ["sync", "async"])
