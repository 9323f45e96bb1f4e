"""Requests that are no requests, to a real node: each is answered, names its fault, harms nobody.

The decoder has its own tests; here the whole way from the socket counts. Failure F14.
"""

import json
import struct
from typing import Any

import msgspec
import pytest

from .bystander import Bystander

pytestmark = pytest.mark.processes

pack = msgspec.msgpack.encode

DEPTH = 10_000
MIB = 1024 * 1024


def _nested(depth: int) -> bytes:
    """Return MessagePack of arrays within arrays."""
    return b"\x91" * depth + b"\xc0"


def _with_field(name: str, raw: bytes) -> bytes:
    """Return a request with one more field, of any bytes."""
    return b"\x82" + pack("op") + pack("ping") + pack(name) + raw


NO_MESSAGEPACK = [
    pytest.param(b"", id="empty"),
    pytest.param(b"\xc1", id="never used byte"),
    pytest.param(b"hello", id="text"),
    pytest.param(bytes(range(256)) * 40, id="all bytes"),
    pytest.param(b"\x00" * 10_000, id="zeros"),
    pytest.param(pack({"op": "get", "key": "bystander"})[:-3], id="truncated"),
    pytest.param(b"\x82" + pack("op"), id="ends after a name"),
    pytest.param(pack({"op": "ping"}) + b"more", id="trailing bytes"),
    pytest.param(pack([1, 2, 3]), id="an array"),
    pytest.param(pack(7), id="a number"),
    pytest.param(pack(None), id="nil"),
    pytest.param(pack({1: 2}), id="no text as name"),
    pytest.param(b"\x81\xa2op\xa1\xff", id="no UTF-8"),
    pytest.param(_nested(DEPTH), id="depth 10,000"),
    pytest.param(_nested(MIB - 1), id="depth of a million"),
    pytest.param(b"\x81" + _nested(DEPTH), id="depth 10,000 as name"),
    pytest.param(_with_field("id", _nested(DEPTH)), id="depth 10,000 as id"),
    pytest.param(_with_field("nonsense", _nested(DEPTH)), id="depth 10,000 as unknown field"),
    pytest.param(_with_field("nonsense", _nested(MIB - 100)), id="a million as unknown field"),
    pytest.param(b"\xdf\xff\xff\xff\xff", id="map of 2^32"),
    pytest.param(b"\xdd\xff\xff\xff\xff", id="array of 2^32"),
    pytest.param(b"\xdb\xff\xff\xff\xff", id="text of 4 GiB"),
    pytest.param(b"\xc6\xff\xff\xff\xff", id="bin of 4 GiB"),
    pytest.param(b"\xc9\xff\xff\xff\xff\x05", id="extension of 4 GiB"),
    pytest.param(_with_field("id", b"\xdd\x7f\xff\xff\xff"), id="array of 2^31 as id"),
    pytest.param(_with_field("id", b"\xdf\x7f\xff\xff\xff"), id="map of 2^31 as id"),
    pytest.param(_with_field("id", b"\xd4\x05\x00"), id="extension type as id"),
    pytest.param(_with_field("id", b"\xd6\xff\x00\x00\x00\x00"), id="timestamp as id"),
    pytest.param(
        _with_field("id", b"\xc7\x0c\xff" + struct.pack(">Iq", 0xFFFFFFFF, -(2**63))),
        id="impossible timestamp as id",
    ),
]

NO_JSON = [
    pytest.param(b"{", id="ends at once"),
    pytest.param(b'{"op": "get", "key": ', id="truncated"),
    pytest.param(b'{"op": "ping"} more', id="trailing bytes"),
    pytest.param(b"{'op': 'ping'}", id="single quotes"),
    pytest.param(b'{"op": "\xff\xfe"}', id="no UTF-8"),
    pytest.param(b'{"op": "ping", "id": ' + b"[" * DEPTH + b"]" * DEPTH + b"}", id="depth 10,000"),
    pytest.param(b'{"a":' * DEPTH + b"1" + b"}" * DEPTH, id="depth 10,000 of objects"),
    pytest.param(b'{"op": "ping", "x": ' + b"[" * (MIB - 100), id="a million, never closed"),
    pytest.param(b'{"op": "ping", "id": NaN}', id="NaN"),
    pytest.param(b'{"op": "ping", "id": Infinity}', id="Infinity"),
    pytest.param(b'{"op": "ping", "id": -Infinity}', id="-Infinity"),
    pytest.param(b'{"op": "ping", "id": 1e999}', id="1e999"),
    pytest.param(b'{"op": "ping", "id": ' + b"9" * 100_000 + b"}", id="100,000 digits"),
    pytest.param(b'{"op": "ping", "id": "\\ud800"}', id="half a surrogate"),
]


