"""Requests to bytes and bytes to replies, in MessagePack (docs/protocol.md).

Replies are read leniently: unknown fields are ignored, unknown error codes are judged by their
``applied``, and what is no reply at all is None, never an exception. ``Any`` ends in this file.
"""

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import msgspec

from ..errors import (
    ERRORS_BY_CODE,
    DefiniteError,
    IndefiniteError,
    OutcomeUnknown,
    RequestError,
    SessionExpired,
    TooLarge,
    Undecodable,
)
from .records import (
    NO_VALUE,
    Compare,
    Delete,
    Event,
    Expire,
    Fence,
    Get,
    Incr,
    Item,
    Member,
    Operation,
    Outcome,
    Page,
    Record,
    Set,
    TxnResult,
    Written,
)
from .sessions import Session
from .values import Codec, V, as_bytes, encoded, whole

Fields: TypeAlias = dict[str, Any]
"""An operation's fields, or a reply's, by name."""

FRAME_BYTES_MAX: Final = 64 * 1024 * 1024
"""A node ends the connection that a longer frame comes on: nobody would answer."""

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder()

TTL_S_MAX: Final = 3_153_600_000
"""The longest time to live (docs/protocol.md)."""
_HEADER = frozenset({"ok", "id", "node", "term", "leader", "store_rev", "error", "message"})


def encode_request(op: str, fields: Fields, *, request_id: int, timeout_ms: int) -> bytes:
    """Return the one frame of a request.

    Raises:
        TooLarge: no node would answer it; nothing was sent.
    """
    frame = _encoder.encode({"op": op, "id": request_id, "timeout_ms": timeout_ms, **fields})
    if len(frame) > FRAME_BYTES_MAX:
        raise TooLarge(
            f"the request has {len(frame)} bytes, and no cluster takes more than "
            f"{FRAME_BYTES_MAX // 2}: it was not sent; make smaller ones of it"
        )
    return frame


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


def operation_fields(operation: Operation, codec: Codec[Any]) -> Fields:
    """Return an operation's fields on the wire, of which ``op`` is its name."""
    key = as_bytes(operation.key)
    fields: Fields
    match operation:
        case Get():
            return {"op": "get", "key": key}
        case Set():
            return set_fields(operation, codec)
        case Delete():
            return _with_conditions({"op": "delete", "key": key}, operation, codec)
        case Incr():
            fields = {"op": "incr", "key": key, "by": whole("by", operation.by)}
            if operation.ttl is not None:
                fields["ttl_ms"] = milliseconds(operation.ttl)
            return _with_fence(fields, operation.fence)
        case Expire():
            ttl_ms = None if operation.ttl is None else milliseconds(operation.ttl)
            fields = {"op": "expire", "key": key, "ttl_ms": ttl_ms}
            return _with_fence(fields, operation.fence)


def set_fields(operation: Set, codec: Codec[Any]) -> Fields:
    """Return what :func:`operation_fields` does."""
    key, value = as_bytes(operation.key), encoded(codec, operation.value)
    fields: Fields = {"op": "set", "key": key, "value": value}
    if operation.ttl is not None:
        fields["ttl_ms"] = milliseconds(operation.ttl)
    if operation.sliding:
        fields["sliding"] = True
    if operation.bind:
        fields["bind"] = True
    return _with_conditions(fields, operation, codec)


def milliseconds(seconds: float) -> int:
    """Return a time to live as the protocol has it."""
    if not isinstance(seconds, int | float):
        raise TypeError(f"ttl is {seconds!r}: it is a number of seconds")
    if not seconds < TTL_S_MAX:  # or it is not a number
        raise ValueError(f"ttl is {seconds} s: it is at most {TTL_S_MAX:,} (100 years)")
    found = round(seconds * 1_000)
    if found < 1:
        raise ValueError(f"ttl is {seconds} s: a key lives for a millisecond at least")
    return found


def compare_fields(compare: Compare, codec: Codec[Any]) -> Fields:
    """Return a transaction's condition as the protocol has it."""
    if not isinstance(compare, Compare):
        raise TypeError(f"a condition of a txn is a Compare, not {compare!r}")
    to = encoded(codec, compare.to) if compare.field == "value" else compare.to
    return {
        "key": as_bytes(compare.key),
        "field": compare.field,
        "cmp": compare.cmp,
        "to": to,
    }


def fence_fields(fence: Fence) -> Fields:
    """Return a fence as the protocol has it."""
    if not isinstance(fence, Fence):
        raise TypeError(f"fence is {fence!r}: it is a Fence, such as a lock's held.fence")
    return {"key": as_bytes(fence.key), "create_rev": whole("create_rev", fence.create_rev)}


def _with_conditions(fields: Fields, operation: Set | Delete, codec: Codec[Any]) -> Fields:
    if operation.if_mod_rev is not None:
        fields["if_mod_rev"] = whole("if_mod_rev", operation.if_mod_rev)
    if operation.if_value is not None:
        fields["if_value"] = encoded(codec, operation.if_value)
    return fields if operation.fence is None else _with_fence(fields, operation.fence)


def _with_fence(fields: Fields, fence: Fence | None) -> Fields:
    if fence is not None:
        fields["fence"] = fence_fields(fence)
    return fields


