"""Clients that load a cluster and remember what they were told, and the verdict over it all.

Each writes keys of its own and counts in one counter with all the others. Whatever was
acknowledged must be there in the end, whatever was refused must not be, and what is unknown may
be either: once.
"""

import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from raftcache.client import Client, DefiniteError, IndefiniteError, RequestError

from .nodes import BOUND_S, wait_until

CALL_TIMEOUT_S = 5.0
FINAL_TIMEOUT_S = 60.0


class Writer(threading.Thread):
    """One client in a closed loop; its lists are read once it has ended."""

    def __init__(
        self, endpoints: Sequence[str], name: str, *, timeout_s: float, stop: threading.Event
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._timeout_s = timeout_s
        self._endpoints = endpoints
        self._stop_asked = stop
        self.counter = "hits"
        self.acknowledged: dict[str, int] = {}
        """Key to the number that was written to it."""
        self.refused: set[str] = set()
        self.unknown: set[str] = set()
        self.counted: list[int] = []
        """What each acknowledged ``incr`` has returned."""
        self.counted_unknown = 0
        self.register = f"r/{name}/0"
        self.register_value: bytes | None = None
        """What is in the register, for certain: nobody else writes it."""
        self.successes: list[tuple[float, float]] = []
        """When each acknowledged mutation was begun and when it was answered."""
        self.complaints: list[str] = []

    def run(self) -> None:
        """Write until told to stop."""
        with Client(self._endpoints, timeout=self._timeout_s, exactly_once=False) as client:
            number = 0
            while not self._stop_asked.is_set():
                number += 1
                self._set_new_key(client, number)
                self._count(client)
                self._write_register(client, number)
                self._read_register(client)

    def _set_new_key(self, client: Client, number: int) -> None:
        key = f"w/{self.name}/{number}"
        outcome = self._mutate(lambda: client.set(key, str(number)))
        if outcome is None:
            self.unknown.add(key)
        elif outcome < 0:
            self.refused.add(key)
        else:
            self.acknowledged[key] = number

    def _count(self, client: Client) -> None:
        outcome = self._mutate(lambda: client.incr(self.counter))
        if outcome is None:
            self.counted_unknown += 1
        elif outcome > 0:
            self.counted.append(outcome)

    def _write_register(self, client: Client, number: int) -> None:
        value = str(number).encode()
        outcome = self._mutate(lambda: client.set(self.register, value))
        if outcome is None:
            # It may still be on its way, and overwrite what comes next: this register is spoilt.
            self.register, self.register_value = f"r/{self.name}/{number}", None
        elif outcome > 0:
            self.register_value = value

    def _read_register(self, client: Client) -> None:
        """Read back what was acknowledged, wherever the leader is now (B1)."""
        try:
            found = client.get(self.register)
        except RequestError:  # a read may be without an answer, at the deadline
            return
        if found != self.register_value:
            self.complaints.append(f"{self.register}: {found!r}, not {self.register_value!r}")

    def _mutate(self, call: Callable[[], int]) -> int | None:
        """Return the result, -1 when it was refused, None when nobody knows."""
        begun = time.monotonic()
        try:
            result = call()
        except DefiniteError:
            return -1
        except IndefiniteError:
            return None
        self.successes.append((begun, time.monotonic()))
        return result


class Load:
    """Several writers at once; leaving the ``with`` block stops them."""

    def __init__(
        self,
        endpoints: Sequence[str],
        name: str,
        *,
        writers: int = 4,
        timeout_s: float = CALL_TIMEOUT_S,
    ) -> None:
        self._endpoints = endpoints
        self._timeout_s = timeout_s
        self._stop_asked = threading.Event()
        self.writers = [
            Writer(endpoints, f"{name}-{number}", timeout_s=timeout_s, stop=self._stop_asked)
            for number in range(writers)
        ]
        for writer in self.writers:
            writer.counter = f"hits/{name}"

    def __enter__(self) -> Self:
        """Start the writers."""
        for writer in self.writers:
            writer.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop the writers."""
        self.stop()

    def stop(self) -> None:
        """Stop the writers and wait for the end of their last calls."""
        self._stop_asked.set()
        for writer in self.writers:
            writer.join(2 * self._timeout_s + BOUND_S)
            assert not writer.is_alive(), "a call has not come back long after its deadline"

    def wait_for_success(self, since: float) -> float:
        """Wait for an acknowledged write begun after ``since``; return when it was answered.

        Times are of ``time.monotonic``.
        """

        def condition() -> float | None:
            found = []
            for writer in self.writers:
                for begun, answered in reversed(writer.successes):
                    if begun <= since:
                        break
                    found.append(answered)
            return min(found) if found else None

        return wait_until(condition, "an acknowledged write")

    def verify(self) -> None:
        """Check the cluster against what the writers were told. Assumes that they have ended."""
        with Client(self._endpoints, timeout=FINAL_TIMEOUT_S) as client:
            for writer in self.writers:
                self._verify_writer(client, writer)
            self._verify_counter(client)

    def summary(self) -> str:
        """Return how much was done."""
        acknowledged = sum(len(writer.successes) for writer in self.writers)
        unknown = sum(len(writer.unknown) + writer.counted_unknown for writer in self.writers)
        refused = sum(len(writer.refused) for writer in self.writers)
        return f"{acknowledged} acknowledged, {unknown} unknown, {refused} refused"

    def _verify_writer(self, client: Client, writer: Writer) -> None:
        assert writer.complaints == []
        found = {item.key.decode(): int(item.value) for item in client.items(f"w/{writer.name}/")}
        lost = writer.acknowledged.keys() - found.keys()
        assert not lost, f"acknowledged and lost: {sorted(lost)[:10]} of {self.summary()}"
        risen = writer.refused & found.keys()
        assert not risen, f"refused as not applied, and there: {sorted(risen)[:10]}"
        strange = found.keys() - writer.acknowledged.keys() - writer.unknown
        assert not strange, f"there, though nobody wrote it: {sorted(strange)[:10]}"
        for key, number in writer.acknowledged.items():
            assert found[key] == number, key
        assert client.get(writer.register) == writer.register_value, writer.register

    def _verify_counter(self, client: Client) -> None:
        counted = [value for writer in self.writers for value in writer.counted]
        unknown = sum(writer.counted_unknown for writer in self.writers)
        assert len(counted) == len(set(counted)), "two increments returned the same number"
        total = int(client.get(self.writers[0].counter) or 0)
        assert len(counted) <= total <= len(counted) + unknown, (
            f"{len(counted)} increments were acknowledged and {unknown} are unknown, "
            f"but the counter is at {total}"
        )
