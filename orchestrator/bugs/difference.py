"""Where, and on what condition, a bug makes a difference: for edits that change one expression.

Most planted bugs change a condition or a value. The sound value and the other one can then be
computed side by side, and only a run in which they differ can notice the bug. What can't be
computed without an effect of its own counts as different whenever it is come to.
"""

import ast
from collections.abc import Callable
from typing import Any, Final, NamedTuple

_PURE: Final = frozenset(
    {
        "_halves",
        "_name_of",
        "_stored_by_majority",
        "all",
        "any",
        "bool",
        "bytes",
        "committed_index",
        "count",
        "dict",
        "difference",
        "endswith",
        "get",
        "getattr",
        "has_quorum",
        "highest_incarnation",
        "incarnation_of",
        "int",
        "is_electable",
        "is_free",
        "is_in_progress",
        "is_up_to_date",
        "is_voter",
        "isinstance",
        "items",
        "keys",
        "len",
        "list",
        "majority",
        "max",
        "member",
        "min",
        "next",
        "partition",
        "range",
        "reversed",
        "rpartition",
        "set",
        "sorted",
        "startswith",
        "str",
        "sum",
        "takes_part",
        "term_at",
        "tuple",
        "type",
        "values",
        "version_of",
        "vote_outcome",
    }
)
"""Functions and methods that change nothing, by their bare names."""
_SCALARS: Final = (bool, int, float, str, bytes, type(None))


class Difference(NamedTuple):
    """One expression of the sound program, and what the bug has in its place."""

    node: ast.expr
    other: ast.expr
    is_test: bool
    """Only whether it is true counts."""


def difference(sound: ast.AST, changed: ast.AST) -> Difference | None:
    """Return the one expression in which two programs differ; None: it is more, or has effects."""
    found = _smallest(sound, changed, None)
    if found is None:
        return None
    whole, inner = found
    for one in (whole, inner):
        if one is not None and is_pure(one.node) and is_pure(one.other):
            return one
    return None


def is_pure(node: ast.AST) -> bool:
    """Tell whether an expression can be computed twice."""
    for part in ast.walk(node):
        if isinstance(part, ast.NamedExpr | ast.Await | ast.Yield | ast.YieldFrom):
            return False
        if isinstance(part, ast.Call):
            called = part.func
            name = called.attr if isinstance(called, ast.Attribute) else None
            name = called.id if isinstance(called, ast.Name) else name
            if name not in _PURE:
                return False
    return True


def is_other(value: Any, compute: Callable[[], Any]) -> bool:
    """Tell whether a value is another one, for all that can be seen."""
    try:
        other = compute()
    except Exception:  # noqa: BLE001 - then the bug would be noticed here
        return True
    return not (_is_plain(value) and _is_plain(other)) or value != other or _kind(value, other)


def _kind(value: Any, other: Any) -> bool:
    return type(value) is not type(other)


def _is_plain(value: Any) -> bool:
    """Tell whether equal means the same: nothing that can be changed or has a name of its own."""
    if isinstance(value, tuple):
        return all(map(_is_plain, value))
    return isinstance(value, (*_SCALARS, range))


def _smallest(
    sound: ast.AST, changed: ast.AST, test: Difference | None
) -> tuple[Difference | None, Difference | None] | None:
    """Return the condition around the difference, if any, and the smallest expression with it."""
    if type(sound) is type(changed):
        pairs = _children(sound, changed)
        if pairs is not None:
            unequal = [pair for pair in pairs if ast.dump(pair[1]) != ast.dump(pair[2])]
            if len(unequal) == 1:
                field, one, other = unequal[0]
                both = isinstance(one, ast.expr) and isinstance(other, ast.expr)
                if field == "test" and both and not isinstance(sound, ast.Assert):
                    test = Difference(one, other, is_test=True)  # type: ignore[arg-type]
                deeper = _smallest(one, other, test)
                if deeper is not None:
                    return deeper
    if not (isinstance(sound, ast.expr) and isinstance(changed, ast.expr)):
        return None
    is_read = not isinstance(getattr(sound, "ctx", None), ast.Store | ast.Del)
    return (test, Difference(sound, changed, is_test=False) if is_read else None)


def _children(sound: ast.AST, changed: ast.AST) -> list[tuple[str, ast.AST, ast.AST]] | None:
    """Return the parts of two nodes, side by side; None: they are of another shape."""
    pairs: list[tuple[str, ast.AST, ast.AST]] = []
    for field in sound._fields:
        one, other = getattr(sound, field, None), getattr(changed, field, None)
        ones = one if isinstance(one, list) else [one]
        others = other if isinstance(other, list) else [other]
        if len(ones) != len(others):
            return None
        for left, right in zip(ones, others, strict=True):
            if isinstance(left, ast.AST) and isinstance(right, ast.AST):
                pairs.append((field, left, right))
            elif left != right:
                return None
    return pairs
