"""The definition of linearizability, spelled out: try every order of every choice of operations.

Shares nothing with the checker but the record of an operation. Revisions are settled afterwards: an
order is walked with a number for each change, answers tie numbers to revisions, and in the end the
tied ones must rise.
"""

import itertools
from collections.abc import Iterator, Sequence

import msgspec

from orchestrator.verify.history import Operation

MISSING = 0
INTEGERS = range(-(2**63), 2**63)


def explained(operations: Sequence[Operation]) -> bool:
    """Whether some order explains every answer about one key."""
    certain = [o for o in operations if o.outcome == "ok" or _tells(o)]
    unknown = [o for o in operations if o.outcome == "unknown" and o.op != "get"]
    for count in range(len(unknown) + 1):
        for chosen in itertools.combinations(unknown, count):
            if any(_fits(order) for order in _orders([*certain, *chosen])):
                return True
    return False


def _tells(operation: Operation) -> bool:
    return operation.outcome == "failed" and operation.error in {
        "conflict",
        "wrong_type",
        "out_of_range",
    }


def _orders(operations: Sequence[Operation]) -> Iterator[tuple[Operation, ...]]:
    """Return the orders in which nothing comes before what had ended when it began."""
    for order in itertools.permutations(operations):
        if all(
            later.outcome == "unknown" or later.return_ns >= earlier.call_ns  # type: ignore[operator]
            for earlier, later in itertools.combinations(order, 2)
        ):
            yield order


class _Walk:
    def __init__(self) -> None:
        self.value: str | None = None
        self.change = MISSING
        self.changes = 0
        self.tied: dict[int, int] = {}

    def tie(self, revision: int | None) -> bool:
        """Say that the current value has this revision."""
        if revision is None:
            return True
        if revision == 0 or self.value is None:
            return revision == 0 and self.value is None
        return self.tied.setdefault(self.change, revision) == revision

    def put(self, value: str | None) -> None:
        self.value = value
        self.changes += 1
        self.change = self.changes


def _fits(order: Sequence[Operation]) -> bool:
    walk = _Walk()
    for operation in order:
        if operation.outcome == "failed":
            good = _refused(walk, operation)
        elif operation.op == "get":
            good = _get(walk, operation)
        elif operation.op == "incr":
            good = _incr(walk, operation)
        else:
            good = _change(walk, operation)
        if not good:
            return False
    revisions = [walk.tied[change] for change in sorted(walk.tied)]
    return all(a < b for a, b in itertools.pairwise(revisions))


def _get(walk: _Walk, operation: Operation) -> bool:
    result = operation.result
    if not result.found:
        return walk.value is None
    return walk.value == result.value and walk.tie(result.mod_rev)


def _incr(walk: _Walk, operation: Operation) -> bool:
    try:
        total = int(walk.value or "0") + operation.args.by
    except ValueError:
        return False
    if total not in INTEGERS:
        return False
    if operation.outcome == "ok" and operation.result.value != str(total):
        return False
    walk.put(str(total))
    return operation.outcome != "ok" or walk.tie(operation.result.mod_rev)


def _change(walk: _Walk, operation: Operation) -> bool:
    args, result, known = operation.args, operation.result, operation.outcome == "ok"
    if args.if_mod_rev is not None and not walk.tie(args.if_mod_rev):
        return False
    if args.if_value is not None and walk.value != args.if_value:
        return False
    there = walk.value is not None
    if known and not isinstance(result.prev, msgspec.UnsetType) and result.prev != walk.value:
        return False
    if operation.op == "delete":
        if known and result.deleted is not None and result.deleted is not there:
            return False
        if there:
            walk.put(None)
        return True
    if known and result.created is not None and result.created is there:
        return False
    assert isinstance(args.value, str)
    walk.put(args.value)
    return not known or walk.tie(result.mod_rev)


def _refused(walk: _Walk, operation: Operation) -> bool:
    """What a conflict tells of the key has to be so, and its condition must not hold."""
    args, result = operation.args, operation.result
    if operation.error != "conflict":
        try:
            total = int(walk.value or "0") + args.by
        except ValueError:
            return operation.error == "wrong_type"
        return operation.error == "out_of_range" and total not in INTEGERS
    told_value = result.value is not None or result.found is False or result.mod_rev == 0
    if told_value and result.value != walk.value:
        return False
    if result.mod_rev is not None and not walk.tie(result.mod_rev):
        return False
    revision = 0 if walk.value is None else walk.tied.get(walk.change)
    met = args.if_mod_rev in {None, revision} and args.if_value in {None, walk.value}
    return not met
