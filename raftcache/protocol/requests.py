"""Requests: one frame in, a checked :class:`Request` out, or :class:`Refused`.

Rules of this file:

- Whatever the bytes, :func:`decode_request` raises nothing but ``Refused``.
- The usual way is one typed decode and a few checks. Only a frame that fails it is looked at
  again, by ``diagnosis``, to say what is wrong.
- What a :class:`Request` holds is ready to use: keys and values are bytes, within the limits.
"""

from collections.abc import Callable
from typing import Any, Final

import msgspec
from msgspec import UNSET

from ..store.commands import (
    Batch,
    CloseSession,
    Command,
    Delete,
    Expire,
    Get,
    Incr,
    IncrExpiring,
    Invalid,
    KeepAlive,
    OpenSession,
    Operation,
    Query,
    SetExpiring,
)
from ..store.commands import Range as RangeQuery
from ..store.commands import Set as SetCommand
from ..store.events import Watch
from .diagnosis import diagnose, diagnose_operation, read_id
from .faults import rules_of
from .fields import bound_of, id_of, key_of, operations_of, prefix_end, revision_of, value_of
from .limits import RANGE_LIMIT_MAX, TIMEOUT_MS_DEFAULT, FieldError, Limits, Refused
from .numbering import numbered, numbered_within
from .wire import (
    ADMIN_WIRES,
    FROM_JSON,
    FROM_MSGPACK,
    OPERATION_WIRES,
    REQUEST_WIRES,
    UNDECODABLE,
    AnyWire,
    BatchWire,
    Decoders,
    DeleteWire,
    ExpireWire,
    FaultSetWire,
    GetWire,
    HashWire,
    IncrWire,
    RangeWire,
    SessionCloseWire,
    SessionKeepaliveWire,
    SessionOpenWire,
    SetWire,
    WatchWire,
    Wire,
)

ADMIN_OPS: Final = frozenset(ADMIN_WIRES)
"""The operations that are taken on the administration socket only."""


class Request(msgspec.Struct, frozen=True, gc=False):
    """A request that is well-formed and within the limits."""

    op: str
    id: Any
    """Any scalar; echoed in the reply."""
    json: bool
    """The request is JSON and so is its reply; otherwise both are MessagePack."""
    b64: bool
    """In a JSON reply, show keys and values as base64 even where they are text."""
    timeout_ms: int
    """How long the server may hold the request; 1 to 600,000. Of a watch: up to when it knows
    from which revision on it is."""
    local: bool
    """``read: local``: answer from this node's own state at once. Of no meaning to mutations."""
    forward: bool
    """The request may be handed on to the leader."""
    command: Command | None
    """What to propose to the log; None: this changes nothing."""
    query: Query | None
    """What to read; None: this is no read of the store."""
    arguments: dict[str, Any]
    """The own fields of ``hash`` and of administration that were given; else empty."""
    watch: Watch | None = None
    """What to watch; None: this is no watch."""

    @property
    def is_mutation(self) -> bool:
        """Tell whether the request may change the state, and so must go through the log."""
        return self.command is not None

    @property
    def is_own(self) -> bool:
        """Tell whether the request is about the node or the cluster, not about data."""
        return self.command is None and self.query is None and self.watch is None


def decode_request(frame: bytes, limits: Limits) -> Request:
    """Decode the one frame of a request, MessagePack or (first byte ``{``) JSON.

    Raises:
        Refused: whatever is wrong with it, with the code, the message and what is needed to
            answer. The fault is the client's.
    """
    json = frame.startswith(b"{")
    if len(frame) > limits.request_bytes:
        raise _oversized(frame, limits.request_bytes, json=json)
    decoders = FROM_JSON if json else FROM_MSGPACK
    try:
        wire = decoders.request(frame)
    except UNDECODABLE:
        wire = _patiently(frame, decoders, json=json)
    kind = type(wire)
    try:
        request_id = id_of(wire.id, json=json)
        build = _BUILDERS.get(kind)
        operation: Any = None if build is None else build(wire, limits, json=json)
        changes = operation.changes() if kind is BatchWire else kind in _MUTATIONS
        if changes and (
            wire.seq is not UNSET or wire.session is not UNSET or wire.ack is not UNSET
        ):
            operation = operation if kind in _OF_SESSIONS else numbered(wire, operation)
        arguments = _NO_ARGUMENTS if build is not None else _arguments(wire, json=json)
    except FieldError as error:
        raise Refused(
            error.code,
            error.message,
            request_id=read_id(frame, json=json),
            json=json,
            b64=wire.b64,
        ) from None
    watch = None
    if kind is WatchWire:
        watch, operation = operation, None
    return Request(
        _OP_OF_WIRE[kind],
        request_id,
        json,
        wire.b64,
        wire.timeout_ms if kind is not WatchWire else _watch_ms(wire),
        wire.read == "local",
        wire.forward,
        operation if changes else None,
        None if changes else operation,
        arguments,
        watch,
    )


