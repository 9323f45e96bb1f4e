"""A run's history, as the judge of all histories reads it (``orchestrator.verify``).

A batch is so many operations with one interval: it is not all or nothing. A range is a read of
every key it could have told of. A key with a time to live may go when that has passed by the
fastest clock that any leader may have had; one that is bound to a session, at any time. Local reads
promise less, and pages of the past tell of no present: they are left to ``judge`` and ``moments``.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from ..verify import history as verify
from ..verify.linearizability import Verdict, check
from .profile import CALM, Profile
from .workload import FAILED, FLEETING, KEYS, OK, UNKNOWN, Operation

RATE_MAX = 2_000
"""The fastest that a clock is made to run, in thousandths."""


def contradictions(history: Iterable[Operation], profile: Profile = CALM) -> list[str]:
    """Return for which keys no order of the operations explains the answers."""
    rate = fastest_rate(profile)
    operations = [one for operation in history for one in _translated(operation, rate)]
    found = check(operations)
    return [breach.sentence for breach in found.breaches] + [
        f"{fault.key}: {len(fault.operations)} operations fit no order (linearizability)"
        if fault.verdict is Verdict.INVALID
        else f"{fault.key}: whether {len(fault.operations)} operations fit an order is not known"
        for fault in found.faults
    ]


def fastest_rate(profile: Profile) -> int | None:
    """Return the fastest that a clock may run, in thousandths; None: it may jump."""
    if "clock_jump" in profile.faults:
        return None
    return max((*profile.clock_rates, RATE_MAX if "clock_rate" in profile.faults else 0))


def _translated(operation: Operation, rate: int | None) -> Iterator[verify.Operation]:
    told = operation.asked
    if told.get("read") == "local" or operation.key in FLEETING or "at_rev" in told:
        return
    if operation.op == "batch":
        yield from _of_batch(operation, rate)
    elif operation.op in {"txn", "delete_range"}:
        yield _of_several(operation)
    elif operation.op == "range":
        if operation.outcome == OK:
            items = {text_of(item["key"]): item for item in operation.fields["items"]}
            for key in KEYS:
                if key.startswith(operation.asked["prefix"]):
                    item = items.get(key)
                    fields = {"found": False} if item is None else {**item, "found": True}
                    yield _one(operation, "get", {"key": key}, fields, OK, rate)
    elif operation.op != "get" or operation.outcome == OK:
        asked = operation.asked or {"key": operation.key, "value": operation.argument}
        yield _one(operation, operation.op, asked, operation.fields, operation.outcome, rate)


def _of_batch(operation: Operation, rate: int | None) -> Iterator[verify.Operation]:
    results = operation.fields.get("results")
    for position, asked in enumerate(operation.asked["ops"]):
        fields, outcome = operation.fields, operation.outcome
        if results is not None and outcome == OK:
            fields = results[position]
            outcome = OK if fields["ok"] else FAILED
        yield _one(operation, asked["op"], asked, fields, outcome, rate)


def _one(
    operation: Operation,
    op: str,
    asked: dict[str, Any],
    fields: dict[str, Any],
    outcome: str,
    rate: int | None,
) -> verify.Operation:
    returned_us = operation.returned_us
    fence, ttl_ms = asked.get("fence"), asked.get("ttl_ms")
    if ttl_ms is not None:
        ttl_ms = 0 if rate is None else ttl_ms * 1_000 // rate
    return verify.Operation(
        client=f"c{operation.client}",
        op=op,  # type: ignore[arg-type]
        key=asked["key"],
        args=verify.Arguments(
            value=asked.get("value"),
            by=asked.get("by", 1),
            if_mod_rev=asked.get("if_mod_rev"),
            if_value=text_of(asked.get("if_value")),
            ttl_ms=ttl_ms,
            sliding=asked.get("sliding", False),
            session=0 if asked.get("bind") else None,
            fence=None if fence is None else verify.Fence(fence["key"], fence["create_rev"]),
        ),
        outcome=outcome,  # type: ignore[arg-type]
        call_ns=operation.invoked_us * 1_000,
        return_ns=None if returned_us is None or outcome == UNKNOWN else returned_us * 1_000,
        result=_result(op, fields, outcome),
        error=None if outcome == OK else fields.get("error"),
        node=operation.node,
    )


def _result(op: str, fields: dict[str, Any], outcome: str) -> verify.Result:
    if outcome == OK:
        if op == "get":
            found = fields["found"]
            return verify.Result(
                found=found,
                value=text_of(fields["value"]) if found else None,
                mod_rev=fields["mod_rev"] if found else None,
                create_rev=fields["create_rev"] if found else None,
            )
        if op == "expire":
            return verify.Result(found=fields["found"])
        if op == "incr":
            return verify.Result(value=str(fields["value"]), mod_rev=fields["mod_rev"])
        if op == "delete":
            return verify.Result(deleted=bool(fields["deleted"]))
        return verify.Result(mod_rev=fields["mod_rev"], created=fields["created"])
    if fields.get("error") == "conflict":
        value = text_of(fields["value"])
        found = value is not None
        return verify.Result(found=found, value=value, mod_rev=fields["mod_rev"] if found else None)
    return verify.Result()


def _of_several(operation: Operation) -> verify.Operation:
    """Return a transaction, or a range that is deleted."""
    asked, fields, returned_us = operation.asked, operation.fields, operation.returned_us
    result = verify.Result()
    if operation.outcome == OK and operation.op == "txn":
        done = asked["then" if fields["succeeded"] else "else"]
        told = zip(done, fields["results"], strict=True)
        results = tuple(_result(part["op"], one, OK) for part, one in told)
        result = verify.Result(succeeded=fields["succeeded"], results=results)
    elif operation.outcome == OK:
        result = verify.Result(count=fields["deleted"])
    return verify.Operation(
        client=f"c{operation.client}",
        op=operation.op,  # type: ignore[arg-type]  # one of the two
        args=verify.Arguments(
            prefix=asked.get("prefix"),
            compare=tuple(verify.Compare(**one) for one in asked.get("compare", ())),
            then=_parts(asked.get("then", ())),
            otherwise=_parts(asked.get("else", ())),
        ),
        outcome=operation.outcome,  # type: ignore[arg-type]  # one of the three
        call_ns=operation.invoked_us * 1_000,
        return_ns=None if returned_us is None else returned_us * 1_000,
        result=result,
        error=None if operation.outcome == OK else fields.get("error"),
        node=operation.node,
    )


def _parts(asked: Iterable[dict[str, Any]]) -> tuple[verify.Part, ...]:
    return tuple(
        verify.Part(op=one["op"], key=one["key"], args=verify.Arguments(value=one.get("value")))
        for one in asked
    )


def plain(value: Any) -> Any:
    """Return an answer as it is in JSON, with all that is within it."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    return text_of(value)


def text_of(value: Any) -> str | None:
    """Return a value or key as text: MessagePack has bytes, JSON strings."""
    return value.decode() if isinstance(value, bytes) else value
