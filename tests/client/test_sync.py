"""The blocking client against scripted nodes, over real sockets: its methods."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from raftcache.client import (
    AsyncClient,
    Client,
    Delete,
    Get,
    Incr,
    Item,
    Member,
    OutcomeUnknown,
    Record,
    Set,
    Unreachable,
    WrongType,
)

from .fake_node import FakeNode, found, refusal
from .scripts import always, die, paged


@contextmanager
def client_of(
    *nodes: FakeNode | str, timeout: float = 5.0, exactly_once: bool = False
) -> Iterator[Client]:
    """Make a client that begins at the first of these nodes, connected to it.

    Unless it is to be otherwise it opens no session, and sends a write once.
    """
    endpoints = [node if isinstance(node, str) else node.endpoint for node in nodes]
    with Client(endpoints, timeout=timeout, exactly_once=exactly_once) as client:
        if isinstance(nodes[0], FakeNode):
            client.ping(nodes[0].endpoint, timeout=30)
        client._routing._position = 0
        yield client


def ops(node: FakeNode) -> list[str]:
    return [request["op"] for request in node.requests]


def test_a_value_is_read() -> None:
    with FakeNode(always(found(b"hello"))) as node, client_of(node) as client:
        assert client.get("greeting") == b"hello"
        assert client.get_record("greeting") == Record(b"hello", 7, 3, 2)
    assert [request["key"] for request in node.requests] == [b"greeting", b"greeting"]


def test_a_missing_key_is_none() -> None:
    with FakeNode(always({"found": False})) as node, client_of(node) as client:
        assert client.get("nobody") is None
        assert client.get_record("nobody") is None


def test_only_the_fields_that_were_given_are_sent() -> None:
    """A server refuses what it does not know; so nothing is sent that was not asked for."""
    reply = {"mod_rev": 8, "created": True, "deleted": 1, "value": 5}
    with FakeNode(always(reply)) as node, client_of(node) as client:
        assert client.set("k", "v") == 8
        assert client.set(b"k", b"v", if_mod_rev=0, if_value="w") == 8
        assert client.delete("k", if_mod_rev=8) is True
        assert client.incr("n", -2) == 5

    sent = [
        {name: value for name, value in request.items() if name not in {"id", "timeout_ms"}}
        for request in node.requests
    ]
    assert sent == [
        {"op": "set", "key": b"k", "value": b"v"},
        {"op": "set", "key": b"k", "value": b"v", "if_mod_rev": 0, "if_value": b"w"},
        {"op": "delete", "key": b"k", "if_mod_rev": 8},
        {"op": "incr", "key": b"n", "by": -2},
    ]


def test_a_batch_gives_an_outcome_for_each_operation() -> None:
    results = [
        {"ok": True, **found(b"v")},
        {"ok": True, "mod_rev": 8, "created": True},
        {"ok": True, "deleted": 0},
        refusal("wrong_type"),
    ]
    with FakeNode(always({"results": results})) as node, client_of(node) as client:
        outcomes = client.batch([Get("a"), Set("b", "1"), Delete("c"), Incr("d")])

    assert outcomes[:3] == [Record(b"v", 7, 3, 2), 8, False]
    assert isinstance(outcomes[3], WrongType)
    assert [op["op"] for op in node.requests[0]["ops"]] == ["get", "set", "delete", "incr"]


def test_an_empty_batch_asks_nobody() -> None:
    with client_of("tcp://127.0.0.1:1") as client:
        assert client.batch([]) == []


@pytest.mark.parametrize(("operation", "repeated"), [(Get("a"), True), (Set("a", "1"), False)])
def test_a_batch_is_repeated_only_if_it_only_reads(operation: Get | Set, *, repeated: bool) -> None:
    reply = {"results": [{"ok": True, **found(b"v")}]}
    with (
        FakeNode(die) as first,
        FakeNode(always(reply)) as second,
        client_of(first, second) as client,
    ):
        if repeated:
            client.batch([operation])
        else:
            with pytest.raises(OutcomeUnknown):
                client.batch([operation])
    assert len(second.requests) == repeated


def test_all_pages_are_of_one_moment() -> None:
    with FakeNode(paged) as node, client_of(node) as client:
        assert list(client.keys()) == [b"a", b"b", b"c", b"d", b"e"]
        assert next(client.items("p")) == Item(b"a", b"aa", 1, 1, 1)

    walked = [(request.get("after"), request.get("at_rev")) for request in node.requests]
    assert walked == [(None, None), (b"b", 40), (b"d", 40), (None, None)]
    assert all(request["prefix"] == b"" for request in node.requests[:3])


def test_a_range_has_a_prefix_or_two_ends() -> None:
    with client_of("tcp://127.0.0.1:1") as client:
        with pytest.raises(ValueError, match="not by both"):
            client.range("a", start="b")
        with pytest.raises(ValueError, match="needs prefix"):
            client.range(start="b")


def test_members_and_hash_and_status_are_asked_of_the_node_that_is_named() -> None:
    member = {"id": "n1", "incarnation": 1, "peer": "p", "client": "c", "role": "voter"}
    reply = {"members": [member], "hash": 7, "later_field": 1}
    with (
        FakeNode(always(reply)) as first,
        FakeNode(always(reply)) as second,
        client_of(first, second) as client,
    ):
        assert client.members() == [Member("n1", 1, "p", "c", "voter")]
        client.hash(second.endpoint, at=3)
        client.status(second.endpoint)

    assert (ops(first), ops(second)) == (["members"], ["hash", "status"])
    assert second.requests[0]["at"] == 3


def test_what_is_no_text_is_refused_before_it_is_sent() -> None:
    with client_of("tcp://127.0.0.1:1") as client, pytest.raises(TypeError, match="int"):
        client.get(5)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "endpoints",
    [
        "",
        " , ",
        [],
        "127.0.0.1:7401",
        "http://h",
        "tcp://h",
        "tcp://:7401",
        "tcp://h:0",
        "tcp://h:65536",
    ],
)
def test_what_is_no_endpoint_is_refused(endpoints: str) -> None:
    with pytest.raises(ValueError, match=r"tcp://127\.0\.0\.1:7401"):
        Client(endpoints)


@pytest.mark.parametrize(
    "options",
    [{"session_ttl": 0}, {"session_ttl": -1.0}, {"session_ttl": 1e6}, {"timeout": float("nan")}],
)
def test_times_that_no_cluster_takes_are_refused_at_once(options: dict[str, float]) -> None:
    """Else the cluster refuses the session, and the client would do without it, unseen."""
    for make in (Client, AsyncClient):
        with pytest.raises(ValueError, match="number"):
            make("tcp://127.0.0.1:1", **options)  # type: ignore[call-overload]


def test_a_call_without_an_end_and_one_without_time() -> None:
    with (
        FakeNode(always({"found": False})) as node,
        client_of(node, timeout=float("inf")) as client,
    ):
        with pytest.raises(Unreachable):
            client.get("k", timeout=-1)
        with pytest.raises(ValueError, match="no endpoint"):
            client.status("n1")


def test_endpoints_may_be_one_string() -> None:
    with Client("tcp://a:1, tcp://b:2,,tcp://a:1") as client:
        assert client._routing.endpoints == ("tcp://a:1", "tcp://b:2")
