"""Every way to get a request wrong, and what the answer says: code, message, and the id."""

from typing import Any

import msgspec
import pytest

from raftcache.protocol.limits import Limits, Refused
from raftcache.protocol.requests import Request, decode_request
from raftcache.store.commands import TTL_MS_MAX, Batch, Set

LIMITS = Limits(value_bytes=2000, request_bytes=8000)

SET: dict[str, Any] = {"op": "set", "key": "k", "value": "v"}
DELETE = {"op": "delete", "key": "k"}
GET = {"op": "get", "key": "k"}
RANGE = {"op": "range", "prefix": "k"}
WATCH = {"op": "watch", "key": "k"}
INCR = {"op": "incr", "key": "k"}
BATCH: dict[str, Any] = {"op": "batch", "ops": []}
TXN = {"op": "txn"}
FENCE = {"key": "lock", "create_rev": 7}
COMPARE = {"key": "k", "field": "mod_rev", "cmp": "=", "to": 3}
VALUE = {"key": "k", "field": "value", "cmp": "=", "to": "v"}
EXISTS = {"key": "k", "field": "exists", "cmp": "=", "to": True}
ADD = {"op": "member_add", "peer": "tcp://a:1", "client": "tcp://a:2"}

TABLE: list[tuple[dict[str, Any], str, str]] = [
    # What every request has
    ({}, "bad_request", "`op` is missing"),
    ({"op": None}, "bad_request", "`op` must be a text"),
    ({"op": 7}, "bad_request", "`op` must be a text"),
    ({"op": "GET", "key": "k"}, "bad_request", "unknown `op` `GET`"),
    ({"op": "gett", "key": "k"}, "bad_request", "did you mean `get`"),
    ({"op": "x" * 1000}, "bad_request", "`" + "x" * 40 + "…`"),
    (GET | {"v": 2}, "unsupported", "`v` is `2`: this node speaks version 1"),
    (GET | {"v": 0}, "unsupported", "`v`"),
    (GET | {"v": "1"}, "bad_request", "`v` must be"),
    (GET | {"v": None}, "bad_request", "`v` must be"),
    (GET | {"timeout_ms": 0}, "bad_request", "a whole number from 1 to 600000"),
    (GET | {"timeout_ms": 600_001}, "bad_request", "`timeout_ms`"),
    (GET | {"timeout_ms": -1}, "bad_request", "`timeout_ms`"),
    (GET | {"timeout_ms": 1.5}, "bad_request", "`timeout_ms`"),
    (GET | {"timeout_ms": "5"}, "bad_request", "`timeout_ms`"),
    (GET | {"timeout_ms": True}, "bad_request", "`timeout_ms`"),
    (GET | {"timeout_ms": None}, "bad_request", "`timeout_ms`"),
    (GET | {"read": "stale"}, "bad_request", "`read` must be `linearizable` or `local`"),
    (GET | {"read": None}, "bad_request", "`read`"),
    (GET | {"forward": 0}, "bad_request", "`forward` must be true or false"),
    (GET | {"b64": "yes"}, "bad_request", "`b64`"),
    # An unknown field is refused: it might be a condition
    (SET | {"if_version": 3}, "unsupported", "unknown field `if_version` of `set`"),
    (SET | {"if_modrev": 3}, "unsupported", "did you mean `if_mod_rev`"),
    (GET | {"if_mod_rev": 3}, "unsupported", "unknown field `if_mod_rev` of `get`"),
    (GET | {"": 3}, "unsupported", "unknown field ``"),
    ({"op": "ping", "key": "k"}, "unsupported", "unknown field `key` of `ping`"),
    # Watches
    (WATCH | {"prefix": "k"}, "bad_request", "a watch needs either `key` or `prefix`"),
    ({"op": "watch"}, "bad_request", "a watch needs either `key` or `prefix`"),
    (WATCH | {"key": ""}, "bad_request", "`key` is empty"),
    (WATCH | {"wait_ms": 60_001}, "bad_request", "`wait_ms` must be a whole number of millisec"),
    (WATCH | {"wait_ms": -1}, "bad_request", "`wait_ms` must be"),
    (WATCH | {"from_rev": -1}, "bad_request", "`from_rev` must be a whole number from 0 (leave it"),
    (WATCH | {"from_rev": None}, "bad_request", "`from_rev` must be"),
    (WATCH | {"prev": 1}, "bad_request", "`prev` must be true or false"),
    (WATCH | {"start": "a"}, "unsupported", "unknown field `start` of `watch`"),
    # Sessions and numbers
    (INCR | {"seq": 2}, "bad_request", "`seq` needs `session`"),
    (INCR | {"ack": 2}, "bad_request", "`ack` needs `seq`"),
    (INCR | {"session": 2}, "bad_request", "`session` needs `seq`"),
    (INCR | {"session": 2, "ack": 1}, "bad_request", "`ack` needs `seq`"),
    (SET | {"session": 1, "seq": 2, "ack": 2}, "bad_request", "`seq` 2 is not above `ack` 2"),
    (SET | {"session": 1, "seq": 0}, "bad_request", "`seq` 0 is not above `ack` 0"),
    (SET | {"session": 0, "seq": 1}, "bad_request", "`session` must be the id"),
    (SET | {"session": 1, "seq": -1}, "bad_request", "`seq` must be a whole number from 1"),
    (SET | {"session": 1, "seq": 2**53}, "bad_request", "`seq` must be"),
    (SET | {"session": 1, "seq": 2, "ack": None}, "bad_request", "`ack` must be"),
    (SET | {"session": "1", "seq": 2}, "bad_request", "`session` must be"),
    ({"op": "batch", "ops": [INCR], "seq": 1}, "bad_request", "`seq` needs `session`"),
    ({"op": "session_open"}, "bad_request", "`ttl_ms` is missing"),
    ({"op": "session_open", "ttl_ms": 0}, "bad_request", "`ttl_ms` must be"),
    ({"op": "session_open", "ttl_ms": 86_400_001}, "bad_request", "from 1 to 86400000"),
    ({"op": "session_keepalive"}, "bad_request", "`session` is missing"),
    ({"op": "session_close", "session": 2**53}, "bad_request", "`session` must be"),
    ({"op": "session_close", "session": 1, "key": "k"}, "unsupported", "unknown field `key`"),
    # Times to live
    (SET | {"ttl_ms": 0}, "bad_request", "`ttl_ms` must be a whole number of milliseconds from 1"),
    (SET | {"ttl_ms": -1}, "bad_request", "`ttl_ms` must be"),
    (SET | {"ttl_ms": 1.5}, "bad_request", "`ttl_ms` must be"),
    (SET | {"ttl_ms": "1s"}, "bad_request", "`ttl_ms` must be"),
    (SET | {"ttl_ms": None}, "bad_request", "`ttl_ms` must be"),
    (SET | {"ttl_ms": TTL_MS_MAX + 1}, "bad_request", f"from 1 to {TTL_MS_MAX}"),
    (INCR | {"ttl_ms": 0}, "bad_request", "`ttl_ms` must be"),
    (DELETE | {"ttl_ms": 5}, "unsupported", "unknown field `ttl_ms` of `delete`"),
    ({"op": "expire", "key": "k"}, "bad_request", "`ttl_ms` is missing: `expire` needs it"),
    ({"op": "expire", "key": "k", "ttl_ms": 0}, "bad_request", "or null to let it stay"),
    ({"op": "expire", "key": "k", "ttl_ms": 2**63}, "bad_request", "`ttl_ms` must be"),
    ({"op": "expire", "key": 5, "ttl_ms": None}, "bad_request", "`key` must be"),
    ({"op": "expire", "key": "k", "ttl_ms": None, "v": "x"}, "bad_request", "`v` must be"),
    # Keys and values
    ({"op": "get"}, "bad_request", "`key` is missing: `get` needs it"),
    ({"op": "set", "key": "k"}, "bad_request", "`value` is missing: `set` needs it"),
    (GET | {"key": ""}, "bad_request", "`key` is empty"),
    (GET | {"key": "k" * 1025}, "too_large", "`key` has 1025 bytes: a key has at most 1024"),
    (GET | {"key": "ä" * 513}, "too_large", "`key` has 1026 bytes"),
    (GET | {"key": None}, "bad_request", "`key` must be"),
    (GET | {"key": 7}, "bad_request", "`key` must be"),
    (GET | {"key": ["k"]}, "bad_request", "`key` must be"),
    (GET | {"key": {"k": 1}}, "bad_request", "`key` must be"),
    (SET | {"value": True}, "bad_request", "`value` must be"),
    (SET | {"value": 1.5}, "bad_request", "`value` must be"),
    (SET | {"value": "v" * 2001}, "too_large", "`value` has 2001 bytes"),
    (SET | {"if_value": "v" * 2001}, "too_large", "`if_value` has 2001 bytes"),
    (SET | {"value": "v" * 9000}, "too_large", "it may have 8000 at most"),
    # Conditions, where null does not mean that there is none
    (SET | {"if_mod_rev": None}, "bad_request", "leave it out for no condition"),
    (SET | {"if_mod_rev": -1}, "bad_request", "`if_mod_rev`"),
    (SET | {"if_mod_rev": 2**63}, "bad_request", "`if_mod_rev`"),
    (SET | {"if_mod_rev": "x"}, "bad_request", "`if_mod_rev`"),
    (SET | {"if_mod_rev": ""}, "bad_request", "`if_mod_rev`"),
    (SET | {"if_mod_rev": "-1"}, "bad_request", "`if_mod_rev`"),
    (SET | {"if_mod_rev": str(2**63)}, "bad_request", "`if_mod_rev`"),
    (SET | {"if_mod_rev": "9" * 3000}, "bad_request", "`if_mod_rev`"),
    (SET | {"if_mod_rev": "²"}, "bad_request", "`if_mod_rev`"),
    (SET | {"if_value": None}, "bad_request", "`if_value`"),
    (SET | {"prev": None}, "bad_request", "`prev`"),
    (SET | {"prev": 1}, "bad_request", "`prev` must be true or false"),
    # incr
    (INCR | {"by": 1.5}, "bad_request", "`by` must be a whole number"),
    (INCR | {"by": "1"}, "bad_request", "`by`"),
    (INCR | {"by": 2**63}, "bad_request", "`by`"),
    (INCR | {"by": None}, "bad_request", "`by`"),
    # range
    ({"op": "range"}, "bad_request", "either `prefix`, or both `start` and `end`"),
    ({"op": "range", "start": "a"}, "bad_request", "both `start` and `end`"),
    ({"op": "range", "end": "a"}, "bad_request", "both `start` and `end`"),
    (RANGE | {"start": "a", "end": "b"}, "bad_request", "either `prefix`"),
    (RANGE | {"start": "a"}, "bad_request", "either `prefix`"),
    (RANGE | {"limit": 0}, "bad_request", "`limit` must be a whole number from 1"),
    (RANGE | {"limit": 10_001}, "too_large", "a page has at most 10000 items"),
    (RANGE | {"after": ""}, "bad_request", "`after` is empty"),
    (RANGE | {"after": None}, "bad_request", "`after`"),
    (RANGE | {"prefix": None}, "bad_request", "`prefix`"),
    (RANGE | {"prefix": "k" * 1025}, "too_large", "`prefix` has 1025 bytes"),
    (RANGE | {"at_rev": -1}, "bad_request", "`at_rev`"),
    (RANGE | {"keys_only": "x"}, "bad_request", "`keys_only`"),
    (RANGE | {"count_only": 1}, "bad_request", "`count_only`"),
    # batch
    ({"op": "batch"}, "bad_request", "`ops` is missing"),
    ({"op": "batch", "ops": {}}, "bad_request", "`ops` must be an array"),
    ({"op": "batch", "ops": None}, "bad_request", "`ops` must be an array"),
    ({"op": "batch", "ops": [0] * 1001}, "too_large", "1000 operations at most"),
    (BATCH | {"fence": FENCE}, "bad_request", "`fence` is for what changes something"),
    # Fences, keys that slide, ranges that go
    (SET | {"fence": {}}, "bad_request", '`fence` must be a map {"key", "create_rev"}'),
    (SET | {"fence": None}, "bad_request", "`fence` must be"),
    (SET | {"fence": "lock"}, "bad_request", "`fence` must be"),
    (SET | {"fence": {"key": "lock"}}, "bad_request", "`fence` must be"),
    (SET | {"fence": FENCE | {"mod_rev": 3}}, "unsupported", "unknown field `fence.mod_rev` of"),
    (TXN | {"fence": {"b": 1, "a": 1}}, "unsupported", "unknown field `fence.a` of `txn`"),
    (SET | {"fence": FENCE | {"key": ""}}, "bad_request", "`fence.key` is empty"),
    (SET | {"fence": FENCE | {"create_rev": -1}}, "bad_request", "`fence` must be"),
    (SET | {"fence": FENCE | {"create_rev": "x"}}, "bad_request", "`fence.create_rev` must be"),
    (GET | {"fence": FENCE}, "unsupported", "unknown field `fence` of `get`"),
    (SET | {"sliding": True}, "bad_request", "`sliding` needs `ttl_ms`"),
    (SET | {"bind": True}, "bad_request", "`bind` needs `session`"),
    (SET | {"bind": 1}, "bad_request", "`bind` must be true or false"),
    (SET | {"session": 1}, "bad_request", "`session` needs `seq`"),
    (SET | {"sliding": 1, "ttl_ms": 5}, "bad_request", "`sliding` must be true or false"),
    ({"op": "delete_range"}, "bad_request", "either `prefix`, or both `start` and `end`"),
    ({"op": "delete_range", "prefix": "k", "limit": 5}, "unsupported", "unknown field `limit`"),
    # txn
    (TXN | {"compare": {}}, "bad_request", "`compare` must be an array"),
    (TXN | {"compare": [{}] * 1001}, "too_large", "`compare` may have 1000"),
    (TXN | {"compare": [7]}, "bad_request", "`compare[0]`: "),
    (TXN | {"compare": [COMPARE, {"key": "k"}]}, "bad_request", "`compare[1]`: "),
    (TXN | {"compare": [COMPARE | {"rev": 1}]}, "unsupported", "unknown field `rev`"),
    (TXN | {"compare": [COMPARE | {"field": "ttl"}]}, "bad_request", "`compare[0]`: "),
    (TXN | {"compare": [COMPARE | {"cmp": ">="}]}, "bad_request", "`compare[0]`: "),
    (TXN | {"compare": [COMPARE | {"key": ""}]}, "bad_request", "`compare[0]`: `key` is empty"),
    (TXN | {"compare": [COMPARE | {"to": "x"}]}, "bad_request", "`to` must be a whole number"),
    (TXN | {"compare": [COMPARE | {"to": -1}]}, "bad_request", "`to` must be a whole number"),
    (TXN | {"compare": [COMPARE | {"to": True}]}, "bad_request", "`to` must be a whole number"),
    (TXN | {"compare": [VALUE | {"to": 1}]}, "bad_request", "`to` must be"),
    (TXN | {"compare": [VALUE | {"to": "v" * 2001}]}, "too_large", "`to` has 2001 bytes"),
    (TXN | {"compare": [EXISTS | {"to": 1}]}, "bad_request", "`to` must be true or false"),
    (TXN | {"compare": [EXISTS | {"cmp": "<"}]}, "bad_request", "`exists` is only"),
    (TXN | {"then": [GET, SET | {"ttl": 1}]}, "unsupported", "`then[1]`: unknown field `ttl`"),
    (TXN | {"then": [BATCH]}, "bad_request", "`then[0]`: `batch` can't stand in"),
    (TXN | {"else": [TXN]}, "bad_request", "`else[0]`: `txn` can't stand in"),
    (TXN | {"else": [SET | {"fence": FENCE}]}, "unsupported", "belongs to the txn"),
    (TXN | {"session": 1, "then": [SET | {"seq": 3}]}, "unsupported", "`then[0]`: `seq` belongs"),
    (TXN | {"then": [SET | {"bind": True}]}, "bad_request", "`then[0]`: `bind` needs `session`"),
    (TXN | {"then": [RANGE | {"at_rev": 1}]}, "bad_request", "`then[0]`: a txn reads the present"),
    (TXN | {"then": 5}, "bad_request", "`then` must be an array"),
    (TXN | {"otherwise": []}, "unsupported", "unknown field `otherwise` of `txn`"),
    (TXN | {"if": []}, "unsupported", "unknown field `if` of `txn`"),
    ({"op": "batch", "ops": [], "then": []}, "unsupported", "unknown field `then` of `batch`"),
    # hash and administration
    ({"op": "hash", "at": -1}, "bad_request", "`at`"),
    ({"op": "hash", "at": "x"}, "bad_request", "`at`"),
    ({"op": "member_add"}, "bad_request", "`peer` is missing"),
    (ADD | {"learner": 1}, "bad_request", "`learner`"),
    (ADD | {"port": 1}, "unsupported", "unknown field `port`"),
    ({"op": "leader_transfer", "to": 2}, "bad_request", "`to` must be a text"),
    ({"op": "compact", "to": -1}, "bad_request", "`to` must be a whole number from 0"),
    ({"op": "compact", "to": "x"}, "bad_request", "`to` must be a whole number from 0"),
    ({"op": "compact", "rev": 1}, "unsupported", "unknown field `rev` of `compact`"),
]  # fmt: skip


