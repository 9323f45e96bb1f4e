"""The limits at the door, and the refusal of what is over them or ill-formed."""

from typing import Any, Final, Literal, TypeAlias

import msgspec

KEY_BYTES_MAX: Final = 1024
BATCH_OPS_MAX: Final = 1000
RANGE_LIMIT_DEFAULT: Final = 1000
RANGE_LIMIT_MAX: Final = 10_000
TIMEOUT_MS_DEFAULT: Final = 5_000
TIMEOUT_MS_MAX: Final = 600_000
FRAME_BYTES_MAX: Final = 64 * 1024 * 1024
"""A longer frame ends the connection that it comes on. It is twice the most that ``cluster.yaml``
may allow a request, so that what is too large for any cluster need not be sent to be refused."""
WAIT_MS_DEFAULT: Final = 5_000
WAIT_MS_MAX: Final = 60_000
ID_BYTES_MAX: Final = 1024
NAME_SHOWN_MAX: Final = 40
"""How much of a client's own text a message repeats."""


Eviction: TypeAlias = Literal["volatile-lru", "allkeys-lru", "none"]


class Limits(msgspec.Struct, frozen=True):
    """What ``cluster.yaml`` allows; the rest is part of the protocol and fixed above."""

    value_bytes: int = 1024 * 1024
    """The most bytes of a value; at most ``request_bytes``, or it could never be sent."""
    request_bytes: int = 4 * 1024 * 1024
    """The most bytes of a request's frame."""
    cache_bytes: int = 512 * 1024 * 1024
    """The most that keys and values may weigh; as leader, this node lets others go for new ones."""
    eviction: Eviction = "volatile-lru"
    """Which: those with a deadline, all, or none; of these the ones not used for the longest."""


class Refused(Exception):  # noqa: N818 - the protocol's word, and no error of ours
    """A request that is refused before anything was done: what ``encode_refused`` answers.

    ``code`` and ``message`` are those of the reply; ``id`` is the request's, or None where it
    can't be read; ``json`` tells the encoding in which to answer.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        request_id: Any = None,
        json: bool = False,
        b64: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.id = request_id
        self.json = json
        self.b64 = b64


class FieldError(Exception):
    """A field that is refused; whoever knows the request makes a :class:`Refused` of it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def shown(text: object) -> str:
    """Return a client's own text for a message: quoted, and cut where it is long."""
    whole = str(text)
    cut = whole if len(whole) <= NAME_SHOWN_MAX else whole[:NAME_SHOWN_MAX] + "…"
    return f"`{cut}`"