@pytest.mark.parametrize("frame", NO_MESSAGEPACK)
def test_what_is_no_messagepack_request_is_a_bad_request(target: Bystander, frame: bytes) -> None:
    reply = msgspec.msgpack.decode(target.send(b"", frame))

    _assert_refused(reply, {"bad_request", "unsupported"})


@pytest.mark.parametrize("frame", NO_JSON)
def test_what_is_no_json_request_is_a_bad_request_in_json(target: Bystander, frame: bytes) -> None:
    """``json`` is the standard library's: what we answer is JSON to others as well."""
    reply = json.loads(target.send(b"", frame), parse_constant=_no_json)

    _assert_refused(reply, {"bad_request", "unsupported"})


@pytest.mark.parametrize("json_", [False, True], ids=["messagepack", "json"])
@pytest.mark.parametrize(
    ("fields", "code", "named"),
    [
        pytest.param({}, "bad_request", "op", id="no op"),
        pytest.param({"op": "gett", "key": "a"}, "bad_request", "get", id="unknown op"),
        pytest.param({"op": ["get"]}, "bad_request", "op", id="op of a wrong type"),
        pytest.param({"op": ""}, "bad_request", "op", id="empty op"),
        pytest.param({"op": "ping", "v": 2}, "unsupported", "v", id="newer version"),
        pytest.param({"op": "ping", "v": 0}, "unsupported", "v", id="version 0"),
        pytest.param({"op": "ping", "v": "1"}, "bad_request", "v", id="version as text"),
        pytest.param({"op": "get"}, "bad_request", "key", id="no key"),
        pytest.param({"op": "get", "key": 7}, "bad_request", "key", id="key of a wrong type"),
        pytest.param({"op": "get", "key": None}, "bad_request", "key", id="key is null"),
        pytest.param({"op": "get", "key": ""}, "bad_request", "key", id="empty key"),
        pytest.param({"op": "get", "key": "k" * 1025}, "too_large", "key", id="key too long"),
        pytest.param({"op": "set", "key": "bystander"}, "bad_request", "value", id="no value"),
        pytest.param(
            {"op": "set", "key": "bystander", "value": ["x"]},
            "bad_request",
            "value",
            id="value of a wrong type",
        ),
        pytest.param(
            {"op": "set", "key": "bystander", "value": "x" * (256 * 1024 + 1)},
            "too_large",
            "value",
            id="value too large",
        ),
        pytest.param(
            {"op": "set", "key": "bystander", "value": "x", "if_mod_rev": -1},
            "bad_request",
            "if_mod_rev",
            id="negative revision",
        ),
        pytest.param(
            {"op": "set", "key": "bystander", "value": "x", "if_mod_rev": None},
            "bad_request",
            "if_mod_rev",
            id="condition is null",
        ),
        pytest.param(
            {"op": "set", "key": "bystander", "value": "x", "if_modrev": 0},
            "unsupported",
            "if_modrev",
            id="condition misspelt",
        ),
        pytest.param(
            {"op": "set", "key": "bystander", "value": "x", "bind": True},
            "bad_request",
            "bind",
            id="bound to no session",
        ),
        pytest.param(
            {"op": "set", "key": "bystander", "value": "x", "ttl_ms": 0},
            "bad_request",
            "ttl_ms",
            id="no time to live",
        ),
        pytest.param(
            {"op": "watch", "key": "bystander", "seq": -1},
            "bad_request",
            "seq",
            id="a number that is none",
        ),
        pytest.param(
            {"op": "incr", "key": "bystander/count", "by": 0.5},
            "bad_request",
            "by",
            id="half an increment",
        ),
        pytest.param(
            {"op": "incr", "key": "bystander/count", "by": 2**63},
            "bad_request",
            "by",
            id="increment beyond 64 bits",
        ),
        pytest.param({"op": "range"}, "bad_request", "prefix", id="range of nothing"),
        pytest.param(
            {"op": "range", "prefix": "", "limit": 10**6}, "too_large", "limit", id="huge page"
        ),
        pytest.param(
            {"op": "batch", "ops": [{"op": "ping"}] * 1001}, "too_large", "ops", id="huge batch"
        ),
        pytest.param({"op": "batch", "ops": {}}, "bad_request", "ops", id="ops are no array"),
        pytest.param({"op": "ping", "id": [1]}, "bad_request", "id", id="id is no scalar"),
        pytest.param({"op": "ping", "id": "i" * 1025}, "bad_request", "id", id="id too long"),
        pytest.param(
            {"op": "ping", "timeout_ms": 0}, "bad_request", "timeout_ms", id="no time at all"
        ),
        pytest.param(
            {"op": "ping", "timeout_ms": 10**12}, "bad_request", "timeout_ms", id="30 years"
        ),
        pytest.param({"op": "get", "key": "a", "read": "x"}, "bad_request", "read", id="read"),
        pytest.param(
            {"op": "get", "key": "a", "forward": "no"}, "bad_request", "forward", id="forward"
        ),
    ],
)
def test_a_wrong_field_is_named(
    target: Bystander, fields: dict[str, Any], code: str, named: str, *, json_: bool
) -> None:
    """An unknown field is refused and not ignored: it may have been a condition."""
    encode = msgspec.json.encode if json_ else pack
    decode = msgspec.json.decode if json_ else msgspec.msgpack.decode

    reply = decode(target.send(b"", encode(fields)))

    _assert_refused(reply, {code})
    assert f"`{named}`" in reply["message"]


