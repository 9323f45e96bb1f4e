"""A store of all that there is, under virtual time; and one that breaks a promise again and again.

As in ``simulated``, each operation has its effect at one instant between its call and its return;
keys and sessions end by the store's own clock, some time after they are due.
"""

import random
from typing import Any

import msgspec

from orchestrator.verify.history import (
    Arguments,
    Compare,
    Fence,
    Operation,
    Part,
    Result,
    number,
)

from .simulated import MILLISECOND, Load, Recording, Store

KEYS = ("a/1", "a/2", "b/1")
COUNTERS = ("n/1", "n/2")
LOCK = "lock"
FAULTS = (
    "half a txn",
    "a txn at two moments",
    "a txn whose comparison fails",
    "early expiry",
    "a key comes back",
    "a set that keeps the deadline",
    "a session that ends early",
    "a key that outlives its session",
    "the number of another session",
    "a range that leaves a key",
    "a fence of the past",
    "a write that is done twice",
)


class _Record(msgspec.Struct):
    value: str
    mod_rev: int
    create_rev: int
    deadline: int | None = None
    session: int | None = None


class WholeStore(Store):
    """A correct store of everything; with a ``fault``, one that is not.

    Args:
        fault: one of ``FAULTS``, or "".
        chance: decides how late what is due goes.
    """

    def __init__(self, fault: str, chance: random.Random) -> None:
        super().__init__()
        self.fault = fault
        self.now = 0
        self.records: dict[str, _Record] = {}
        self.past: list[dict[str, _Record]] = []
        self.sessions: dict[int, tuple[int, int]] = {}
        """Time to live and end, by number."""
        self._chance = chance
        self._last_session = 0

    def apply(
        self,
        operation: Operation,
        *,
        answered: bool = True,  # noqa: ARG002 - it lies to whoever asks
    ) -> tuple[str | None, Result]:
        """Do it."""
        self._let_go()
        before = {key: msgspec.structs.replace(one) for key, one in self.records.items()}
        revision = self.revision
        error, result = self._do(operation)
        if error is not None:
            self.records, self.revision = before, revision
        elif self.fault == "a write that is done twice" and operation.op == "incr":
            self._do(operation)
        elif before != self.records:
            self.past.append(before)
        return error, result

    def _let_go(self) -> None:
        """End what is due; early, if that is the fault."""
        late = self._chance.random() < 0.5
        session_now = self.now * 2 if self.fault == "a session that ends early" else self.now
        for number_, (_, end) in list(self.sessions.items()):
            if end < session_now and not late:
                self._end(number_)
        now = self.now + 40 * MILLISECOND if self.fault == "early expiry" else self.now
        for key, one in list(self.records.items()):
            if one.deadline is not None and one.deadline < now and not late:
                del self.records[key]
                self.revision += 1

    def _end(self, session: int) -> None:
        del self.sessions[session]
        self.revision += 1
        if self.fault != "a key that outlives its session":
            for key in [key for key, one in self.records.items() if one.session == session]:
                del self.records[key]

    def _do(self, operation: Operation) -> tuple[str | None, Result]:
        args, op = operation.args, operation.op
        fence = args.fence
        if fence is not None and self.fault != "a fence of the past":
            lock = self.records.get(str(fence.key))
            if lock is None or lock.create_rev != fence.create_rev:
                return "fenced", Result()
        if op.startswith("session_"):
            return self._do_session(operation)
        if op == "txn":
            return self._do_txn(args)
        if op == "delete_range":
            keys = [key for key in self.records if key.startswith(str(args.prefix))]
            if self.fault == "a range that leaves a key" and len(keys) > 1:
                del keys[0]
            for key in keys:
                del self.records[key]
            self.revision += bool(keys)
            return None, Result(count=len(keys))
        return self._do_one(op, str(operation.key), args, self.revision + 1)

    def _do_session(self, operation: Operation) -> tuple[str | None, Result]:
        args = operation.args
        if operation.op == "session_open":
            if self.fault != "the number of another session" or self._last_session == 0:
                self._last_session += 1
            assert args.ttl_ms is not None
            ttl = args.ttl_ms * MILLISECOND
            self.sessions[self._last_session] = (ttl, self.now + ttl)
            return None, Result(session=self._last_session)
        assert args.session is not None
        if args.session not in self.sessions:
            return "session_expired", Result()
        if operation.op == "session_close":
            self._end(args.session)
        else:
            ttl, _ = self.sessions[args.session]
            self.sessions[args.session] = (ttl, self.now + ttl)
        return None, Result()

    def _do_txn(self, args: Arguments) -> tuple[str | None, Result]:
        succeeded = all(self._holds(one) for one in args.compare)
        if self.fault == "a txn whose comparison fails":
            succeeded = True
        parts = args.then if succeeded else args.otherwise
        revision = self.revision + 1
        results = []
        old = self.past[-3] if len(self.past) > 3 else {}
        for position, part in enumerate(parts):
            if self.fault == "half a txn" and position == 1 and part.op == "set":
                results.append(Result(mod_rev=revision, created=part.key not in self.records))
                continue
            if self.fault == "a txn at two moments" and position == 1 and part.op == "get":
                was = old.get(str(part.key))
                if was is not None:
                    told = Result(found=True, value=was.value, mod_rev=was.mod_rev)
                    results.append(told)
                    continue
            error, result = self._do_one(part.op, str(part.key), part.args, revision)
            if error is not None:
                return error, Result()
            results.append(result)
        return None, Result(succeeded=succeeded, results=tuple(results))

    def _holds(self, compare: Compare) -> bool:
        one = self.records.get(str(compare.key))
        if compare.field == "exists":
            return ((one is not None) == compare.to) is (compare.cmp == "=")
        mine: Any = 0 if one is None else one.mod_rev
        if compare.field == "value":
            if one is None:
                return False
            mine = one.value
        to: Any = compare.to
        held = {"=": mine == to, "!=": mine != to, "<": mine < to, ">": mine > to}
        return bool(held[compare.cmp])

    def _do_one(
        self, op: str, key: str, args: Arguments, revision: int
    ) -> tuple[str | None, Result]:
        one = self.records.get(key)
        if op == "get":
            if one is None and self.fault == "a key comes back" and self.past:
                one = self.past[-1].get(key)
            if one is None:
                return None, Result(found=False)
            return None, Result(
                found=True, value=one.value, mod_rev=one.mod_rev, create_rev=one.create_rev
            )
        if op == "expire":
            if one is not None:
                one.deadline = None if args.ttl_ms is None else self._deadline(args)
            return None, Result(found=one is not None)
        if (args.if_mod_rev is not None and args.if_mod_rev != (one.mod_rev if one else 0)) or (
            args.if_value is not None and (one is None or args.if_value != one.value)
        ):
            if one is None:
                return "conflict", Result(found=False)
            return "conflict", Result(found=True, value=one.value, mod_rev=one.mod_rev)
        if op == "delete":
            self.revision = revision if one is not None else self.revision
            self.records.pop(key, None)
            return None, Result(deleted=one is not None)
        return self._write(op, key, args, revision)

    def _write(
        self, op: str, key: str, args: Arguments, revision: int
    ) -> tuple[str | None, Result]:
        one = self.records.get(key)
        deadline = None if args.ttl_ms is None else self._deadline(args)
        value, session = args.value, args.session
        if op == "incr":
            start = 0 if one is None else number(one.value)
            assert start is not None
            value = str(start + args.by)
            if one is not None:
                deadline, session = one.deadline, one.session
        elif one is not None and self.fault == "a set that keeps the deadline":
            deadline = one.deadline if deadline is None else deadline
        if session is not None and session not in self.sessions:
            return "session_expired", Result()
        self.revision = revision
        create_rev = revision if one is None else one.create_rev
        self.records[key] = _Record(str(value), revision, create_rev, deadline, session)
        if op == "incr":
            return None, Result(value=str(value), mod_rev=revision)
        return None, Result(mod_rev=revision, created=one is None)

    def _deadline(self, args: Arguments) -> int:
        assert args.ttl_ms is not None
        return self.now + args.ttl_ms * MILLISECOND


