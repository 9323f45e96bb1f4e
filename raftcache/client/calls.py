"""What each method of a client asks and what it makes of the answer: shared by both drivers.

A :class:`Plan` is a request without its id, its times and its way there, and how to read the reply.
Both clients have a method for each function here; they differ only in how they perform it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Generic, TypeVar

import msgspec

from . import codec
from .codec import Fields
from .records import (
    Delete,
    Expire,
    Get,
    Incr,
    Member,
    Operation,
    Outcome,
    Page,
    Record,
    Set,
    Text,
    Written,
)
from .routing import Answered, Kind, Refused
from .routing import Outcome as Settled

T = TypeVar("T")

PAGE_LIMIT: Final = 1_000


class Plan(msgspec.Struct, Generic[T], frozen=True):
    """One request: ``read`` makes the method's result of the reply."""

    op: str
    fields: Fields
    kind: Kind
    read: Callable[[Fields], T]
    pinned: str | None = None
    """The one endpoint that may answer; None: any."""


def get_record(key: Text, *, local: bool) -> Plan[Record | None]:
    """Plan a ``get``."""
    return _reading("get", {"key": codec.as_bytes(key)}, codec.record_of, local=local)


def write(
    key: Text,
    value: Text,
    *,
    if_mod_rev: int | None,
    if_value: Text | None,
    ttl: float | None = None,
) -> Plan[Written]:
    """Plan a ``set``."""
    op, fields = codec.operation_fields(Set(key, value, if_mod_rev, if_value, ttl))
    return Plan(op, fields, Kind.MUTATION, codec.written_of)


def delete(key: Text, *, if_mod_rev: int | None, if_value: Text | None) -> Plan[bool]:
    """Plan a ``delete``."""
    op, fields = codec.operation_fields(Delete(key, if_mod_rev, if_value))
    return Plan(op, fields, Kind.MUTATION, _deleted)


def incr(key: Text, by: int, ttl: float | None = None) -> Plan[int]:
    """Plan an ``incr``."""
    op, fields = codec.operation_fields(Incr(key, by, ttl))
    return Plan(op, fields, Kind.MUTATION, _value)


def expire(key: Text, ttl: float | None) -> Plan[bool]:
    """Plan an ``expire``."""
    op, fields = codec.operation_fields(Expire(key, ttl))
    return Plan(op, fields, Kind.MUTATION, _found)


def batch(operations: Sequence[Operation]) -> Plan[list[Outcome]]:
    """Plan a ``batch``: a read only if all of it reads."""
    ops = []
    for operation in operations:
        op, fields = codec.operation_fields(operation)
        ops.append({"op": op, **fields})
    only_reads = all(isinstance(operation, Get) for operation in operations)

    def outcomes(reply: Fields) -> list[Outcome]:
        return codec.outcomes_of(operations, reply["results"])

    return Plan("batch", {"ops": ops}, Kind.READ if only_reads else Kind.MUTATION, outcomes)


def page(
    prefix: Text | None,
    *,
    start: Text | None = None,
    end: Text | None = None,
    limit: int = PAGE_LIMIT,
    keys_only: bool = False,
    after: Text | None = None,
    at_rev: int | None = None,
    local: bool = False,
) -> Plan[Page]:
    """Plan one page of a ``range``."""
    fields = _range_fields(prefix, start, end)
    fields["limit"] = limit
    if keys_only:
        fields["keys_only"] = True
    if after is not None:
        fields["after"] = codec.as_bytes(after)
    if at_rev is not None:
        fields["at_rev"] = at_rev
    return _reading("range", fields, codec.page_of, local=local)


def next_page(prefix: Text, before: Page, *, keys_only: bool) -> Plan[Page] | None:
    """Plan the page of the same moment that follows, or None when that was the last."""
    if not before.more or not before.items:
        return None
    last = before.items[-1].key
    return page(prefix, keys_only=keys_only, after=last, at_rev=before.at_rev)


def count(prefix: Text) -> Plan[int]:
    """Plan a ``range`` that only counts."""
    return _reading("range", {**_range_fields(prefix, None, None), "count_only": True}, _count)


def ask(
    op: str, endpoint: str | None = None, fields: Fields | None = None
) -> Plan[Mapping[str, Any]]:
    """Plan a question about a node itself: any, or the one at ``endpoint``."""
    return Plan(op, fields or {}, Kind.READ, _whole, endpoint)


def members() -> Plan[list[Member]]:
    """Plan a ``members``."""
    return Plan("members", {}, Kind.READ, codec.members_of)


def outcome_of(reply: Fields) -> Settled:
    """Return what a node's reply means for the call's way."""
    leader = codec.leader_of(reply)
    return Answered(leader) if reply["ok"] else Refused(codec.error_of(reply), leader)


def parse_endpoints(endpoints: str | Sequence[str]) -> tuple[str, ...]:
    """Return the endpoints that a caller gave, each once.

    Raises:
        ValueError: there is none, or one is none.
    """
    parts = endpoints.split(",") if isinstance(endpoints, str) else endpoints
    found = tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
    if not found:
        raise ValueError("a Client needs at least one endpoint, as in tcp://127.0.0.1:7401")
    for endpoint in found:
        if not endpoint.startswith(("tcp://", "ipc://")):
            raise ValueError(f"{endpoint!r} is no endpoint: write it as tcp://127.0.0.1:7401")
    return found


def _reading(
    op: str, fields: Fields, read: Callable[[Fields], T], *, local: bool = False
) -> Plan[T]:
    if local:
        fields["read"] = "local"
    return Plan(op, fields, Kind.READ, read)


def _range_fields(prefix: Text | None, start: Text | None, end: Text | None) -> Fields:
    if prefix is not None:
        if start is not None or end is not None:
            raise ValueError("a range is given by prefix, or by start and end, not by both")
        return {"prefix": codec.as_bytes(prefix)}
    if start is None or end is None:
        raise ValueError("a range needs prefix, or start and end")
    return {"start": codec.as_bytes(start), "end": codec.as_bytes(end)}


def _deleted(reply: Fields) -> bool:
    return bool(reply["deleted"])


def _found(reply: Fields) -> bool:
    return bool(reply["found"])


def _value(reply: Fields) -> int:
    return int(reply["value"])


def _count(reply: Fields) -> int:
    return int(reply["count"])


def _whole(reply: Fields) -> Mapping[str, Any]:
    return reply
