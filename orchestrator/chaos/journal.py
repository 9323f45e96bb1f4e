"""What happened during a run: the nodes' events and our own deeds, in one file in one order.

A thread listens. Events of different nodes arrive a little out of order, so each is held for a
moment and the earliest goes first; each line is written at once, so that a run that is cut off
leaves its evidence. What a busy host delivers later still is put in its place at the end.
"""

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, BinaryIO

import msgspec
import zmq

from ..elections import Election, Elections
from ..events import TOPIC

HOLD_MS = 40.0
_POLL_MS = 10
_RECONNECT_MS = 20


class Journal:
    """Writes down all that happens; ``tell`` hears of each election."""

    def __init__(
        self,
        endpoints: Sequence[str],
        file: BinaryIO,
        tell: Callable[[Election], None] = lambda _: None,
    ) -> None:
        self.elections: list[Election] = []
        self._endpoints = list(endpoints)
        self._file = file
        self._tell = tell
        self._collected = Elections()
        self._lock = threading.Lock()
        self._held: list[tuple[float, int, dict[str, Any]]] = []
        self._numbers = itertools.count()
        self._written_ms = float("-inf")
        self._in_order = True
        self._zero_ms = time.monotonic() * 1_000
        self._end = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal")

    def start(self) -> None:
        """Begin to listen; returns when the sockets are there."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Write what is held, and end. Harmless when repeated or not started."""
        self._end.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._release(float("inf"))
        self._put_in_order()

    def count_from(self, zero_ms: float) -> None:
        """From now on ``at_s`` counts from this moment: the beginning of the load."""
        self._zero_ms = zero_ms

    def add(self, at_ms: float, kind: str, **fields: Any) -> None:
        """Write down a deed of our own."""
        self._hold(at_ms, {"t_ms": round(at_ms, 3), "kind": kind, **fields})

    def _run(self) -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        subscriber = context.socket(zmq.SUB)
        try:
            subscriber.setsockopt(zmq.LINGER, 0)
            subscriber.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
            subscriber.setsockopt(zmq.RCVHWM, 0)
            subscriber.setsockopt(zmq.SUBSCRIBE, TOPIC)
            for endpoint in self._endpoints:
                subscriber.connect(endpoint)
            self._ready.set()
            while not self._end.is_set():
                waits = subscriber.poll(_POLL_MS)
                while (
                    waits and not self._end.is_set()
                ):  # all that has come: after a pause of ours that may be a lot
                    self._take(subscriber.recv_multipart())
                    waits = subscriber.poll(0)
                self._release(time.monotonic() * 1_000 - HOLD_MS)
        finally:
            self._ready.set()
            subscriber.close(0)
            context.term()

    def _take(self, frames: Sequence[bytes]) -> None:
        try:
            event = msgspec.msgpack.decode(frames[-1])
        except msgspec.DecodeError:
            return
        if isinstance(event, dict) and isinstance(event.get("t_ms"), int | float):
            self._hold(float(event["t_ms"]), event)

    def _hold(self, at_ms: float, event: dict[str, Any]) -> None:
        with self._lock:
            heapq.heappush(self._held, (at_ms, next(self._numbers), event))

    def _release(self, until_ms: float) -> None:
        with self._lock:
            while self._held and self._held[0][0] <= until_ms:
                at_ms, _, event = heapq.heappop(self._held)
                at_s = round((at_ms - self._zero_ms) / 1_000, 3)
                line = msgspec.json.encode({"at_s": at_s, **event}, enc_hook=str)
                self._file.write(line + b"\n")
                self._in_order &= at_ms >= self._written_ms
                self._written_ms = at_ms
                election = self._collected.add(event)
                if election is not None:
                    self.elections.append(election)
                    self._tell(election)
            self._file.flush()

    def _put_in_order(self) -> None:
        if self._in_order:
            return
        self._file.seek(0)
        lines = sorted(self._file.readlines(), key=lambda line: msgspec.json.decode(line)["t_ms"])
        self._file.seek(0)
        self._file.writelines(lines)
        self._file.flush()
        self._in_order = True
