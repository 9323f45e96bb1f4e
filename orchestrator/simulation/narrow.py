"""Worlds in which what is bounded is bounded so narrowly that bounds are come to all the time.

Most bounds of the product are constants that a run of a few thousand events never comes near. They
are parts of the commands' meaning, or of one node's manners; with all of them equal on all nodes,
smaller ones are as good.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from raftcache.node import durable, receiving, server, snapshots, watches
from raftcache.store import feed, machine, sessions
from raftcache.store.reading import StoreLimits
from raftcache.store.sessions import SessionLimits

_SESSIONS: Final = partial(SessionLimits, sessions=3, answer_bytes=200, bound_keys=2)
_STORE: Final = partial(StoreLimits, history_changes=3)
_BOUNDS: Final[tuple[tuple[Any, str, int | Callable[..., Any]], ...]] = (
    (sessions, "SessionLimits", _SESSIONS),
    (machine, "EXPIRED_MAX", 1),
    (feed, "EVENTS_BYTES_MAX", 300),
    (watches, "WATCHES_MAX", 3),
    (watches, "TURN_COST_MAX", 5),
    *((module, "StoreLimits", _STORE) for module in (durable, receiving, server, snapshots)),
    (machine, "StoreLimits", _STORE),
)


@contextmanager
def narrow_bounds(*, are_narrow: bool) -> Iterator[None]:
    """Let bounds be narrow meanwhile; or not, and then this does nothing."""
    former = [(module, name, getattr(module, name)) for module, name, _ in _BOUNDS]
    try:
        if are_narrow:
            for module, name, value in _BOUNDS:
                setattr(module, name, value)
        yield
    finally:
        for module, name, value in former:
            setattr(module, name, value)
