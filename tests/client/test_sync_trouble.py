"""The blocking client when nodes refuse, stall and die, and its own beginning and end."""

import multiprocessing
import os
import socket
import threading

import pytest

from raftcache import client as package
from raftcache import errors
from raftcache.client import (
    Client,
    Conflict,
    NoLeader,
    OutcomeUnknown,
    Timeout,
    TooLarge,
    Unreachable,
    Written,
)

from .fake_node import FakeNode, Fields, Request, Script, found, leader_at, refusal
from .scripts import always, assert_nothing_is_left, die, ends_with, never, what_is_open
from .test_sync import client_of, ops

# Errors


def test_a_refusal_is_raised_with_all_it_carries() -> None:
    reply = refusal("conflict", mod_rev=4, value=b"v")
    with (
        FakeNode(always(reply)) as node,
        client_of(node) as client,
        pytest.raises(Conflict, match="as scripted") as caught,
    ):
        client.set("k", "w", if_mod_rev=3)

    assert (caught.value.mod_rev, caught.value.value, caught.value.node) == (4, b"v", "n1")


@pytest.mark.parametrize(
    ("applied", "kind"), [("no", errors.DefiniteError), ("unknown", errors.IndefiniteError)]
)
def test_an_unknown_code_is_judged_by_applied(applied: str, kind: type[Exception]) -> None:
    with (
        FakeNode(always(refusal("from_the_future", applied))) as node,
        client_of(node) as client,
        pytest.raises(kind, match="from_the_future"),
    ):
        client.set("k", "v")
    assert len(node.requests) == 1


def test_a_hint_is_followed_and_remembered() -> None:
    with FakeNode(always({"mod_rev": 1})) as leader:
        redirect = always(refusal("not_leader") | leader_at(leader.endpoint))
        with FakeNode(redirect) as follower, client_of(follower, leader) as client:
            client.set("k", "v")
            client.set("k", "w")
        assert (len(follower.requests), len(leader.requests)) == (1, 2)


def test_a_dead_node_is_passed_over(dead_endpoint: str) -> None:
    with FakeNode(always({"mod_rev": 1})) as node, client_of(dead_endpoint, node) as client:
        assert client.set("k", "v") == 1


def test_nobody_there_is_unreachable_by_the_deadline(dead_endpoint: str) -> None:
    with client_of(dead_endpoint) as client:
        ends_with(Unreachable, lambda s: client.set("k", "v", timeout=s), match="no node could")


def test_a_node_that_appears_within_the_deadline_is_found(dead_endpoint: str) -> None:
    with client_of(dead_endpoint) as client:
        with pytest.raises(Unreachable):
            client.get("k", timeout=0.05)
        with FakeNode(always(found(b"v")), dead_endpoint):
            assert client.get("k") == b"v"


def test_a_silent_node_ends_a_mutation_at_the_deadline_as_unknown() -> None:
    with FakeNode(never) as node, client_of(node) as client:
        ends_with(
            Timeout, lambda s: client.set(f"k{s}", "v", timeout=s), match="may have been done"
        )
        assert node.received.acquire(timeout=30)
    keys = [request["key"] for request in node.requests]
    assert len(keys) == len(set(keys)), "none is sent again"


def test_a_silent_node_ends_a_read_at_the_deadline() -> None:
    with FakeNode(never) as node, client_of(node) as client:
        ends_with(Timeout, lambda s: client.get("k", timeout=s))


def test_a_read_leaves_a_silent_node_for_another() -> None:
    with (
        FakeNode(never) as paused,
        FakeNode(always(found(b"v"))) as node,
        client_of(paused, node) as client,
    ):
        assert client.get("k") == b"v"


def test_a_node_that_accepts_and_shakes_no_hand_is_passed_over() -> None:
    """The kernel accepts connections for a stopped process: that is no node yet."""
    with socket.create_server(("127.0.0.1", 0)) as stopped:
        endpoint = f"tcp://127.0.0.1:{stopped.getsockname()[1]}"
        with FakeNode(always({"mod_rev": 1})) as node, client_of(endpoint, node) as client:
            assert client.set("k", "v") == 1


def test_a_connection_that_dies_makes_a_mutation_unknown_and_it_is_not_sent_again() -> None:
    """It may have been applied; a second sending could apply it twice (failure B6)."""
    with (
        FakeNode(die) as first,
        FakeNode(always({"value": 1})) as second,
        client_of(first, second) as client,
    ):
        with pytest.raises(OutcomeUnknown, match="connection ended") as caught:
            client.incr("n")

        assert not isinstance(caught.value, Timeout)
        assert (len(first.requests), len(second.requests)) == (1, 0)
        assert client.incr("n") == 1, "the client itself goes on"


def test_a_connection_that_dies_sends_a_read_elsewhere() -> None:
    with (
        FakeNode(die) as first,
        FakeNode(always(found(b"v"))) as second,
        client_of(first, second) as client,
    ):
        assert client.get("k") == b"v"


def test_a_mutation_refused_for_want_of_a_leader_is_sent_until_it_is_taken() -> None:
    answers = iter([refusal("no_leader"), refusal("overloaded", retry_after_ms=1), {"mod_rev": 1}])
    script: Script = lambda _node, _request: next(answers)  # noqa: E731 - one line says it
    with FakeNode(script) as node, client_of(node) as client:
        assert client.set("k", "v") == 1
    assert ops(node) == ["set", "set", "set"]


def test_no_leader_till_the_deadline_is_definite() -> None:
    script = always(refusal("no_leader") | leader_at(None))
    with FakeNode(script) as node, client_of(node) as client:
        ends_with(NoLeader, lambda s: client.set("k", "v", timeout=s))


