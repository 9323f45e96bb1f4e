"""The Python client of Raft Cache.

    from raftcache.client import Client

    with Client("tcp://127.0.0.1:7401,tcp://127.0.0.1:7402") as cache:
        cache.set("greeting", "hello")
        print(cache.get("greeting"))

and for asyncio

    async with AsyncClient("tcp://127.0.0.1:7401,tcp://127.0.0.1:7402") as cache:
        print(await cache.get("greeting"))

It needs pyzmq and msgspec only. Its modules: ``routing`` decides; ``sync`` performs, and ``aio``
does; ``calls`` is what both ask, ``connection`` one socket, ``channel`` one that many calls share;
``codec`` knows the bytes, ``records`` holds the values.
"""

from typing import TYPE_CHECKING, Any

from ..errors import (
    BadRequest,
    Compacted,
    Conflict,
    DefiniteError,
    Fenced,
    Forbidden,
    IndefiniteError,
    InternalError,
    NoLeader,
    NoSpace,
    NotLeader,
    OutcomeUnknown,
    OutOfRange,
    Overloaded,
    OverQuota,
    RaftCacheError,
    RequestError,
    SessionExpired,
    StaleSeq,
    Timeout,
    TooLarge,
    Unauthorized,
    Unreachable,
    Unsupported,
    WindowFull,
    WrongType,
)
from .records import (
    Delete,
    Expire,
    Get,
    Incr,
    Item,
    Member,
    Operation,
    Outcome,
    Page,
    Record,
    Set,
    Written,
)
from .sync import Client

if TYPE_CHECKING:
    from .aio import AsyncClient

__all__ = [
    "AsyncClient",
    "BadRequest",
    "Client",
    "Compacted",
    "Conflict",
    "DefiniteError",
    "Delete",
    "Expire",
    "Fenced",
    "Forbidden",
    "Get",
    "Incr",
    "IndefiniteError",
    "InternalError",
    "Item",
    "Member",
    "NoLeader",
    "NoSpace",
    "NotLeader",
    "Operation",
    "OutOfRange",
    "Outcome",
    "OutcomeUnknown",
    "OverQuota",
    "Overloaded",
    "Page",
    "RaftCacheError",
    "Record",
    "RequestError",
    "SessionExpired",
    "Set",
    "StaleSeq",
    "Timeout",
    "TooLarge",
    "Unauthorized",
    "Unreachable",
    "Unsupported",
    "WindowFull",
    "Written",
    "WrongType",
]


def __getattr__(name: str) -> Any:
    """Import the asynchronous client when it is asked for: asyncio takes its time."""
    if name != "AsyncClient":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .aio import AsyncClient  # noqa: PLC0415 - see above

    return AsyncClient
