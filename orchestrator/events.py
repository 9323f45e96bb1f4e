"""Raft's events as the nodes publish them, in the order in which they arrive here."""

import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import msgspec
import zmq

from .state import ClusterState

TOPIC = b"raft"
_POLL_MS = 200


def listen(state: ClusterState, *, seconds: float | None = None) -> Iterator[dict[str, Any]]:
    """Yield every event of every node, for so long or until the caller has enough.

    Events have no history: what happened before the connection stood is not told.
    """
    deadline = None if seconds is None else time.monotonic() + seconds
    with zmq.Context() as context, closing(context.socket(zmq.SUB)) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, 20)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 200)
        socket.setsockopt(zmq.SUBSCRIBE, TOPIC)
        for node in state.nodes:
            socket.connect(node.events)
        while deadline is None or time.monotonic() < deadline:
            if not socket.poll(_POLL_MS):
                continue
            frames = socket.recv_multipart()
            try:
                event = msgspec.msgpack.decode(frames[-1])
            except msgspec.DecodeError:
                continue
            if isinstance(event, dict):
                yield event