# Replies that are not ours (failure F6)


def test_a_late_answer_is_never_taken_for_another_request() -> None:
    """The first request's answer arrives during the second, ahead of its own (failure F6)."""

    def script(node: FakeNode, request: Request) -> Fields | None:
        if request["key"] == b"slow":
            return None
        node.answer_late(found(b"of the first"))
        return found(b"of the second")

    with FakeNode(script) as node, client_of(node) as client:
        ends_with(Timeout, lambda s: client.get("slow", timeout=s))
        assert client.get("quick") == b"of the second"


def test_an_answer_to_another_id_on_the_same_connection_is_dropped() -> None:
    """Ids, not turns, match answers to requests (failure F6)."""

    def script(node: FakeNode, request: Request) -> Fields:
        node._reply(node._envelope, {"id": request["id"] - 1}, found(b"stale"))
        node._reply(node._envelope, {"id": str(request["id"])}, found(b"alike"))
        return found(b"mine")

    with FakeNode(script) as node, client_of(node) as client:
        assert [client.get("k"), client.get("k")] == [b"mine", b"mine"]


@pytest.mark.parametrize(
    "body", [b"", b"\xc1", b"\x80", b"\x90" * 5_000, b"hello", b"\x81\xa2ok\x01", b"\xdf\xff\xff"]
)
def test_what_is_no_reply_is_dropped_and_counted(body: bytes) -> None:
    """Garbage from a wrong port must neither crash a client nor settle a call (failure F14)."""

    def script(node: FakeNode, _request: Request) -> None:
        node.send_raw(body)

    with FakeNode(script) as node, client_of(node) as client:
        ends_with(
            Timeout, lambda s: client.set("k", "v", timeout=s), match="1 frames were no reply"
        )


def test_an_interrupted_call_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C in the middle of a call: the next call gets its own answer."""
    with FakeNode(always(found(b"v"))) as node, client_of(node) as client:
        with monkeypatch.context() as patch:
            patch.setattr("raftcache.client.calling._take_reply", _interrupt)
            with pytest.raises(KeyboardInterrupt):
                client.get("k")
        assert client.get("k") == b"v"


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


# One client, many threads and processes


def test_threads_take_turns_and_get_their_own_answers() -> None:
    def script(_node: FakeNode, request: Request) -> Fields:
        return found(request["key"])

    wrong: list[object] = []

    def ask(client: Client, number: int) -> None:
        for turn in range(20):
            key = f"{number}-{turn}".encode()
            if (value := client.get(key)) != key:
                wrong.append((key, value))

    with FakeNode(script) as node, client_of(node) as client:
        askers = [threading.Thread(target=ask, args=(client, number)) for number in range(4)]
        for thread in askers:
            thread.start()
        for thread in askers:
            thread.join()

    assert wrong == []
    assert len(node.requests) == 80


def test_a_thread_that_gets_no_turn_ends_by_its_own_deadline() -> None:
    asked, may_answer = threading.Event(), threading.Event()

    def script(_node: FakeNode, _request: Request) -> Fields:
        asked.set()
        may_answer.wait(30)
        return found(b"v")

    with FakeNode(script) as node, client_of(node, timeout=60) as client:
        holder = threading.Thread(target=client.get, args=("k",))
        holder.start()
        assert asked.wait(30)
        try:
            with pytest.raises(Unreachable, match="busy"):
                client.get("k", timeout=0.05)
        finally:
            may_answer.set()
            holder.join()


def test_a_forked_child_is_told_to_make_its_own() -> None:
    """Two processes on one connection would take each other's answers."""
    with FakeNode(always(found(b"v"))) as node, client_of(node) as client:
        client.get("k")
        child = multiprocessing.get_context("fork").Process(target=_use_in_child, args=(client,))
        child.start()
        child.join()
        assert child.exitcode == 0
        assert client.get("k") == b"v", "the parent's is unharmed, though the child closed it"


def _use_in_child(client: Client) -> None:
    try:
        client.get("k")
    except RuntimeError:
        client.close()
        os._exit(0)
    os._exit(1)


def test_close_leaves_no_thread_and_no_socket(dead_endpoint: str) -> None:
    with FakeNode(never) as silent, FakeNode(always(found(b"v"))) as node:
        before = what_is_open()
        with client_of(dead_endpoint, silent, node) as client:
            for _ in range(3):
                assert client.get("k") == b"v"
        assert_nothing_is_left(before)


def test_a_closed_client_says_so_and_closes_again() -> None:
    client = Client("tcp://127.0.0.1:1")
    client.close()
    client.close()

    with pytest.raises(ValueError, match="closed"):
        client.get("k")


# The package


def test_all_holds_every_error() -> None:
    """Every error that a call may raise can be imported from here."""
    raised = {
        error.__name__
        for error in vars(errors).values()
        if isinstance(error, type) and issubclass(error, errors.RequestError)
    }
    assert raised | {"RaftCacheError"} <= set(package.__all__)
    assert all(hasattr(package, name) for name in package.__all__)


def test_too_large_is_definite() -> None:
    with (
        FakeNode(always(refusal("too_large"))) as node,
        client_of(node) as client,
        pytest.raises(TooLarge),
    ):
        client.set("k", "v")


def test_a_write_tells_whether_the_key_is_new() -> None:
    with FakeNode(always({"mod_rev": 8, "created": True})) as node, client_of(node) as client:
        assert client.write("k", "v", if_mod_rev=0) == Written(8, created=True)
    assert node.requests[0]["if_mod_rev"] == 0