def decoded(codec: Codec[V], key: bytes, stored: bytes) -> V:
    """Return a stored value as the program has it.

    Raises:
        Undecodable: whoever wrote it had another codec.
    """
    try:
        return codec.decode(stored)
    except Exception as error:
        beginning = f"{stored[:40]!r}{'…' if len(stored) > 40 else ''}"
        raise Undecodable(
            f"{key!r} holds {beginning}, which this client's codec can't read ({error}): read it"
            " with a client that has the codec it was written with",
            key=key,
            stored=stored,
        ) from error


def result_of(
    operation: Operation, reply: Fields, codec: Codec[V]
) -> Record[V] | int | bool | None:
    """Return what an operation gives, from a reply or from its result in a batch."""
    match operation:
        case Get():
            return record_of(as_bytes(operation.key), reply, codec)
        case Set():
            return int(reply["mod_rev"])
        case Delete():
            return bool(reply["deleted"])
        case Incr():
            return int(reply["value"])
        case Expire():
            return bool(reply["found"])


def outcomes_of(
    operations: Iterable[Operation], results: list[Fields], codec: Codec[Any]
) -> list[Outcome]:
    """Return a batch's outcomes, in order; an operation that failed has its error as outcome."""
    return [
        _outcome_of(operation, result, codec)
        for operation, result in zip(operations, results, strict=True)
    ]


def _outcome_of(operation: Operation, result: Fields, codec: Codec[Any]) -> Outcome:
    if not result["ok"]:
        return error_of(result)
    try:
        look_for_dropped(result)
        return result_of(operation, result, codec)
    except (OutcomeUnknown, Undecodable) as error:
        return error


def txn_of(
    then: Iterable[Operation], otherwise: Iterable[Operation], reply: Fields, codec: Codec[Any]
) -> TxnResult:
    """Return what a transaction did.

    Raises:
        Undecodable: it read what the codec can't, and changed nothing.
        OutcomeUnknown: likewise, and its changes were made.
    """
    succeeded = bool(reply["succeeded"])
    done = [*(then if succeeded else otherwise)]
    results = zip(done, reply["results"], strict=True)
    try:
        found = tuple(result_of(operation, result, codec) for operation, result in results)
    except Undecodable as error:
        if all(isinstance(operation, Get) for operation in done):
            raise
        raise OutcomeUnknown(f"the txn was done, but {error}", applied="yes") from error
    return TxnResult(succeeded, found)


def record_of(key: bytes, reply: Fields, codec: Codec[V]) -> Record[V] | None:
    """Return the record of a ``get``, or None when there was no such key."""
    if not reply["found"]:
        return None
    ttl_ms = reply.get("ttl_ms")
    return Record(
        value=decoded(codec, key, reply["value"]),
        mod_rev=reply["mod_rev"],
        create_rev=reply["create_rev"],
        key_version=reply["key_version"],
        ttl=None if ttl_ms is None else ttl_ms / 1_000,
        session=reply.get("session") or 0,
    )


def written_of(reply: Fields) -> Written:
    """Return what a ``set`` did."""
    return Written(int(reply["mod_rev"]), bool(reply.get("created")))


def page_of(reply: Fields, codec: Codec[V]) -> Page[V]:
    """Return the page of a ``range``."""
    no_value: Any = NO_VALUE
    items = tuple(
        Item(
            key=item["key"],
            value=decoded(codec, item["key"], item["value"]) if "value" in item else no_value,
            mod_rev=item["mod_rev"],
            create_rev=item["create_rev"],
            key_version=item["key_version"],
        )
        for item in reply["items"]
    )
    return Page(items=items, count=reply["count"], more=reply["more"], at_rev=reply["at_rev"])


def event_of(event: Fields, codec: Codec[V]) -> Event[V]:
    """Return a change that a ``watch`` tells of."""
    key = event["key"]
    value, prev = event.get("value"), event.get("prev")
    return Event(
        kind=event["kind"],
        key=key,
        value=None if value is None else decoded(codec, key, value),
        rev=event["rev"],
        prev=None if prev is None else decoded(codec, key, prev),
    )


def members_of(reply: Fields) -> list[Member]:
    """Return the nodes of a ``members``."""
    return [msgspec.convert(member, Member) for member in reply["members"]]


def numbered(fields: Fields, session: Session) -> tuple[Fields, range]:
    """Return a mutation's fields with its number in a session, and the number.

    In a batch each operation that changes something has its own.
    """
    ack = session.numbers.ack
    ops = fields.get("ops")
    if ops is None:
        taken = session.numbers.take(1)
        return {**fields, "session": session.id, "seq": taken[0], "ack": ack}, taken
    taken = session.numbers.take(sum([operation["op"] != "get" for operation in ops]))
    numbers = iter(taken)
    sent = [
        operation if operation["op"] == "get" else {**operation, "seq": next(numbers)}
        for operation in ops
    ]
    return {**fields, "ops": sent, "session": session.id, "ack": ack}, taken


def look_for_dropped(reply: Fields) -> None:
    """Look whether the answer is still kept, of a write that was sent again after it was done.

    Raises:
        OutcomeUnknown: it is not: the write was done, and what it gave is gone.
    """
    if reply.get("reply_dropped"):
        raise OutcomeUnknown(
            "it was done, but its answer is no longer kept: read what there is now", applied="yes"
        )


def look_for_expired(fields: Fields, reply: Fields) -> None:
    """Look whether a batch met the end of its session.

    Raises:
        SessionExpired: nothing of this sending that would have changed anything was done.
    """
    if "ops" not in fields:
        return
    for operation, result in zip(fields["ops"], reply["results"], strict=True):
        if result.get("error") == SessionExpired.code and "seq" in operation:
            raise error_of(result)