class WholeRecording(Recording):
    """Clients that do all of it."""

    def __init__(self, load: Load, seed: int, fault: str = "") -> None:
        self.whole = WholeStore(fault, random.Random(f"{seed}/late"))
        super().__init__(load, seed, self.whole)
        self._sessions: list[int] = []

    def _effect(self, now: int, operation: Operation) -> None:
        self.whole.now = now
        error, _ = result = self.whole.apply(operation)
        answer = result[1]
        if answer.session is not None:
            self._sessions.append(answer.session)
        unknown = error == "session_expired"
        outcome = "ok" if error is None else "unknown" if unknown else "failed"
        done = msgspec.structs.replace(
            operation,
            outcome=outcome,
            error=error,
            result=answer,
        )
        self._after(now, self.load.latency_ms / 2, lambda then: self._end(then, done))

    def _begin_unknown(self, now: int, operation: Operation) -> None:
        if self.random.random() < 0.6:
            mean = self.load.latency_ms * self.random.choice((1, 50))
            self._after(now, mean, lambda then: self._late(then, operation))
        self._after(now, self.load.latency_ms * 5, lambda then: self._end(then, operation))

    def _late(self, now: int, operation: Operation) -> None:
        self.whole.now = now
        self._discard(operation)

    def _draw(self, now: int, client: str) -> Operation:
        chance = self.random
        kind = chance.choice(_KINDS)
        key, args = "", Arguments()
        if kind == "txn":
            args = self._txn()
        elif kind == "delete_range":
            args = Arguments(prefix=chance.choice(("a/", "b/", "n/")))
        elif kind == "session_open":
            args = Arguments(ttl_ms=chance.choice((20, 100)))
        elif kind.startswith("session_"):
            if not self._sessions:
                return self._draw(now, client)
            args = Arguments(session=chance.choice(self._sessions[-3:]))
        elif kind == "incr":
            key = chance.choice(COUNTERS)
            args = Arguments(by=1, ttl_ms=chance.choice((None, None, 30)))
        elif kind == "lock":
            kind, key, args = self._lock()
        else:
            kind, key, args = self._plain(kind)
        return Operation(
            client=client,
            op=kind,  # type: ignore[arg-type]  # one that there is
            key=key,
            args=args,
            outcome="unknown",
            call_ns=now,
            error="timeout",
        )

    def _plain(self, kind: str) -> tuple[str, str, Arguments]:
        chance, value = self.random, f"v{self._begun}"
        key = chance.choice(KEYS)
        if kind == "get":
            return kind, chance.choice((*KEYS, *COUNTERS, LOCK)), Arguments()
        if kind == "cas":
            one = self.whole.records.get(key)
            revision = 0 if one is None else one.mod_rev
            return "set", key, Arguments(value=value, if_mod_rev=revision)
        if kind == "lasting":
            return "set", key, Arguments(value=value, ttl_ms=chance.choice((10, 50)))
        if kind == "bind" and self._sessions:
            return "set", key, Arguments(value=value, session=chance.choice(self._sessions[-2:]))
        if kind == "expire":
            return kind, key, Arguments(ttl_ms=chance.choice((None, 10, 40)))
        if kind == "delete":
            return kind, key, Arguments()
        return "set", key, Arguments(value=value)

    def _lock(self) -> tuple[str, str, Arguments]:
        chance, value = self.random, f"v{self._begun}"
        one = self.whole.records.get(LOCK)
        if one is None:
            return "set", LOCK, Arguments(value=value, if_mod_rev=0)
        if chance.random() < 0.2:
            return "delete", LOCK, Arguments()
        past = [was[LOCK].create_rev for was in self.whole.past[-40:] if LOCK in was]
        create_rev = chance.choice((one.create_rev, *past[:1]))
        fence = Fence(LOCK, create_rev)
        return "set", chance.choice(KEYS), Arguments(value=value, fence=fence)

    def _txn(self) -> Arguments:
        chance, value = self.random, f"t{self._begun}"
        one, other = chance.sample(KEYS, 2)
        known = self.whole.records.get(one)
        compares = (
            Compare(key=one, field="exists", to=chance.random() < 0.5),
            Compare(key=one, field="mod_rev", to=known.mod_rev if known else 0),
            Compare(key=one, field="value", cmp="!=", to=known.value if known else "none"),
            Compare(key=other, field="mod_rev", cmp=">", to=chance.randrange(9)),
        )
        return Arguments(
            compare=tuple(chance.sample(compares, chance.randrange(3))),
            then=(
                Part(op="set", key=one, args=Arguments(value=value)),
                Part(op="set", key=other, args=Arguments(value=value + "'")),
                Part(op="get", key=one),
                Part(op="incr", key=COUNTERS[0]),
                Part(op="delete", key=KEYS[2]),
            )[: chance.randrange(1, 6)],
            otherwise=(Part(op="get", key=one), Part(op="get", key=other)),
        )


_KINDS = (
    *("get",) * 8,
    *("set", "cas", "delete", "lasting", "lasting", "bind", "bind", "expire"),
    *("txn",) * 4,
    *("incr", "incr", "delete_range", "lock", "lock", "lock", "lock"),
    *("session_open", "session_keepalive", "session_keepalive", "session_close"),
)
