"""The conditions of ``txn`` and of fences: from the wire to what the state machine compares.

Each function raises :class:`~raftcache.protocol.limits.FieldError`, naming the field.
"""

from typing import Any, Final

import msgspec

from ..store.commands import Compare
from .fields import bytes_of, key_of, revision_of
from .limits import FieldError
from .wire import UNDECODABLE, CompareWire, FenceWire

_from_json = msgspec.json.Decoder(CompareWire).decode
_from_msgpack = msgspec.msgpack.Decoder(CompareWire).decode

_RULES: Final = {
    "field": "`value`, `mod_rev`, `create_rev`, `key_version` or `exists`",
    "cmp": "`=`, `!=`, `<` or `>`",
}


def fence_of(wire: FenceWire[Any], *, json: bool) -> tuple[bytes, int]:
    """Return the key of a fence, and the revision at which it must have been made."""
    key = key_of(wire.key, json=json, name="fence.key")
    create_rev = revision_of(wire.create_rev, json=json, name="fence.create_rev")
    assert create_rev is not None, "it is a required field"
    return key, create_rev


def compare_of(raw: msgspec.Raw, value_bytes_max: int, *, json: bool) -> Compare:
    """Return one comparison; the caller tells which of them a complaint is about."""
    try:
        wire = (_from_json if json else _from_msgpack)(raw)
    except UNDECODABLE as error:
        code = "unsupported" if "unknown field" in str(error) else "bad_request"
        raise FieldError(code, str(error)) from None
    key = key_of(wire.key, json=json)
    if wire.field == "exists":
        if wire.cmp in {"<", ">"}:
            raise FieldError("bad_request", "`exists` is only `=` or `!=`")
        return Compare(key, wire.field, wire.cmp, _boolean(wire.to, json=json))
    if wire.field == "value":
        value = bytes_of(wire.to, json=json, name="to")
        if len(value) > value_bytes_max:
            raise FieldError("too_large", f"`to` has {len(value)} bytes: at most {value_bytes_max}")
        return Compare(key, wire.field, wire.cmp, value)
    return Compare(key, wire.field, wire.cmp, _number(wire.to, json=json))


def _boolean(raw: msgspec.Raw, *, json: bool) -> bool:
    try:
        found: bool = _decode(raw, bool, json=json)
    except UNDECODABLE:
        raise FieldError("bad_request", "`to` must be true or false for `exists`") from None
    return found


def _number(raw: msgspec.Raw, *, json: bool) -> int:
    try:
        number = revision_of(_decode(raw, int | str, json=json), json=json, name="to")
    except UNDECODABLE:
        number = None
    if number is None or not 0 <= number < 2**63:
        raise FieldError("bad_request", "`to` must be a whole number from 0")
    return number


def _decode(raw: msgspec.Raw, kind: Any, *, json: bool) -> Any:
    return (msgspec.json if json else msgspec.msgpack).decode(raw, type=kind)