def _patiently(frame: bytes, decoders: Decoders, *, json: bool) -> Any:
    """Decode a frame with what the usual way can't take, or say why it is refused."""
    try:
        return decoders.request_patiently(frame)
    except UNDECODABLE as error:
        raise diagnose(frame, error, json=json) from None


def _oversized(frame: bytes, limit: int, *, json: bool) -> Refused:
    # Skipping over a frame to its id costs time in proportion to its size, so that is bounded.
    request_id = read_id(frame, json=json) if len(frame) <= 2 * limit else None
    return Refused(
        "too_large",
        f"the request has {len(frame)} bytes: it may have {limit} at most",
        request_id=request_id,
        json=json,
    )


def _set(wire: SetWire[Any, Any], limits: Limits, *, json: bool) -> SetCommand | SetExpiring:
    key = key_of(wire.key, json=json)
    value = value_of(wire.value, limits.value_bytes, json=json)
    if wire.ttl_ms is not UNSET:
        conditions = _conditions(wire, limits, json=json)
        return SetExpiring(key, value, wire.ttl_ms, *conditions, wire.prev)
    if wire.if_mod_rev is UNSET and wire.if_value is UNSET and not wire.prev:
        return SetCommand(key, value)
    return SetCommand(key, value, *_conditions(wire, limits, json=json), wire.prev)


def _delete(wire: DeleteWire[Any, Any], limits: Limits, *, json: bool) -> Delete:
    key = key_of(wire.key, json=json)
    return Delete(key, *_conditions(wire, limits, json=json), wire.prev)


def _conditions(
    wire: SetWire[Any, Any] | DeleteWire[Any, Any], limits: Limits, *, json: bool
) -> tuple[int | None, bytes | None]:
    if wire.if_value is UNSET:
        if_value = None
    else:
        if_value = value_of(wire.if_value, limits.value_bytes, json=json, name="if_value")
    return revision_of(wire.if_mod_rev, json=json, name="if_mod_rev"), if_value


def _incr(wire: IncrWire[Any, Any], _limits: Limits, *, json: bool) -> Incr | IncrExpiring:
    key = key_of(wire.key, json=json)
    return Incr(key, wire.by) if wire.ttl_ms is UNSET else IncrExpiring(key, wire.by, wire.ttl_ms)


def _expire(wire: ExpireWire[Any, Any], _limits: Limits, *, json: bool) -> Expire:
    return Expire(key_of(wire.key, json=json), wire.ttl_ms)


def _get(wire: GetWire[Any, Any], _limits: Limits, *, json: bool) -> Get:
    return Get(key_of(wire.key, json=json))


def _range(wire: RangeWire[Any, Any], _limits: Limits, *, json: bool) -> RangeQuery:
    by_prefix = wire.prefix is not UNSET
    bounds = (wire.start is not UNSET) + (wire.end is not UNSET)
    if bounds != (0 if by_prefix else 2):
        raise FieldError("bad_request", "a range needs either `prefix`, or both `start` and `end`")
    if wire.limit > RANGE_LIMIT_MAX:
        raise FieldError(
            "too_large", f"`limit` is {wire.limit}: a page has at most {RANGE_LIMIT_MAX} items"
        )
    end: bytes | None
    if by_prefix:
        start = bound_of(wire.prefix, json=json, name="prefix")
        end = prefix_end(start)
    else:
        start = bound_of(wire.start, json=json, name="start")
        end = bound_of(wire.end, json=json, name="end")
    if wire.after is not UNSET:
        # The least key that sorts behind `after` is `after` and a zero byte.
        start = max(start, key_of(wire.after, json=json, name="after") + b"\x00")
    at_rev = revision_of(wire.at_rev, json=json, name="at_rev")
    return RangeQuery(start, end, wire.limit, wire.keys_only, wire.count_only, at_rev)