def refusal(frame: bytes) -> Refused:
    """Return the refusal of a frame."""
    with pytest.raises(Refused) as caught:
        decode_request(frame, LIMITS)
    return caught.value


@pytest.mark.parametrize("codec", [msgspec.json, msgspec.msgpack], ids=["json", "msgpack"])
@pytest.mark.parametrize(("fields", "code", "message"), TABLE)
def test_a_wrong_request_is_told_what_is_wrong(
    codec: Any, fields: dict[str, Any], code: str, message: str
) -> None:
    refused = refusal(codec.encode({**fields, "id": 17}))

    assert (refused.code, refused.id, refused.json) == (code, 17, codec is msgspec.json)
    assert message in refused.message


@pytest.mark.parametrize(
    ("frame", "code", "message"),
    [
        (b"", "bad_request", "no MessagePack map"),
        (b"\x90", "bad_request", "no MessagePack map"),
        (b"\xc0", "bad_request", "no MessagePack map"),
        (b"\xc1", "bad_request", "no MessagePack map"),
        (b"7", "bad_request", "no MessagePack map"),
        (b"[]", "bad_request", "no MessagePack map"),
        (b" {}", "bad_request", "a JSON object would begin with `{`"),
        (b"\xef\xbb\xbf{}", "bad_request", "a JSON object would begin with `{`"),
        (b"GET / HTTP/1.1\r\n\r\n", "bad_request", "no MessagePack map"),
        (b"\x80", "bad_request", "`op` is missing"),
        (b"{}", "bad_request", "`op` is missing"),
        (b"{", "bad_request", "no JSON object"),
        (b'{"op":"ping"', "bad_request", "no JSON object"),
        (b'{"op":"ping"} x', "bad_request", "no JSON object"),
        (b"{'op':'ping'}", "bad_request", "no JSON object"),
        (b'{"op":"ping","timeout_ms":NaN}', "bad_request", "no JSON object"),
        (b'{"op":"ping","timeout_ms":1e999}', "bad_request", "`timeout_ms`"),
        (b'{"op":"incr","key":"a","by":' + b"9" * 4000 + b"}", "bad_request", "`by`"),
        (b'{"op":"get","key":"\xff"}', "bad_request", "`key`"),
        (b'{"op":"get","key":"\\ud800"}', "bad_request", ""),
        (b'{"op":"get","key":"a","op":"set"}', "bad_request", ""),
        (b'{"op":"get","key":{"b64":"a"}}', "bad_request", "`b64` is no base64"),
        (b'{"op":"get","key":{"b64":"YQ==\\n"}}', "bad_request", "`b64` is no base64"),
        (b'{"op":"get","key":{"b64":"\xc3\xa4"}}', "bad_request", "`b64` is no base64"),
        (b'{"op":"get","key":{"b64":1}}', "bad_request", "`key` must be a string or"),
        (b'{"op":"get","key":{"b64":"YQ==","x":1}}', "bad_request", "`key` must be a string or"),
        (b'{"op":"get","key":' + b"[" * 7000, "bad_request", ""),
        (b'{"op":"get","key":' + b'{"b64":' * 1000, "bad_request", ""),
        (b"\x82\xa2op\xa3get\xa3key" + b"\x91" * 7000, "bad_request", ""),
        (b"\x82\xa2op\xa3get\xa3key" + b"\x81\xa1k" * 2000, "bad_request", ""),
        (b"\x82\xa2op\xa3get\xa3key\xdd\xff\xff\xff\xff", "bad_request", ""),
        (b"\x82\xa2op\xa3get\xa3key\xdf\xff\xff\xff\xff", "bad_request", ""),
        (b"\x82\xa2op\xa3get\xa3key\xc6\xff\xff\xff\xff", "bad_request", ""),
        (b"\x82\xa2op\xa5batch\xa3ops\xdd\xff\xff\xff\xff", "bad_request", ""),
        (b"\xdf\xff\xff\xff\xff", "bad_request", ""),
        (b"\x82\xa2op\xa3get\xa3key\xd4\x05\x00", "bad_request", "`key` must be bin or str"),
        (b"\x82\xa2op\xa3get\xa3key\xd6\xff\0\0\0\1", "bad_request", "`key` must be bin or str"),
        (b"\x82\xa2op\xa3get\xa3key\xc7\x0c\xff" + b"\xff" * 12, "bad_request", "`key`"),
        (b"\x82\xa2op\xa3get\xa3key\xa1\xff", "bad_request", "`key`"),
        (b"\x82\xc4\x02op\xa3get\xa3key\xa1a", "bad_request", "no MessagePack map"),
        (b"\x82\xa2op\xa3get\xa3key\x81\xa3b64\xa4YQ==", "bad_request", "`key` must be bin or str"),
        (b"\x81\xa2op\xa4ping\x00", "bad_request", "trailing"),
    ],
)  # fmt: skip
def test_bytes_that_are_no_request_are_refused(frame: bytes, code: str, message: str) -> None:
    """Nothing but a refusal comes out of any bytes: no depth, length or type does (failure F14)."""
    refused = refusal(frame)

    assert refused.code == code
    assert message in refused.message


