"""What each method of a client asks and what it makes of the answer: shared by both drivers.

A :class:`Plan` is a request without its id, its times and its way there, and how to read the reply.
Both clients have a method for each function here; they differ only in how they perform it.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgspec

from ..errors import IndefiniteError, TooLarge, Unreachable
from . import codec as wire
from .codec import Fields
from .records import (
    Compare,
    Delete,
    Expire,
    Fence,
    Get,
    Incr,
    Member,
    Operation,
    Outcome,
    Page,
    Record,
    Set,
    TxnResult,
    Written,
)
from .routing import Answered, Kind, Refused
from .routing import Outcome as Settled
from .values import Codec, Text, V, as_bytes

T = TypeVar("T")

Results: TypeAlias = list[Outcome]

PAGE_LIMIT: Final = 1_000
OPERATIONS_MAX: Final = 1_000
"""How many operations a batch may have (docs/protocol.md)."""
SESSION_TTL_MS_MAX: Final = 86_400_000
"""How long a session may live without a sign of life (docs/protocol.md)."""
TIMEOUT_S_MAX: Final = 2_000_000.0
"""The longest deadline, three weeks: its milliseconds fit in whatever counts them."""
_TCP_ENDPOINT: Final = re.compile(r"tcp://[^\s:/]+:(\d{1,5})|tcp://\[[^\s/]+\]:(\d{1,5})")
_PORT_MAX: Final = 65_535


class Plan(msgspec.Struct, Generic[T], frozen=True, gc=False):
    """One request: ``read`` makes the method's result of the reply.

    The ``fields`` of what may stand in a batch tell ``op`` as well.
    """

    op: str
    fields: Fields
    kind: Kind
    read: Callable[[Fields], T]
    pinned: str | None = None
    """The one endpoint that may answer; None: any."""
    joins: bool = False
    """It may travel in a batch with others."""

    @property
    def anyone(self) -> bool:
        """Whether nothing is gained by asking the leader."""
        return self.fields.get("read") == "local" or self.op == "watch"


class Plans(Generic[V]):
    """Makes the plans of a client whose values ``codec`` knows."""

    def __init__(self, codec: Codec[V]) -> None:
        self.codec = codec

    def get_record(self, key: Text, *, local: bool) -> Plan[Record[V] | None]:
        """Plan a ``get``."""
        stored_key = as_bytes(key)
        fields: Fields = {"op": "get", "key": stored_key}

        def read(reply: Fields) -> Record[V] | None:
            return wire.record_of(stored_key, reply, self.codec)

        if local:
            fields["read"] = "local"
        return Plan("get", fields, Kind.READ, read, None, not local)

    def get(self, key: Text, *, local: bool) -> Plan[V | None]:
        """Plan a ``get`` of the value only."""
        stored_key = as_bytes(key)
        fields: Fields = {"op": "get", "key": stored_key}

        def read(reply: Fields) -> V | None:
            return wire.decoded(self.codec, stored_key, reply["value"]) if reply["found"] else None

        if local:
            fields["read"] = "local"
        return Plan("get", fields, Kind.READ, read, None, not local)

    def set(self, operation: Set) -> Plan[int]:
        """Plan a ``set`` of which the new revision is wanted."""
        fields = wire.set_fields(operation, self.codec)
        return Plan("set", fields, Kind.MUTATION, _mod_rev, None, True)

    def write(self, operation: Set) -> Plan[Written]:
        """Plan a ``set`` of which is wanted what became of the key."""
        return self._mutation(operation, wire.written_of)

    def delete(self, operation: Delete) -> Plan[bool]:
        """Plan a ``delete``."""
        return self._mutation(operation, _deleted)

    def incr(self, operation: Incr) -> Plan[int]:
        """Plan an ``incr``."""
        return self._mutation(operation, _value)

    def expire(self, operation: Expire) -> Plan[bool]:
        """Plan an ``expire``."""
        return self._mutation(operation, _found)

    def batch(self, operations: Sequence[Operation]) -> Plan[Results]:
        """Plan a ``batch``: a read only if all of it reads.

        Raises:
            TooLarge: there are more operations than a batch may have.
        """
        operations = operations_of(operations)
        if len(operations) > OPERATIONS_MAX:
            raise TooLarge(
                f"a batch has at most {OPERATIONS_MAX} operations, not {len(operations)}: a"
                " pipeline takes any number"
            )
        only_reads = all(isinstance(operation, Get) for operation in operations)

        def outcomes(reply: Fields) -> Results:
            return wire.outcomes_of(operations, reply["results"], self.codec)

        fields: Fields = {"ops": self._all_fields(operations)}
        return Plan("batch", fields, Kind.READ if only_reads else Kind.MUTATION, outcomes)

    def txn(
        self,
        compare: Sequence[Compare],
        then: Sequence[Operation],
        otherwise: Sequence[Operation],
        fence: Fence | None,
    ) -> Plan[TxnResult]:
        """Plan a ``txn``."""
        then, otherwise = operations_of(then), operations_of(otherwise)
        if isinstance(compare, Compare):
            raise TypeError(f"conditions are given as a list, not as {compare!r}")
        fields: Fields = {
            "compare": [wire.compare_fields(one, self.codec) for one in compare],
            "then": self._all_fields(then),
            "else": self._all_fields(otherwise),
        }
        if fence is not None:
            fields["fence"] = wire.fence_fields(fence)
        only_reads = all(isinstance(operation, Get) for operation in (*then, *otherwise))

        def read(reply: Fields) -> TxnResult:
            return wire.txn_of(then, otherwise, reply, self.codec)

        return Plan("txn", fields, Kind.READ if only_reads else Kind.MUTATION, read)

    def delete_range(
        self, prefix: Text | None, *, start: Text | None, end: Text | None, fence: Fence | None
    ) -> Plan[int]:
        """Plan a ``delete_range``."""
        fields = _range_fields(prefix, start, end)
        if fence is not None:
            fields["fence"] = wire.fence_fields(fence)
        return Plan("delete_range", fields, Kind.MUTATION, _deleted_count)

    def page(
        self,
        prefix: Text | None,
        *,
        start: Text | None = None,
        end: Text | None = None,
        limit: int = PAGE_LIMIT,
        keys_only: bool = False,
        after: Text | None = None,
        at_rev: int | None = None,
        local: bool = False,
    ) -> Plan[Page[V]]:
        """Plan one page of a ``range``."""
        fields = _range_fields(prefix, start, end)
        fields["limit"] = limit
        if keys_only:
            fields["keys_only"] = True
        if after is not None:
            fields["after"] = as_bytes(after)
        if at_rev is not None:
            fields["at_rev"] = at_rev
        if local:
            fields["read"] = "local"

        def read(reply: Fields) -> Page[V]:
            return wire.page_of(reply, self.codec)

        return Plan("range", fields, Kind.READ, read)

    def next_page(self, prefix: Text, before: Page[V], *, keys_only: bool) -> Plan[Page[V]] | None:
        """Plan the page of the same moment that follows, or None when that was the last."""
        if not before.more or not before.items:
            return None
        last = before.items[-1].key
        return self.page(prefix, keys_only=keys_only, after=last, at_rev=before.at_rev)

    def _mutation(self, operation: Operation, read: Callable[[Fields], T]) -> Plan[T]:
        fields = wire.operation_fields(operation, self.codec)
        return Plan(fields["op"], fields, Kind.MUTATION, read, None, True)

    def _all_fields(self, operations: Sequence[Operation]) -> list[Fields]:
        return [wire.operation_fields(operation, self.codec) for operation in operations]


def operations_of(operations: Iterable[Operation]) -> list[Operation]:
    """Return operations as a list.

    Raises:
        TypeError: there is something else among them.
    """
    if isinstance(operations, Operation) or not isinstance(operations, Iterable):
        raise TypeError(f"operations are given as a list, not as {operations!r}")
    found = [*operations]
    for operation in found:
        if not isinstance(operation, Operation):
            raise TypeError(f"{operation!r} is no operation: use Get, Set, Delete, Incr or Expire")
    return found


def count(prefix: Text) -> Plan[int]:
    """Plan a ``range`` that only counts."""
    fields = {**_range_fields(prefix, None, None), "count_only": True}
    return Plan("range", fields, Kind.READ, _count)


def ask(
    op: str, endpoint: str | None = None, fields: Fields | None = None
) -> Plan[Mapping[str, Any]]:
    """Plan a question about a node itself: any, or the one at ``endpoint``.

    Raises:
        ValueError: that is no endpoint.
    """
    if endpoint is not None:
        _check_endpoint(endpoint)
    return Plan(op, fields or {}, Kind.READ, _whole, endpoint)


def members() -> Plan[list[Member]]:
    """Plan a ``members``."""
    return Plan("members", {}, Kind.READ, wire.members_of)


def outcome_of(reply: Fields) -> Settled:
    """Return what a node's reply means for the call's way."""
    leader = wire.leader_of(reply)
    return Answered(leader) if reply["ok"] else Refused(wire.error_of(reply), leader)


def parse_endpoints(endpoints: str | Sequence[str]) -> tuple[str, ...]:
    """Return the endpoints that a caller gave, each once.

    Raises:
        ValueError, TypeError: there is none, or one is none.
    """
    parts = endpoints.split(",") if isinstance(endpoints, str) else endpoints
    if not isinstance(parts, Iterable) or not all(isinstance(part, str) for part in parts):
        raise TypeError(
            f"endpoints are {endpoints!r}: expected str, or a list of them, as tcp://127.0.0.1:7401"
        )
    found = tuple(dict.fromkeys(part.strip() for part in parts if part.strip()))
    if not found:
        raise ValueError("a Client needs at least one endpoint, as in tcp://127.0.0.1:7401")
    for endpoint in found:
        _check_endpoint(endpoint)
    return found


def _check_endpoint(endpoint: str) -> None:
    if endpoint.startswith("ipc://"):
        return
    match = _TCP_ENDPOINT.fullmatch(endpoint)
    if match is None or not 1 <= int(match[1] or match[2]) <= _PORT_MAX:
        raise ValueError(
            f"{endpoint!r} is no endpoint: write it with host and port, as tcp://127.0.0.1:7401"
        )


def parse_timeout(timeout: float) -> float:
    """Return a deadline in seconds: of infinity the longest that there is, of the past now.

    Raises:
        ValueError, TypeError: it is not a number.
    """
    if not isinstance(timeout, int | float):
        raise TypeError(
            f"timeout is {timeout!r}: it is a number of seconds (math.inf: as long as it takes)"
        )
    if math.isnan(timeout):
        raise ValueError("timeout is not a number: it is in seconds")
    return min(max(timeout, 0.0), TIMEOUT_S_MAX)


def parse_session_ttl(seconds: float) -> int:
    """Return a session's time to live in milliseconds.

    Raises:
        ValueError: the cluster would not take it.
    """
    if (
        not isinstance(seconds, int | float)
        or not math.isfinite(seconds)
        or not 1 <= round(seconds * 1_000) <= SESSION_TTL_MS_MAX
    ):
        raise ValueError(
            f"session_ttl is {seconds!r}: it is a number of seconds, from 0.001 to"
            f" {SESSION_TTL_MS_MAX // 1_000} (a day)"
        )
    return round(seconds * 1_000)


def no_session(error: IndefiniteError) -> Unreachable:
    """Say what it means for a write that its session could not be opened: it was never sent."""
    return Unreachable(f"no session could be opened, and so nothing was written: {error}")


def _range_fields(prefix: Text | None, start: Text | None, end: Text | None) -> Fields:
    if prefix is not None:
        if start is not None or end is not None:
            raise ValueError("a range is given by prefix, or by start and end, not by both")
        return {"prefix": as_bytes(prefix)}
    if start is None or end is None:
        raise ValueError("a range needs prefix, or start and end")
    return {"start": as_bytes(start), "end": as_bytes(end)}


def _deleted(reply: Fields) -> bool:
    return bool(reply["deleted"])


def _deleted_count(reply: Fields) -> int:
    return int(reply["deleted"])


def _mod_rev(reply: Fields) -> int:
    return int(reply["mod_rev"])


def _found(reply: Fields) -> bool:
    return bool(reply["found"])


def _value(reply: Fields) -> int:
    return int(reply["value"])


def _count(reply: Fields) -> int:
    return int(reply["count"])


def _whole(reply: Fields) -> Mapping[str, Any]:
    return reply
