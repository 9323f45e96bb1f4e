"""One request's whole way through protocol and store, in both encodings."""

from typing import Any

import msgspec
import pytest

from raftcache.protocol.envelope import request_frame, split_envelope
from raftcache.protocol.limits import Limits, Refused
from raftcache.protocol.replies import (
    Leader,
    ReplyHeader,
    encode_error,
    encode_refused,
    encode_reply,
    hash_fields,
    ping_fields,
)
from raftcache.protocol.requests import ADMIN_OPS, decode_request
from raftcache.store.commands import Get, Range, encode_commands
from raftcache.store.machine import StateMachine

HEADER = ReplyHeader("n1", 3, Leader("n2", "tcp://127.0.0.1:7402"), 7)
COMMON = {
    "node": "n1",
    "term": 3,
    "leader": {"id": "n2", "client": "tcp://127.0.0.1:7402"},
    "store_rev": 7,
}


class Server:
    """A state machine behind the door, as a node of one would be without Raft and sockets."""

    def __init__(self, encoding: str) -> None:
        self.codec: Any = msgspec.json if encoding == "json" else msgspec.msgpack
        self.machine = StateMachine()

    def __call__(self, **fields: Any) -> Any:
        """Send a request and return the reply."""
        frames = [b"routing id", b"", self.codec.encode(fields)]
        return self.codec.decode(self.answer(frames)[-1])

    def answer(self, frames: list[bytes]) -> list[bytes]:
        """Answer what a ROUTER socket received."""
        envelope, body = split_envelope(frames)
        try:
            request = decode_request(request_frame(envelope, body), Limits())
        except Refused as refused:
            return [*envelope, encode_refused(refused, HEADER)]
        if request.command is not None:
            data = encode_commands([request.command], 0)
            [result] = self.machine.apply(self.machine.last_applied + 1, data)
        else:
            assert request.query is not None
            result = self.machine.read(request.query)
        return [*envelope, encode_reply(request, HEADER, result)]


@pytest.fixture(params=["json", "msgpack"])
def server(request: pytest.FixtureRequest) -> Server:
    return Server(request.param)


@pytest.fixture
def text(server: Server) -> Any:
    """How this encoding shows a text of a reply: MessagePack shows bytes."""
    return (lambda value: value) if server.codec is msgspec.json else str.encode


def test_a_value_that_was_set_is_got(server: Server, text: Any) -> None:
    assert server(op="set", id=1, key="a", value="x") == {
        "ok": True,
        "id": 1,
        **COMMON,
        "mod_rev": 1,
        "created": True,
    }
    assert server(op="get", id="two", key="a") == {
        "ok": True,
        "id": "two",
        **COMMON,
        "found": True,
        "value": text("x"),
        "mod_rev": 1,
        "create_rev": 1,
        "key_version": 1,
        "ttl_ms": None,
        "session": None,
    }


def test_a_missing_key_is_not_found_and_no_error(server: Server) -> None:
    reply = server(op="get", key="a")

    assert (reply["ok"], reply["found"], reply["value"]) == (True, False, None)
    assert (reply["mod_rev"], reply["create_rev"], reply["key_version"]) == (0, 0, 0)


def test_a_time_to_live_is_told_until_it_is_taken_away(server: Server) -> None:
    server(op="set", key="a", value="1", ttl_ms=5_000)
    assert server(op="get", key="a")["ttl_ms"] == 5_000
    assert server(op="expire", id=3, key="a", ttl_ms=9_000) == {
        "ok": True,
        "id": 3,
        **COMMON,
        "found": True,
    }
    assert server(op="get", key="a")["ttl_ms"] == 9_000
    assert server(op="incr", key="a", ttl_ms=1)["value"] == 2
    assert server(op="get", key="a")["ttl_ms"] == 9_000
    assert server(op="expire", key="a", ttl_ms=None)["found"] is True
    assert server(op="get", key="a")["ttl_ms"] is None
    assert server(op="expire", key="missing", ttl_ms=1)["found"] is False
    server(op="incr", key="n", ttl_ms=700)
    assert server(op="get", key="n")["ttl_ms"] == 700


def test_a_plain_set_lets_a_key_stay(server: Server) -> None:
    server(op="set", key="a", value="1", ttl_ms=5_000, if_mod_rev=0, prev=True)
    server(op="set", key="a", value="2")

    assert server(op="get", key="a")["ttl_ms"] is None


