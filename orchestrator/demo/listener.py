"""Listening to the nodes' events, and telling everything in the order in which it happened.

Events of different nodes arrive a little out of order, so each line is held for a moment and the
earliest is told first. A thread does this, so that the story goes on while the course of events
waits for something.
"""

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import zmq

from .narration import Line, narrate

HOLD_MS = 25.0
"""How long a line waits for earlier ones: more than events take, less than eyes see."""
_POLL_MS = 10
_RECONNECT_MS = 20


class Story:
    """Takes lines from anyone, adds those of the events, and tells them all by their time."""

    def __init__(self, endpoints: Sequence[str], tell: Callable[[Line], None]) -> None:
        self.lines: list[Line] = []
        """All that was told."""
        self.leaders: dict[int, float] = {}
        """When the leader of each term took office, as far as events tell."""
        self._endpoints = list(endpoints)
        self._tell = tell
        self._lock = threading.Lock()
        self._held: list[tuple[float, int, int, Line]] = []
        self._numbers = itertools.count()
        self._end = threading.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="story")

    def start(self) -> None:
        """Begin to listen; returns when the sockets are there, so that no event is missed."""
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Tell what is held, and end. Harmless when repeated or not started."""
        self._end.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._release(float("inf"))

    def add(self, line: Line) -> None:
        """Tell this, in its turn."""
        with self._lock:
            heapq.heappush(self._held, (line.at_ms, line.rank, next(self._numbers), line))

    def end_of_events(self) -> None:
        """Listen no more: what the nodes do from now on is not part of the story."""
        self._end.set()
        self._thread.join()

    def flush(self) -> None:
        """Tell all that is held, now."""
        self._release(float("inf"))

    def _run(self) -> None:
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        subscriber = context.socket(zmq.SUB)
        try:
            subscriber.setsockopt(zmq.LINGER, 0)
            subscriber.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
            subscriber.setsockopt(zmq.SUBSCRIBE, b"raft")
            for endpoint in self._endpoints:
                subscriber.connect(endpoint)
            self._ready.set()
            while not self._end.is_set():
                if subscriber.poll(_POLL_MS):
                    self._take(subscriber.recv_multipart())
                self._release(time.monotonic() * 1_000 - HOLD_MS)
        finally:
            self._ready.set()
            subscriber.close(0)
            context.term()

    def _take(self, frames: list[bytes]) -> None:
        event = decode_event(frames)
        line = narrate(event)
        if line is not None:
            if event.get("role") == "leader":
                self.leaders.setdefault(int(event["term"]), line.at_ms)
            self.add(line)

    def _release(self, until_ms: float) -> None:
        with self._lock:
            while self._held and self._held[0][0] <= until_ms:
                line = heapq.heappop(self._held)[-1]
                self.lines.append(line)
                self._tell(line)


def decode_event(frames: Sequence[bytes]) -> dict[str, Any]:
    """Return a published event; empty when the frames hold none."""
    try:
        event = msgspec.msgpack.decode(frames[-1])
    except msgspec.DecodeError:
        return {}
    return event if isinstance(event, dict) else {}
