"""What the store should do, in the plainest way: a dict, and a copy of it for every revision.

No order, no digest, no budget, no bound on the past. Failures carry no message here.
"""

import re

from raftcache.store.commands import Batch, Command, Delete, Get, Incr, Operation, Query, Range, Set
from raftcache.store.results import (
    BatchResult,
    DeleteResult,
    Failure,
    GetResult,
    IncrResult,
    Item,
    RangeResult,
    Result,
    SetResult,
    SingleResult,
)

State = dict[bytes, tuple[bytes, int, int, int]]
"""Key to value, mod_rev, create_rev and key_version."""


class Model:
    """A dict, and what it was at each revision."""

    def __init__(self) -> None:
        self.state: State = {}
        self.moments: list[State] = [{}]

    @property
    def store_rev(self) -> int:
        """The number of changes."""
        return len(self.moments) - 1

    def do(self, command: Command | Query) -> Result:
        """Do a command or a query."""
        if isinstance(command, Batch):
            return BatchResult([self.operate(op) for op in command.ops])
        return self.operate(command)

    def operate(self, op: Operation) -> SingleResult:
        """Do an operation."""
        match op:
            case Get(key):
                return GetResult(True, *self.state[key]) if key in self.state else GetResult()
            case Range():
                return self.range(op)
            case Incr(key, by):
                return self.incr(key, by)
            case Set() | Delete():
                return self.conflict(op) or self.change(op)
            case _:
                return Failure(op.error, "")

    def conflict(self, op: Set | Delete) -> Failure | None:
        """Return the failure of a condition, if one fails."""
        value, mod_rev = self.state[op.key][:2] if op.key in self.state else (None, 0)
        rev_holds = op.if_mod_rev in {None, mod_rev}
        if rev_holds and op.if_value in {None, value}:
            return None
        return Failure("conflict", "", mod_rev=mod_rev, value=value)

    def change(self, op: Set | Delete) -> SetResult | DeleteResult:
        """Set or delete."""
        before = self.state.get(op.key)
        prev = before[0] if before and op.prev else None
        if isinstance(op, Set):
            return SetResult(self.put(op.key, op.value), before is None, prev, op.prev)
        if before:
            del self.state[op.key]
            self.moments.append(dict(self.state))
        return DeleteResult(1 if before else 0, prev, op.prev)

    def incr(self, key: bytes, by: int) -> SingleResult:
        """Add."""
        value = self.state[key][0] if key in self.state else b"0"
        if not re.fullmatch(rb"0|-?[1-9][0-9]*", value):
            return Failure("wrong_type", "")
        number = int(value) + by
        if number not in range(-(2**63), 2**63):
            return Failure("out_of_range", "")
        return IncrResult(number, self.put(key, str(number).encode()))

    def put(self, key: bytes, value: bytes) -> int:
        """Store a value and return its revision."""
        rev = self.store_rev + 1
        _, _, create_rev, key_version = self.state.get(key, (b"", 0, rev, 0))
        self.state[key] = (value, rev, create_rev, key_version + 1)
        self.moments.append(dict(self.state))
        return rev

    def range(self, op: Range) -> SingleResult:
        """List keys of a moment."""
        at_rev = self.store_rev if op.at_rev is None else op.at_rev
        if at_rev > self.store_rev:
            return Failure("bad_request", "")
        found = sorted(
            (key, record)
            for key, record in self.moments[at_rev].items()
            if op.start <= key and (op.end is None or key < op.end)
        )
        if op.count_only:
            return RangeResult([], len(found), False, at_rev)
        items = [
            Item(key, None if op.keys_only else value, *revisions)
            for key, (value, *revisions) in found[: op.limit]
        ]
        return RangeResult(items, len(items), len(found) > op.limit, at_rev)
