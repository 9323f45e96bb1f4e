"""What the store should do, in the plainest way: a dict, and a copy of it for every revision.

No order, no digest, no budget, no bound on the past. Failures carry no message here.
"""

import re
from collections.abc import Sequence

from raftcache.store.commands import (
    Batch,
    CheckDigest,
    CloseSession,
    Command,
    Delete,
    Expire,
    Get,
    Incr,
    IncrExpiring,
    KeepAlive,
    Once,
    OpenSession,
    Operation,
    Query,
    RaiseVersion,
    Range,
    Set,
    SetExpiring,
)
from raftcache.store.results import (
    BatchResult,
    DeleteResult,
    ExpireResult,
    Failure,
    GetResult,
    IncrResult,
    Item,
    RangeResult,
    Result,
    SetResult,
    SingleResult,
)

EXPIRED_MAX = 1_000

State = dict[bytes, tuple[bytes, int, int, int]]
"""Key to value, mod_rev, create_rev and key_version."""


class Model:
    """A dict, and what it was at each revision."""

    def __init__(self) -> None:
        self.state: State = {}
        self.moments: list[State] = [{}]
        self.time_ms = 0
        self.deadlines: dict[bytes, int] = {}

    @property
    def store_rev(self) -> int:
        """The number of changes."""
        return len(self.moments) - 1

    def apply(self, commands: Sequence[Command], stamp_ms: int) -> list[Result]:
        """Let time reach ``stamp_ms`` and what is due go, then do the commands of an entry."""
        self.time_ms = stamp_ms
        due = sorted((at, key) for key, at in self.deadlines.items() if at <= stamp_ms)
        for _, key in due[:EXPIRED_MAX]:
            self.remove(key)
        return [self.do(command) for command in commands]

    def do(self, command: Command | Query) -> Result:
        """Do a command or a query."""
        if isinstance(command, Batch):
            return BatchResult([self.operate(op) for op in command.ops])
        assert not isinstance(command, RaiseVersion | CheckDigest), "no client asks for that"
        assert not isinstance(command, OpenSession | KeepAlive | CloseSession), "see test_sessions"
        return self.operate(command)

    def operate(self, op: Operation) -> SingleResult:
        """Do an operation."""
        match op:
            case Get(key):
                return self.get(key)
            case Range():
                return self.range(op)
            case Incr(key, by):
                return self.incr(key, by, None)
            case IncrExpiring(key, by, ttl_ms):
                return self.incr(key, by, ttl_ms)
            case Expire(key, ttl_ms):
                return self.expire(key, ttl_ms)
            case Set() | SetExpiring() | Delete():
                return self.conflict(op) or self.change(op)
            case _:
                assert not isinstance(op, Once), "see test_sessions"
                return Failure(op.error, "")

    def get(self, key: bytes) -> GetResult:
        """Read a key."""
        if key not in self.state:
            return GetResult()
        ttl_ms = max(0, self.deadlines[key] - self.time_ms) if key in self.deadlines else None
        return GetResult(True, *self.state[key], ttl_ms)

    def expire(self, key: bytes, ttl_ms: int | None) -> ExpireResult:
        """Change when a key goes, and not its revision."""
        if key not in self.state:
            return ExpireResult(found=False)
        self.set_deadline(key, ttl_ms)
        return ExpireResult(found=True)

    def set_deadline(self, key: bytes, ttl_ms: int | None) -> None:
        """Note when a key goes; None: never."""
        self.deadlines.pop(key, None)
        if ttl_ms is not None:
            self.deadlines[key] = self.time_ms + ttl_ms

    def conflict(self, op: Set | SetExpiring | Delete) -> Failure | None:
        """Return the failure of a condition, if one fails."""
        value, mod_rev = self.state[op.key][:2] if op.key in self.state else (None, 0)
        rev_holds = op.if_mod_rev in {None, mod_rev}
        if rev_holds and op.if_value in {None, value}:
            return None
        return Failure("conflict", "", mod_rev=mod_rev, value=value)

    def change(self, op: Set | SetExpiring | Delete) -> SetResult | DeleteResult:
        """Set or delete."""
        before = self.state.get(op.key)
        prev = before[0] if before and op.prev else None
        if not isinstance(op, Delete):
            rev = self.put(op.key, op.value)
            self.set_deadline(op.key, op.ttl_ms if isinstance(op, SetExpiring) else None)
            return SetResult(rev, before is None, prev, op.prev)
        if before:
            self.remove(op.key)
        return DeleteResult(1 if before else 0, prev, op.prev)

    def remove(self, key: bytes) -> None:
        """Take a key away."""
        del self.state[key]
        self.deadlines.pop(key, None)
        self.moments.append(dict(self.state))

    def incr(self, key: bytes, by: int, ttl_ms: int | None) -> SingleResult:
        """Add; ``ttl_ms`` is for a key that this creates."""
        value = self.state[key][0] if key in self.state else b"0"
        if not re.fullmatch(rb"0|-?[1-9][0-9]*", value):
            return Failure("wrong_type", "")
        number = int(value) + by
        if number not in range(-(2**63), 2**63):
            return Failure("out_of_range", "")
        if key not in self.state and ttl_ms is not None:
            self.set_deadline(key, ttl_ms)
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
