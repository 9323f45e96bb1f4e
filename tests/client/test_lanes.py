"""Calls of the asynchronous client that travel together, and keep their own outcomes."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from raftcache.client import AsyncClient, Conflict, DefiniteError, OutcomeUnknown, Timeout
from raftcache.client.calls import OPERATIONS_MAX

from .both import playing
from .fake_node import FakeNode, Fields, Request, found, refusal
from .fake_store import FakeStore
from .test_aio import ask, client_of, until


@pytest.fixture
def store() -> FakeStore:
    return FakeStore()


def together(
    store: FakeStore, what: Callable[[AsyncClient], Awaitable[Any]], **options: Any
) -> Any:
    """Let a client that coalesces do something against a store."""

    async def main() -> Any:
        with playing(store) as nodes:
            async with client_of(*nodes, coalesce=True, **options) as client:
                return await what(client)

    return asyncio.run(main())


def sizes(store: FakeStore) -> list[int]:
    """Return how many operations each request had."""
    return [len(request.get("ops", "1")) for request in store.requests]


def test_a_lone_call_is_no_batch(store: FakeStore) -> None:
    async def main(client: AsyncClient) -> None:
        await client.set("k", "v")
        assert await client.get("k") == b"v"

    together(store, main)

    assert store.ops() == ["set", "get"]


def test_the_calls_of_one_turn_are_one_request(store: FakeStore) -> None:
    async def main(client: AsyncClient) -> list[int]:
        return await asyncio.gather(*(client.incr("n") for _ in range(100)))

    assert sorted(together(store, main)) == list(range(1, 101))
    assert store.ops() == ["batch"]


def test_reads_and_writes_travel_apart(store: FakeStore) -> None:
    """A batch that only reads needs no log."""

    async def main(client: AsyncClient) -> None:
        await asyncio.gather(*(client.set(f"k{n}", "v") for n in range(5)), *map(client.get, "abc"))

    together(store, main)

    kinds = [{op["op"] for op in request["ops"]} for request in store.requests]
    assert sorted(map(sorted, kinds)) == [["get"], ["set"]]


def test_what_comes_while_a_batch_is_under_way_is_collected(store: FakeStore) -> None:
    async def main(client: AsyncClient) -> None:
        async def writer(number: int) -> None:
            for turn in range(20):
                await client.set(f"{number}-{turn}", "v")

        await asyncio.gather(*(writer(number) for number in range(50)))

    together(store, main)

    assert sum(sizes(store)) == 1_000
    assert len(sizes(store)) < 200


def test_one_that_fails_fails_alone(store: FakeStore) -> None:
    async def main(client: AsyncClient) -> list[Any]:
        calls = [client.set("a", "1"), client.set("b", "1", if_mod_rev=77), client.set("c", "1")]
        return await asyncio.gather(*calls, return_exceptions=True)

    first, second, third = together(store, main)

    assert (first, third) == (1, 2)
    assert isinstance(second, Conflict)


def test_a_batch_has_its_bounds(store: FakeStore) -> None:
    async def main(client: AsyncClient) -> None:
        await asyncio.gather(*(client.set(f"k{n}", "v") for n in range(2_500)))
        await asyncio.gather(*(client.set(f"k{n}", b"v" * 100_000) for n in range(6)))

    together(store, main)

    counts = sizes(store)
    assert sum(counts) == 2_506
    assert max(counts) <= OPERATIONS_MAX
    large = [r for r in store.requests if sum(len(op["value"]) for op in _ops(r)) > 200_000]
    assert all(len(_ops(request)) <= 2 for request in large)


def _ops(request: Request) -> list[Request]:
    ops: list[Request] = request.get("ops", [request])
    return ops


def test_numbers_stay_within_the_window_however_many_calls_there_are(store: FakeStore) -> None:
    async def main(client: AsyncClient) -> list[int]:
        return await asyncio.gather(*(client.incr("n") for _ in range(5_000)))

    assert sorted(together(store, main, exactly_once=True)) == list(range(1, 5_001))
    for request in store.requests:
        if request["op"] == "batch":
            assert all(request["ack"] < op["seq"] <= request["ack"] + 1_024 for op in _ops(request))


def test_a_batch_whose_answer_was_lost_is_sent_again_and_done_once(store: FakeStore) -> None:
    """Each of its operations kept its number (failure B6)."""
    struck: list[FakeNode] = []

    def trouble(node: FakeNode, request: Request) -> bool:
        if request["op"] != "batch" or struck:
            return False
        struck.append(node)
        node.die()
        return True

    store.trouble = trouble

    async def main() -> list[int]:
        with playing(store, 2) as nodes:
            async with client_of(*nodes, coalesce=True, exactly_once=True) as client:
                return await asyncio.gather(*(client.incr("n") for _ in range(50)))

    assert sorted(asyncio.run(main())) == list(range(1, 51))


def test_without_a_session_a_lost_answer_leaves_all_writes_in_doubt_and_no_read() -> None:
    def dies(node: FakeNode, request: Request) -> Fields | None:
        both_here = len(node.requests) == 2
        if both_here:
            node.die()
        return None

    def answers(_node: FakeNode, request: Request) -> Fields:
        assert request["op"] == "batch"
        return {"results": [{"ok": True, **found(b"v")} for _ in request["ops"]]}

    async def main() -> list[Any]:
        async with client_of(first, second, coalesce=True) as client:
            return await asyncio.gather(
                *(client.incr("n") for _ in range(3)),
                *(client.get("k") for _ in range(3)),
                return_exceptions=True,
            )

    with FakeNode(dies) as first, FakeNode(answers) as second:
        outcomes = asyncio.run(main())

    assert [type(outcome) for outcome in outcomes[:3]] == [OutcomeUnknown] * 3
    assert len({id(outcome) for outcome in outcomes[:3]}) == 3, "each has an error of its own"
    assert outcomes[3:] == [b"v"] * 3


def test_each_call_keeps_its_own_deadline() -> None:
    answer = threading.Event()

    def script(_node: FakeNode, request: Request) -> Fields:
        answer.wait(60)
        return {"results": [{"ok": True, "mod_rev": 5} for _ in request["ops"]]}

    async def main() -> None:
        async with client_of(node, coalesce=True) as client:
            patient = asyncio.create_task(client.set("a", "v", timeout=60))
            with pytest.raises(Timeout, match="may have been done"):
                await client.set("b", "v", timeout=0.2)
            answer.set()
            assert await patient == 5

    with FakeNode(script) as node:
        try:
            asyncio.run(main())
        finally:
            answer.set()


def test_a_call_that_was_cancelled_before_its_batch_left_never_leaves(store: FakeStore) -> None:
    async def main(client: AsyncClient) -> None:
        task = asyncio.create_task(client.set("never", "v"))
        await asyncio.sleep(0)
        task.cancel()
        await client.set("k", "v")

    together(store, main)

    assert set(store.values) == {b"k"}


def test_a_batch_that_is_stuck_holds_up_others_only_for_a_moment() -> None:
    def script(_node: FakeNode, request: Request) -> Fields | None:
        return None if request["key"] == b"stuck" else {"mod_rev": 8}

    async def main(client: AsyncClient) -> None:
        stuck = asyncio.create_task(client.set("stuck", "v", timeout=60))
        await until(lambda: len(node.requests) == 1)
        assert await client.set("k", "v", timeout=60) == 8
        assert not stuck.done()
        stuck.cancel()

    async def alone() -> None:
        async with client_of(node, coalesce=True) as client:
            await main(client)

    with FakeNode(script) as node:
        asyncio.run(alone())


def test_a_read_that_found_no_room_in_a_batchs_reply_is_asked_for_alone() -> None:
    def script(_node: FakeNode, request: Request) -> Fields:
        if request["op"] == "get":
            return found(b"large")
        first, *others = request["ops"]
        return {
            "results": [
                {"ok": True, **found(first["key"])},
                *(refusal("too_large") for _ in others),
            ]
        }

    async def main() -> list[bytes | None]:
        async with client_of(node, coalesce=True) as client:
            return await asyncio.gather(*map(client.get, "abc"))

    with FakeNode(script) as node:
        assert asyncio.run(main()) == [b"a", b"large", b"large"]


def test_closing_ends_what_waits(store: FakeStore) -> None:
    store.trouble = lambda _node, request: request["op"] in {"set", "batch"}

    async def main(client: AsyncClient) -> None:
        first = asyncio.create_task(client.set("a", "v"))
        await until(lambda: "set" in store.ops())
        second = asyncio.create_task(client.set("b", "v"))
        await asyncio.sleep(0)
        await client.close()
        outcomes = await asyncio.gather(first, second, return_exceptions=True)

        assert isinstance(outcomes[0], OutcomeUnknown)
        assert isinstance(outcomes[1], ValueError | OutcomeUnknown)
        with pytest.raises(ValueError, match="closed"):
            await client.set("c", "v")

    together(store, main)


def test_nobody_there_is_definite_for_each(dead_endpoint: str) -> None:
    async def main() -> list[Any]:
        async with AsyncClient(dead_endpoint, exactly_once=False) as client:
            calls = (client.set(f"k{n}", "v", timeout=0.2) for n in range(5))
            return await asyncio.gather(*calls, return_exceptions=True)

    outcomes = asyncio.run(main())

    assert all(isinstance(outcome, DefiniteError) for outcome in outcomes)


def test_one_call_is_still_one_request_where_that_is_wanted(store: FakeStore) -> None:
    with playing(store) as nodes:

        async def main(client: AsyncClient) -> None:
            await asyncio.gather(*(client.set(f"k{n}", "v") for n in range(10)))

        ask(*nodes, what=main)

    assert store.ops() == ["set"] * 10
