"""Recipes: what programs that share a cluster need of each other, few and right.

    from raftcache.client.recipes import Lock, Election, Semaphore, cached
    from raftcache.client.recipes import AsyncLock, AsyncElection, AsyncSemaphore, async_cached

Each is written once, in ``queue`` and ``caching``, as steps that either client takes.
"""

from typing import TYPE_CHECKING, Any

from .caching import cached
from .locks import Election, Lock, Semaphore
from .queue import Held, LeaseLost

if TYPE_CHECKING:
    from .async_caching import async_cached
    from .async_locks import AsyncElection, AsyncLock, AsyncSemaphore

__all__ = [
    "AsyncElection",
    "AsyncLock",
    "AsyncSemaphore",
    "Election",
    "Held",
    "LeaseLost",
    "Lock",
    "Semaphore",
    "async_cached",
    "cached",
]

_LATER = {
    "AsyncElection": ".async_locks",
    "AsyncLock": ".async_locks",
    "AsyncSemaphore": ".async_locks",
    "async_cached": ".async_caching",
}


def __getattr__(name: str) -> Any:
    """Import what needs asyncio when it is asked for: that takes its time."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - see above

    return getattr(import_module(_LATER[name], __name__), name)
