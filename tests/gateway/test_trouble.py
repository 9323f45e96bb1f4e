"""What a client is told when the cluster is in trouble: 503 nothing was done, 504 nobody knows."""

import json
import threading
from collections.abc import Iterator

import pytest

from tests.client.fake_node import FakeNode, Fields, Request, Script, found, leader_at, refusal
from tests.client.scripts import always, die, never

from .harness import Running, Store, patiently

KEY = "/api/v1/key/k"


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("no_leader", 503),
        ("overloaded", 503),
        ("no_space", 507),
        ("over_quota", 507),
        ("too_large", 413),
        ("forbidden", 502),
        ("from_the_future", 502),
    ],
)
def test_a_definite_no_is_never_504(method: str, code: str, status: int) -> None:
    script = always(refusal(code) | leader_at(None))

    @patiently
    def check(timeout_ms: int) -> None:
        with FakeNode(script) as node, Running([node.endpoint], timeout_ms=timeout_ms) as running:
            answer = running.ask(method, KEY, b"v" if method == "PUT" else None)

        assert answer.status == status
        assert ("retry-after" in answer.headers) == (status == 503)


@pytest.mark.parametrize("script", [never, die, always(refusal("timeout", "unknown"))])
def test_a_write_whose_outcome_is_unknown_is_504_and_sent_once(script: Script) -> None:
    """It may have been done: whoever repeats it must know that (failure B6)."""

    @patiently
    def check(timeout_ms: int) -> None:
        for method, body in (("PUT", b"v"), ("POST", None), ("DELETE", None)):
            target = f"{KEY}/value/v" if method == "POST" else KEY
            with (
                FakeNode(script) as node,
                Running([node.endpoint], timeout_ms=timeout_ms) as running,
            ):
                answer = running.ask(method, target, body)

            assert len(node.requests) <= 1
            assert answer.status == 504
            assert answer.error[1] == "Gateway Timeout"
            assert "retry-after" not in answer.headers
            assert len(node.requests) == 1


def test_a_conditional_write_whose_outcome_is_unknown_is_504_and_sent_once() -> None:
    def script(_node: FakeNode, request: Request) -> Fields | None:
        return found(b"v") if request["op"] == "get" else None

    @patiently
    def check(timeout_ms: int) -> None:
        with FakeNode(script) as node, Running([node.endpoint], timeout_ms=timeout_ms) as running:
            answer = running.ask("PUT", KEY, b"w", If_Match="*")

        assert answer.status == 504
        assert [request["op"] for request in node.requests] == ["get", "set"]


@pytest.mark.parametrize("script", [never, always(refusal("timeout", "unknown"))])
def test_a_read_without_an_answer_may_just_be_asked_again(script: Script) -> None:
    with FakeNode(script) as node, Running([node.endpoint], timeout_ms=100) as running:
        answer = running.ask("GET", KEY)
        conditional = running.ask("PUT", KEY, b"v", If_Match="*")

    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert conditional.status == 503, "only the read before the write was made"
    assert {request["op"] for request in node.requests} == {"get"}


@pytest.mark.parametrize("method", ["GET", "PUT"])
def test_nobody_there_is_503(method: str) -> None:
    with Running(["tcp://127.0.0.1:1"], timeout_ms=100) as running:
        answer = running.ask(method, KEY, b"v" if method == "PUT" else None)

    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


def test_a_defect_of_a_node_is_500_for_a_read_and_unknown_for_a_write() -> None:
    script = always(refusal("internal", "unknown"))
    with FakeNode(script) as node, Running([node.endpoint]) as running:
        assert running.ask("GET", KEY).status == 500
        assert running.ask("PUT", KEY, b"v").status == 504


def test_a_failover_within_the_time_is_not_noticed() -> None:
    answers = iter([refusal("no_leader"), refusal("not_leader"), {"mod_rev": 3, "created": True}])
    script: Script = lambda _node, _request: next(answers)  # noqa: E731 - one line says it
    with FakeNode(script) as node, Running([node.endpoint]) as running:
        answer = running.ask("PUT", KEY, b"v")

    assert (answer.status, answer.headers["etag"]) == (201, '"3"')


def test_a_read_is_linearizable_whichever_node_is_asked() -> None:
    """No request asks for a node's own, perhaps old, view."""
    with FakeNode(Store()) as node, Running([node.endpoint]) as running:
        running.ask("GET", KEY)
        running.ask("GET", "/readyz")
    assert [request.get("read") for request in node.requests] == [None, None]


# Health


def test_health_asks_nobody_and_readiness_asks_the_cluster() -> None:
    script = always(refusal("no_leader") | leader_at(None))
    with FakeNode(script) as node, Running([node.endpoint], ready_timeout_ms=50) as running:
        assert running.ask("GET", "/healthz").body == b"ok\n"
        assert node.requests == []
        answer = running.ask("GET", "/readyz")
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")


def test_a_cluster_that_serves_is_ready(gateway: Running) -> None:
    answer = gateway.ask("GET", "/readyz")

    assert (answer.status, answer.body) == (200, b"ready\n")


def test_the_view_of_the_cluster_shows_who_does_not_answer() -> None:
    follows, leads = ({"role": role, "term": 4, "commit": 9} for role in ("follower", "leader"))

    @patiently
    def check(timeout_ms: int) -> None:
        with (
            FakeNode(always(follows)) as first,
            FakeNode(always(leads)) as second,
            Running(
                [first.endpoint, second.endpoint, "tcp://127.0.0.1:1"], ready_timeout_ms=timeout_ms
            ) as running,
        ):
            answer = running.ask("GET", "/api/v1/cluster")

        view = json.loads(answer.body)
        assert answer.status == 200
        assert [node["answers"] for node in view["nodes"]] == [True, True, False]
        assert (view["cluster"], view["leader"], view["term"]) == ("test", "n2", 4)


# Stopping


@pytest.fixture
def slow() -> Iterator[tuple[FakeNode, threading.Event]]:
    """Return a node that answers once it may."""
    may_answer = threading.Event()

    def script(_node: FakeNode, _request: Request) -> Fields:
        may_answer.wait()
        return {"mod_rev": 1, "created": True}

    with FakeNode(script) as node:
        yield node, may_answer
        may_answer.set()


def test_a_stop_lets_requests_under_way_end(slow: tuple[FakeNode, threading.Event]) -> None:
    node, may_answer = slow
    with (
        Running([node.endpoint], stop_ms=30_000) as running,
        running.connect() as wire,
        running.connect() as resting,
    ):
        assert resting.ask("GET", "/healthz").status == 200
        wire.send(wire.head("PUT", KEY, b"v") + b"v")
        while not node.requests:
            pass
        running.begin_stop()
        assert resting.is_closed()
        may_answer.set()
        assert wire.read().status == 201
        running.stop()


def test_a_stop_does_not_wait_for_ever(slow: tuple[FakeNode, threading.Event]) -> None:
    node, _ = slow
    with Running([node.endpoint], stop_ms=50) as running, running.connect() as wire:
        wire.send(wire.head("PUT", KEY, b"v") + b"v")
        while not node.requests:
            pass
        running.stop()
        assert wire.is_closed()
