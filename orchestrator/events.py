"""Raft's events as the nodes publish them, in the order in which they arrive here."""

import heapq
import itertools
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import msgspec
import zmq

from .state import ClusterState

TOPIC = b"raft"
HOLD_MS = 40.0
"""How long an event waits for earlier ones of other nodes, to be told after them."""
_POLL_MS = 200
_POLL_HELD_MS = 10


def listen(state: ClusterState, *, seconds: float | None = None) -> Iterator[dict[str, Any]]:
    """Yield every event of every node as it comes, for so long or until the caller has enough.

    Events have no history: what happened before the connection stood is not told.
    """
    return (event for event in _listen(state, seconds, _POLL_MS) if event is not None)


def listen_in_order(
    state: ClusterState, *, seconds: float | None = None
) -> Iterator[dict[str, Any]]:
    """Yield what :func:`listen` does, each event a moment later but in the order of their times."""
    held: list[tuple[float, int, dict[str, Any]]] = []
    numbers = itertools.count()
    for event in _listen(state, seconds, _POLL_HELD_MS):
        now_ms = time.monotonic() * 1_000
        if event is not None:
            at_ms = event.get("t_ms")
            when = float(at_ms) if isinstance(at_ms, int | float) else now_ms
            heapq.heappush(held, (when, next(numbers), event))
        while held and held[0][0] <= now_ms - HOLD_MS:
            yield heapq.heappop(held)[-1]
    while held:
        yield heapq.heappop(held)[-1]


def _listen(
    state: ClusterState, seconds: float | None, poll_ms: int
) -> Iterator[dict[str, Any] | None]:
    """Yield events, and None when there was none for ``poll_ms``."""
    deadline = None if seconds is None else time.monotonic() + seconds
    with zmq.Context() as context, closing(context.socket(zmq.SUB)) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, 20)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
        socket.setsockopt(zmq.SUBSCRIBE, TOPIC)
        for node in state.nodes:
            socket.connect(node.events)
        while deadline is None or time.monotonic() < deadline:
            if not socket.poll(poll_ms):
                yield None
                continue
            frames = socket.recv_multipart()
            try:
                event = msgspec.msgpack.decode(frames[-1])
            except msgspec.DecodeError:
                continue
            if isinstance(event, dict):
                yield event
