"""What values are to a program: bytes, text, or whatever a codec makes of them.

Keys are bytes always; where one is taken, a str stands for its UTF-8.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Generic, Literal, TypeAlias

import msgspec

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    V = TypeVar("V", default=bytes)
    """What a client's values are; bytes, unless it was made with a codec."""
else:
    from typing import TypeVar

    V = TypeVar("V")

Text: TypeAlias = str | bytes
"""A key, or a value of a client without a codec, as callers may write it."""

AnyCodec: TypeAlias = Literal["json", "msgpack"]
"""Codecs of which nobody can say what type they give."""
CodecName: TypeAlias = Literal["bytes", "str"] | AnyCodec


class Codec(msgspec.Struct, Generic[V], frozen=True):
    """How values become bytes and bytes become values again.

    ``encode`` takes what the methods of a client are given, ``decode`` makes what they return.
    """

    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], V]


def as_bytes(text: Text | bytearray | memoryview) -> bytes:
    """Return a key, or a value that is text or bytes, as the bytes that are stored."""
    if isinstance(text, bytes):
        return text
    if isinstance(text, str):
        return text.encode()
    if isinstance(text, bytearray | memoryview):
        return bytes(text)
    raise TypeError(
        f"expected bytes or str, not {type(text).__name__}: keys always are, and so are values"
        " unless the client has a codec for them, such as codec='json'"
    )


def encoded(codec: Codec[Any], value: object) -> bytes:
    """Return a value as the bytes that are stored."""
    stored = codec.encode(value)
    if not isinstance(stored, bytes):
        raise TypeError(f"the codec's encode gave {type(stored).__name__}: it has to give bytes")
    return stored


def whole(name: str, number: int) -> int:
    """Return a number that travels in 64 bits.

    What is sent together must not fail together, so this is found out before.
    """
    if not isinstance(number, int):
        raise TypeError(f"{name} is {number!r}: it is a whole number")
    if not -(1 << 63) <= number < 1 << 63:
        raise ValueError(f"{name} is {number}: it has to fit in signed 64 bits")
    return number


def _unchanged(stored: bytes) -> bytes:
    return stored


BYTES: Final[Codec[bytes]] = Codec(as_bytes, _unchanged)
STR: Final[Codec[str]] = Codec(as_bytes, bytes.decode)
JSON: Final[Codec[Any]] = Codec(msgspec.json.encode, msgspec.json.decode)
MSGPACK: Final[Codec[Any]] = Codec(msgspec.msgpack.encode, msgspec.msgpack.decode)

_BY_NAME: Final[dict[str, Codec[Any]]] = {
    "bytes": BYTES,
    "str": STR,
    "json": JSON,
    "msgpack": MSGPACK,
}


def codec_of(codec: CodecName | Codec[Any]) -> Codec[Any]:
    """Return the codec that is meant.

    Raises:
        ValueError: there is none of that name.
    """
    if isinstance(codec, Codec):
        return codec
    found = _BY_NAME.get(codec)
    if found is None:
        raise ValueError(f"codec is {codec!r}: it is one of {', '.join(_BY_NAME)}, or a Codec")
    return found
