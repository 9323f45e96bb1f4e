"""What recording clients do besides registers and counters: time, sessions, ranges, transactions.

All of it works on keys of its own, so that what is counted of the others stays exact. The client
has a session and numbers its writes: each is one operation, from its first send to its answer.
"""

import random
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from raftcache.client import (
    Client,
    Compare,
    Delete,
    Fence,
    Fenced,
    Get,
    Incr,
    OutcomeUnknown,
    Record,
    RequestError,
    Set,
)
from raftcache.client import Operation as ClientOperation

from ..verify import history
from ..verify.history import Arguments, Part, Result, text
from ..verify.projection import bytes_of

MIXED, TALLY, LOCK = "mixed", "tally", "lock"
LOCKS = 2
TTLS_MS = (300, 1_000, 3_000)


class Do(Protocol):
    """Does an operation and records it."""

    def __call__(
        self,
        op: str,
        key: str,
        args: Arguments,
        call: Callable[[], Result],
        *,
        call_ns: int | None = None,
    ) -> None:
        """Do it; ``call_ns``: it may have begun before."""


def connect_with_session(endpoints: Sequence[str], seconds: float) -> Client[bytes]:
    """Return a client that has a session, and repeats what was not answered under its number."""
    return Client(endpoints, timeout=seconds)


