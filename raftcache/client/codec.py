"""Requests to bytes and bytes to replies, in MessagePack (docs/protocol.md).

Replies are read leniently: unknown fields are ignored, unknown error codes are judged by their
``applied``, and what is no reply at all is None, never an exception. ``Any`` ends in this file.
"""

from collections.abc import Iterable
from typing import Any, TypeAlias

import msgspec

from ..errors import ERRORS_BY_CODE, DefiniteError, IndefiniteError, RequestError
from .records import (
    Delete,
    Expire,
    Get,
    Incr,
    Item,
    Member,
    Operation,
    Outcome,
    Page,
    Record,
    Set,
    Text,
    Written,
)

Fields: TypeAlias = dict[str, Any]
"""An operation's fields, or a reply's, by name."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder()

_HEADER = frozenset({"ok", "id", "node", "term", "leader", "store_rev", "error", "message"})


def encode_request(op: str, fields: Fields, *, request_id: int, timeout_ms: int) -> bytes:
    """Return the one frame of a request."""
    return _encoder.encode({"op": op, "id": request_id, "timeout_ms": timeout_ms, **fields})


def decode_reply(frame: bytes) -> Fields | None:
    """Return a reply's fields, or None when the bytes are no reply."""
    try:
        reply = _decoder.decode(frame)
    except (msgspec.DecodeError, RecursionError):
        return None
    if not isinstance(reply, dict) or not isinstance(reply.get("ok"), bool):
        return None
    return reply


def leader_of(reply: Fields) -> str | None:
    """Return the leader's endpoint as the reply tells it, or None when it names none."""
    leader = reply.get("leader")
    endpoint = leader.get("client") if isinstance(leader, dict) else None
    return endpoint if isinstance(endpoint, str) and endpoint.startswith("tcp://") else None


def error_of(reply: Fields) -> RequestError:
    """Return the error that a reply with ``ok: false`` carries."""
    code = reply.get("error")
    applied = str(reply.get("applied", "unknown"))
    message = f"{code}: {reply.get('message', '')}"
    node = reply.get("node")
    extra = {
        name: value
        for name, value in reply.items()
        if isinstance(name, str) and name not in _HEADER and name != "applied"
    }
    known = ERRORS_BY_CODE.get(code) if isinstance(code, str) else None
    if known is None:
        known = DefiniteError if applied == "no" else IndefiniteError
    return known(message, applied=applied, node=node if isinstance(node, str) else None, **extra)


def as_bytes(text: Text) -> bytes:
    """Return a key or value as the bytes that are stored."""
    if isinstance(text, str):
        return text.encode()
    if isinstance(text, bytes | bytearray | memoryview):
        return bytes(text)
    raise TypeError(f"a key or value is bytes or str, not {type(text).__name__}")


def operation_fields(operation: Operation) -> tuple[str, Fields]:
    """Return an operation's name on the wire and its fields."""
    match operation:
        case Get(key=key):
            return "get", {"key": as_bytes(key)}
        case Set(key=key, value=value):
            fields = {"key": as_bytes(key), "value": as_bytes(value)}
            return "set", fields | _conditions(operation) | _ttl(operation.ttl)
        case Delete(key=key):
            return "delete", {"key": as_bytes(key)} | _conditions(operation)
        case Incr(key=key, by=by):
            return "incr", {"key": as_bytes(key), "by": by} | _ttl(operation.ttl)
        case Expire(key=key, ttl=ttl):
            return "expire", {"key": as_bytes(key), "ttl_ms": None} | _ttl(ttl)


def _ttl(seconds: float | None) -> Fields:
    """Return a time to live as the protocol has it."""
    if seconds is None:
        return {}
    milliseconds = round(seconds * 1_000)
    if milliseconds < 1:
        raise ValueError(f"ttl is {seconds} s: a key lives for a millisecond at least")
    return {"ttl_ms": milliseconds}


def _conditions(operation: Set | Delete) -> Fields:
    fields: Fields = {}
    if operation.if_mod_rev is not None:
        fields["if_mod_rev"] = operation.if_mod_rev
    if operation.if_value is not None:
        fields["if_value"] = as_bytes(operation.if_value)
    return fields


def result_of(operation: Operation, reply: Fields) -> Record | int | bool | None:
    """Return what an operation gives, from a reply or from its result in a batch."""
    match operation:
        case Get():
            return record_of(reply)
        case Set():
            return int(reply["mod_rev"])
        case Delete():
            return bool(reply["deleted"])
        case Incr():
            return int(reply["value"])
        case Expire():
            return bool(reply["found"])


def outcomes_of(operations: Iterable[Operation], results: list[Fields]) -> list[Outcome]:
    """Return a batch's outcomes, in order; an operation that failed has its error as outcome."""
    return [
        result_of(operation, result) if result["ok"] else error_of(result)
        for operation, result in zip(operations, results, strict=True)
    ]


def record_of(reply: Fields) -> Record | None:
    """Return the record of a ``get``, or None when there was no such key."""
    if not reply["found"]:
        return None
    ttl_ms = reply.get("ttl_ms")
    return Record(
        value=reply["value"],
        mod_rev=reply["mod_rev"],
        create_rev=reply["create_rev"],
        key_version=reply["key_version"],
        ttl=None if ttl_ms is None else ttl_ms / 1_000,
    )


def written_of(reply: Fields) -> Written:
    """Return what a ``set`` did."""
    return Written(int(reply["mod_rev"]), bool(reply.get("created")))


def page_of(reply: Fields) -> Page:
    """Return the page of a ``range``."""
    items = tuple(
        Item(
            key=item["key"],
            value=item.get("value") or b"",
            mod_rev=item["mod_rev"],
            create_rev=item["create_rev"],
            key_version=item["key_version"],
        )
        for item in reply["items"]
    )
    return Page(items=items, count=reply["count"], more=reply["more"], at_rev=reply["at_rev"])


def members_of(reply: Fields) -> list[Member]:
    """Return the nodes of a ``members``."""
    return [msgspec.convert(member, Member) for member in reply["members"]]