@pytest.mark.parametrize(
    "request_id",
    [None, True, 0, -(2**63), 2**64 - 1, 1.5, "x", "", "ä" * 1000, "\x00"],
)
@pytest.mark.parametrize("codec", [msgspec.json, msgspec.msgpack], ids=["json", "msgpack"])
def test_any_scalar_is_an_id_and_comes_back_even_from_a_refusal(
    codec: Any, request_id: Any
) -> None:
    fields = {"op": "get", "key": "k", "id": request_id}

    assert decode_request(codec.encode(fields), LIMITS).id == request_id
    assert refusal(codec.encode({**fields, "key": ""})).id == request_id
    assert refusal(codec.encode({**fields, "x": 1})).id == request_id
    assert refusal(codec.encode({**fields, "key": "k" * 8000})).id == request_id


@pytest.mark.parametrize("request_id", [[1], {"a": 1}, "x" * 1025, b"x" * 1025])
def test_what_is_no_scalar_is_no_id(request_id: Any) -> None:
    refused = refusal(msgspec.msgpack.encode({"op": "get", "key": "k", "id": request_id}))

    assert (refused.code, refused.id) == ("bad_request", None)
    assert "`id`" in refused.message


def test_a_json_id_beyond_64_bits_is_refused() -> None:
    refused = refusal(b'{"op":"get","key":"k","id":' + b"9" * 300 + b"}")

    assert (refused.code, refused.id) == ("bad_request", None)