@pytest.mark.parametrize(
    "fields",
    [
        {"op": "leader_transfer"},
        {"op": "member_remove", "id": "n1"},
        {"op": "member_add", "id": "n9", "peer": "tcp://x:1", "client": "tcp://x:2"},
        {"op": "fault_set", "rules": []},
        {"op": "snapshot"},
        {"op": "compact"},
    ],
    ids=lambda fields: fields["op"],
)
def test_administration_on_the_clients_socket_is_forbidden(
    target: Bystander, fields: dict[str, Any]
) -> None:
    """Its authentication is who may open the other socket."""
    reply = msgspec.msgpack.decode(target.send(b"", pack(fields)))

    _assert_refused(reply, {"forbidden"})


@pytest.mark.parametrize("target", ["follower"], indirect=True)
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300, -0.0])
def test_a_float_that_json_can_not_write_is_no_number_of_ours(
    target: Bystander, value: float
) -> None:
    """Only MessagePack can carry it; as an id it is a scalar like any other, and comes back."""
    by = msgspec.msgpack.decode(
        target.send(b"", pack({"op": "incr", "key": "bystander/count", "by": value}))
        if value
        else target.send(b"", pack({"op": "get", "key": value}))
    )
    echoed = msgspec.msgpack.decode(target.send(b"", pack({"op": "ping", "id": value})))

    _assert_refused(by, {"bad_request"})
    assert echoed["ok"]
    assert struct.pack(">d", echoed["id"]) == struct.pack(">d", value)


@pytest.mark.parametrize("target", ["leader", "follower"], indirect=True)
def test_a_batch_of_wrong_operations_fails_each_alone(target: Bystander) -> None:
    ops: list[Any] = [
        {"op": "set", "key": "batched", "value": "1"},
        {"op": "set", "key": "batched", "value": "2", "nonsense": 1},
        {"op": "batch", "ops": []},
        7,
        {"op": "get", "key": "batched"},
    ]

    reply = msgspec.msgpack.decode(target.send(b"", pack({"op": "batch", "ops": ops})))

    assert reply["ok"], reply
    results = reply["results"]
    assert [result["ok"] for result in results] == [True, False, False, False, True]
    assert results[-1]["value"] == b"1"


def _assert_refused(reply: dict[str, Any], codes: set[str]) -> None:
    assert reply["ok"] is False, reply
    assert reply["error"] in codes, reply
    assert reply["applied"] == "no"
    assert reply["message"]
    assert len(reply["message"]) < 500, "a message is for a person"


def _no_json(constant: str) -> None:
    raise AssertionError(f"the reply holds {constant}, which is no JSON")
