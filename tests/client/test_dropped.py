"""Clients that are dropped and not closed: nothing hangs, nothing is left, and a warning tells."""

import asyncio
import gc
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from raftcache.client import AsyncClient, Client

from .both import playing
from .fake_store import FakeStore
from .scripts import assert_nothing_is_left, what_is_open


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


@contextmanager
def nothing_left(*, warned: bool = True) -> Iterator[None]:
    """See that what was opened is closed once it is garbage."""
    gc.collect()
    before = what_is_open()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        yield
        gc.collect()
    assert_nothing_is_left(before)
    assert any("dropped without close()" in str(one.message) for one in told) is warned


def test_a_client_that_is_garbage_closes_itself(store: FakeStore) -> None:
    """In a circle, as objects of programs are: then the whole of it goes at once."""

    class Service:
        def __init__(self, endpoint: str) -> None:
            self.cache = Client([endpoint])
            self.watch = self.cache.watch("k", from_rev=1)
            self.me = self

    with playing(store) as nodes, nothing_left():
        service = Service(nodes[0].endpoint)
        service.cache.set("k", "v")
        assert service.watch.next(30) is not None
        del service


def test_an_async_client_that_outlived_its_loop_closes_itself(store: FakeStore) -> None:
    """`asyncio.run` ends, nobody closed the client: the collector must not wait for ever."""
    with playing(store) as nodes, nothing_left():
        asyncio.run(_use(AsyncClient([nodes[0].endpoint])))


def test_an_async_client_may_be_closed_after_its_loop(store: FakeStore) -> None:
    with playing(store) as nodes, nothing_left(warned=False):
        client = AsyncClient([nodes[0].endpoint])

        asyncio.run(_use(client))
        with pytest.raises(RuntimeError, match="belongs to one event loop"):
            asyncio.run(_use(client))
        asyncio.run(client.close())
        asyncio.run(client.close())
        del client


async def _use(client: AsyncClient) -> None:
    await client.set("k", "v")
