"""From an operation and its answer to the step of the model that it claims to have made.

A contradiction within one answer (it created the key, and replaced a value) makes a step that is
possible in no state, so that the verdict names this operation.
"""

from collections.abc import Iterator

import msgspec

from .history import Arguments, Binary, Compare, Operation, Result, number
from .models import (
    ANYTHING,
    Anything,
    Bundle,
    Change,
    Condition,
    Conflict,
    Count,
    Erase,
    Judged,
    Look,
    Never,
    NotCounted,
    Read,
    Step,
    Test,
    Value,
    Write,
    value_of,
)


def step_of(operation: Operation, *, answered: bool = True, conditional: bool = True) -> Step:
    """Return the step of an operation.

    Args:
        operation: one that observes, or that may have had an effect.
        answered: hold it to its answer; otherwise only what was asked counts.
        conditional: hold it to its condition.
    """
    if answered and operation.outcome == "failed":
        return _refused(operation)
    if operation.op == "get":
        return _get(operation.result)
    if operation.op == "expire":
        return Read(present=True) if operation.result.found else Read(value=None)
    if operation.op == "txn":
        return _txn(operation, answered=answered, conditional=conditional)
    if operation.op == "incr":
        total = number(operation.result.value) if answered else None
        mod_rev = operation.result.mod_rev if answered else None
        return Count(by=operation.args.by, total=total, mod_rev=mod_rev)
    return _change(operation, answered=answered, conditional=conditional)


def _get(result: Result) -> Step:
    if not result.found:
        return Read(value=None)
    return Read(value=_value(result), revision=result.mod_rev)


def _txn(operation: Operation, *, answered: bool, conditional: bool) -> Step:
    """Return the step of a transaction's part in one key: what it compares, reads and changes.

    What it needs of the key before is the step's own, as far as it comes before its first change:
    so the search knows of it. What it is not held to is only what it may do.
    """
    args, result = operation.args, operation.result
    tests = tuple(_test(one) for one in args.compare) if conditional else ()
    needed: list[Step] = []
    if result.succeeded:
        needed = [step for one in tests if (step := _needs(one)) is not None]
    parts: list[Step] = []
    changed = False
    for part in parts_of(operation):
        step = step_of(part, answered=answered, conditional=conditional)
        if not answered and not isinstance(step, Change | Erase):
            continue
        if not changed:
            needed.append(step)
        changed = changed or isinstance(step, Change | Erase)
        # Inside, everything has one revision, and it is the whole that was answered it.
        changes: dict[str, object] = {"revision": None}
        if isinstance(step, Change):
            changes["mod_rev"] = None
        parts.append(msgspec.structs.replace(step, **changes))
    judged = Judged(tests=tests, succeeded=result.succeeded if conditional else True)
    together = _together(needed)
    if together is None:
        return Never()
    value, present, revision = together
    if not changed:
        return Look(
            value=value, present=present, revision=revision, judged=judged, parts=tuple(parts)
        )
    return Bundle(
        value=value,
        present=present,
        revision=revision,
        mod_rev=result.mod_rev if answered else None,
        judged=judged,
        parts=tuple(parts),
    )


def parts_of(operation: Operation) -> Iterator[Operation]:
    """Yield the operations of a transaction's part in one key, each with its answer."""
    parts = operation.args.then
    results = operation.result.results or (Result(),) * len(parts)
    for part, result in zip(parts, results, strict=True):
        yield msgspec.structs.replace(
            operation, op=part.op, key=part.key, args=part.args, result=result
        )


def _test(compare: Compare) -> Test:
    to = compare.to
    if compare.field == "value" and isinstance(to, str | Binary):
        return Test(compare.field, compare.cmp, value_of(to))
    return Test(compare.field, compare.cmp, to)


def _needs(test: Test) -> Step | None:
    """Return what must be there before, for a comparison that held."""
    if test.cmp == "=" and test.field == "value":
        return Read(value=test.to)
    if test.cmp == "=" and test.field == "mod_rev" and isinstance(test.to, int):
        return Read(revision=test.to) if test.to else Read(value=None)
    return None


def _together(steps: list[Step]) -> tuple[Value | Anything, bool | None, int | None] | None:
    """Return what all of them need, None: that can't be."""
    values = {step.value for step in steps if not isinstance(step.value, Anything)}
    present = {step.present for step in steps if step.present is not None}
    revisions = {step.revision for step in steps if step.revision}
    present |= {value is not None for value in values}
    if len(values) > 1 or len(present) > 1 or len(revisions) > 1:
        return None
    if any(isinstance(step, Never) for step in steps):
        return None
    there = present.pop() if present else None
    value: Value | Anything = values.pop() if values else ANYTHING
    revision = revisions.pop() if revisions else None
    if there is False:
        return (None, None, None) if revision is None else None
    return value, there, revision


def _change(operation: Operation, *, answered: bool, conditional: bool) -> Step:
    """Return the step of a ``set`` or a ``delete``: what it needs comes from three places."""
    args = operation.args
    values: set[Value] = set()
    present: set[bool] = set()
    if conditional:
        _add_condition(args, values, present)
    if answered:
        _add_answer(operation, values, present)
    present |= {value is not None for value in values}
    if len(values) > 1 or len(present) > 1:
        return Never()
    absent = present == {False}
    value = None if absent else values.pop() if values else ANYTHING
    there = True if present == {True} else None
    revision = args.if_mod_rev if conditional and not absent else None
    if operation.op == "set":
        assert args.value is not None, "the reader of histories refuses a set without a value"
        to = value_of(args.value)
        mod_rev = operation.result.mod_rev if answered else None
        return Write(value=value, present=there, revision=revision, to=to, mod_rev=mod_rev)
    return Read(value=None) if absent else Erase(value=value, present=there, revision=revision)


def _add_condition(args: Arguments, values: set[Value], present: set[bool]) -> None:
    if args.if_mod_rev is not None:
        present.add(args.if_mod_rev > 0)
    if args.if_value is not None:
        values.add(value_of(args.if_value))


def _add_answer(operation: Operation, values: set[Value], present: set[bool]) -> None:
    result = operation.result
    if not isinstance(result.prev, msgspec.UnsetType):
        values.add(None if result.prev is None else value_of(result.prev))
    if operation.op == "delete" and result.deleted is not None:
        present.add(result.deleted)
    elif operation.op == "set" and result.created is not None:
        present.add(not result.created)


def _refused(operation: Operation) -> Step:
    """Return the step of an operation that changed nothing, because of what it found."""
    args, result = operation.args, operation.result
    if operation.error != "conflict":
        return NotCounted(by=args.by, out_of_range=operation.error == "out_of_range")
    condition = Condition(
        args.if_mod_rev, None if args.if_value is None else value_of(args.if_value)
    )
    if result.found is False or result.mod_rev == 0:
        # The model's revision of a missing key is 0, as in the condition.
        return Conflict(value=None, condition=condition)
    value: Value | Anything = ANYTHING if result.value is None else _value(result)
    present = True if result.mod_rev is not None or result.value is not None else None
    return Conflict(value=value, present=present, revision=result.mod_rev, condition=condition)


def _value(result: Result) -> Value:
    return None if result.value is None else value_of(result.value)
