"""A single plain ``set`` or ``get``, decoded without a look at every field that there could be.

Rules of this file: as of ``batches``. What it does not take, the general way does, with the same
outcome and with words for what is wrong. Tests hold the two equal.
"""

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from .limits import ID_BYTES_MAX, KEY_BYTES_MAX, TIMEOUT_MS_DEFAULT, TIMEOUT_MS_MAX

_Key = Annotated[bytes, Meta(min_length=1, max_length=KEY_BYTES_MAX)]
_Id = bool | int | float | Annotated[str, Meta(max_length=ID_BYTES_MAX)] | None
_TimeoutMs = Annotated[int, Meta(ge=1, le=TIMEOUT_MS_MAX)]


class LoneSet(msgspec.Struct, gc=False, tag_field="op", tag="set", forbid_unknown_fields=True):
    """A ``set`` that has nothing but an id and a deadline."""

    key: _Key
    value: bytes
    id: _Id = None
    timeout_ms: _TimeoutMs = TIMEOUT_MS_DEFAULT


class LoneGet(msgspec.Struct, gc=False, tag_field="op", tag="get", forbid_unknown_fields=True):
    """A ``get``, of either kind."""

    key: _Key
    id: _Id = None
    timeout_ms: _TimeoutMs = TIMEOUT_MS_DEFAULT
    read: Literal["linearizable", "local"] = "linearizable"


PLAIN_HEADS: Final = frozenset([b"\x82", b"\x83", b"\x84", b"\x85"])
"""With what MessagePack maps of two to five begin: one with numbers or conditions has more fields,
and need not be decoded twice."""

decode_plain: Final = msgspec.msgpack.Decoder(LoneSet | LoneGet).decode
"""Decodes a frame that is as plain as that, or raises what is in ``UNDECODABLE``."""
