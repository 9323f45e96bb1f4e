"""What a request asks for, from the raw target of its first line.

Keys are bytes: each segment of the path is percent-decoded on its own, so that a slash, any other
byte, and text in any encoding can stand in a key (``%2F``, ``%00``, ``%FF``).
"""

import enum
import re
from http import HTTPStatus
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec

from .answers import HttpError

KEY_BYTES_MAX: Final = 1024
"""As the protocol has it."""

TTL_MS_MAX: Final = 100 * 365 * 24 * 60 * 60 * 1_000
"""Likewise."""

_UNITS_MS: Final = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}
_TTL = re.compile(r"ttl=([0-9]{1,15})(ms|s|m|h)", re.ASCII)
_BROKEN_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_ABSOLUTE = re.compile(r"http://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)


class Resource(enum.Enum):
    """What there is."""

    KEY = "key"
    KEY_WITH_VALUE = "key with value"
    NODES = "nodes"
    NODE = "node"
    CLUSTER = "cluster"
    HEALTH = "health"
    READY = "ready"


METHODS: Final = {
    Resource.KEY: ("GET", "HEAD", "PUT", "DELETE"),
    Resource.KEY_WITH_VALUE: ("POST",),
    Resource.NODES: ("POST",),
    Resource.NODE: ("DELETE",),
    Resource.CLUSTER: ("GET", "HEAD"),
    Resource.HEALTH: ("GET", "HEAD"),
    Resource.READY: ("GET", "HEAD"),
}
"""What each takes."""


class Target(msgspec.Struct, frozen=True):
    """A resource and, where it has them, its key and value.

    ``ttl`` is how long what is written shall live, in seconds; None: it stays.
    """

    resource: Resource
    key: bytes = b""
    value: bytes = b""
    ttl: float | None = None


_FIXED: Final = {
    "/healthz": Target(Resource.HEALTH),
    "/readyz": Target(Resource.READY),
    "/api/v1/cluster": Target(Resource.CLUSTER),
    "/api/v1/node": Target(Resource.NODES),
}
_KEYS: Final = "/api/v1/key/"
_NODES: Final = "/api/v1/node/"


def split_absolute(raw: str) -> tuple[str | None, str]:
    """Split a target that names the host as well, as for a proxy: (host or None, path)."""
    found = None if raw.startswith("/") else _ABSOLUTE.fullmatch(raw)
    if found is None:
        return None, raw
    return found[1], found[2] if found[2].startswith("/") else f"/{found[2]}"


def parse_target(path: str) -> Target:
    """Return what a path and query ask for.

    Raises:
        HttpError: there is no such thing, or the path is ill-formed.
    """
    path, question, query = path.partition("?")
    if "#" in path + query:
        raise HttpError(HTTPStatus.BAD_REQUEST, "a number sign in a key is written %23")
    ttl = _ttl_of(query) if question else None
    fixed = _FIXED.get(path)
    if path.startswith(_KEYS):
        target = _key_target(path.removeprefix(_KEYS).split("/"))
        return target if ttl is None else msgspec.structs.replace(target, ttl=ttl)
    if ttl is not None:
        raise HttpError(HTTPStatus.BAD_REQUEST, "only a key that is written takes ?ttl=")
    if fixed is not None:
        return fixed
    if path.startswith(_NODES) and "/" not in path.removeprefix(_NODES):
        return Target(Resource.NODE, _decoded(path.removeprefix(_NODES)))
    raise HttpError(HTTPStatus.NOT_FOUND, "there is nothing here: keys are at /api/v1/key/{key}")


def _ttl_of(query: str) -> float:
    """Return the seconds of a query such as ``ttl=30s``: the one query that there is."""
    found = _TTL.fullmatch(query)
    if found is None:
        raise HttpError(
            HTTPStatus.BAD_REQUEST,
            "the one query here is ?ttl= with a whole number of ms, s, m or h, as in ?ttl=30s; "
            "a question mark in a key is written %3F",
        )
    milliseconds = int(found[1]) * _UNITS_MS[found[2]]
    if not 1 <= milliseconds <= TTL_MS_MAX:
        raise HttpError(
            HTTPStatus.BAD_REQUEST, "a key lives for a millisecond at least, and 100 years at most"
        )
    return milliseconds / 1_000


def _key_target(segments: list[str]) -> Target:
    key = _decoded(segments[0])
    if not key:
        raise HttpError(HTTPStatus.BAD_REQUEST, "the key is empty: it has 1 to 1024 bytes")
    if len(key) > KEY_BYTES_MAX:
        raise HttpError(
            HTTPStatus.REQUEST_URI_TOO_LONG,
            f"the key has {len(key)} bytes: it has at most {KEY_BYTES_MAX}",
        )
    match segments[1:]:
        case []:
            return Target(Resource.KEY, key)
        case [value] | ["value", value]:
            return Target(Resource.KEY_WITH_VALUE, key, _decoded(value))
        case _:
            raise HttpError(
                HTTPStatus.NOT_FOUND, "there is nothing here: a slash in a key is written %2F"
            )


def _decoded(segment: str) -> bytes:
    if "%" not in segment and segment.isascii():
        return segment.encode()
    if _BROKEN_PERCENT.search(segment):
        raise HttpError(
            HTTPStatus.BAD_REQUEST, "a percent sign must be followed by two hexadecimal digits"
        )
    return unquote_to_bytes(segment.encode("utf-8", "surrogateescape"))
