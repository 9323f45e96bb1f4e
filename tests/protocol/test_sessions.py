"""Sessions on the wire: which fields make which command, and how answers are told."""

import json
from typing import Any

import msgspec
import pytest

from raftcache.protocol.limits import Limits, Refused
from raftcache.protocol.replies import Leader, ReplyHeader, encode_reply
from raftcache.protocol.requests import Request, decode_request
from raftcache.store.commands import (
    Batch,
    CloseSession,
    Incr,
    Invalid,
    KeepAlive,
    Once,
    OpenSession,
    RaiseVersion,
    Set,
    encode_commands,
)
from raftcache.store.machine import StateMachine

NUMBERS = {"session": 7, "seq": 3, "ack": 2}


def decoded(codec: Any = msgspec.msgpack, **fields: Any) -> Request:
    """Return a request as a node takes it."""
    return decode_request(codec.encode(fields), Limits())


def test_sessions_have_commands() -> None:
    """All three need the log: which sessions there are is replicated."""
    assert decoded(op="session_open", ttl_ms=5).command == OpenSession(5)
    assert decoded(op="session_keepalive", session=7).command == KeepAlive(7)
    assert decoded(op="session_close", session=7).command == CloseSession(7)


def test_both_encodings_make_one_digest() -> None:
    """A retry may come in the other encoding, with another patience, through another node."""
    as_bin = decoded(op="set", key=b"k", value=b"v", timeout_ms=50, **NUMBERS).command
    as_str = decoded(op="set", key="k", value="v", forward=False, **NUMBERS).command
    as_json = decoded(msgspec.json, op="set", key={"b64": "aw=="}, value="v", **NUMBERS).command

    assert isinstance(as_bin, Once)
    assert as_bin == as_str == as_json
    assert as_bin == Once(7, 3, 2, as_bin.digest, Set(b"k", b"v"))


@pytest.mark.parametrize(
    "other",
    [
        {"value": b"w"},
        {"key": b"l"},
        {"prev": True},
        {"if_mod_rev": 0},
        {"if_value": b""},
        {"ttl_ms": 5},
        {"op": "delete"},
    ],
)
def test_another_operation_has_another_digest(other: dict[str, Any]) -> None:
    """Whatever it differs in."""
    fields = {"op": "set", "key": b"k", "value": b"v", **NUMBERS}
    changed = {**fields, **other}
    if changed["op"] == "delete":
        del changed["value"]

    first, second = decoded(**fields).command, decoded(**changed).command

    assert isinstance(first, Once)
    assert isinstance(second, Once)
    assert first.digest != second.digest


def test_operations_of_a_batch_take_the_session_from_it() -> None:
    """And `ack`; what one says for itself counts more."""
    ops = [
        {"op": "incr", "key": "n", "seq": 4},
        {"op": "incr", "key": "n", "seq": 9, "session": 8, "ack": 0},
        {"op": "incr", "key": "n"},
        {"op": "get", "key": "n", "seq": 5},
        {"op": "incr", "key": "n", "seq": 2},
        {"op": "incr", "key": "n", "session": 8},
    ]

    command = decoded(op="batch", ops=ops, session=7, ack=2).command

    assert isinstance(command, Batch)
    first, second, third, fourth, fifth, sixth = command.ops
    assert isinstance(first, Once)
    assert isinstance(second, Once)
    assert (first.session, first.seq, first.ack, first.op) == (7, 4, 2, Incr(b"n"))
    assert (second.session, second.seq, second.ack) == (8, 9, 0)
    assert third == Incr(b"n")
    assert not isinstance(fourth, Once)
    assert isinstance(fifth, Invalid)
    assert "`seq` 2 is not above `ack` 2" in fifth.message
    assert isinstance(sixth, Invalid)


def test_a_batch_has_one_number_or_its_operations_have() -> None:
    """Both would be two numbers for one thing."""
    plain: list[dict[str, Any]] = [{"op": "incr", "key": "n"}]
    numbered: list[dict[str, Any]] = [{"op": "incr", "key": "n", "seq": 4}, *plain]

    whole = decoded(op="batch", ops=plain, **NUMBERS).command
    both = decoded(op="batch", ops=numbered, **NUMBERS).command
    homeless = decoded(op="batch", ops=numbered).command

    assert isinstance(whole, Once)
    assert whole.op == Batch((Incr(b"n"),))
    assert isinstance(both, Once)
    assert isinstance(both.op, Batch)
    assert isinstance(both.op.ops[0], Invalid)
    assert isinstance(homeless, Batch)
    assert isinstance(homeless.ops[0], Invalid)