def test_a_time_to_live_in_a_batch(server: Server) -> None:
    ops = [
        {"op": "set", "key": "a", "value": "1", "ttl_ms": 0},
        {"op": "set", "key": "a", "value": "1", "ttl_ms": 10},
        {"op": "expire", "key": "a", "ttl_ms": 20},
        {"op": "get", "key": "a"},
    ]
    results = server(op="batch", ops=ops)["results"]

    assert [result["ok"] for result in results] == [False, True, True, True]
    assert results[3]["ttl_ms"] == 20


def test_prev_is_there_only_when_asked_for(server: Server, text: Any) -> None:
    server(op="set", key="a", value="x")

    assert "prev" not in server(op="set", key="a", value="y")
    assert server(op="set", key="a", value="z", prev=True)["prev"] == text("y")
    assert server(op="set", key="b", value="", prev=True)["prev"] is None
    assert server(op="delete", key="b", prev=True)["prev"] == text("")
    assert server(op="delete", key="b", prev=True) == {
        "ok": True,
        "id": None,
        **COMMON,
        "deleted": 0,
        "prev": None,
    }


def test_a_conflict_tells_what_is_there(server: Server, text: Any) -> None:
    server(op="set", key="a", value="x")

    reply = server(op="set", id=2, key="a", value="y", if_mod_rev=0)

    assert reply == {
        "ok": False,
        "id": 2,
        **COMMON,
        "error": "conflict",
        "message": reply["message"],
        "applied": "no",
        "mod_rev": 1,
        "value": text("x"),
    }


def test_a_conflict_on_a_missing_key_says_that_it_is_missing(server: Server) -> None:
    reply = server(op="delete", key="a", if_value="x")

    assert (reply["error"], reply["mod_rev"], reply["value"]) == ("conflict", 0, None)


def test_incr_answers_with_a_number(server: Server, text: Any) -> None:
    assert server(op="incr", key="n")["value"] == 1
    assert server(op="incr", key="n", by=-5)["value"] == -4
    assert server(op="get", key="n")["value"] == text("-4")


def test_a_range_has_items_in_order(server: Server, text: Any) -> None:
    for key in ("b", "a", "c"):
        server(op="set", key=key, value=key * 2)

    reply = server(op="range", start="a", end="c")

    assert reply == {
        "ok": True,
        "id": None,
        **COMMON,
        "items": [
            {
                "key": text("a"),
                "value": text("aa"),
                "mod_rev": 2,
                "create_rev": 2,
                "key_version": 1,
            },
            {
                "key": text("b"),
                "value": text("bb"),
                "mod_rev": 1,
                "create_rev": 1,
                "key_version": 1,
            },
        ],
        "count": 2,
        "more": False,
        "at_rev": 3,
    }
    assert "value" not in server(op="range", prefix="a", keys_only=True)["items"][0]
    assert server(op="range", prefix="", count_only=True)["count"] == 3


def test_pages_of_one_moment_do_not_see_what_came_later(server: Server, text: Any) -> None:
    for key in ("a", "b", "c"):
        server(op="set", key=key, value="old")
    first = server(op="range", prefix="", limit=1)
    server(op="delete", key="b")
    server(op="set", key="bb", value="new")
    server(op="set", key="c", value="new")

    rest = server(op="range", prefix="", after="a", at_rev=first["at_rev"])

    assert first["more"] is True
    assert [(item["key"], item["value"]) for item in rest["items"]] == [
        (text("b"), text("old")),
        (text("c"), text("old")),
    ]


def test_an_ill_formed_operation_of_a_batch_fails_alone(server: Server, text: Any) -> None:
    reply = server(
        op="batch",
        ops=[
            {"op": "set", "key": "a", "value": "1"},
            {"op": "set", "key": "a"},
            {"op": "incr", "key": "a"},
            {"op": "get", "key": "a", "id": 4},
            {"op": "get", "key": "a", "ttl": 4},
            {"op": "watch", "key": "a"},
            {"op": "ping"},
            7,
            {"op": "set", "key": "", "value": "1"},
            {"op": "get", "key": "a"},
        ],
    )

    assert [result.get("error") for result in reply["results"]] == [
        None,
        "bad_request",
        None,
        "unsupported",
        "unsupported",
        "bad_request",
        "bad_request",
        "bad_request",
        "bad_request",
        None,
    ]
    assert all(result["applied"] == "no" for result in reply["results"] if not result["ok"])
    assert reply["results"][-1]["value"] == text("2")


def test_a_batch_of_reads_stays_out_of_the_log(server: Server) -> None:
    server(op="batch", ops=[{"op": "get", "key": "a"}, {"op": "range", "prefix": ""}, {"op": "x"}])

    assert server.machine.last_applied == 0


