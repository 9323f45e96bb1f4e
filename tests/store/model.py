"""What the store should do, in the plainest way: a dict, and a copy of it for every revision.

No order, no digest, no budget, no bound on the past. Failures carry no message here.
"""

import copy
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from raftcache.store.commands import (
    Batch,
    CheckDigest,
    CloseSession,
    Command,
    Compact,
    Compare,
    Delete,
    DeleteRange,
    Evict,
    Expire,
    Fenced,
    Get,
    Incr,
    IncrExpiring,
    KeepAlive,
    Once,
    OnceRun,
    OpenSession,
    Operation,
    Query,
    RaiseVersion,
    Range,
    Set,
    SetExpiring,
    SetFully,
    Touch,
    Txn,
)
from raftcache.store.results import (
    BatchResult,
    CompactResult,
    DeleteRangeResult,
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
    TxnResult,
)

EXPIRED_MAX = 1_000
DELETED_MAX = 10_000

State = dict[bytes, tuple[bytes, int, int, int]]
"""Key to value, mod_rev, create_rev and key_version."""


class Model:
    """A dict, and what it was at each revision."""

    def __init__(self) -> None:
        self.state: State = {}
        self.moments: list[State] = [{}]
        self.time_ms = 0
        self.deadlines: dict[bytes, int] = {}
        self.sliding: dict[bytes, int] = {}
        self.oldest = 0
        """The oldest revision that may still be asked for."""
        self.kinds: list[dict[bytes, str]] = [{}]
        """What happened to which keys at each revision."""
        self.shared = False
        """Changes are made at the last revision, which they share."""

    @property
    def store_rev(self) -> int:
        """The number of changes."""
        return len(self.moments) - 1

    def apply(self, commands: Sequence[Command], stamp_ms: int) -> list[Result]:
        """Let time reach ``stamp_ms`` and what is due go, then do the commands of an entry."""
        self.time_ms = stamp_ms
        due = sorted((at, key) for key, at in self.deadlines.items() if at <= stamp_ms)
        for _, key in due[:EXPIRED_MAX]:
            self.remove(key, "expire")
        return [self.do(command) for command in commands]

    def do(self, command: Command | Query) -> Result:
        """Do a command or a query."""
        self.deletable = DELETED_MAX
        if isinstance(command, Fenced) and isinstance(command.op, Batch):
            return self.fenced(command) or self.do(command.op)
        if isinstance(command, Batch):
            return BatchResult([self.operate(op) for op in command.ops])
        if isinstance(command, RaiseVersion | CheckDigest):
            return ExpireResult(found=True)
        if isinstance(command, Compact):
            return self.compact(command)
        unmodelled = OpenSession | KeepAlive | CloseSession | OnceRun
        assert not isinstance(command, unmodelled), "see test_sessions, test_runs"
        return self.operate(command)

    def compact(self, command: Compact) -> SingleResult:
        """Let the moments before one not be asked for any more."""
        to = self.store_rev if command.to is None else command.to
        if to > self.store_rev:
            return Failure("bad_request", "")
        self.oldest = max(self.oldest, to)
        return CompactResult(self.oldest)

    def operate(self, op: Operation | Txn | Touch | Evict) -> SingleResult:
        """Do an operation."""
        match op:
            case SetFully(session=session) if session is not None:
                return Failure("session_expired", "")
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
            case Set() | SetExpiring() | SetFully() | Delete():
                return self.conflict(op) or self.change(op)
            case Fenced() | Txn() | DeleteRange() | Touch() | Evict():
                return self.extend(op)
            case _:
                assert not isinstance(op, Once), "see test_sessions"
                return Failure(op.error, "")

    def extend(self, op: Fenced | Txn | DeleteRange | Touch | Evict) -> SingleResult:
        """Do what came with version 3."""
        match op:
            case Fenced():
                assert not isinstance(op.op, Batch), "that is no operation"
                return self.fenced(op) or self.operate(op.op)
            case Txn():
                return self.txn(op)
            case DeleteRange():
                return self.delete_range(op)
            case Touch(key, mod_rev):
                found = key in self.sliding and self.state[key][1] == mod_rev
                if found:
                    self.deadlines[key] = self.time_ms + self.sliding[key]
                return ExpireResult(found)
            case Evict(key, mod_rev):
                found = key in self.state and self.state[key][1] == mod_rev
                if found:
                    self.remove(key, "evict")
                return ExpireResult(found)

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
        self.set_deadline(key, ttl_ms, slides=key in self.sliding)
        return ExpireResult(found=True)

    def set_deadline(self, key: bytes, ttl_ms: int | None, *, slides: bool = False) -> None:
        """Note when a key goes; None: never."""
        self.deadlines.pop(key, None)
        self.sliding.pop(key, None)
        if ttl_ms is not None:
            self.deadlines[key] = self.time_ms + ttl_ms
            if slides:
                self.sliding[key] = ttl_ms

    def fenced(self, command: Fenced) -> Failure | None:
        """Return the failure of a fence, if it stands in the way."""
        if command.key in self.state and self.state[command.key][2] == command.create_rev:
            return None
        return Failure("fenced", "")

    def txn(self, op: Txn) -> SingleResult:
        """Do all of a branch, or nothing: on a copy of everything."""
        succeeded = all(self.holds(compare) for compare in op.compares)
        saved = copy.deepcopy(self.__dict__)
        before = self.state
        self.moments.append(dict(self.state))
        self.kinds.append({})
        self.shared = True
        results: list[SingleResult] = []
        for step in op.then if succeeded else op.otherwise:
            result: SingleResult = Failure("bad_request", "")
            if not (isinstance(step, Range) and step.at_rev is not None):
                result = self.operate(step)
            if isinstance(step, Range) and isinstance(result, RangeResult) and not self.kinds[-1]:
                result = msgspec.structs.replace(result, at_rev=self.store_rev - 1)
            results.append(result)
            if isinstance(result, Failure):
                self.__dict__.update(saved)
                return result
        self.shared = False
        if not self.kinds[-1]:
            assert self.state == before, "what changed has a kind"
            self.kinds.pop()
            self.moments.pop()
        return TxnResult(succeeded, results)

    def holds(self, compare: Compare) -> bool:
        """Tell whether a condition of a transaction does."""
        record = self.state.get(compare.key)
        value, mod_rev, create_rev, key_version = record or (None, 0, 0, 0)
        now: Any = {
            "value": value,
            "mod_rev": mod_rev,
            "create_rev": create_rev,
            "key_version": key_version,
            "exists": record is not None,
        }[compare.field]
        if now is None:
            return False
        to: Any = compare.to
        return bool({"=": now == to, "!=": now != to, "<": now < to, ">": now > to}[compare.sign])

    def delete_range(self, op: DeleteRange) -> SingleResult:
        """Take away all keys of a range, at one revision."""
        found = sorted(k for k in self.state if op.start <= k and (op.end is None or k < op.end))
        if len(found) > self.deletable:
            return Failure("too_large", "")
        self.deletable -= len(found)
        for number, key in enumerate(found):
            shared, self.shared = self.shared, self.shared or number > 0
            self.remove(key)
            self.shared = shared
        return DeleteRangeResult(len(found))

    def conflict(self, op: Set | SetExpiring | SetFully | Delete) -> Failure | None:
        """Return the failure of a condition, if one fails."""
        value, mod_rev = self.state[op.key][:2] if op.key in self.state else (None, 0)
        rev_holds = op.if_mod_rev in {None, mod_rev}
        if rev_holds and op.if_value in {None, value}:
            return None
        return Failure("conflict", "", mod_rev=mod_rev, value=value)

    def change(self, op: Set | SetExpiring | SetFully | Delete) -> SetResult | DeleteResult:
        """Set or delete."""
        before = self.state.get(op.key)
        prev = before[0] if before and op.prev else None
        if not isinstance(op, Delete):
            rev = self.put(op.key, op.value)
            ttl_ms = None if isinstance(op, Set) else op.ttl_ms
            self.set_deadline(op.key, ttl_ms, slides=isinstance(op, SetFully) and op.sliding)
            return SetResult(rev, before is None, prev, op.prev)
        if before:
            self.remove(op.key)
        return DeleteResult(1 if before else 0, prev, op.prev)

    def remove(self, key: bytes, kind: str = "delete") -> None:
        """Take a key away."""
        self.turn_over()
        del self.state[key]
        self.set_deadline(key, None)
        self.note(key, kind)

    def turn_over(self) -> None:
        """Begin the next revision, unless the last one goes on."""
        if not self.shared:
            self.moments.append({})
            self.kinds.append({})

    def note(self, key: bytes, kind: str) -> None:
        """Note what the last revision has done."""
        self.moments[-1] = dict(self.state)
        self.kinds[-1][key] = kind

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
        self.turn_over()
        rev = self.store_rev
        _, _, create_rev, key_version = self.state.get(key, (b"", 0, rev, 0))
        self.state[key] = (value, rev, create_rev, key_version + 1)
        self.note(key, "set")
        return rev

    def range(self, op: Range) -> SingleResult:
        """List keys of a moment."""
        at_rev = self.store_rev if op.at_rev is None else op.at_rev
        if at_rev < self.oldest:
            return Failure("compacted", "", oldest=self.oldest)
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