def test_reads_make_nothing_of_numbers() -> None:
    """A client may put its numbers on everything; reads may be repeated anyway."""
    assert decoded(op="get", key="k", **NUMBERS).command is None
    assert decoded(op="batch", ops=[{"op": "get", "key": "k"}], **NUMBERS).command is None
    assert decoded(op="ping", session=7).is_own


def test_other_common_fields_still_belong_to_the_batch() -> None:
    """An operation that asks for a deadline of its own is not obeyed in silence."""
    op = {"op": "incr", "key": "n", "seq": 4, "session": 7, "timeout_ms": 9}

    command = decoded(op="batch", ops=[op, {"op": "incr", "key": "n"}]).command

    assert isinstance(command, Batch)
    assert isinstance(command.ops[0], Invalid)
    assert "belongs to the batch" in command.ops[0].message


class Door:
    """A machine that answers requests as clients see it."""

    def __init__(self) -> None:
        self.machine = StateMachine()
        self.machine.apply(1, encode_commands([RaiseVersion(3)], 0))

    def __call__(self, codec: Any = msgspec.json, **fields: Any) -> dict[str, Any]:
        """Ask, and return the answer without what every answer has."""
        request = decoded(codec, **fields)
        assert request.command is not None
        data = encode_commands([request.command], self.machine.time_ms)
        [result] = self.machine.apply(self.machine.last_applied + 1, data)
        header = ReplyHeader("n1", 3, Leader("n2", ""), 7)
        reply: dict[str, Any] = codec.decode(encode_reply(request, header, result))
        for name in ("id", "node", "term", "leader", "store_rev", "message"):
            reply.pop(name, None)
        return reply


def test_answers_and_refusals_as_the_protocol_tells_them() -> None:
    """Each code with its `applied` (the table of the protocol's section 4)."""
    ask = Door()

    assert ask(op="session_open", ttl_ms=500) == {"ok": True, "session": 1, "ttl_ms": 500}
    assert ask(op="session_keepalive", session=1) == {"ok": True, "session": 1, "ttl_ms": 500}
    incr = {"op": "incr", "key": "n", "session": 1}
    first = ask(**incr, seq=2, ack=1)
    assert first == ask(msgspec.msgpack, **incr, seq=2) == {"ok": True, "value": 1, "mod_rev": 1}
    codes = {
        "stale_seq": {**incr, "seq": 1},
        "window_full": {**incr, "seq": 1026},
        "bad_request": {**incr, "seq": 2, "by": 2},
        "session_expired": {**incr, "session": 2, "seq": 1},
    }
    applied = {code: ask(**fields) for code, fields in codes.items()}
    assert applied == {
        "stale_seq": {"ok": False, "error": "stale_seq", "applied": "unknown"},
        "window_full": {"ok": False, "error": "window_full", "applied": "no"},
        "bad_request": {"ok": False, "error": "bad_request", "applied": "no"},
        "session_expired": {"ok": False, "error": "session_expired", "applied": "unknown"},
    }
    large = {"op": "set", "key": "k", "value": "x" * 70_000, "prev": True, "session": 1}
    assert ask(**large, seq=3)["ok"]
    assert len(ask(**large, seq=4)["prev"]) == 70_000
    assert ask(**large, seq=4) == {"ok": True, "reply_dropped": True}
    assert ask(op="session_close", session=1) == {"ok": True, "session": 1, "ttl_ms": 0}
    expired = {"ok": False, "error": "session_expired", "applied": "unknown"}
    assert ask(op="session_close", session=1) == expired


def test_a_full_table_tells_when_to_come_back() -> None:
    """`overloaded` has `retry_after_ms`."""
    ask = Door()
    limits = msgspec.structs.replace(ask.machine._keyspace.sessions.limits, sessions=0)
    ask.machine._keyspace.sessions.limits = limits

    assert ask(op="session_open", ttl_ms=500) == {
        "ok": False,
        "error": "overloaded",
        "applied": "no",
        "retry_after_ms": 1000,
    }


def test_a_refusal_in_a_batch_is_told_like_any_other() -> None:
    """With its own `applied`."""
    ask = Door()

    reply = ask(op="batch", ops=[{"op": "incr", "key": "n", "seq": 1, "session": 9}])

    assert [result["applied"] for result in reply["results"]] == ["unknown"]


def test_a_refused_request_names_the_field() -> None:
    """In words that tell what is missing."""
    with pytest.raises(Refused, match="`seq` needs `session`"):
        decode_request(json.dumps({"op": "incr", "key": "n", "seq": 1}).encode(), Limits())
