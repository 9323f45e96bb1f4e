"""The Python client of Raft Cache.

    from raftcache.client import Client

    with Client("tcp://127.0.0.1:7401,tcp://127.0.0.1:7402") as cache:
        cache.set("greeting", "hello")
        print(cache.get("greeting"))

and for asyncio

    async with AsyncClient("tcp://127.0.0.1:7401,tcp://127.0.0.1:7402") as cache:
        print(await cache.get("greeting"))

It needs pyzmq and msgspec only. Its modules: ``routing`` decides, ``patience`` and ``sessions``
with it; ``calls`` is what both clients ask, ``commands`` and ``async_commands`` are their methods;
``calling`` performs calls over ``connection``, ``exchange`` over ``channel``; ``lanes`` lets calls
travel together; ``codec`` knows the bytes, ``values`` and ``records`` what programs see.
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
    Undecodable,
    Unreachable,
    Unsupported,
    WindowFull,
    WrongType,
)
from .local import NoLocalCluster, local_endpoints
from .pipelines import AsyncPipeline, Deferred, Pipeline
from .records import (
    Compare,
    Delete,
    Event,
    Expire,
    Fence,
    Get,
    Incr,
    Item,
    Member,
    Operation,
    Outcome,
    Page,
    Record,
    Set,
    TxnResult,
    Written,
)
from .sessions import Session, State
from .sync import Client
from .values import JSON, MSGPACK, STR, Codec
from .watching import Watch

if TYPE_CHECKING:
    from .aio import AsyncClient
    from .async_watching import AsyncWatch

connect = Client
"""Make a :class:`Client`."""

__all__ = [
    "JSON",
    "MSGPACK",
    "STR",
    "AsyncClient",
    "AsyncPipeline",
    "AsyncWatch",
    "BadRequest",
    "Client",
    "Codec",
    "Compacted",
    "Compare",
    "Conflict",
    "Deferred",
    "DefiniteError",
    "Delete",
    "Event",
    "Expire",
    "Fence",
    "Fenced",
    "Forbidden",
    "Get",
    "Incr",
    "IndefiniteError",
    "InternalError",
    "Item",
    "Member",
    "NoLeader",
    "NoLocalCluster",
    "NoSpace",
    "NotLeader",
    "Operation",
    "OutOfRange",
    "Outcome",
    "OutcomeUnknown",
    "OverQuota",
    "Overloaded",
    "Page",
    "Pipeline",
    "RaftCacheError",
    "Record",
    "RequestError",
    "Session",
    "SessionExpired",
    "Set",
    "StaleSeq",
    "State",
    "Timeout",
    "TooLarge",
    "TxnResult",
    "Unauthorized",
    "Undecodable",
    "Unreachable",
    "Unsupported",
    "Watch",
    "WindowFull",
    "Written",
    "WrongType",
    "connect",
    "local_endpoints",
]


_LATER = {"AsyncClient": ".aio", "AsyncWatch": ".async_watching"}


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER})


def __getattr__(name: str) -> Any:
    """Import what needs asyncio when it is asked for: that takes its time."""
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 - see above

    return getattr(import_module(_LATER[name], __name__), name)
