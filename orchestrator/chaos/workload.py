"""Recording clients: each does one operation after the other, and writes down what it was told.

Its rules: every operation that is begun is recorded, however it ends; no value is ever written
twice, so that a value tells who wrote it; and what can't be recorded ends the run as a defect, for
a history with a hole would make the verdict a lie.
"""

import random
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import BinaryIO, Protocol, Self, TypeAlias

from raftcache.client import (
    Client,
    Conflict,
    DefiniteError,
    IndefiniteError,
    Record,
    Written,
)

from ..verify.history import (
    UNCHANGING,
    Arguments,
    Header,
    HistoryWriter,
    Operation,
    Result,
    text,
)
from .mixed import MixedRecorder, connect_with_session, result_of
from .scenario import MIXED, Load

REGISTER, COUNTER = "register", "counter"


class Caller(Protocol):
    """What a recording client asks of a client; ``raftcache.client.Client`` is one."""

    def get_record(self, key: str) -> Record | None:
        """Read a key."""

    def write(
        self,
        key: str,
        value: bytes,
        *,
        if_mod_rev: int | None = None,
        if_value: bytes | None = None,
    ) -> Written:
        """Write a key."""

    def incr(self, key: str, by: int = 1) -> int:
        """Add to a number."""

    def delete(self, key: str, *, if_mod_rev: int | None = None) -> bool:
        """Delete a key."""

    def __enter__(self) -> Self:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""


Connect: TypeAlias = Callable[[Sequence[str], float], Caller]
"""Makes a client, of endpoints and a deadline in seconds."""


def connect(endpoints: Sequence[str], seconds: float) -> Caller:
    """Return the project's own client, which sends each write once.

    So a fault shows as an unknown outcome, and the verdict is about the cluster, not about retries.
    """
    return Client(endpoints, timeout=seconds, exactly_once=False)


class Tape:
    """Where all clients record: a list, and a file as it goes."""

    def __init__(self, header: Header, file: BinaryIO) -> None:
        self.header = header
        self.operations: list[Operation] = []
        self.acknowledged = 0
        """Of those that change something."""
        self.unknown = 0
        self._writer = HistoryWriter(file, header)
        self._lock = threading.Lock()

    def add(self, operation: Operation) -> None:
        """Record an operation that has ended."""
        with self._lock:
            self.operations.append(operation)
            if operation.op not in UNCHANGING:
                self.acknowledged += operation.outcome == "ok"
                self.unknown += operation.outcome == "unknown"
            self._writer.write(operation)


class Recorder:
    """One client, with the operations that it can do and record."""

    def __init__(self, name: str, caller: Caller, tape: Tape) -> None:
        self.name = name
        self._caller = caller
        self._tape = tape
        self._seen: dict[str, int] = {}
        """The last revision that this client saw of each key."""
        self.records: dict[str, Record | None] = {}
        """What the last ``get`` of each key has found."""

    def get(self, key: str) -> None:
        """Read a key."""

        def call() -> Result:
            record = self.records[key] = self._caller.get_record(key)
            if record is None:
                self._seen[key] = 0
                return Result(found=False)
            self._seen[key] = record.mod_rev
            return result_of(record)

        self.do("get", key, Arguments(), call)

    def set(self, key: str, value: bytes) -> None:
        """Write a key."""
        self._set(key, value, None)

    def cas(self, key: str, value: bytes) -> None:
        """Write a key if nobody else did since this client last saw it."""
        self._set(key, value, self._seen.get(key, 0))

    def incr(self, key: str) -> None:
        """Count."""

        def call() -> Result:
            return Result(value=str(self._caller.incr(key)))

        self.do("incr", key, Arguments(), call)

    def delete(self, key: str) -> None:
        """Delete a key."""

        def call() -> Result:
            deleted = self._caller.delete(key)
            self._seen[key] = 0
            return Result(deleted=deleted)

        self.do("delete", key, Arguments(), call)

    def _set(self, key: str, value: bytes, if_mod_rev: int | None) -> None:
        def call() -> Result:
            written = self._caller.write(key, value, if_mod_rev=if_mod_rev)
            self._seen[key] = written.mod_rev
            return Result(mod_rev=written.mod_rev, created=written.created)

        self.do("set", key, Arguments(value=text(value), if_mod_rev=if_mod_rev), call)

    def do(
        self,
        op: str,
        key: str,
        args: Arguments,
        call: Callable[[], Result],
        *,
        call_ns: int | None = None,
    ) -> None:
        """Do an operation and record it; ``call_ns``: it may have begun before now."""
        call_ns = time.monotonic_ns() if call_ns is None else call_ns
        outcome, error, node, result = "unknown", None, None, Result()
        try:
            result = call()
            outcome = "ok"
        except DefiniteError as refusal:
            outcome, error, node = "failed", refusal.code, refusal.node
            if isinstance(refusal, Conflict):
                self._seen[key] = refusal.mod_rev
                result = _found(refusal)
        except IndefiniteError as failure:
            error, node = failure.code, failure.node
        finally:
            # Also when something else was raised: it was begun, and may have had its effect.
            self._tape.add(
                Operation(
                    client=self.name,
                    op=op,  # type: ignore[arg-type]  # one that there is, by its callers
                    key=key,
                    args=args,
                    outcome=outcome,  # type: ignore[arg-type]  # one of the three
                    call_ns=call_ns,
                    return_ns=time.monotonic_ns(),
                    result=result,
                    error=error,
                    node=node,
                )
            )


