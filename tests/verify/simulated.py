"""A linearizable store under virtual time, and clients that record what they see of it.

Each operation has its effect at one instant between its call and its return; one whose outcome its
client never learns has it at any later time, or never. So what is recorded is linearizable by
construction. Also used by ``benchmarks/verify.py``.
"""

import heapq
import random
from collections.abc import Callable
from functools import partial

import msgspec

from orchestrator.verify.history import Arguments, Operation, Result, number

MILLISECOND = 1_000_000


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What the clients do."""

    clients: int = 4
    keys: int = 2
    operations: int = 60
    mix: tuple[tuple[str, float], ...] = (("get", 5), ("set", 3), ("cas", 1), ("delete", 0.5))
    unknown: float = 0.1
    """Of all operations."""
    values: int = 0
    """How many different values are set; 0: every value is new."""
    latency_ms: float = 2.0
    think_ms: float = 1.0
    revisions: bool = True
    """Whether answers tell revisions."""


class Store:
    """The plainest correct store."""

    def __init__(self) -> None:
        self.revision = 0
        self.keys: dict[str, tuple[str, int]] = {}

    def apply(
        self,
        operation: Operation,
        *,
        answered: bool = True,  # noqa: ARG002 - for FaultyStore
    ) -> tuple[str | None, Result]:
        """Do it; return the error's code, and the answer."""
        before = self.keys.get(operation.key)  # type: ignore[arg-type]
        args = operation.args
        value, mod_rev = before if before is not None else (None, 0)
        if operation.op == "get":
            return None, Result(found=before is not None, value=value, mod_rev=mod_rev)
        if (args.if_mod_rev is not None and args.if_mod_rev != mod_rev) or (
            args.if_value is not None and args.if_value != value
        ):
            return "conflict", Result(found=before is not None, value=value, mod_rev=mod_rev)
        if operation.op == "delete":
            if before is not None:
                self.revision += 1
                del self.keys[operation.key]  # type: ignore[arg-type]
            return None, Result(deleted=before is not None)
        if operation.op == "incr":
            start = 0 if value is None else number(value)
            if start is None:
                return "wrong_type", Result()
            new = str(start + args.by)
        else:
            assert isinstance(args.value, str)
            new = args.value
        self.revision += 1
        self.keys[operation.key] = (new, self.revision)  # type: ignore[index]
        if operation.op == "incr":
            return None, Result(value=new, mod_rev=self.revision)
        return None, Result(mod_rev=self.revision, created=before is None)


class FaultyStore(Store):
    """One that breaks its promise once: at the first chance after ``nth`` operations."""

    def __init__(self, fault: str, nth: int) -> None:
        super().__init__()
        self.fault = fault
        self.nth = nth
        self.count = 0
        self.spoilt: Operation | None = None
        """What it lied about."""
        self.old: dict[str, Result] = {}

    def apply(self, operation: Operation, *, answered: bool = True) -> tuple[str | None, Result]:
        """Do it, or not quite; never lie to nobody."""
        key = operation.key
        assert isinstance(key, str)
        before = self.keys.get(key)
        self.count += 1
        error, result = super().apply(operation)
        if not answered:
            return error, result
        if operation.op == "get" and result.found:
            self.old.setdefault(key, result)
        if self.spoilt is not None or self.count < self.nth or error is not None:
            return error, result
        if self.fault == "lost write" and operation.op == "set" and before is not None:
            self.keys[key] = before
            self.spoilt = operation
        elif self.fault == "double incr" and operation.op == "incr":
            super().apply(operation)
            self.spoilt = operation
        elif self.fault == "stale read" and operation.op == "get" and result.found:
            # The first answer it ever gave about the key.
            old = self.old[key]
            if old.mod_rev != result.mod_rev:
                self.spoilt = operation
                return None, old
        return error, result


class Recording:
    """Runs a load and records it."""

    def __init__(self, load: Load, seed: int, store: Store | None = None) -> None:
        self.load = load
        self.random = random.Random(seed)
        self.store = store if store is not None else Store()
        self.operations: list[Operation] = []
        self._events: list[tuple[int, int, Callable[[int], None]]] = []
        self._sequence = 0
        self._begun = 0

    def run(self) -> list[Operation]:
        """Return the history, in the order in which the operations ended."""
        for client in range(self.load.clients):
            self._after(0, self.load.think_ms, partial(self._begin, f"c{client}"))
        while self._events:
            now, _, event = heapq.heappop(self._events)
            event(now)
        return self.operations

    def _after(self, now: int, mean_ms: float, event: Callable[[int], None]) -> None:
        delay = max(1, int(self.random.expovariate(1 / mean_ms) * MILLISECOND))
        self._sequence += 1
        heapq.heappush(self._events, (now + delay, self._sequence, event))

    def _begin(self, client: str, now: int) -> None:
        if self._begun == self.load.operations:
            return
        self._begun += 1
        operation = self._draw(now, client)
        if self.random.random() < self.load.unknown:
            self._begin_unknown(now, operation)
        else:
            latency = self.load.latency_ms / 2
            self._after(now, latency, lambda then: self._effect(then, operation))

    def _effect(self, now: int, operation: Operation) -> None:
        error, result = self.store.apply(operation)
        if not self.load.revisions:
            result = msgspec.structs.replace(result, mod_rev=None)
        done = msgspec.structs.replace(
            operation, outcome="ok" if error is None else "failed", error=error, result=result
        )
        self._after(now, self.load.latency_ms / 2, lambda then: self._end(then, done))

    def _begin_unknown(self, now: int, operation: Operation) -> None:
        kind = self.random.random()
        if kind < 0.7:
            mean = self.load.latency_ms * (1 if kind < 0.4 else 50)
            self._after(now, mean, lambda _then: self._discard(operation))
        self._after(now, self.load.latency_ms * 5, lambda then: self._end(then, operation))

    def _discard(self, operation: Operation) -> None:
        """Have an effect whose answer nobody gets."""
        self.store.apply(operation, answered=False)

    def _end(self, now: int, operation: Operation) -> None:
        self.operations.append(msgspec.structs.replace(operation, return_ns=now))
        client = operation.client
        self._after(now, self.load.think_ms, partial(self._begin, client))

    def _draw(self, now: int, client: str) -> Operation:
        mix = dict(self.load.mix)
        kind = self.random.choices(list(mix), list(mix.values()))[0]
        key = f"k{self.random.randrange(self.load.keys)}"
        number = self.random.randrange(self.load.values) if self.load.values else self._begun
        args = Arguments()
        if kind in {"set", "cas"}:
            args = Arguments(value=f"v{number}")
        if kind == "cas":
            value, mod_rev = self.store.keys.get(key, (None, 0))
            if self.random.random() < 0.3:
                value, mod_rev = f"v{number}", max(0, mod_rev - 1)
            if value is None or self.random.random() < 0.5:
                args = msgspec.structs.replace(args, if_mod_rev=mod_rev)
            else:
                args = msgspec.structs.replace(args, if_value=value)
        return Operation(
            client=client,
            op="set" if kind == "cas" else kind,  # type: ignore[arg-type]
            key=key,
            args=args,
            outcome="unknown",
            call_ns=now,
            error="timeout",
        )


def record(load: Load, seed: int) -> list[Operation]:
    """Return what a load recorded; the same for the same seed."""
    return Recording(load, seed).run()
