"""Clients that count with numbered increments, each sent until it is answered."""

import itertools
import threading
import time
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import msgspec
import zmq

from .nodes import BOUND_S, Nodes

KEY = b"sum"
PATIENCE_MS = 1_000
"""When an answer is given up, to ask the next node for it."""
PAUSE_S = 0.005
"""Between two increments: they are to be under way when a node dies, not to keep it busy."""
TTL_MS = 600_000
AGAIN = frozenset({"timeout", "no_leader", "overloaded", "unsupported"})
"""What says that this send may not have been done."""


class Counters:
    """Some counting clients, each with a session of its own.

    Leaving the ``with`` block ends them, once each has the answer to its last increment;
    :meth:`verify` then compares the sum.
    """

    def __init__(self, nodes: Nodes, count: int = 4) -> None:
        self._nodes = nodes
        self._stop = threading.Event()
        self._failures: list[str] = []
        self.answered = [0] * count
        self.sent = [0] * count
        self._threads = [
            threading.Thread(target=self._count, args=(number,), daemon=True)
            for number in range(count)
        ]

    def __enter__(self) -> Self:
        """Begin to count."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Let all of them end."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def verify(self) -> None:
        """Check that the sum is what was acknowledged, no more and no less."""
        assert not self._failures, self._failures
        leader = self._nodes.wait_ready()
        value = self._nodes.done(leader, "get", key=KEY)["value"]
        assert int(value) == sum(self.answered), (self.answered, self.sent)
        assert all(self.answered), self.answered

    def _count(self, number: int) -> None:
        endpoints = self._nodes.endpoints
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        first = number % len(endpoints)
        turns = itertools.cycle(endpoints[first:] + endpoints[:first])
        try:
            opened = self._ask(context, turns, number, {"op": "session_open", "ttl_ms": TTL_MS})
            session = opened["session"]
            for seq in itertools.count(1):
                if self._stop.wait(PAUSE_S):
                    return
                request = {"op": "incr", "key": KEY, "session": session, "seq": seq, "ack": seq - 1}
                self._ask(context, turns, number, request)
                self.answered[number] += 1
        except AssertionError as error:
            self._failures.append(f"counter {number}: {error}")
        finally:
            context.destroy(linger=0)

    def _ask(
        self,
        context: "zmq.Context[zmq.Socket[bytes]]",
        turns: Iterator[str],
        number: int,
        request: dict[str, Any],
    ) -> dict[str, Any]:
        """Send a request to one node after the other until one has an answer that counts."""
        until = time.monotonic() + BOUND_S
        for endpoint in turns:
            assert time.monotonic() < until, f"nobody answers {request}"
            with context.socket(zmq.DEALER) as dealer:
                dealer.setsockopt(zmq.LINGER, 0)
                dealer.connect(endpoint)
                self.sent[number] += 1
                dealer.send_multipart([b"", msgspec.msgpack.encode(request)])
                if not dealer.poll(PATIENCE_MS):
                    continue
                reply: dict[str, Any] = msgspec.msgpack.decode(dealer.recv_multipart()[1])
            if reply["ok"]:
                return reply
            assert reply["error"] in AGAIN, reply
        raise AssertionError("there is always another node to ask")
