"""What a decoded operation asks for: its fields, checked, as what the state machine does.

Rules of this file: a field that is refused raises
:class:`~raftcache.protocol.limits.FieldError`, and in a batch its operation fails alone. What comes
out is ready to use.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import UNSET

from ..store.commands import (
    Batch,
    CloseSession,
    Compact,
    Delete,
    DeleteRange,
    Expire,
    Fenced,
    Get,
    Incr,
    IncrExpiring,
    Invalid,
    KeepAlive,
    Once,
    OnceRun,
    OpenSession,
    Operation,
    SetExpiring,
    SetFully,
    Step,
    Txn,
)
from ..store.commands import Range as RangeQuery
from ..store.commands import Set as SetCommand
from ..store.events import Watch
from .batches import as_run, plain_batch
from .diagnosis import diagnose_operation
from .fields import bound_of, key_of, operations_of, prefix_end, revision_of, value_of
from .limits import RANGE_LIMIT_MAX, FieldError, Limits
from .numbering import numbered_within
from .transactions import compare_of, fence_of
from .wire import (
    FROM_JSON,
    FROM_MSGPACK,
    OPERATION_WIRES,
    UNDECODABLE,
    AnyWire,
    BatchWire,
    CompactWire,
    DeleteRangeWire,
    DeleteWire,
    ExpireWire,
    GetWire,
    IncrWire,
    RangeWire,
    SessionCloseWire,
    SessionKeepaliveWire,
    SessionOpenWire,
    SetWire,
    TxnWire,
    WatchWire,
)


def _set(wire: SetWire[Any, Any], limits: Limits, *, json: bool) -> Operation:
    if wire.fence is not UNSET:
        return _behind_fence(wire, limits, json=json)
    key = key_of(wire.key, json=json)
    value = value_of(wire.value, limits.value_bytes, json=json)
    if wire.sliding or wire.bind:
        return _set_fully(wire, key, value, _conditions(wire, limits, json=json))
    if wire.ttl_ms is not UNSET:
        conditions = _conditions(wire, limits, json=json)
        return SetExpiring(key, value, wire.ttl_ms, *conditions, wire.prev)
    if wire.if_mod_rev is UNSET and wire.if_value is UNSET and not wire.prev:
        return SetCommand(key, value)
    return SetCommand(key, value, *_conditions(wire, limits, json=json), wire.prev)


def _set_fully(
    wire: SetWire[Any, Any], key: bytes, value: bytes, conditions: tuple[int | None, bytes | None]
) -> SetFully:
    if wire.sliding and wire.ttl_ms is UNSET:
        raise FieldError("bad_request", "`sliding` needs `ttl_ms`: how long after each read")
    if wire.bind and wire.session is UNSET:
        raise FieldError("bad_request", "`bind` needs `session`: the one that the key goes with")
    ttl_ms = None if wire.ttl_ms is UNSET else wire.ttl_ms
    session = wire.session if wire.bind and wire.session is not UNSET else None
    return SetFully(key, value, ttl_ms, wire.sliding, session, *conditions, wire.prev)


def _behind_fence(wire: Any, limits: Limits, *, json: bool) -> Fenced:
    """Return what ``wire`` asks for behind its fence."""
    key, create_rev = fence_of(wire.fence, json=json)
    operation = BUILDERS[type(wire)](msgspec.structs.replace(wire, fence=UNSET), limits, json=json)
    if type(operation) is OnceRun:
        operation = operation.unrolled()
    if type(operation) is Batch and not operation.changes():
        raise FieldError("bad_request", "`fence` is for what changes something: this only reads")
    return Fenced(key, create_rev, operation)


def _delete(wire: DeleteWire[Any, Any], limits: Limits, *, json: bool) -> Delete | Fenced:
    if wire.fence is not UNSET:
        return _behind_fence(wire, limits, json=json)
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


def _incr(wire: IncrWire[Any, Any], limits: Limits, *, json: bool) -> Incr | IncrExpiring | Fenced:
    if wire.fence is not UNSET:
        return _behind_fence(wire, limits, json=json)
    key = key_of(wire.key, json=json)
    return Incr(key, wire.by) if wire.ttl_ms is UNSET else IncrExpiring(key, wire.by, wire.ttl_ms)


def _expire(wire: ExpireWire[Any, Any], limits: Limits, *, json: bool) -> Expire | Fenced:
    if wire.fence is not UNSET:
        return _behind_fence(wire, limits, json=json)
    return Expire(key_of(wire.key, json=json), wire.ttl_ms)


def _get(wire: GetWire[Any, Any], _limits: Limits, *, json: bool) -> Get:
    return Get(key_of(wire.key, json=json))


def _delete_range(
    wire: DeleteRangeWire[Any, Any], limits: Limits, *, json: bool
) -> DeleteRange | Fenced:
    if wire.fence is not UNSET:
        return _behind_fence(wire, limits, json=json)
    return DeleteRange(*_span(wire, json=json))


def _span(
    wire: RangeWire[Any, Any] | DeleteRangeWire[Any, Any], *, json: bool
) -> tuple[bytes, bytes | None]:
    """Return where a range begins, and where it ends; None: nowhere."""
    by_prefix = wire.prefix is not UNSET
    bounds = (wire.start is not UNSET) + (wire.end is not UNSET)
    if bounds != (0 if by_prefix else 2):
        raise FieldError("bad_request", "a range needs either `prefix`, or both `start` and `end`")
    if by_prefix:
        start = bound_of(wire.prefix, json=json, name="prefix")
        return start, prefix_end(start)
    return (
        bound_of(wire.start, json=json, name="start"),
        bound_of(wire.end, json=json, name="end"),
    )


def _range(wire: RangeWire[Any, Any], _limits: Limits, *, json: bool) -> RangeQuery:
    start, end = _span(wire, json=json)
    if wire.limit > RANGE_LIMIT_MAX:
        raise FieldError(
            "too_large", f"`limit` is {wire.limit}: a page has at most {RANGE_LIMIT_MAX} items"
        )
    if wire.after is not UNSET:
        # The least key that sorts behind `after` is `after` and a zero byte.
        start = max(start, key_of(wire.after, json=json, name="after") + b"\x00")
    at_rev = revision_of(wire.at_rev, json=json, name="at_rev")
    return RangeQuery(start, end, wire.limit, wire.keys_only, wire.count_only, at_rev)


def _batch(wire: BatchWire[Any, Any], limits: Limits, *, json: bool) -> Batch | OnceRun | Fenced:
    if wire.fence is not UNSET:
        return _behind_fence(wire, limits, json=json)
    if not json:
        plain = plain_batch(wire, limits.value_bytes)
        if plain is not None:
            return plain
    raws = operations_of(wire.ops, json=json)
    return as_run([_operation(raw, wire, limits, json=json) for raw in raws])


def _txn(wire: TxnWire[Any, Any], limits: Limits, *, json: bool) -> Txn | Fenced:
    if wire.fence is not UNSET:
        return _behind_fence(wire, limits, json=json)
    compares = []
    for position, raw in enumerate(_listed(wire.compare, json=json, name="compare")):
        try:
            compares.append(compare_of(raw, limits.value_bytes, json=json))
        except FieldError as error:
            raise FieldError(error.code, f"`compare[{position}]`: {error.message}") from None
    then = _branch(wire, wire.then, limits, json=json, name="then")
    otherwise = _branch(wire, wire.otherwise, limits, json=json, name="else")
    return Txn(tuple(compares), then, otherwise)


def _branch(
    wire: TxnWire[Any, Any], raw: Any, limits: Limits, *, json: bool, name: str
) -> tuple[Step, ...]:
    """Return the operations of one branch; where one is refused, so is the whole request."""
    steps: list[Step] = []
    for position, one in enumerate(_listed(raw, json=json, name=name)):
        operation = _operation(one, wire, limits, json=json)
        if type(operation) is Invalid:
            message = f"`{name}[{position}]`: {operation.message}"
            raise FieldError(operation.error, message)
        if type(operation) is Fenced or type(operation) is Once:
            field = "fence" if type(operation) is Fenced else "seq"
            message = (
                f"`{name}[{position}]`: `{field}` belongs to the txn, not to one of its operations"
            )
            raise FieldError("unsupported", message)
        if type(operation) is RangeQuery and operation.at_rev is not None:
            message = f"`{name}[{position}]`: a txn reads the present, so `at_rev` is not for it"
            raise FieldError("bad_request", message)
        steps.append(operation)  # type: ignore[arg-type] # what it is not was refused
    return tuple(steps)


def _listed(raw: Any, *, json: bool, name: str) -> Sequence[msgspec.Raw]:
    return () if raw is UNSET else operations_of(raw, json=json, name=name)


def _operation(raw: msgspec.Raw, whole: AnyWire, limits: Limits, *, json: bool) -> Operation:
    """Return an operation of a batch; one that is refused holds its place and fails alone.

    ``whole`` is the batch, or the transaction: its session is that of the operations too.
    """
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
        if wire.session is UNSET and getattr(wire, "bind", False):
            wire = msgspec.structs.replace(wire, session=whole.session)
        operation: Operation = BUILDERS[type(wire)](wire, limits, json=json)
        operation = numbered_within(wire, whole, operation)
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


def _session_open(wire: Any, _limits: Limits, *, json: bool) -> OpenSession:  # noqa: ARG001 - as all builders
    return OpenSession(wire.ttl_ms)


def _session_keepalive(wire: Any, _limits: Limits, *, json: bool) -> KeepAlive:  # noqa: ARG001 - as all builders
    return KeepAlive(wire.session)


def _session_close(wire: Any, _limits: Limits, *, json: bool) -> CloseSession:  # noqa: ARG001 - as all builders
    return CloseSession(wire.session)


def _compact(wire: CompactWire[Any, Any], _limits: Limits, *, json: bool) -> Compact:
    return Compact(revision_of(wire.to, json=json, name="to"))


BUILDERS: Final[dict[type, Callable[..., Any]]] = {
    SetWire: _set,
    DeleteWire: _delete,
    DeleteRangeWire: _delete_range,
    IncrWire: _incr,
    ExpireWire: _expire,
    GetWire: _get,
    RangeWire: _range,
    BatchWire: _batch,
    TxnWire: _txn,
    WatchWire: _watch,
    SessionOpenWire: _session_open,
    SessionKeepaliveWire: _session_keepalive,
    SessionCloseWire: _session_close,
    CompactWire: _compact,
}
UNNUMBERED: Final = frozenset(
    {SessionOpenWire, SessionKeepaliveWire, SessionCloseWire, CompactWire}
)
"""What may be done twice: it is about a session itself, or about the past."""
MUTATIONS: Final = frozenset(BUILDERS) - {GetWire, RangeWire, WatchWire}
"""What changes something; a batch that only reads is told by what it holds."""
_COMMON_DEFAULTS: Final = (1, None, 5000, "linearizable", True, False)

_ALONE: Final = UNNUMBERED | {BatchWire, TxnWire, WatchWire}
assert set(BUILDERS) == {*OPERATION_WIRES.values(), *_ALONE}, "every operation has its builder"
