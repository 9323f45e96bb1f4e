"""How results look on the wire, where the two encodings differ, and where the fast way might."""

from typing import Any

import msgspec
import pytest

from raftcache.protocol.limits import Limits
from raftcache.protocol.replies import _FIELDS, Leader, ReplyHeader, _encode, encode_reply
from raftcache.protocol.requests import Request, decode_request
from raftcache.store.results import (
    BatchResult,
    DeleteResult,
    Failure,
    GetResult,
    IncrResult,
    Item,
    RangeResult,
    Result,
    SetResult,
)

HEADER = ReplyHeader("n1", 3, Leader("n2", "tcp://127.0.0.1:7402"), 7)
HUGE = 2**53 + 1


def request(codec: Any = msgspec.json, **fields: Any) -> Request:
    """Return a request to answer."""
    return decode_request(codec.encode({"op": "ping", **fields}), Limits())


def json_reply(result: Result, header: ReplyHeader = HEADER, **fields: Any) -> Any:
    """Return the JSON reply to a request with these fields."""
    return msgspec.json.decode(encode_reply(request(**fields), header, result))


@pytest.mark.parametrize(
    "result",
    [
        GetResult(),
        GetResult(True, b"\xff", 2**60, 2, 3),
        SetResult(2**60, True),
        SetResult(4, False, b"x", has_prev=True),
        SetResult(4, True, None, has_prev=True),
        SetResult(4, False, prev_omitted=True),
    ],
)
@pytest.mark.parametrize("header", [HEADER, ReplyHeader("n1", 0, None, 0)])
def test_the_fast_way_says_what_the_general_way_says(result: Result, header: ReplyHeader) -> None:
    """To the byte: the order of the fields too."""
    asked = request(msgspec.msgpack, id="x")

    general = _encode(asked, header, _FIELDS[type(result)](result), ok=True)

    assert encode_reply(asked, header, result) == general


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (b"", ""),
        (b"text", "text"),
        ("äé\x00".encode(), "äé\x00"),
        (b"\xff", {"b64": "/w=="}),
        (b"\xed\xa0\x80", {"b64": "7aCA"}),
        (b'{"b64":1}', '{"b64":1}'),
    ],
)
def test_json_shows_text_where_there_is_text(value: bytes, shown: Any) -> None:
    assert json_reply(GetResult(True, value, 1, 1, 1))["value"] == shown


def test_b64_asks_for_base64_everywhere() -> None:
    item = Item(b"k", b"v", 1, 1, 1)
    batch = BatchResult(
        [
            GetResult(True, b"v", 1, 1, 1),
            RangeResult([item], 1, False, 1),
            SetResult(2, False, b"v", has_prev=True),
            Failure("conflict", "m", mod_rev=1, value=b"v"),
        ]
    )

    get, ranged, write, conflict = json_reply(batch, b64=True)["results"]

    assert get["value"] == write["prev"] == conflict["value"] == {"b64": "dg=="}
    assert (ranged["items"][0]["key"], ranged["items"][0]["value"]) == (
        {"b64": "aw=="},
        {"b64": "dg=="},
    )


def test_json_revisions_above_2_to_the_53_are_strings() -> None:
    """JavaScript and jq would round them, and a compare would never hold again."""
    header = ReplyHeader("n1", 3, None, HUGE)
    item = Item(b"k", b"v", HUGE, 2**53, 1)

    page = json_reply(RangeResult([item], 1, False, HUGE), header)
    record = json_reply(GetResult(True, b"", HUGE, HUGE, 1))
    failure = json_reply(Failure("compacted", "m", oldest=HUGE))

    assert page["store_rev"] == page["at_rev"] == page["items"][0]["mod_rev"] == str(HUGE)
    assert page["items"][0]["create_rev"] == 2**53
    assert record["mod_rev"] == record["create_rev"] == failure["oldest"] == str(HUGE)


def test_what_incr_answers_is_always_a_number() -> None:
    assert json_reply(IncrResult(-(2**63), 1))["value"] == -(2**63)
    assert json_reply(IncrResult(2**63 - 1, 1))["value"] == 2**63 - 1


def test_messagepack_carries_bytes_whatever_they_are() -> None:
    frame = encode_reply(request(msgspec.msgpack, b64=True), HEADER, GetResult(True, b"v", 1, 1, 1))

    assert msgspec.msgpack.decode(frame)["value"] == b"v"


def test_keys_only_items_have_no_value_and_empty_values_do() -> None:
    items = [Item(b"a", None, 1, 1, 1), Item(b"b", b"", 2, 2, 1)]

    shown = json_reply(RangeResult(items, 2, False, 2))["items"]

    assert shown == [
        {"key": "a", "mod_rev": 1, "create_rev": 1, "key_version": 1},
        {"key": "b", "value": "", "mod_rev": 2, "create_rev": 2, "key_version": 1},
    ]


@pytest.mark.parametrize(
    ("result", "fields"),
    [
        (DeleteResult(1), {"deleted": 1}),
        (DeleteResult(0, None, has_prev=True), {"deleted": 0, "prev": None}),
        (DeleteResult(1, prev_omitted=True), {"deleted": 1, "prev_omitted": True}),
        (
            SetResult(4, False, prev_omitted=True),
            {"mod_rev": 4, "created": False, "prev_omitted": True},
        ),
        (Failure("wrong_type", "m"), {"error": "wrong_type", "message": "m", "applied": "no"}),
        (
            Failure("conflict", "m", mod_rev=0),
            {"error": "conflict", "message": "m", "applied": "no", "mod_rev": 0, "value": None},
        ),
        (
            Failure("conflict", "m", mod_rev=4, value_omitted=True),
            {"error": "conflict", "message": "m", "applied": "no", "mod_rev": 4}
            | {"value_omitted": True},
        ),
        (
            Failure("compacted", "m", oldest=0),
            {"error": "compacted", "message": "m", "applied": "no", "oldest": 0},
        ),
    ],
)  # fmt: skip
def test_a_result_has_these_fields_alone_and_in_a_batch(
    result: Any, fields: dict[str, Any]
) -> None:
    alone = json_reply(result)
    [inside] = json_reply(BatchResult([result]))["results"]

    assert {name: alone[name] for name in fields} == fields
    assert len(alone) == 6 + len(fields)
    assert inside == {"ok": not isinstance(result, Failure), **fields}


def test_results_travel_between_nodes() -> None:
    """A node that handed a request on gets the leader's result as it was."""
    results: list[Result] = [
        BatchResult([GetResult(True, b"v", 1, 1, 1), Failure("e", "m", oldest=3)]),
        RangeResult([Item(b"k", None, 1, 1, 1)], 1, True, 9),
        DeleteResult(1, b"x", has_prev=True),
    ]

    assert msgspec.msgpack.decode(msgspec.msgpack.encode(results), type=list[Result]) == results