def test_the_nodes_own_operations_are_plain_fields(server: Server) -> None:
    request = decode_request(server.codec.encode({"op": "ping", "id": 9}), Limits())

    reply = server.codec.decode(encode_reply(request, HEADER, ping_fields("1.0", "demo")))

    assert (request.op, request.command, request.query) == ("ping", None, None)
    assert reply == {
        "ok": True,
        "id": 9,
        **COMMON,
        "protocol": [1, 1],
        "build": "1.0",
        "cluster": "demo",
    }


def test_hash_takes_an_index_and_answers_hexadecimal_digits(server: Server) -> None:
    request = decode_request(server.codec.encode({"op": "hash", "at": 5}), Limits())

    reply = server.codec.decode(encode_reply(request, HEADER, hash_fields(255, 5)))

    assert request.arguments == {"at": 5}
    assert (reply["digest"], reply["at"]) == ("00000000000000ff", 5)


def test_administration_is_decoded_and_marked(server: Server) -> None:
    fields = {"op": "leader_transfer", "to": "n2", "id": 1}

    request = decode_request(server.codec.encode(fields), Limits())

    assert request.op in ADMIN_OPS
    assert (request.command, request.query, request.arguments) == (None, None, {"to": "n2"})


def test_an_error_carries_its_extras(server: Server) -> None:
    request = decode_request(server.codec.encode({"op": "get", "key": "a", "id": 3}), Limits())

    frame = encode_error(request, HEADER, "overloaded", "busy", "no", retry_after_ms=50)

    assert server.codec.decode(frame) == {
        "ok": False,
        "id": 3,
        **COMMON,
        "error": "overloaded",
        "message": "busy",
        "applied": "no",
        "retry_after_ms": 50,
    }


def test_a_local_read_tells_its_age(server: Server) -> None:
    request = decode_request(
        server.codec.encode({"op": "get", "key": "a", "read": "local"}), Limits()
    )
    assert request.local
    assert request.query is not None

    result = server.machine.read(request.query)
    reply = server.codec.decode(encode_reply(request, HEADER, result, age_ms=12))

    assert (reply["found"], reply["age_ms"]) == (False, 12)


@pytest.mark.parametrize(
    ("fields", "mutation"),
    [
        ({"op": "set", "key": "k", "value": "v"}, True),
        ({"op": "delete", "key": "k"}, True),
        ({"op": "incr", "key": "k"}, True),
        ({"op": "get", "key": "k"}, False),
        ({"op": "range", "prefix": ""}, False),
        ({"op": "batch", "ops": [{"op": "get", "key": "k"}]}, False),
        ({"op": "batch", "ops": [{"op": "get", "key": "k"}, {"op": "incr", "key": "k"}]}, True),
        ({"op": "batch", "ops": [{"op": "set", "key": ""}]}, False),
        ({"op": "batch", "ops": []}, False),
    ],
)
def test_what_may_change_something_is_a_command_and_the_rest_a_query(
    server: Server, fields: dict[str, Any], *, mutation: bool
) -> None:
    """A mutation that was taken for a read would be applied on one node alone."""
    request = decode_request(server.codec.encode(fields), Limits())

    assert (request.command is not None, request.query is not None) == (mutation, not mutation)
    assert request.is_mutation is mutation


def test_the_common_fields_arrive(server: Server) -> None:
    common = {"timeout_ms": 70, "read": "local", "forward": False, "b64": True, "v": 1}

    request = decode_request(server.codec.encode({"op": "get", "key": "k", **common}), Limits())
    plain = decode_request(server.codec.encode({"op": "get", "key": "k"}), Limits())

    assert (request.timeout_ms, request.local) == (70, True)
    assert (request.forward, request.b64) == (False, True)
    assert (plain.timeout_ms, plain.local, plain.forward, plain.b64) == (5000, False, True, False)


@pytest.mark.parametrize(
    ("text", "prefix_end"),
    [(b"a", b"b"), (b"", None), (b"\xff\xff", None), (b"a\xff\xff", b"b"), (b"a\x00", b"a\x01")],
)
def test_a_prefix_ends_before_the_next_key_that_does_not_begin_with_it(
    text: bytes, prefix_end: bytes | None
) -> None:
    request = decode_request(msgspec.msgpack.encode({"op": "range", "prefix": text}), Limits())

    assert request.query == Range(text, prefix_end, 1000)


def test_a_text_and_its_bytes_are_the_same_key() -> None:
    """MessagePack clients in some languages can only send str, in others only bin."""
    asked = [{"op": "get", "key": key, "id": 1} for key in ("ä", "ä".encode())]

    queries = [decode_request(msgspec.msgpack.encode(fields), Limits()).query for fields in asked]

    assert queries == [Get("ä".encode())] * 2