def _batch(wire: BatchWire[Any, Any], limits: Limits, *, json: bool) -> Batch:
    raws = operations_of(wire.ops, json=json)
    return Batch(tuple([_operation(raw, wire, limits, json=json) for raw in raws]))


def _operation(
    raw: msgspec.Raw, batch: BatchWire[Any, Any], limits: Limits, *, json: bool
) -> Operation:
    """Return an operation of a batch; one that is refused holds its place and fails alone."""
    decoders = FROM_JSON if json else FROM_MSGPACK
    try:
        try:
            wire = decoders.operation(raw)
        except UNDECODABLE:
            wire = decoders.operation_patiently(raw)
    except UNDECODABLE as error:
        return Invalid(*diagnose_operation(raw, error, json=json))
    if (wire.v, wire.id, wire.timeout_ms, wire.read, wire.forward, wire.b64) != _COMMON_DEFAULTS:
        return Invalid(*diagnose_operation(raw, None, json=json))
    try:
        operation: Operation = _BUILDERS[type(wire)](wire, limits, json=json)
        operation = numbered_within(wire, batch, operation)
    except FieldError as error:
        return Invalid(error.code, error.message)
    return operation


def _watch(wire: WatchWire[Any, Any], _limits: Limits, *, json: bool) -> Watch:
    if (wire.key is UNSET) == (wire.prefix is UNSET):
        raise FieldError("bad_request", "a watch needs either `key` or `prefix`")
    is_prefix = wire.key is UNSET
    if is_prefix:
        key = bound_of(wire.prefix, json=json, name="prefix")
    else:
        key = key_of(wire.key, json=json)
    from_rev = revision_of(wire.from_rev, json=json, name="from_rev")
    return Watch(key, is_prefix, from_rev, wire.wait_ms, wire.prev)


def _watch_ms(wire: WatchWire[Any, Any]) -> int:
    """Return how long a watch may take; to find out what "now" is, as long as any other read."""
    return wire.wait_ms if wire.from_rev is not UNSET else max(wire.wait_ms, TIMEOUT_MS_DEFAULT)


def _arguments(wire: AnyWire, *, json: bool) -> dict[str, Any]:
    if type(wire) is HashWire:
        at = revision_of(wire.at, json=json, name="at")
        return {} if at is None else {"at": at}
    if type(wire) is FaultSetWire:
        return {"rules": rules_of(wire.rules, json=json)}
    own = wire.__struct_fields__[len(Wire.__struct_fields__) :]
    given = {name: getattr(wire, name) for name in own}
    return {name: value for name, value in given.items() if value is not UNSET}


def _session_open(wire: Any, _limits: Limits, *, json: bool) -> OpenSession:  # noqa: ARG001 - as all builders
    return OpenSession(wire.ttl_ms)


def _session_keepalive(wire: Any, _limits: Limits, *, json: bool) -> KeepAlive:  # noqa: ARG001 - as all builders
    return KeepAlive(wire.session)


def _session_close(wire: Any, _limits: Limits, *, json: bool) -> CloseSession:  # noqa: ARG001 - as all builders
    return CloseSession(wire.session)


_BUILDERS: Final[dict[type, Callable[..., Any]]] = {
    SetWire: _set,
    DeleteWire: _delete,
    IncrWire: _incr,
    ExpireWire: _expire,
    GetWire: _get,
    RangeWire: _range,
    BatchWire: _batch,
    WatchWire: _watch,
    SessionOpenWire: _session_open,
    SessionKeepaliveWire: _session_keepalive,
    SessionCloseWire: _session_close,
}
_OF_SESSIONS: Final = frozenset({SessionOpenWire, SessionKeepaliveWire, SessionCloseWire})
_MUTATIONS: Final = frozenset({SetWire, DeleteWire, IncrWire, ExpireWire}) | _OF_SESSIONS
_OP_OF_WIRE: Final[dict[type, str]] = {wire: op for op, wire in REQUEST_WIRES.items()}
_NO_ARGUMENTS: Final[dict[str, Any]] = {}
_COMMON_DEFAULTS: Final = (1, None, 5000, "linearizable", True, False)

assert {*OPERATION_WIRES.values(), BatchWire, WatchWire, *_OF_SESSIONS} == set(_BUILDERS), (
    "every operation has its builder"
)