class MixedRecorder:
    """Does what there is besides, and has it recorded.

    Args:
        client: has a session.
        do: see :class:`Do`.
        chance: draws what is left open.
        keys: how many there are of each kind.
    """

    def __init__(self, client: Client[bytes], do: Do, chance: random.Random, keys: int) -> None:
        self._client = client
        self._do = do
        self._chance = chance
        self._keys = keys
        self._session = 0
        self._since_ns = time.monotonic_ns()
        """Since then the next session that is seen may have been open."""
        self._locks: dict[str, int] = {}
        """By which revision of each lock this client writes; it may be of the past."""

    def perform(self, word: str, value: bytes) -> None:
        """Do one operation, by its word."""
        key = f"{MIXED}/{self._chance.randrange(self._keys)}"
        if word in {"ttl", "sliding"}:
            self._set(key, value, ttl_ms=self._chance.choice(TTLS_MS), sliding=word == "sliding")
        elif word == "bind":
            self._bind(key, value)
        elif word == "expire":
            self._expire(key)
        elif word == "delete_range":
            self._delete_range(f"{MIXED}/{self._chance.randrange(min(10, self._keys))}")
        elif word == "txn":
            self._txn(key, value)
        else:
            self._fence(key, value)

    def key_to_read(self, slot: int) -> str:
        """Return the key of a read of what is mixed."""
        lock = f"{LOCK}/{slot % LOCKS}"
        return self._chance.choice((f"{MIXED}/{slot}", f"{MIXED}/{slot}", f"{TALLY}/{slot}", lock))

    def finish(self) -> None:
        """Note that the client is about to close its session."""
        number = self._look_at_session()
        if number:

            def close() -> Result:
                raise OutcomeUnknown("the client ends, and nobody waits for the answer")

            self._do("session_close", "", Arguments(session=number), close)

    def _set(self, key: str, value: bytes, *, ttl_ms: int, sliding: bool) -> None:
        def call() -> Result:
            written = self._client.write(key, value, ttl=ttl_ms / 1_000, sliding=sliding)
            return Result(mod_rev=written.mod_rev, created=written.created)

        self._do("set", key, Arguments(value=text(value), ttl_ms=ttl_ms, sliding=sliding), call)

    def _bind(self, key: str, value: bytes, if_mod_rev: int | None = None) -> None:
        """Write a key that goes with the session."""
        number = self._look_at_session()
        if not number:
            return
        args = Arguments(value=text(value), session=number, if_mod_rev=if_mod_rev)

        def call() -> Result:
            written = self._client.write(key, value, bind=True, if_mod_rev=if_mod_rev)
            if key.startswith(LOCK):
                self._locks[key] = written.mod_rev
            return Result(mod_rev=written.mod_rev, created=written.created)

        self._do("set", key, args, call)

    def _look_at_session(self) -> int:
        """Return the session of the next write, recorded if it is a new one; 0: there is none."""
        try:
            session = self._client.session()
        except RequestError:
            return 0
        if session.id != self._session:
            self._session = session.id
            opened = Result(session=session.id)
            args = Arguments(ttl_ms=int(session.ttl_ms))
            # Any write may have opened it.
            self._do("session_open", "", args, lambda: opened, call_ns=self._since_ns)
        self._since_ns = time.monotonic_ns()
        return session.id

    def _expire(self, key: str) -> None:
        ttl_ms = self._chance.choice((None, *TTLS_MS))
        ttl = None if ttl_ms is None else ttl_ms / 1_000

        def call() -> Result:
            return Result(found=self._client.expire(key, ttl))

        self._do("expire", key, Arguments(ttl_ms=ttl_ms), call)

    def _delete_range(self, prefix: str) -> None:
        def call() -> Result:
            return Result(count=self._client.delete_range(prefix))

        self._do("delete_range", "", Arguments(prefix=prefix), call)

    def _txn(self, key: str, value: bytes) -> None:
        """Write one key and read, count, or delete others, if all is as it was seen."""
        chance = self._chance
        other = f"{MIXED}/{chance.randrange(self._keys)}"
        tally = f"{TALLY}/{chance.randrange(self._keys)}"
        exists = chance.random() < 0.5
        compare = (history.Compare(key=key, field="exists", to=exists),)[: chance.randrange(2)]
        then = (
            Part(op="set", key=key, args=Arguments(value=text(value))),
            Part(op="incr", key=tally),
            Part(op="get", key=other),
            *(Part(op="delete", key=other),) * chance.randrange(2),
        )
        otherwise = (Part(op="get", key=key), Part(op="get", key=other))

        def call() -> Result:
            result = self._client.txn(
                [Compare(bytes_of(one.key), one.field, one.cmp, one.to) for one in compare],
                [_asked(part) for part in then],
                [_asked(part) for part in otherwise],
            )
            done = then if result.succeeded else otherwise
            told = [_told(part, one) for part, one in zip(done, result.results, strict=True)]
            return Result(succeeded=result.succeeded, results=tuple(told))

        self._do("txn", "", Arguments(compare=compare, then=then, otherwise=otherwise), call)

    def _fence(self, key: str, value: bytes) -> None:
        """Take a lock, give it back, or write behind it; perhaps though it is another's by now."""
        chance = self._chance
        lock = f"{LOCK}/{chance.randrange(LOCKS)}"
        create_rev = self._locks.get(lock)
        if create_rev is None and chance.random() < 0.5:
            self._look_at_lock(lock)
        elif create_rev is None:
            self._bind(lock, value, if_mod_rev=0)
        elif chance.random() < 0.1:
            del self._locks[lock]

            def give_back() -> Result:
                return Result(deleted=self._client.delete(lock))

            self._do("delete", lock, Arguments(), give_back)
        else:
            args = Arguments(value=text(value), fence=history.Fence(lock, create_rev))

            def call() -> Result:
                fence = Fence(lock.encode(), create_rev)
                try:
                    written = self._client.write(key, value, fence=fence)
                except Fenced:
                    del self._locks[lock]
                    raise
                return Result(mod_rev=written.mod_rev, created=written.created)

            self._do("set", key, args, call)

    def _look_at_lock(self, lock: str) -> None:
        """Read a lock, and write behind it from now on, as if it had been taken together."""

        def call() -> Result:
            record = self._client.get_record(lock)
            if record is None:
                return Result(found=False)
            self._locks[lock] = record.create_rev
            return result_of(record)

        self._do("get", lock, Arguments(), call)


def result_of(record: Record[bytes]) -> Result:
    """Return what is written down of a record that was read."""
    return Result(
        found=True,
        value=text(record.value),
        mod_rev=record.mod_rev,
        create_rev=record.create_rev,
    )


def _asked(part: Part) -> ClientOperation:
    key = bytes_of(part.key)
    if part.op == "set":
        assert part.args.value is not None, "a set has a value"
        return Set(key, bytes_of(part.args.value))
    if part.op == "incr":
        return Incr(key)
    return Get(key) if part.op == "get" else Delete(key)


def _told(part: Part, result: Record[Any] | int | bool | None) -> Result:  # noqa: FBT001 - an answer
    if part.op == "get":
        if not isinstance(result, Record):
            return Result(found=False)
        return Result(found=True, value=text(result.value), mod_rev=result.mod_rev)
    assert isinstance(result, int), "a change tells a number, or whether there was a key"
    if part.op == "incr":
        return Result(value=str(result))
    return Result(mod_rev=result) if part.op == "set" else Result(deleted=bool(result))
