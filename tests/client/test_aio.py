"""The asynchronous client against scripted nodes: its methods, many calls at a time."""

import asyncio
import inspect
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from raftcache.client import (
    AsyncClient,
    Client,
    Get,
    Incr,
    Record,
    Written,
    WrongType,
)

from .fake_node import FakeNode, Fields, Request, found, refusal
from .scripts import paged

T = TypeVar("T")


@asynccontextmanager
async def client_of(
    *nodes: FakeNode | str,
    timeout: float = 5.0,
    exactly_once: bool = False,
    coalesce: bool = False,
) -> AsyncIterator[AsyncClient]:
    """Make a client that begins at the first of these nodes, connected to it.

    Unless it is to be otherwise each of its calls is one request, and a write is sent once.
    """
    endpoints = [node if isinstance(node, str) else node.endpoint for node in nodes]
    async with AsyncClient(
        endpoints, timeout=timeout, exactly_once=exactly_once, coalesce=coalesce
    ) as client:
        if isinstance(nodes[0], FakeNode):
            await client.ping(nodes[0].endpoint, timeout=30)
        client._routing._position = 0
        yield client


def ask(
    *nodes: FakeNode | str,
    what: Callable[[AsyncClient], Coroutine[Any, Any, T]],
    timeout: float = 5.0,
) -> T:
    """Make one call of a client of its own."""

    async def main() -> T:
        async with client_of(*nodes, timeout=timeout) as client:
            return await what(client)

    return asyncio.run(main())


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until this holds; the test's own time limit is the bound."""
    while not condition():  # noqa: ASYNC110 - a thread's doings set no event of the loop
        await asyncio.sleep(0.001)


def methods(kind: type) -> dict[str, list[str]]:
    """Return the public methods of a client and the names of their parameters."""
    return {
        name: list(inspect.signature(method).parameters)
        for name, method in inspect.getmembers(kind)
        if not name.startswith("_") and callable(method)
    }


def test_both_clients_have_the_same_methods_with_the_same_parameters() -> None:
    """Whoever knows one knows the other."""
    assert methods(AsyncClient) == methods(Client)


def test_importing_the_client_does_not_import_asyncio() -> None:
    """It would double what a script waits for."""
    program = "import sys, raftcache.client; sys.exit('asyncio' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_every_method_reads_its_reply() -> None:
    answers: dict[str, Fields] = {
        "get": found(b"v"),
        "set": {"mod_rev": 8, "created": True},
        "delete": {"deleted": 1},
        "incr": {"value": 5},
        "batch": {"results": [{"ok": True, **found(b"v")}, refusal("wrong_type")]},
        "range": {"items": [], "count": 3, "more": False, "at_rev": 9},
        "hash": {"digest": 7},
        "status": {"role": "leader"},
        "members": {"members": []},
    }

    async def main() -> None:
        async with client_of(node) as client:
            assert await client.get("k") == b"v"
            assert await client.get_record("k") == Record(b"v", 7, 3, 2)
            assert await client.set("k", "v", if_mod_rev=0) == 8
            assert await client.write("k", "v") == Written(8, created=True)
            assert await client.delete("k") is True
            assert await client.incr("n", 2) == 5
            record, error = await client.batch([Get("k"), Incr("n")])
            assert record == Record(b"v", 7, 3, 2)
            assert isinstance(error, WrongType)
            assert await client.batch([]) == []
            assert (await client.range("p")).at_rev == 9
            assert await client.count() == 3
            assert (await client.hash(node.endpoint, at=3))["digest"] == 7
            assert (await client.status())["role"] == "leader"
            assert await client.members() == []

    with FakeNode(lambda _, request: answers[request["op"]]) as node:
        asyncio.run(main())


def test_all_pages_are_of_one_moment() -> None:
    async def walk(client: AsyncClient) -> list[bytes]:
        keys = client.keys()
        return [key async for key in keys] + [item.key async for item in client.items()]

    with FakeNode(paged) as node:
        keys = ask(node, what=walk)

    assert keys == [b"a", b"b", b"c", b"d", b"e"] * 2
    moments = {request.get("at_rev") for request in node.requests if "after" in request}
    assert moments == {40}


# Many calls at a time


def test_answers_in_another_order_find_their_calls_on_one_connection() -> None:
    """Ids, not turns, match answers to requests (failure F6)."""
    connections = set()

    def ten_by_ten_the_last_first(node: FakeNode, request: Request) -> Fields | None:
        connections.add(node._envelope[0])
        if len(node._waiting) < 9:
            return None
        waiting, node._waiting = node._waiting, []
        for envelope, earlier in reversed(waiting):
            node._reply(envelope, earlier, found(earlier["key"]))
        return found(request["key"])

    async def all_at_once(client: AsyncClient) -> list[bytes | None]:
        return await asyncio.gather(*(client.get(f"k{n}") for n in range(100)))

    with FakeNode(ten_by_ten_the_last_first) as node:
        answers = ask(node, what=all_at_once)

    assert answers == [f"k{n}".encode() for n in range(100)]
    assert len(connections) == 1


def test_no_word_of_the_socket_is_missed() -> None:
    """Its descriptor tells of changes only: a missed one would be a call that hangs."""

    async def many(client: AsyncClient) -> int:
        async def one(number: int) -> int:
            keys = [f"{number}-{turn}".encode() for turn in range(40)]
            return sum([await client.get(key) == key for key in keys])

        return sum(await asyncio.gather(*(one(number) for number in range(100))))

    with FakeNode(lambda _, request: found(request["key"])) as node:
        assert ask(node, what=many, timeout=60) == 4_000


def test_one_slow_call_holds_up_no_other() -> None:
    def script(_node: FakeNode, request: Request) -> Fields | None:
        return None if request["key"] == b"slow" else found(b"v")

    async def main(client: AsyncClient) -> None:
        slow = asyncio.create_task(client.set("slow", "v"))
        assert await client.get("quick") == b"v"
        assert not slow.done()
        slow.cancel()

    with FakeNode(script) as node:
        ask(node, what=main)
