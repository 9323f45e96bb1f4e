"""From an operation and its answer to the step of the model that it claims to have made.

A contradiction within one answer (it created the key, and replaced a value) makes a step that is
possible in no state, so that the verdict names this operation.
"""

import msgspec

from .history import Arguments, Operation, Result, number
from .models import (
    ANYTHING,
    Anything,
    Condition,
    Conflict,
    Count,
    Erase,
    Never,
    NotCounted,
    Read,
    Step,
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
    if operation.op == "incr":
        total = number(operation.result.value) if answered else None
        mod_rev = operation.result.mod_rev if answered else None
        return Count(by=operation.args.by, total=total, mod_rev=mod_rev)
    return _change(operation, answered=answered, conditional=conditional)


def _get(result: Result) -> Step:
    if not result.found:
        return Read(value=None)
    return Read(value=_value(result), revision=result.mod_rev)


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
