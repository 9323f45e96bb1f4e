"""What watches ask for, and the events that they are told (``feed`` makes them)."""

import msgspec


class Watch(msgspec.Struct, frozen=True, gc=False):
    """What somebody wants to be told."""

    key: bytes
    """The key, or what the keys begin with."""
    is_prefix: bool
    from_rev: int | None
    """The first revision that is wanted; None: the next one from now on."""
    wait_ms: int
    """How long the answer may be held back while there is nothing to tell; 0: not at all."""
    prev: bool
    """Events tell the value before, too."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """One change of one key."""

    kind: str
    """``set``, ``delete``, ``expire`` or ``evict``."""
    rev: int
    key: bytes
    value: bytes | None
    """What is there since; None: nothing."""
    prev: bytes | None = None
    """What was there before; None: nothing, or it was not asked for, or is left out."""
    prev_omitted: bool = False
    """The value before is left out, as the revision is too large with it."""


class WatchResult(msgspec.Struct, frozen=True, gc=False):
    """Some events in order, and with which revision to go on."""

    events: list[Event]
    next_rev: int
    prev: bool = False
    """The events tell the value before."""
    size_bytes: int = 0
    """What the events weigh, by the formula above."""
