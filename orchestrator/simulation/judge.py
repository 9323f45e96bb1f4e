"""A second judge of histories, by revisions: it knows the promises, and nothing of the product.

Registers are only ever set to values that occur once, and every answer tells a revision, so no
search is needed: revisions are the order, and what remains is to compare it with real time. What
fits no such scheme (deletions, batches) is left to ``histories``.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from .histories import text_of
from .workload import (
    FAILED,
    FENCED,
    FLEETING,
    HUGE,
    MIXED,
    OF_SESSIONS,
    OK,
    TALLIES,
    UNKNOWN,
    Operation,
)

_ELSEWHERE = frozenset({*MIXED, *TALLIES, *HUGE, *OF_SESSIONS} - {*FENCED})
"""Keys that are left to the other judges."""


@dataclass(frozen=True)
class _Sight:
    """A revision of a key that somebody got to know, and between when and when."""

    revision: int
    value: object
    invoked_us: int
    returned_us: int
    is_write: bool
    operation: Operation


def judge(history: Iterable[Operation]) -> list[str]:
    """Return what is wrong with a history, in sentences; nothing when all promises were kept."""
    by_key: dict[str, list[Operation]] = defaultdict(list)
    ranges: list[Operation] = []
    fleeting: list[Operation] = []
    for operation in history:
        if operation.op == "range":
            ranges.append(operation)
        elif operation.key in FLEETING:
            fleeting.append(operation)
        elif operation.key and operation.key not in _ELSEWHERE:
            by_key[operation.key].append(operation)
    found: list[str] = []
    for key in sorted(by_key):
        operations = by_key[key]
        if any(operation.op == "incr" for operation in operations):
            found += _judge_counter(key, operations)
        else:
            found += _judge_register(key, operations)
    found += _judge_fleeting(fleeting)
    return found + _judge_revisions(by_key) + _judge_ranges(ranges, by_key)


def _judge_register(key: str, operations: list[Operation]) -> list[str]:
    writes = {operation.argument: operation for operation in operations if operation.op == "set"}
    sights = _sights(operations)
    found: list[str] = []
    values: dict[int, object] = {0: None}
    revisions: dict[object, int] = {}
    for sight in sights:
        if values.setdefault(sight.revision, sight.value) != sight.value:
            found.append(f"{key}: revision {sight.revision} has two values: {sight.operation}")
        if sight.value is None:
            continue
        if revisions.setdefault(sight.value, sight.revision) != sight.revision:
            found.append(f"{key}: {sight.value} was written twice: {sight.operation}")
        write = writes.get(sight.value)
        if write is None or write.outcome == FAILED:
            found.append(f"{key}: {sight.value} was never written, or refused: {sight.operation}")
        elif write.invoked_us > sight.returned_us:
            found.append(f"{key}: {sight.value} was seen before it was sent: {sight.operation}")
    # A write whose outcome nobody was told has taken effect if somebody saw its value.
    for write in writes.values():
        if write.outcome == UNKNOWN and write.argument in revisions:
            at = revisions[write.argument]
            sights.append(_Sight(at, write.argument, write.invoked_us, 2**63, True, write))
    return found + _judge_order(key, sights)


def _judge_order(key: str, sights: list[_Sight]) -> list[str]:
    """Later in real time is later, or equal for a read, in the order of revisions."""
    found = []
    sights = [sight for sight in sights if not _is_local(sight.operation)]
    by_return = sorted(sights, key=lambda sight: sight.returned_us)
    position = 0
    newest: _Sight | None = None
    for later in sorted(sights, key=lambda sight: sight.invoked_us):
        while by_return[position].returned_us < later.invoked_us:
            earlier = by_return[position]
            position += 1
            if newest is None or earlier.revision > newest.revision:
                newest = earlier
        if newest is None:
            continue
        lost = later.revision < newest.revision
        if lost or (later.is_write and later.revision == newest.revision):
            found.append(
                f"{key}: revision {newest.revision} was known when {later.operation} began, "
                f"which has {later.revision}; known by {newest.operation}"
            )
    return found


def _sights(operations: list[Operation]) -> list[_Sight]:
    sights = []
    for operation in operations:
        fields = operation.fields
        if operation.returned_us is None:
            continue
        if operation.outcome == OK:
            is_write = operation.op == "set"
            value = operation.argument if is_write else text_of(fields["value"])
        elif fields.get("error") == "conflict":
            is_write, value = False, text_of(fields["value"])
        else:
            continue
        revision = int(fields["mod_rev"])
        sights.append(
            _Sight(
                revision, value, operation.invoked_us, operation.returned_us, is_write, operation
            )
        )
    return sights


def _judge_counter(key: str, operations: list[Operation]) -> list[str]:
    """Every acknowledged increment counts once, an unknown one at most once."""
    found = []
    increments = [operation for operation in operations if operation.op == "incr"]
    possible = sorted(one.invoked_us for one in increments if one.outcome != FAILED)
    certain = sorted(_returned(one) for one in increments if one.outcome == OK)
    sights = []
    numbers = []
    for operation in operations:
        if operation.outcome != OK:
            continue
        returned_us, is_write = _returned(operation), operation.op == "incr"
        value = operation.fields["value"]
        number = int(value) if is_write else int(text_of(value) or 0)
        if is_write:
            numbers.append(number)
        sights.append(
            _Sight(number, number, operation.invoked_us, returned_us, is_write, operation)
        )
        least = 0 if _is_local(operation) else bisect_left(certain, operation.invoked_us) + is_write
        most = bisect_left(possible, returned_us)
        if not least <= number <= most:
            found.append(f"{key}: {number} is not within {least} and {most}: {operation}")
    if len(set(numbers)) != len(numbers):
        found.append(f"{key}: two increments were told the same number: {sorted(numbers)}")
    return found + _judge_order(key, sights)


def _judge_revisions(by_key: dict[str, list[Operation]]) -> list[str]:
    """Revisions count the changes of the whole store, so they order writes across keys."""
    writes = [
        operation
        for operations in by_key.values()
        for operation in operations
        if operation.outcome == OK and operation.op in ("set", "incr")
    ]
    writes.sort(key=lambda operation: int(operation.fields["mod_rev"]))
    found = []
    earliest_return: Operation | None = None
    for write in reversed(writes):
        # Of all writes with a higher revision, none may have returned before this one began.
        if earliest_return is not None and _returned(earliest_return) < write.invoked_us:
            found.append(f"{write} began after {earliest_return} and has a lower revision")
        if earliest_return is None or _returned(write) < _returned(earliest_return):
            earliest_return = write
    seen = [int(write.fields["mod_rev"]) for write in writes]
    if len(set(seen)) != len(seen):
        found.append("two writes were told the same revision")
    return found


def _judge_ranges(ranges: list[Operation], by_key: dict[str, list[Operation]]) -> list[str]:
    """A page shows one moment: at its revision, no item is older than what was written by then."""
    revisions = {
        key: sorted(
            int(operation.fields["mod_rev"])
            for operation in operations
            if operation.outcome == OK and operation.op in ("set", "incr")
        )
        for key, operations in by_key.items()
    }
    found = []
    for page in ranges:
        if page.outcome != OK:
            continue
        shown = {text_of(item["key"]): int(item["mod_rev"]) for item in page.fields["items"]}
        at_rev = int(page.fields["at_rev"])
        for key, known in revisions.items():
            if not key.startswith(page.asked["prefix"]):
                continue
            newest = max((revision for revision in known if revision <= at_rev), default=0)
            if shown.get(key, 0) < newest:
                found.append(f"{key}: revision {newest} is missing at {at_rev}: {page}")
    return found


def _judge_fleeting(operations: list[Operation]) -> list[str]:
    """What was seen to have expired never comes back; what is seen was written."""
    sets = {one.argument: one for one in operations if one.op == "set"}
    gets = [one for one in operations if one.op == "get" and one.outcome == OK]
    missing = [one for one in gets if not one.fields["found"]]
    found = []
    for sight in gets:
        if not sight.fields["found"]:
            continue
        write = sets.get(text_of(sight.fields["value"]))
        if write is None or write.outcome == FAILED or write.key != sight.key:
            found.append(f"{sight.key} was never written like this: {sight}")
        elif write.outcome == OK:
            gone = [
                one
                for one in missing
                if one.key == sight.key
                and _returned(write) < one.invoked_us
                and _returned(one) < sight.invoked_us
            ]
            if gone:
                found.append(f"{sight.key} had expired, and is back: {gone[0]}, then {sight}")
    return found


def _is_local(operation: Operation) -> bool:
    return operation.asked.get("read") == "local"


def _returned(operation: Operation) -> int:
    assert operation.returned_us is not None, "it was answered"
    return operation.returned_us
