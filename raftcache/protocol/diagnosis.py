"""Why a frame is refused: the slow second look at what did not decode.

Rules of this file: it only explains, and never lets anything through; it names the first field
that is wrong; like the fast way it never raises on foreign bytes; and what it says comes from the
classes in ``wire``, so that the two can't drift apart.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Final

import msgspec

from ..store.commands import TTL_MS_MAX
from ..store.sessions import SESSION_TTL_MS_MAX
from .fields import id_of
from .limits import TIMEOUT_MS_MAX, WAIT_MS_MAX, FieldError, Refused, shown
from .wire import (
    OPERATION_WIRES,
    REQUEST_WIRES,
    SESSION_NUMBER_MAX,
    UNDECODABLE,
    AnyWire,
    FenceWire,
    Wire,
)

_COMMON_FIELDS: Final = frozenset(Wire.__struct_fields__) - {"session", "seq", "ack"}
"""What stands at a batch, and not at an operation in it."""

_RULES: Final = {
    "timeout_ms": f"a whole number from 1 to {TIMEOUT_MS_MAX}",
    "read": "`linearizable` or `local`",
    "forward": "true or false",
    "b64": "true or false",
    "prev": "true or false",
    "sliding": "true or false",
    "bind": "true or false",
    "fence": 'a map {"key", "create_rev"}: a key, and a whole number',
    "compare": "an array of comparisons",
    "then": "an array of operations",
    "else": "an array of operations",
    "keys_only": "true or false",
    "count_only": "true or false",
    "learner": "true or false",
    "if_mod_rev": "a whole number from 0 (leave it out for no condition)",
    "at_rev": "a whole number from 0",
    "at": "a whole number from 0",
    "from_rev": "a whole number from 0 (leave it out to begin now)",
    "wait_ms": f"a whole number of milliseconds from 0 to {WAIT_MS_MAX}",
    "limit": "a whole number from 1",
    "ttl_ms": f"a whole number of milliseconds from 1 to {TTL_MS_MAX}",
    "session": f"the id that `session_open` gave: a whole number from 1 to {SESSION_NUMBER_MAX}",
    "seq": f"a whole number from 1 to {SESSION_NUMBER_MAX}",
    "ack": f"a whole number from 0 to {SESSION_NUMBER_MAX}",
    "by": "a whole number that fits in signed 64 bits",
    "peer": "a text",
    "client": "a text",
    "to": "a text",
    "add": 'a list of at most 32 maps {"id", "peer", "client"}, all texts',
    "remove": "a list of at most 32 names",
    "incarnation": "a whole number from 1",
}


_FENCE_FIELDS: Final = frozenset(FenceWire.__struct_fields__)

_RULES_OF: Final = {
    ("compact", "to"): "a whole number from 0 (leave it out to forget all that has been)",
    ("session_open", "ttl_ms"): f"a whole number of milliseconds from 1 to {SESSION_TTL_MS_MAX}",
}
"""Where a field has another rule than elsewhere."""


class _Identified(msgspec.Struct):
    """Only the id: everything else in the frame is skipped."""

    id: msgspec.Raw = None  # type: ignore[assignment] # as in ``wire``


_id_from_json = msgspec.json.Decoder(_Identified).decode
_id_from_msgpack = msgspec.msgpack.Decoder(_Identified).decode
_fields_from_json = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_fields_from_msgpack = msgspec.msgpack.Decoder(dict[str, msgspec.Raw]).decode


def read_id(frame: bytes, *, json: bool) -> Any:
    """Return the id in a frame that is refused, or None where none can be read."""
    try:
        return id_of((_id_from_json if json else _id_from_msgpack)(frame).id, json=json)
    except (FieldError, *UNDECODABLE):
        return None


def diagnose(frame: bytes, error: Exception, *, json: bool) -> Refused:
    """Return the refusal of a frame on which the typed decoding failed with ``error``."""
    try:
        fields = (_fields_from_json if json else _fields_from_msgpack)(frame)
    except UNDECODABLE as reason:
        wanted = "JSON object" if json else "MessagePack map (a JSON object would begin with `{`)"
        return Refused(
            "bad_request",
            f"the request is no {wanted}: {reason}",
            request_id=read_id(frame, json=json),
            json=json,
        )
    code, message = (
        _wrong_version(fields, json=json)
        or _wrong_op(fields, REQUEST_WIRES, json=json)
        or _wrong_field(fields, REQUEST_WIRES, json=json)
        or ("bad_request", str(error))
    )
    b64 = "b64" in fields and _decoded(fields["b64"], bool, json=json) is True
    return Refused(code, message, request_id=read_id(frame, json=json), json=json, b64=b64)


def diagnose_operation(raw: msgspec.Raw, error: Exception | None, *, json: bool) -> tuple[str, str]:
    """Return code and message for an operation of a batch that is refused.

    ``error`` is None where it decoded, but has fields that belong to the batch as a whole.
    """
    try:
        fields = (_fields_from_json if json else _fields_from_msgpack)(raw)
    except UNDECODABLE as reason:
        return "bad_request", f"the operation is no map: {reason}"
    complaint = _wrong_op(fields, OPERATION_WIRES, json=json)
    if complaint is not None:
        return complaint
    for name in sorted(_COMMON_FIELDS.intersection(fields)):
        return "unsupported", f"`{name}` belongs to the batch, not to an operation in it"
    return _wrong_field(fields, OPERATION_WIRES, json=json) or ("bad_request", str(error))


def _wrong_version(fields: dict[str, msgspec.Raw], *, json: bool) -> tuple[str, str] | None:
    if "v" not in fields:
        return None
    version = _decoded(fields["v"], int, json=json)
    if version is None:
        return "bad_request", "`v` must be a number: the version of the protocol, which is 1"
    if version == 1:
        return None
    return "unsupported", f"`v` is {shown(version)}: this node speaks version 1"


def _wrong_op(
    fields: dict[str, msgspec.Raw], wires: dict[str, type[AnyWire]], *, json: bool
) -> tuple[str, str] | None:
    if "op" not in fields:
        return "bad_request", "`op` is missing: it names the operation, such as `get`"
    op = _decoded(fields["op"], str, json=json)
    if op is None:
        return "bad_request", "`op` must be a text: it names the operation, such as `get`"
    if op in wires:
        return None
    if op in REQUEST_WIRES:
        return "bad_request", f"`{op}` can't stand in a batch: only {', '.join(sorted(wires))} can"
    return "bad_request", f"unknown `op` {shown(op)}{_nearest(op, wires)}"


def _wrong_field(
    fields: dict[str, msgspec.Raw], wires: dict[str, type[AnyWire]], *, json: bool
) -> tuple[str, str] | None:
    """Return the complaint about the first wrong field. Assumes that the op is a known one."""
    op: str = _decoded(fields["op"], str, json=json)
    # As Raw, keys and values pass here: ``fields`` has more to say of them.
    patient: Any = wires[op][msgspec.Raw, msgspec.Raw]  # type: ignore[index] # mypy sees a value
    known = {field.encode_name: field for field in msgspec.structs.fields(patient)}
    for name in fields:
        if name != "op" and name not in known:
            return "unsupported", _unknown_field(name, op, known)
    for name, field in known.items():
        if name not in fields:
            if field.required:
                return "bad_request", f"`{name}` is missing: `{op}` needs it"
            continue
        if name != "id" and not _fits(fields[name], field.type, json=json):
            if name == "fence" and (strange := _unknown_in_fence(fields[name], json=json)):
                return "unsupported", _unknown_field(strange, op, ())
            rule = _RULES_OF.get((op, name)) or _RULES.get(name, "well-formed")
            never = ", or null to let it stay" if (op, name) == ("expire", "ttl_ms") else ""
            return "bad_request", f"`{name}` must be {rule}{never}"
    return None


def _unknown_in_fence(raw: msgspec.Raw, *, json: bool) -> str:
    """Return a field of a fence that is none; "": there is none, or it is no map."""
    fields = _decoded(raw, dict[str, msgspec.Raw], json=json) or {}
    strange = sorted(fields.keys() - _FENCE_FIELDS)
    return f"fence.{strange[0]}" if strange else ""


def _unknown_field(name: str, op: str, known: Iterable[str]) -> str:
    return f"unknown field {shown(name)} of `{op}`{_nearest(name, known)}: nothing was done"


def _decoded(raw: msgspec.Raw, kind: Any, *, json: bool) -> Any:
    """Return a field as ``kind``, or None where it is no such thing (or null)."""
    try:
        return (msgspec.json if json else msgspec.msgpack).decode(raw, type=kind)
    except UNDECODABLE:
        return None


def _fits(raw: msgspec.Raw, kind: Any, *, json: bool) -> bool:
    """Tell whether a field is of this kind, null included where the kind has it."""
    try:
        (msgspec.json if json else msgspec.msgpack).decode(raw, type=kind)
    except UNDECODABLE:
        return False
    return True


def _nearest(word: str, words: Any) -> str:
    near = get_close_matches(word[:64], words, n=1)
    return f" (did you mean `{near[0]}`?)" if near else ""
