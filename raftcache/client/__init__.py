"""The Python client of Raft Cache.

    from raftcache.client import Client

    with Client("tcp://127.0.0.1:7401,tcp://127.0.0.1:7402") as cache:
        cache.set("greeting", "hello")
        print(cache.get("greeting"))

It needs pyzmq and msgspec only. Its modules: ``routing`` decides, ``sync`` performs, ``connection``
is one socket, ``codec`` knows the bytes, ``records`` holds the values.
"""

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
from .records import Delete, Get, Incr, Item, Member, Operation, Outcome, Page, Record, Set, Written
from .sync import Client

__all__ = [
    "BadRequest",
    "Client",
    "Compacted",
    "Conflict",
    "DefiniteError",
    "Delete",
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
