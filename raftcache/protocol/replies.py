"""Replies: values in, the one frame of an answer out, in the encoding of its request.

Rules of this file:

- Every reply has ``ok``, ``id``, ``node``, ``term``, ``leader`` and ``store_rev``.
- The fields of each result are written down once, in ``_FIELDS``. The two answers that make up
  nearly all traffic also have a Struct, as that is several times faster; a test holds them
  equal.
- MessagePack carries keys and values as bin. JSON carries text where they are UTF-8, else
  ``{"b64": …}``, and revisions above 2**53 as strings, since many parsers would round them.
"""

from base64 import b64encode
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from ..store.events import Event, WatchResult
from ..store.results import (
    BatchResult,
    CompactResult,
    DeleteRangeResult,
    DeleteResult,
    Dropped,
    ExpireResult,
    Failure,
    GetResult,
    IncrResult,
    Item,
    RangeResult,
    Result,
    SessionResult,
    SetResult,
    SingleResult,
    TxnResult,
)
from .batch_replies import plain_results
from .limits import Refused

PROTOCOL_VERSIONS: Final = [1, 1]
"""The oldest and the newest version of the protocol that this release speaks."""

JSON_INTEGER_MAX: Final = 2**53
_APPLIED: Final = {"session_expired": "unknown", "stale_seq": "unknown"}
"""The failures of the store after which a client can't know what an earlier send did."""
_REVISIONS: Final = frozenset(
    {"store_rev", "mod_rev", "create_rev", "at_rev", "oldest", "rev", "next_rev"}
)
_NESTED: Final = frozenset({"items", "results", "events"})


class Leader(msgspec.Struct, frozen=True, gc=False):
    """Who leads, and where clients reach it."""

    id: str
    client: str


class ReplyHeader(msgspec.Struct, frozen=True, gc=False):
    """What a node says of itself in every reply, as it is when it answers."""

    node: str
    term: int
    leader: Leader | None
    store_rev: int


class Answerable(Protocol):
    """What must be known of a request to answer it: a ``Request`` or a ``Refused``."""

    @property
    def id(self) -> Any:
        """The request's id, to be echoed."""

    @property
    def json(self) -> bool:
        """Whether to answer in JSON."""

    @property
    def b64(self) -> bool:
        """Whether JSON shows all keys and values as base64."""


class _GetReply(msgspec.Struct, gc=False):
    ok: bool
    id: Any
    node: str
    term: int
    leader: Leader | None
    store_rev: int
    found: bool
    value: bytes | None
    mod_rev: int
    create_rev: int
    key_version: int
    ttl_ms: int | None
    session: int | None


class _SetReply(msgspec.Struct, gc=False):
    ok: bool
    id: Any
    node: str
    term: int
    leader: Leader | None
    store_rev: int
    mod_rev: int
    created: bool


_encode_msgpack = msgspec.msgpack.Encoder().encode
_encode_json = msgspec.json.Encoder().encode


def encode_reply(
    request: Answerable,
    header: ReplyHeader,
    result: Result | WatchResult | dict[str, Any],
    *,
    age_ms: int | None = None,
) -> bytes:
    """Encode the answer to a request.

    ``result`` is the state machine's, or the fields of an operation of the node itself (with keys
    and values, if any, as bytes). ``age_ms``, of a local read: the time since this node last heard
    a leader.
    """
    if age_ms is None and not request.json:
        if type(result) is SetResult:
            if not (result.has_prev or result.prev_omitted):
                return _encode_msgpack(
                    _SetReply(
                        True,
                        request.id,
                        header.node,
                        header.term,
                        header.leader,
                        header.store_rev,
                        result.mod_rev,
                        result.created,
                    )
                )
        elif type(result) is GetResult:
            return _encode_get(request, header, result)
        elif type(result) is BatchResult and (plain := plain_results(result.results)):
            return _encode(request, header, {"results": plain}, ok=True)
    kind = type(result)
    fields = result if isinstance(result, dict) else _FIELDS[kind](result)
    if age_ms is not None:
        fields = {**fields, "age_ms": age_ms}
    return _encode(request, header, fields, ok=kind is not Failure)


def encode_error(
    request: Answerable,
    header: ReplyHeader,
    code: str,
    message: str,
    applied: str,
    **extra: Any,
) -> bytes:
    """Encode the refusal or failure of a request; ``applied`` is ``no``, ``yes`` or ``unknown``.

    ``extra`` are further fields, such as ``retry_after_ms``.
    """
    assert applied in {"no", "yes", "unknown"}, "applied is one of the protocol's three words"
    fields = {"error": code, "message": message, "applied": applied, **extra}
    return _encode(request, header, fields, ok=False)


def encode_refused(refused: Refused, header: ReplyHeader) -> bytes:
    """Encode the answer to a request that never came through the door."""
    return encode_error(refused, header, refused.code, refused.message, "no")


def ping_fields(build: str, cluster: str) -> dict[str, Any]:
    """Return the fields of the answer to ``ping``."""
    return {"protocol": PROTOCOL_VERSIONS, "build": build, "cluster": cluster}


def hash_fields(digest: int, at: int) -> dict[str, Any]:
    """Return the fields of the answer to ``hash``: 16 hexadecimal digits, and their index."""
    return {"digest": f"{digest:016x}", "at": at}


def _encode_get(request: Answerable, header: ReplyHeader, result: GetResult) -> bytes:
    return _encode_msgpack(
        _GetReply(
            True,
            request.id,
            header.node,
            header.term,
            header.leader,
            header.store_rev,
            result.found,
            result.value,
            result.mod_rev,
            result.create_rev,
            result.key_version,
            result.ttl_ms,
            result.session,
        )
    )


