"""The asynchronous client when nodes refuse, stall and die; cancelling and closing it."""

import asyncio
import contextlib
import multiprocessing
import os
import signal
import socket
from collections.abc import Awaitable
from typing import Any

import pytest

from raftcache.client import (
    AsyncClient,
    Conflict,
    Delete,
    Get,
    NoLeader,
    OutcomeUnknown,
    Set,
    Timeout,
    Unreachable,
)

from .fake_node import FakeNode, Fields, Request, found, leader_at, refusal
from .scripts import always, assert_nothing_is_left, die, ends_with, never, what_is_open
from .test_aio import ask, client_of, until

# Errors


def test_a_refusal_is_raised_with_all_it_carries() -> None:
    with (
        FakeNode(always(refusal("conflict", mod_rev=4, value=b"v"))) as node,
        pytest.raises(Conflict, match="as scripted") as caught,
    ):
        ask(node, what=lambda client: client.set("k", "w", if_mod_rev=3))

    assert (caught.value.mod_rev, caught.value.value) == (4, b"v")


def test_a_mutation_refused_for_want_of_a_leader_is_sent_until_it_is_taken() -> None:
    answers = iter([refusal("no_leader"), refusal("overloaded", retry_after_ms=1), {"mod_rev": 1}])
    with FakeNode(lambda _node, _request: next(answers)) as node:
        assert ask(node, what=lambda client: client.set("k", "v")) == 1
    assert len(node.requests) == 3


def test_no_leader_till_the_deadline_is_definite() -> None:
    script = always(refusal("no_leader") | leader_at(None))
    with FakeNode(script) as node:
        ends_with(
            NoLeader, lambda s: ask(node, what=lambda client: client.set("k", "v", timeout=s))
        )


def test_a_dead_node_is_passed_over(dead_endpoint: str) -> None:
    with FakeNode(always({"mod_rev": 1})) as node:
        assert ask(dead_endpoint, node, what=lambda client: client.set("k", "v")) == 1


def test_nobody_there_is_unreachable_by_the_deadline(dead_endpoint: str) -> None:
    ends_with(
        Unreachable,
        lambda s: ask(dead_endpoint, what=lambda client: client.set("k", "v", timeout=s)),
        match="no node could be reached",
    )


def test_a_node_that_appears_within_the_deadline_is_found(dead_endpoint: str) -> None:
    async def main(client: AsyncClient) -> None:
        with pytest.raises(Unreachable):
            await client.get("k", timeout=0.05)
        with FakeNode(always(found(b"v")), dead_endpoint):
            assert await client.get("k") == b"v"

    ask(dead_endpoint, what=main)


def test_a_node_that_accepts_and_shakes_no_hand_is_passed_over() -> None:
    """The kernel accepts connections for a stopped process: that is no node yet."""
    with socket.create_server(("127.0.0.1", 0)) as stopped:
        endpoint = f"tcp://127.0.0.1:{stopped.getsockname()[1]}"
        with FakeNode(always({"mod_rev": 1})) as node:
            assert ask(endpoint, node, what=lambda client: client.set("k", "v")) == 1


def test_a_connection_that_dies_ends_all_mutations_and_sends_all_reads_elsewhere() -> None:
    """Each may have been applied; a second sending could apply it twice (failure B6)."""

    def dies_of_the_tenth(node: FakeNode, _request: Request) -> None:
        if len(node.requests) == 10:
            node.die()

    async def main(client: AsyncClient) -> list[Any]:
        return await asyncio.gather(
            *(client.incr(f"n{n}") for n in range(5)),
            *(client.get(f"k{n}") for n in range(5)),
            return_exceptions=True,
        )

    with FakeNode(dies_of_the_tenth) as first, FakeNode(always(found(b"v"))) as second:
        outcomes = ask(first, second, what=main)

    assert [type(outcome) for outcome in outcomes[:5]] == [OutcomeUnknown] * 5
    assert outcomes[5:] == [b"v"] * 5
    assert {request["op"] for request in second.requests} == {"get"}


@pytest.mark.parametrize(("operation", "repeated"), [(Get("a"), True), (Delete("a"), False)])
def test_a_batch_is_repeated_only_if_it_only_reads(
    operation: Get | Delete, *, repeated: bool
) -> None:
    reply = always({"results": [{"ok": True, **found(b"v")}]})
    expected = contextlib.nullcontext() if repeated else pytest.raises(OutcomeUnknown)
    with FakeNode(die) as first, FakeNode(reply) as second, expected:
        ask(first, second, what=lambda client: client.batch([operation, Set("b", "1")][:1]))
    assert len(second.requests) == repeated


def test_a_silent_node_ends_a_mutation_at_the_deadline_as_unknown() -> None:
    with FakeNode(never) as node:
        ends_with(
            Timeout,
            lambda s: ask(node, what=lambda client: client.set(f"k{s}", "v", timeout=s)),
            match="may have been done",
        )
    keys = [request["key"] for request in node.requests]
    assert 0 < len(keys) == len(set(keys)), "none is sent again"


def test_a_read_leaves_a_silent_node_for_another() -> None:
    with FakeNode(never) as paused, FakeNode(always(found(b"v"))) as node:
        assert ask(paused, node, what=lambda client: client.get("k")) == b"v"


def test_after_a_silence_who_waits_still_gets_an_answer_and_the_rest_goes_another_way() -> None:
    """What was left unanswered stays in the old connection, and goes with it."""
    connections: dict[bytes, bytes] = {}

    def script(node: FakeNode, request: Request) -> Fields | None:
        connections[request["key"]] = node._envelope[0]
        if request["key"] != b"after":
            return None
        node.answer_late({"mod_rev": 7})
        return {"mod_rev": 8}

    async def main(client: AsyncClient) -> None:
        patient = asyncio.create_task(client.set("patient", "v"))
        with pytest.raises(Timeout):
            await client.set("brief", "v", timeout=0.1)
        [old] = client._exchange._retired
        assert await client.set("after", "v") == 8
        assert await patient == 7
        assert old.closed

    with FakeNode(script) as node:
        ask(node, what=main)

    assert connections[b"patient"] == connections[b"brief"] != connections[b"after"]


