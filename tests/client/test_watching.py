"""Watches of both clients: no change is missed and none told twice."""

import asyncio
import multiprocessing
import threading
import time
from typing import Any

import pytest

from raftcache.client import AsyncClient, Client, Compacted, Event

from .both import BOTH_CLIENTS, Face, connected, playing
from .fake_node import FakeNode, Request
from .fake_store import FakeStore
from .scripts import assert_nothing_is_left, what_is_open
from .test_aio import until


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def take(client: Face, watch: Any, count: int) -> list[Event[Any]]:
    """Take so many events off a watch."""
    return [client.run(watch.next()) for _ in range(count)]


@BOTH_CLIENTS
def test_a_watch_tells_every_change_in_order(kind: str, store: FakeStore) -> None:
    with playing(store) as nodes, connected(kind, *nodes) as client:
        client.set("a/1", "v")
        watch = client.watch(prefix="a/", from_rev=1)
        assert "Watch of prefix b'a/' from revision 1>" in repr(watch)
        client.set("b/1", "elsewhere")
        client.set("a/1", "w")
        client.delete("a/1")

        events = take(client, watch, 3)
        watch.close()

    assert [(e.kind, e.key, e.value, e.rev) for e in events] == [
        ("set", b"a/1", b"v", 1),
        ("set", b"a/1", b"w", 3),
        ("delete", b"a/1", None, 4),
    ]


@BOTH_CLIENTS
def test_a_watch_from_now_on_tells_nothing_older(kind: str, store: FakeStore) -> None:
    with playing(store) as nodes, connected(kind, *nodes) as client:
        client.set("a", "old")
        watch = client.watch("a")
        if kind == "async":
            client.run(watch.__aenter__())
        client.set("a", "new")

        [event] = take(client, watch, 1)
        watch.close()

    assert event.value == b"new"


@BOTH_CLIENTS
def test_a_node_that_dies_in_the_middle_costs_no_event_and_repeats_none(
    kind: str, store: FakeStore
) -> None:
    """The next node goes on from the revision that was read last (failures B14, B15)."""
    polls = 0

    def dies_at_the_second_poll(node: FakeNode, request: Request) -> bool:
        nonlocal polls
        polls += request["op"] == "watch"
        if polls != 2 or request["op"] != "watch":
            return False
        node.die()
        return True

    store.trouble = dies_at_the_second_poll
    with playing(store, 2) as nodes, connected(kind, *nodes) as client:
        watch = client.watch(prefix="", from_rev=1)
        revs = []
        for number in range(6):
            client.set(f"k{number}", "v")
            revs += [event.rev for event in take(client, watch, 1)]
        watch.close()

    assert revs == [1, 2, 3, 4, 5, 6]


@BOTH_CLIENTS
def test_what_is_no_longer_kept_is_said_and_not_skipped(kind: str, store: FakeStore) -> None:
    """Failure B16."""
    store.oldest = 5
    with playing(store) as nodes, connected(kind, *nodes) as client:
        watch = client.watch("a", from_rev=4)
        with pytest.raises(Compacted) as caught:
            client.run(watch.next())
        watch.close()

    assert caught.value.extra["oldest"] == 5


@BOTH_CLIENTS
def test_a_watch_waits_no_longer_than_it_is_told(kind: str, store: FakeStore) -> None:
    with playing(store) as nodes, connected(kind, *nodes) as client:
        watch = client.watch("a", from_rev=1)

        assert client.run(watch.next(timeout=0.05)) is None
        watch.close()


@BOTH_CLIENTS
def test_a_watch_goes_through_the_clients_codec(kind: str, store: FakeStore) -> None:
    with playing(store) as nodes, connected(kind, *nodes, codec="json") as client:
        client.set("a", {"x": 1})
        watch = client.watch("a", from_rev=1)

        [event] = take(client, watch, 1)
        watch.close()

    assert event.value == {"x": 1}