def _found(refusal: Conflict) -> Result:
    if refusal.mod_rev == 0:
        return Result(found=False)
    value = None if refusal.value is None else text(refusal.value)
    return Result(found=True, value=value, mod_rev=refusal.mod_rev)


class Workload:
    """The clients of a load, from :meth:`start` to :meth:`stop`."""

    def __init__(
        self,
        load: Load,
        endpoints: Sequence[str],
        tape: Tape,
        *,
        seed: int,
        make: Connect = connect,
    ) -> None:
        self._load = load
        self._endpoints = list(endpoints)
        self._tape = tape
        self._seed = seed
        # Whatever is bound to a session needs one.
        self._make = connect_with_session if load.mixed and make is connect else make
        self._stop = threading.Event()
        self._defects: list[BaseException] = []
        self._threads = [
            threading.Thread(target=self._run, args=(number,), name=f"client {number}")
            for number in range(1, load.clients + 1)
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Let each client finish what it is at, and end. Harmless when repeated."""
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join()

    def check(self) -> None:
        """See that all clients could record.

        Raises:
            RuntimeError: one could not.
        """
        if self._defects:
            raise RuntimeError("a recording client failed") from self._defects[0]

    def _run(self, number: int) -> None:
        chance = random.Random(f"{self._seed}: client {number}")
        load = self._load
        try:
            with self._make(self._endpoints, load.timeout_ms / 1_000) as caller:
                recorder = Recorder(f"c{number}", caller, self._tape)
                mixed = None
                if isinstance(caller, Client) and load.mixed:
                    mixed = MixedRecorder(caller, recorder.do, chance, load.keys)
                draw = Draw(load, chance, f"c{number}", mixed)
                while not self._stop.is_set():
                    began = time.monotonic()
                    draw.perform(recorder)
                    self._pause(began, chance)
                if mixed is not None:
                    mixed.finish()
        except BaseException as error:  # noqa: BLE001 - `check` raises it on the main thread
            self._defects.append(error)

    def _pause(self, began: float, chance: random.Random) -> None:
        """Keep the rate: an operation that took long is not made up for by a burst."""
        if self._load.rate is None:
            return
        period = self._load.clients / self._load.rate
        self._stop.wait(max(0.0, began + period * chance.uniform(0.5, 1.5) - time.monotonic()))


class Draw:
    """Draws one operation after the other, by the mix."""

    def __init__(
        self, load: Load, chance: random.Random, name: str, mixed: MixedRecorder | None = None
    ) -> None:
        self._mixed = mixed
        self._load = load
        self._chance = chance
        self._name = name
        self._words = list(load.mix)
        self._weights = list(load.mix.values())
        self._number = 0

    def perform(self, recorder: Recorder) -> None:
        """Do the next operation."""
        chance = self._chance
        word = chance.choices(self._words, self._weights)[0]
        slot = chance.randrange(self._load.keys)
        if self._mixed is not None and self._is_mixed(word):
            if word == "get":
                recorder.get(self._mixed.key_to_read(slot))
            else:
                self._mixed.perform(word, self._value())
            return
        counts = self._load.mix.get("incr", 0)
        changes = sum(self._load.mix.get(other, 0) for other in ("set", "cas", "delete"))
        if word == "get":
            counted = chance.random() * (counts + changes) < counts
            recorder.get(f"{COUNTER if counted else REGISTER}/{slot}")
        elif word == "incr":
            recorder.incr(f"{COUNTER}/{slot}")
        elif word == "delete":
            recorder.delete(f"{REGISTER}/{slot}")
        elif word == "cas":
            recorder.cas(f"{REGISTER}/{slot}", self._value())
        else:
            recorder.set(f"{REGISTER}/{slot}", self._value())

    def _is_mixed(self, word: str) -> bool:
        """Tell whether an operation is on the keys of the mixed ones; reads are in proportion."""
        mix = self._load.mix
        share = sum(mix.get(other, 0) for other in MIXED)
        writes = sum(mix.values()) - mix.get("get", 0)
        return word in MIXED or (word == "get" and self._chance.random() * writes < share)

    def _value(self) -> bytes:
        """Return a value that was never written before, of a drawn length."""
        self._number += 1
        load = self._load
        size = self._chance.randint(load.value_bytes_min, load.value_bytes_max)
        return f"{self._name}.{self._number}".encode().ljust(size, b"_")


def read_back(
    endpoints: Sequence[str], tape: Tape, *, make: Connect = connect, seconds: float
) -> dict[str, Record | None]:
    """Read every key that was worked on, record the reads, and return what was found.

    A key that could not be read is left out.
    """
    keys = dict.fromkeys(str(one.key) for one in list(tape.operations) if one.key)
    with make(endpoints, seconds) as caller:
        recorder = Recorder("final", caller, tape)
        for key in keys:
            recorder.get(key)
    return recorder.records