def _encode(request: Answerable, header: ReplyHeader, fields: dict[str, Any], *, ok: bool) -> bytes:
    reply = {
        "ok": ok,
        "id": request.id,
        "node": header.node,
        "term": header.term,
        "leader": header.leader,
        "store_rev": header.store_rev,
        **fields,
    }
    if request.json:
        return _encode_json(_for_json(reply, b64=request.b64))
    return _encode_msgpack(reply)


def _for_json(fields: dict[str, Any], *, b64: bool) -> dict[str, Any]:
    """Return fields as JSON carries them. Goes as deep as a batch holds ranges hold items."""
    shown: dict[str, Any] = {}
    for name, value in fields.items():
        if type(value) is bytes:
            shown[name] = _text(value, b64=b64)
        elif type(value) is int and value > JSON_INTEGER_MAX and name in _REVISIONS:
            shown[name] = str(value)
        elif name in _NESTED:
            shown[name] = [_for_json(item, b64=b64) for item in value]
        else:
            shown[name] = value
    return shown


def _text(value: bytes, *, b64: bool) -> str | dict[str, str]:
    if not b64:
        try:
            return value.decode()
        except UnicodeDecodeError:
            pass
    return {"b64": b64encode(value).decode("ascii")}


def _get_fields(result: GetResult) -> dict[str, Any]:
    return {
        "found": result.found,
        "value": result.value,
        "mod_rev": result.mod_rev,
        "create_rev": result.create_rev,
        "key_version": result.key_version,
        "ttl_ms": result.ttl_ms,
        "session": result.session,
    }


def _set_fields(result: SetResult) -> dict[str, Any]:
    return {"mod_rev": result.mod_rev, "created": result.created, **_prev_fields(result)}


def _delete_fields(result: DeleteResult) -> dict[str, Any]:
    return {"deleted": result.deleted, **_prev_fields(result)}


def _delete_range_fields(result: DeleteRangeResult) -> dict[str, Any]:
    return {"deleted": result.deleted}


def _prev_fields(result: SetResult | DeleteResult) -> dict[str, Any]:
    if result.has_prev:
        return {"prev": result.prev}
    return {"prev_omitted": True} if result.prev_omitted else {}


def _incr_fields(result: IncrResult) -> dict[str, Any]:
    return {"value": result.value, "mod_rev": result.mod_rev}


def _expire_fields(result: ExpireResult) -> dict[str, Any]:
    return {"found": result.found}


def _range_fields(result: RangeResult) -> dict[str, Any]:
    return {
        "items": [_item_fields(item) for item in result.items],
        "count": result.count,
        "more": result.more,
        "at_rev": result.at_rev,
    }


def _item_fields(item: Item) -> dict[str, Any]:
    fields: dict[str, Any] = {"key": item.key}
    if item.value is not None:
        fields["value"] = item.value
    fields["mod_rev"] = item.mod_rev
    fields["create_rev"] = item.create_rev
    fields["key_version"] = item.key_version
    return fields


def _watch_fields(result: WatchResult) -> dict[str, Any]:
    prev = result.prev
    return {
        "events": [_event_fields(event, prev=prev) for event in result.events],
        "next_rev": result.next_rev,
    }


def _event_fields(event: Event, *, prev: bool) -> dict[str, Any]:
    fields = {
        "kind": event.kind,
        "rev": event.rev,
        "key": event.key,
        "value": event.value,
    }
    if event.prev_omitted:
        fields["prev_omitted"] = True
    elif prev:
        fields["prev"] = event.prev
    return fields


def _failure_fields(failure: Failure) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "error": failure.error,
        "message": failure.message,
        "applied": _APPLIED.get(failure.error, "no"),
    }
    if failure.mod_rev is not None:
        fields["mod_rev"] = failure.mod_rev
        if failure.value_omitted:
            fields["value_omitted"] = True
        else:
            fields["value"] = failure.value
    if failure.oldest is not None:
        fields["oldest"] = failure.oldest
    if failure.retry_after_ms is not None:
        fields["retry_after_ms"] = failure.retry_after_ms
    return fields


def _session_fields(result: SessionResult) -> dict[str, Any]:
    return {"session": result.session, "ttl_ms": result.ttl_ms}


def _dropped_fields(_result: Dropped) -> dict[str, Any]:
    return {"reply_dropped": True}


def _compact_fields(result: CompactResult) -> dict[str, Any]:
    return {"oldest": result.oldest}


def _batch_fields(batch: BatchResult) -> dict[str, Any]:
    return {"results": _results(batch.results)}


def _txn_fields(txn: TxnResult) -> dict[str, Any]:
    return {"succeeded": txn.succeeded, "results": _results(txn.results)}


def _results(results: list[SingleResult]) -> list[dict[str, Any]]:
    return [
        {"ok": type(result) is not Failure, **_FIELDS[type(result)](result)} for result in results
    ]


_FIELDS: Final[dict[type, Callable[[Any], dict[str, Any]]]] = {
    GetResult: _get_fields,
    SetResult: _set_fields,
    DeleteResult: _delete_fields,
    IncrResult: _incr_fields,
    DeleteRangeResult: _delete_range_fields,
    ExpireResult: _expire_fields,
    RangeResult: _range_fields,
    WatchResult: _watch_fields,
    SessionResult: _session_fields,
    Dropped: _dropped_fields,
    CompactResult: _compact_fields,
    Failure: _failure_fields,
    BatchResult: _batch_fields,
    TxnResult: _txn_fields,
}