def test_connections_kept_for_late_answers_are_few() -> None:
    """Silences one after another must not pile up connections."""

    async def main(client: AsyncClient) -> int:
        patient = []
        most = 0
        for number in range(12):
            patient.append(asyncio.create_task(client.set(f"p{number}", "v")))
            with pytest.raises(Timeout):
                await client.set(f"b{number}", "v", timeout=0.02)
            client._routing._health.clear()
            most = max(most, len(client._exchange._retired))
        done = [task for task in patient if task.done()]
        assert [type(task.exception()) for task in done] == [OutcomeUnknown] * len(done)
        for task in patient:
            task.cancel()
        return most

    with FakeNode(never) as node:
        assert ask(node, what=main, timeout=60) == 8


@pytest.mark.parametrize(
    "body",
    [b"", b"\xc1", b"\x80", b"hello", b"\x81\xa2ok\x01", b"\x82\xa2ok\xc3\xa2id\x90"],
)
def test_what_is_no_reply_is_dropped_and_counted(body: bytes) -> None:
    """Garbage from a wrong port must neither crash a client nor settle a call (failure F14)."""

    def script(node: FakeNode, _request: Request) -> None:
        node.send_raw(body)

    with FakeNode(script) as node:
        ends_with(
            Timeout,
            lambda s: ask(node, what=lambda client: client.set("k", "v", timeout=s)),
            match="1 frames were no reply",
        )


# Cancelling and closing


def test_a_call_that_is_cancelled_before_it_is_sent_never_is() -> None:
    async def main(client: AsyncClient) -> None:
        task = asyncio.create_task(client.set("never", "v"))
        await asyncio.sleep(0)
        task.cancel()
        assert await client.get("k") == b"v"

    with FakeNode(always(found(b"v"))) as node:
        ask(node, what=main)

    assert [request["op"] for request in node.requests] == ["get"]


def test_the_answer_to_a_cancelled_call_is_taken_for_no_other() -> None:
    def script(node: FakeNode, request: Request) -> Fields | None:
        if request["key"] == b"first":
            return None
        node.answer_late(found(b"of the first"))
        return found(b"of the second")

    async def main(client: AsyncClient) -> None:
        task = asyncio.create_task(client.get("first"))
        await until(lambda: len(node.requests) == 1)
        task.cancel()
        assert await client.get("second") == b"of the second"

    with FakeNode(script) as node:
        ask(node, what=main)


def test_closing_ends_what_is_in_flight_and_says_what_is_known_of_it() -> None:
    async def main(client: AsyncClient) -> None:
        calls: list[Awaitable[Any]] = [
            asyncio.create_task(client.set("k", "v")),
            asyncio.create_task(client.get("k")),
        ]
        await until(lambda: len(node.requests) == 2)
        await client.close()
        await client.close()
        write, read = await asyncio.gather(*calls, return_exceptions=True)
        assert isinstance(write, OutcomeUnknown)
        assert isinstance(read, ValueError)
        with pytest.raises(ValueError, match="closed"):
            await client.get("k")

    with FakeNode(never) as node:
        ask(node, what=main)


def test_close_leaves_no_thread_and_no_socket(dead_endpoint: str) -> None:
    async def main() -> None:
        before = what_is_open()
        async with client_of(dead_endpoint, silent, node) as client:
            for _ in range(3):
                assert await client.get("k") == b"v"
        assert_nothing_is_left(before)

    with FakeNode(never) as silent, FakeNode(always(found(b"v"))) as node:
        asyncio.run(main())


def test_another_event_loop_is_told_to_make_its_own() -> None:
    with FakeNode(always(found(b"v"))) as node:
        client = AsyncClient(node.endpoint)

        async def main() -> None:
            await client.get("k")
            await asyncio.to_thread(_use_in_another_loop, client)
            assert await client.get("k") == b"v"
            await client.close()

        asyncio.run(main())


def _use_in_another_loop(client: AsyncClient) -> None:
    with pytest.raises(RuntimeError, match="one event loop"):
        asyncio.run(client.get("k"))


def test_a_forked_child_is_told_to_make_its_own() -> None:
    """Two processes on one connection would take each other's answers."""
    with FakeNode(always(found(b"v"))) as node:
        client = AsyncClient(node.endpoint)
        child = multiprocessing.get_context("fork").Process(target=_use_in_child, args=(client,))
        child.start()
        child.join()
        asyncio.run(client.close())
    assert child.exitcode == 0


def test_a_forked_child_is_told_so_even_in_the_loop_that_it_has_inherited() -> None:
    with FakeNode(always(found(b"v"))) as node:
        loop = asyncio.new_event_loop()
        client = AsyncClient(node.endpoint)
        loop.run_until_complete(client.get("k"))
        child = os.fork()
        if child == 0:
            signal.alarm(30)  # the parent's sockets would let it wait for ever
            try:
                loop.run_until_complete(client.get("k"))
            except RuntimeError:
                os._exit(0)
            finally:
                os._exit(1)
        _, status = os.waitpid(child, 0)
        loop.run_until_complete(client.close())
        loop.close()
    assert os.waitstatus_to_exitcode(status) == 0


def _use_in_child(client: AsyncClient) -> None:
    try:
        asyncio.run(client.get("k"))
    except RuntimeError:
        os._exit(0)
    os._exit(1)
