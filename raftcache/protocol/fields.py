"""Keys, values, revisions and ids of a request: taken from either encoding, and checked.

What was decoded patiently arrives here as ``Raw`` (see ``wire``). Each function raises
:class:`~raftcache.protocol.limits.FieldError`, naming the field.
"""

from base64 import b64decode
from collections.abc import Sequence
from typing import Annotated, Any, Final

import msgspec
from msgspec import UNSET

from .limits import BATCH_OPS_MAX, ID_BYTES_MAX, KEY_BYTES_MAX, FieldError, shown
from .wire import UNDECODABLE, Base64, Scalar

_REVISION_DIGITS_MAX: Final = 19


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
    bound = bytes_of(raw, json=json, name=name)
    return key_of(bound, json=json, name=name) if bound else bound


def value_of(raw: Any, limit: int, *, json: bool, name: str = "value") -> bytes:
    """Return a value: 0 to ``limit`` bytes."""
    value = raw if type(raw) is bytes else bytes_of(raw, json=json, name=name)
    if len(value) > limit:
        raise FieldError(
            "too_large", f"`{name}` has {len(value)} bytes: a value has at most {limit} here"
        )
    return value


def bytes_of(raw: Any, *, json: bool, name: str) -> bytes:
    """Return the bytes that ``raw`` stands for: binary, text, or (in JSON) base64."""
    if type(raw) is msgspec.Raw:
        raw = _patiently(raw, (str | Base64,) if json else (bytes, str), json=json)
        if raw is None:
            wanted = 'a string or {"b64": "…"}' if json else "bin or str"
            raise FieldError("bad_request", f"`{name}` must be {wanted}, and text be UTF-8")
    if type(raw) is bytes:
        return raw
    if type(raw) is str:
        return raw.encode()
    try:
        return b64decode(raw.b64, validate=True)
    except ValueError as error:
        raise FieldError("bad_request", f"`{name}`: `b64` is no base64: {error}") from None


def _patiently(raw: msgspec.Raw, kinds: tuple[Any, ...], *, json: bool) -> Any:
    """Return what ``raw`` holds as the first of ``kinds`` that it can be, or None.

    No kind is a container of others: whatever else is there is refused before it is built.
    """
    decode: Any = msgspec.json.decode if json else msgspec.msgpack.decode
    for kind in kinds:
        try:
            return decode(raw, type=kind)
        except UNDECODABLE:
            continue
    return None


def prefix_end(prefix: bytes) -> bytes | None:
    """Return the first key behind all that begin with ``prefix``; None: there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1]) if stem else None


def operations_of(raw: msgspec.Raw, *, json: bool, name: str = "ops") -> Sequence[msgspec.Raw]:
    """Return the operations of a batch, or what else there is a list of, each to be decoded yet."""
    try:
        if not json:
            return _ops_from_msgpack(raw)
        if len(raw) <= _FEW_OPS_BYTES:
            return _ops_from_json(raw)
        return [op for op in msgspec.structs.astuple(_many_ops_from_json(raw)) if op is not None]
    except UNDECODABLE:
        if memoryview(raw)[0] in (_JSON_ARRAYS if json else _MSGPACK_ARRAYS):
            raise FieldError(
                "too_large", f"`{name}` may have {BATCH_OPS_MAX} operations at most"
            ) from None
        raise FieldError("bad_request", f"`{name}` must be an array of operations") from None


_FEW_OPS_BYTES: Final = 64 * 1024
_JSON_ARRAYS: Final = frozenset(b"[")
_MSGPACK_ARRAYS: Final = frozenset({*range(0x90, 0xA0), 0xDC, 0xDD})
_Ops = Annotated[list[msgspec.Raw], msgspec.Meta(max_length=BATCH_OPS_MAX)]
_ops_from_msgpack = msgspec.msgpack.Decoder(_Ops).decode
_ops_from_json = msgspec.json.Decoder(_Ops).decode

# A JSON array does not begin with its length, so that a list of two million zeros would be built
# before it is found too long (0.2 s). An array-like Struct of so many fields ends at the first one
# too many, but takes 10 us, which small batches need not pay.
_ManyOps = msgspec.defstruct(
    "_ManyOps",
    [(f"op{position}", msgspec.Raw, None) for position in range(BATCH_OPS_MAX)],
    array_like=True,
    forbid_unknown_fields=True,
)
_many_ops_from_json = msgspec.json.Decoder(_ManyOps).decode


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


def id_of(raw: Any, *, json: bool) -> Scalar | bytes:
    """Return a request's id: null, a boolean, a 64-bit number, or a short text or bin."""
    if type(raw) is msgspec.Raw:
        identity = _patiently(raw, (Scalar,) if json else (Scalar, bytes), json=json)
        if identity is None and bytes(raw) not in _NULLS:
            raise FieldError("bad_request", "`id` must be null, true, false, a number or a text")
    else:
        identity = raw
    if type(identity) is int and not -(2**63) <= identity < 2**64:
        raise FieldError("bad_request", "`id` must fit in 64 bits")
    if isinstance(identity, str | bytes) and len(identity) > ID_BYTES_MAX:
        raise FieldError(
            "bad_request", f"`id` is {len(identity)} long: it may be {ID_BYTES_MAX} at most"
        )
    checked: Scalar | bytes = identity
    return checked


_NULLS: Final = (b"null", b"\xc0")
