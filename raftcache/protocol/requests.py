"""Requests: one frame in, a checked :class:`Request` out, or :class:`Refused`.

Rules of this file:

- Whatever the bytes, :func:`decode_request` raises nothing but ``Refused``.
- The usual way is one typed decode and a few checks. Only a frame that fails it is looked at
  again, by ``diagnosis``, to say what is wrong.
- What a :class:`Request` holds is ready to use: keys and values are bytes, within the limits.
"""

from typing import Any, Final

import msgspec
from msgspec import UNSET

from ..store.commands import (
    Batch,
    Command,
    Get,
    Query,
)
from ..store.commands import Set as SetCommand
from ..store.events import Watch
from .building import BUILDERS, MUTATIONS, UNNUMBERED
from .diagnosis import diagnose, read_id
from .faults import rules_of
from .fields import id_of, revision_of
from .heads import id_alone
from .limits import TIMEOUT_MS_DEFAULT, FieldError, Limits, Refused
from .numbering import numbered
from .plain import PLAIN_HEADS, LoneGet, LoneSet, decode_plain
from .wire import (
    ADMIN_WIRES,
    FROM_JSON,
    FROM_MSGPACK,
    REQUEST_WIRES,
    UNDECODABLE,
    AnyWire,
    Decoders,
    FaultSetWire,
    HashWire,
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
    if frame[:1] in PLAIN_HEADS:
        plain = _plain_request(frame, limits)
        if plain is not None:
            return plain
    decoders = FROM_JSON if json else FROM_MSGPACK
    try:
        wire = decoders.request(frame)
    except UNDECODABLE:
        wire = _patiently(frame, decoders, json=json)
    kind = type(wire)
    try:
        request_id = id_of(wire.id, json=json)
        build = BUILDERS.get(kind)
        operation: Any = None if build is None else build(wire, limits, json=json)
        changes = operation.changes() if type(operation) is Batch else kind in MUTATIONS
        if changes and (
            wire.seq is not UNSET or wire.session is not UNSET or wire.ack is not UNSET
        ):
            operation = operation if kind in UNNUMBERED else numbered(wire, operation)
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


def _plain_request(frame: bytes, limits: Limits) -> Request | None:
    """Return a request that is a plain ``set`` or ``get``; None: it is another, or refused."""
    try:
        wire = decode_plain(frame)
    except UNDECODABLE:
        return None
    given = _NO_ARGUMENTS
    if type(wire) is LoneSet and len(wire.value) <= limits.value_bytes:
        command = SetCommand(wire.key, wire.value)
        return Request(
            "set", wire.id, False, False, wire.timeout_ms, False, True, command, None, given
        )
    if type(wire) is LoneGet:
        local, query = wire.read == "local", Get(wire.key)
        return Request(
            "get", wire.id, False, False, wire.timeout_ms, local, True, None, query, given
        )
    return None


def _patiently(frame: bytes, decoders: Decoders, *, json: bool) -> Any:
    """Decode a frame with what the usual way can't take, or say why it is refused."""
    try:
        return decoders.request_patiently(frame)
    except UNDECODABLE as error:
        raise diagnose(frame, error, json=json) from None


def _oversized(frame: bytes, limit: int, *, json: bool) -> Refused:
    # Skipping over a frame to its id costs time in proportion to its size, so that is bounded.
    readable = frame if len(frame) <= 2 * limit else id_alone(frame, json=json)
    return Refused(
        "too_large",
        f"the request has {len(frame)} bytes: it may have {limit} at most",
        request_id=read_id(readable, json=json),
        json=json,
    )


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


_OP_OF_WIRE: Final[dict[type, str]] = {wire: op for op, wire in REQUEST_WIRES.items()}
_NO_ARGUMENTS: Final[dict[str, Any]] = {}
