"""A run's history, as the judge of all histories reads it (``orchestrator.verify``).

A batch is so many operations with one interval: it is not all or nothing. A range is a read of
every key it could have told of. Local reads promise less, keys that expire change by
themselves, and pages of the past tell of no present: they are left to ``judge`` and ``moments``.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from ..verify import history as verify
from ..verify.linearizability import Verdict, check
from .workload import BOUND, FAILED, FLEETING, KEYS, OK, UNKNOWN, Operation


def contradictions(history: Iterable[Operation]) -> list[str]:
    """Return for which keys no order of the operations explains the answers."""
    operations = [one for operation in history for one in _translated(operation)]
    found = check(operations)
    return [
        f"{fault.key}: {len(fault.operations)} operations fit no order (linearizability)"
        if fault.verdict is Verdict.INVALID
        else f"{fault.key}: whether {len(fault.operations)} operations fit an order is not known"
        for fault in found.faults
    ]


def _translated(operation: Operation) -> Iterator[verify.Operation]:
    told = operation.asked
    if told.get("read") == "local" or operation.key in (*FLEETING, *BOUND) or "at_rev" in told:
        return
    if operation.op == "batch":
        results = operation.fields.get("results")
        for position, asked in enumerate(operation.asked["ops"]):
            fields, outcome = operation.fields, operation.outcome
            if results is not None and outcome == OK:
                fields = results[position]
                outcome = OK if fields["ok"] else FAILED
            yield _one(operation, asked["op"], asked, fields, outcome)
    elif operation.op == "range":
        if operation.outcome == OK:
            items = {text_of(item["key"]): item for item in operation.fields["items"]}
            for key in KEYS:
                if key.startswith(operation.asked["prefix"]):
                    item = items.get(key)
                    fields = {"found": False} if item is None else {**item, "found": True}
                    yield _one(operation, "get", {"key": key}, fields, OK)
    elif operation.op != "get" or operation.outcome == OK:
        asked = operation.asked or {"key": operation.key, "value": operation.argument}
        yield _one(operation, operation.op, asked, operation.fields, operation.outcome)


def _one(
    operation: Operation, op: str, asked: dict[str, Any], fields: dict[str, Any], outcome: str
) -> verify.Operation:
    returned_us = operation.returned_us
    return verify.Operation(
        client=f"c{operation.client}",
        op=op,  # type: ignore[arg-type]
        key=asked["key"],
        args=verify.Arguments(
            value=asked.get("value"),
            by=asked.get("by", 1),
            if_mod_rev=asked.get("if_mod_rev"),
            if_value=text_of(asked.get("if_value")),
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
            )
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


def text_of(value: Any) -> str | None:
    """Return a value or key as text: MessagePack has bytes, JSON strings."""
    return value.decode() if isinstance(value, bytes) else value