def test_binary_ids_come_back_as_binary() -> None:
    request = decode_request(msgspec.msgpack.encode({"op": "ping", "id": b"\xff"}), LIMITS)

    assert request.id == b"\xff"


def test_of_a_frame_far_over_the_limit_only_the_beginning_is_looked_at() -> None:
    """What stands behind what is large is not read, be it the id."""
    first = {"id": 3, "op": "set", "key": "k", "value": b"x" * 100_000}
    last = {"op": "set", "key": "k", "value": b"x" * 100_000, "id": 3}

    refused = [refusal(msgspec.msgpack.encode(fields)) for fields in (first, last)]

    assert [(one.code, one.id) for one in refused] == [("too_large", 3), ("too_large", None)]


def long_json_batch(count: int) -> bytes:
    """Return a batch so large that its operations are counted before they are built."""
    op = {"op": "set", "key": "k", "value": "v" * 100}
    return msgspec.json.encode({"op": "batch", "ops": [op] * count})


def test_a_long_json_batch_is_counted_to_the_operation() -> None:
    taken = decode_request(long_json_batch(700), Limits()).command

    assert isinstance(taken, Batch)
    assert taken.ops == (Set(b"k", b"v" * 100),) * 700
    with pytest.raises(Refused, match="1000 operations at most"):
        decode_request(long_json_batch(1001), Limits())