@BOTH_CLIENTS
def test_a_watch_is_of_a_key_or_of_a_prefix(kind: str, store: FakeStore) -> None:
    with playing(store) as nodes, connected(kind, *nodes) as client:
        for wrong in ({}, {"key": "a", "prefix": "b"}):
            with pytest.raises(ValueError, match="a key, or a prefix"):
                client.watch(**wrong)


def test_a_watch_that_is_dropped_leaves_nothing_open(store: FakeStore) -> None:
    """A `break` out of its loop is all that most programs do about it."""
    with playing(store) as nodes, connected("sync", *nodes) as client:
        client.set("a", "v")
        before = what_is_open()
        for event in client.watch("a", from_rev=1):
            assert event.rev == 1
            break
        assert_nothing_is_left(before)


def quiet(store: FakeStore) -> None:
    """Let polls go unanswered, as those are for which nothing has happened yet."""
    store.trouble = lambda _node, request: request["op"] == "watch"


def test_closing_the_client_ends_the_iteration_of_another_thread(store: FakeStore) -> None:
    quiet(store)
    seen: list[Event] = []
    with playing(store) as nodes:
        client = Client([node.endpoint for node in nodes])
        watch = client.watch("a", from_rev=1)
        watcher = threading.Thread(target=lambda: seen.extend(watch))
        watcher.start()
        while "watch" not in store.ops():
            time.sleep(0.001)
        client.close()
        watcher.join()

    assert seen == []


def test_closing_the_client_ends_the_iteration_of_another_task(store: FakeStore) -> None:
    quiet(store)

    async def main(endpoint: str) -> list[Event]:
        client = AsyncClient(endpoint)

        async def iterate() -> list[Event]:
            return [event async for event in client.watch("a", from_rev=1)]

        task = asyncio.create_task(iterate())
        await until(lambda: "watch" in store.ops())
        await client.close()
        return await task

    with playing(store) as nodes:
        assert asyncio.run(main(nodes[0].endpoint)) == []


def test_a_task_that_is_cancelled_leaves_its_watch(store: FakeStore) -> None:
    quiet(store)

    async def main(endpoint: str) -> None:
        async with AsyncClient(endpoint) as client:
            watch = client.watch("a", from_rev=1)
            task = asyncio.create_task(watch.next())
            await until(lambda: "watch" in store.ops())
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with playing(store) as nodes:
        asyncio.run(main(nodes[0].endpoint))


def test_two_tasks_do_not_share_a_watch(store: FakeStore) -> None:
    """Both would be told the same changes."""
    quiet(store)

    async def share(endpoint: str) -> None:
        async with AsyncClient(endpoint) as client, client.watch("a", from_rev=1) as watch:
            first = asyncio.create_task(watch.next())
            await until(lambda: "watch" in store.ops())
            with pytest.raises(RuntimeError, match="another task"):
                await watch.next()
            watch.close()
            assert await first is None

    with playing(store) as [node]:
        asyncio.run(share(node.endpoint))


@BOTH_CLIENTS
def test_a_closed_client_makes_no_watch(kind: str, store: FakeStore) -> None:
    """It would go on for ever: nobody closes it any more."""
    with playing(store) as nodes, connected(kind, *nodes) as client:
        client.run(client.inner.close())
        with pytest.raises(ValueError, match="closed"):
            client.watch("k", from_rev=1)


def test_a_watch_is_of_no_use_to_a_forked_child(store: FakeStore) -> None:
    """Both would read from one connection, and each would miss what the other got."""

    def use_in_child(watch: Any) -> None:
        with pytest.raises(RuntimeError, match="before a fork"):
            watch.next(0)
        watch.close()

    with (
        playing(store) as nodes,
        Client([nodes[0].endpoint], timeout=30) as client,
        client.watch("k", from_rev=1) as watch,
    ):
        child = multiprocessing.get_context("fork").Process(target=use_in_child, args=(watch,))
        child.start()
        child.join()
        client.set("k", "v")
        event = watch.next(30)

    assert child.exitcode == 0
    assert event is not None
    assert event.value == b"v"
