"""``with`` blocks of locks and semaphores that threads and tasks share, and how they end."""

import asyncio
import threading
from typing import Any

import pytest

from raftcache.client import AsyncClient, Client, RequestError
from raftcache.client.recipes import AsyncLock, AsyncSemaphore, Held, Lock, Semaphore

from .both import BOTH_CLIENTS, Face, connected, playing
from .fake_node import FakeNode, Request, refusal
from .fake_store import FakeStore
from .test_places import Block, recipe


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def test_threads_that_share_a_semaphore_leave_each_others_places_alone(store: FakeStore) -> None:
    """The first to leave is not the last that entered."""
    first_is_in, second_is_in, first_is_out = (threading.Event() for _ in range(3))
    seen: list[bool] = []

    def first(places: Semaphore) -> None:
        with places:
            first_is_in.set()
            second_is_in.wait()
        first_is_out.set()

    def second(places: Semaphore) -> None:
        first_is_in.wait()
        with places as held:
            second_is_in.set()
            first_is_out.wait()
            seen.append(held.lost)
            seen.append(held.fence.key in store.values)

    with playing(store) as nodes, Client([nodes[0].endpoint], timeout=30) as client:
        places = Semaphore(client, "s", 2)
        threads = [threading.Thread(target=work, args=(places,)) for work in (first, second)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    assert seen == [False, True]


def test_tasks_that_share_a_semaphore_leave_each_others_places_alone(store: FakeStore) -> None:
    """As threads do: the usual `gather` over one semaphore."""

    async def main(node: FakeNode) -> list[bool]:
        second_is_in, first_is_out = asyncio.Event(), asyncio.Event()
        async with AsyncClient([node.endpoint], timeout=30) as client:
            places = AsyncSemaphore(client, "s", 2)

            async def second() -> list[bool]:
                async with places as held:
                    second_is_in.set()
                    await first_is_out.wait()
                    return [held.lost, held.fence.key in store.values]

            async with places:
                task = asyncio.create_task(second())
                await second_is_in.wait()
            first_is_out.set()
            return await task

    with playing(store) as nodes:
        assert asyncio.run(main(nodes[0])) == [False, True]


@BOTH_CLIENTS
@pytest.mark.parametrize("name", ["Lock", "Election"])
def test_who_holds_a_lock_is_told_that_he_would_wait_for_himself(
    kind: str, name: str, store: FakeStore
) -> None:
    """Also through another object of the same name; who waits with a timeout just gets no place."""
    with playing(store) as nodes, connected(kind, *nodes) as client:
        made, same = (recipe(kind, name)(client.inner, "l") for _ in range(2))

        async def nested() -> None:
            async with made:
                assert await same.acquire(timeout=0) is None
                for one in (made, same):
                    with pytest.raises(RuntimeError, match="'l' is held by this very thread"):
                        await one.acquire()
                    with pytest.raises(RuntimeError, match="wait for itself for ever"):
                        async with one:
                            raise AssertionError("it can't be entered")

        if kind == "async":
            client.run(nested())
        else:
            with made:
                assert same.acquire(timeout=0) is None
                for one in (made, same):
                    with pytest.raises(RuntimeError, match="'l' is held by this very thread"):
                        one.acquire()
                    with pytest.raises(RuntimeError, match="wait for itself for ever"), one:
                        raise AssertionError("it can't be entered")
        with Block(client, kind, same):
            assert len(store.values) == 1


def test_another_thread_may_wait_for_the_same_lock_object(store: FakeStore) -> None:
    entered: list[Held] = []

    def wait(lock: Lock) -> None:
        with lock as held:
            entered.append(held)

    with playing(store) as nodes, Client([nodes[0].endpoint], timeout=30) as client:
        lock = Lock(client, "l")
        with lock:
            thread = threading.Thread(target=wait, args=(lock,))
            thread.start()
        thread.join()
    assert len(entered) == 1


def test_a_block_may_be_left_by_another_task(store: FakeStore) -> None:
    """As a fixture's end is, in some test runners."""
    with playing(store) as nodes, connected("async", *nodes) as client:
        lock = AsyncLock(client.inner, "l")
        client.run(lock.__aenter__())
        client.run(lock.__aexit__(None, None, None))
    assert store.values == {}


@BOTH_CLIENTS
@pytest.mark.parametrize("error", [None, ZeroDivisionError()])
def test_what_can_t_be_given_back_goes_with_its_session(
    kind: str, error: Any, store: FakeStore
) -> None:
    """Nobody tries again after a block; the client lives on, and the lock would with it."""
    store.refuse = lambda request: refusal("bad_request") if _deletes(request) else None
    with playing(store) as nodes, connected(kind, *nodes) as client:
        block = Block(client, kind, recipe(kind, "Lock")(client.inner, "l"))
        held = block.__enter__()
        if error is None:
            with pytest.raises(RequestError, match="bad_request"):
                block.__exit__(None, None, None)
        else:
            block.__exit__(type(error), error, None)

        assert held.lost
        assert _session_after(client) != held.session.id


@BOTH_CLIENTS
def test_a_lock_is_lost_when_its_client_is_closed(kind: str, store: FakeStore) -> None:
    with playing(store) as nodes, connected(kind, *nodes) as client:
        lock = recipe(kind, "Lock")(client.inner, "l")
        held = client.run(lock.acquire())
        client.run(client.inner.close())

        assert held.lost
        assert store.values == {}


@BOTH_CLIENTS
def test_a_place_shows_what_it_is(kind: str, store: FakeStore) -> None:
    with playing(store) as nodes, connected(kind, *nodes) as client:
        lock = recipe(kind, "Lock")(client.inner, "l")
        assert repr(lock) == ("<Lock 'l'>" if kind == "sync" else "<AsyncLock 'l'>")
        held = client.run(lock.acquire())
        assert repr(held).startswith("<Held 'l': held for 1")
        client.run(lock.release(held))
        assert repr(held) == "<Held 'l': given back>"


def _deletes(request: Request) -> bool:
    return any(op["op"] == "delete" for op in request.get("ops", ()))


def _session_after(client: Face) -> int:
    client.set("k", "v")
    session = client.run(client.inner.session())
    return int(session.id)
