"""Keys, values, revisions and ids of a request: taken from either encoding, and checked.

Each function raises :class:`~raftcache.protocol.limits.FieldError`, naming the field.
"""

from base64 import b64decode
from typing import Any

from msgspec import UNSET

from .limits import ID_BYTES_MAX, KEY_BYTES_MAX, FieldError, shown

_REVISION_DIGITS_MAX = 19


def key_of(raw: Any, *, json: bool, name: str = "key") -> bytes:
    """Return a key: 1 to 1,024 bytes."""
    key = raw if type(raw) is bytes else bytes_of(raw, json=json, name=name)
    if 0 < len(key) <= KEY_BYTES_MAX:
        return key
    if not key:
        raise FieldError("bad_request", f"`{name}` is empty: a key has 1 to {KEY_BYTES_MAX} bytes")
    raise FieldError(
        "too_large", f"`{name}` has {len(key)} bytes: a key has at most {KEY_BYTES_MAX}"
    )


def bound_of(raw: Any, *, json: bool, name: str) -> bytes:
    """Return where a range begins or ends: as a key, but possibly empty."""
    return b"" if raw in (b"", "") else key_of(raw, json=json, name=name)


def value_of(raw: Any, limit: int, *, json: bool, name: str = "value") -> bytes:
    """Return a value: 0 to ``limit`` bytes."""
    value = raw if type(raw) is bytes else bytes_of(raw, json=json, name=name)
    if len(value) > limit:
        raise FieldError(
            "too_large", f"`{name}` has {len(value)} bytes: a value has at most {limit} here"
        )
    return value


def bytes_of(raw: Any, *, json: bool, name: str) -> bytes:
    """Return the bytes that ``raw`` stands for: text, binary, or (in JSON) base64."""
    if type(raw) is str:
        return raw.encode()
    if not json:
        if type(raw) is bytes:
            return raw
        raise FieldError("bad_request", f"`{name}` must be bin or str, not {_kind(raw)}")
    if type(raw) is dict and raw.keys() == {"b64"} and type(raw["b64"]) is str:
        try:
            return b64decode(raw["b64"], validate=True)
        except ValueError as error:
            raise FieldError("bad_request", f"`{name}`: `b64` is no base64: {error}") from None
    raise FieldError(
        "bad_request", f'`{name}` must be a string or {{"b64": "…"}}, not {_kind(raw)}'
    )


def prefix_end(prefix: bytes) -> bytes | None:
    """Return the first key behind all that begin with ``prefix``; None: there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None


def revision_of(raw: Any, *, json: bool, name: str) -> int | None:
    """Return a revision, or None if it was not given."""
    if raw is UNSET:
        return None
    if type(raw) is int:
        return raw
    if json and type(raw) is str and raw.isascii() and raw.isdigit():
        revision = int(raw) if len(raw) <= _REVISION_DIGITS_MAX else 2**63
        if revision < 2**63:
            return revision
    raise FieldError("bad_request", f"`{name}` must be a whole number from 0, not {shown(raw)}")


def id_of(raw: Any) -> Any:
    """Return a request's id: null, a boolean, a 64-bit number, or a short text."""
    kind = type(raw)
    if kind is int:
        if -(2**63) <= raw < 2**64:
            return raw
        raise FieldError("bad_request", "`id` must fit in 64 bits")
    if raw is None or kind is bool or kind is float:
        return raw
    if kind is str or kind is bytes:
        if len(raw) <= ID_BYTES_MAX:
            return raw
        raise FieldError(
            "bad_request", f"`id` has {len(raw)} bytes: it may have {ID_BYTES_MAX} at most"
        )
    raise FieldError(
        "bad_request", f"`id` must be null, true, false, a number or a text, not {_kind(raw)}"
    )


def _kind(raw: Any) -> str:
    """Return what a person calls this type of a decoded value."""
    if raw is None:
        return "null"
    return _KINDS.get(type(raw), "an extension type")


_KINDS: dict[type, str] = {
    bool: "a boolean",
    int: "a number",
    float: "a number",
    str: "a string",
    bytes: "bin",
    list: "an array",
    dict: "a map",
}