def test_a_request_at_each_limit_is_taken() -> None:
    """The other side of every refusal above: limits are inclusive."""
    value = b"v" * 2000
    fields = {"op": "set", "key": b"k" * 1024, "value": value, "if_value": value}
    accepted: list[Request] = [
        decode_request(msgspec.msgpack.encode({**fields, "timeout_ms": 600_000}), LIMITS),
        decode_request(msgspec.msgpack.encode({"op": "ping", "timeout_ms": 1}), LIMITS),
        decode_request(msgspec.msgpack.encode({**RANGE, "limit": 10_000}), LIMITS),
        decode_request(msgspec.msgpack.encode({**INCR, "by": -(2**63)}), LIMITS),
        decode_request(msgspec.msgpack.encode({**SET, "if_mod_rev": 2**63 - 1}), LIMITS),
        decode_request(msgspec.json.encode({**SET, "if_mod_rev": str(2**63 - 1)}), LIMITS),
        decode_request(msgspec.json.encode({"op": "batch", "ops": [0] * 1000}), LIMITS),
        decode_request(msgspec.msgpack.encode({"op": "batch", "ops": []}), LIMITS),
        decode_request(long_json_batch(1000), Limits()),
        decode_request(b'{"op":"ping"}' + b" " * (8000 - 13), LIMITS),
    ]

    assert [request.op for request in accepted] == [
        "set", "ping", "range", "incr", "set", "set", "batch", "batch", "batch", "ping",
    ]  # fmt: skip
