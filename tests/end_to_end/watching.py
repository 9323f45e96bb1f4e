"""Clients that watch everything, from node to node, while nodes are killed."""

import itertools
import threading
from types import TracebackType
from typing import Any, Self

import msgspec
import zmq

from .nodes import Nodes, Reply

WAIT_MS = 500
PATIENCE_MS = 2_000
"""When a node that does not answer is given up: one that is dead, or starts."""

Event = tuple[str, int, bytes, bytes | None]


class Watchers:
    """Some watchers of all keys, each at another node to begin with.

    Leaving the ``with`` block ends them; :meth:`verify` then compares what they were told.
    """

    def __init__(self, nodes: Nodes, count: int = 3) -> None:
        self._nodes = nodes
        self._stop = threading.Event()
        self.told: list[list[Event]] = [[] for _ in range(count)]
        self._next_rev = [1] * count
        self._failures: list[str] = []
        self._threads = [
            threading.Thread(target=self._watch, args=(number,), daemon=True)
            for number in range(count)
        ]

    def __enter__(self) -> Self:
        """Begin to watch."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End all of them."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def verify(self) -> None:
        """Check that each was told every revision once and in order, and what the nodes hold.

        Assumes that nobody writes any more.
        """
        assert not self._failures, self._failures
        leader = self._nodes.wait_ready()
        last_rev = self._nodes.done(leader, "get", key=b"any")["store_rev"]
        for number, told in enumerate(self.told):
            told.extend(self._rest(leader, self._next_rev[number], last_rev))
            assert [event[1] for event in told] == list(range(1, last_rev + 1))
            assert told == self.told[0]
        replayed: dict[bytes, tuple[bytes, int]] = {}
        for kind, rev, key, value in self.told[0]:
            if kind == "set":
                assert value is not None
                replayed[key] = (value, rev)
            else:
                del replayed[key]
        assert replayed == self._held(leader)

    def _held(self, node: str) -> dict[bytes, tuple[bytes, int]]:
        """Return all keys with value and revision."""
        found: dict[bytes, tuple[bytes, int]] = {}
        more: dict[str, Any] = {}
        while True:
            page = self._nodes.done(node, "range", prefix=b"", **more)
            items = page["items"]
            found.update({item["key"]: (item["value"], item["mod_rev"]) for item in items})
            if not page["more"]:
                return found
            more = {"after": items[-1]["key"], "at_rev": page["at_rev"]}

    def _watch(self, number: int) -> None:
        endpoints = self._nodes.endpoints
        context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        try:
            for endpoint in itertools.cycle(endpoints[number % 3 :] + endpoints[: number % 3]):
                if self._stop.is_set():
                    return
                with context.socket(zmq.DEALER) as dealer:
                    dealer.setsockopt(zmq.LINGER, 0)
                    dealer.connect(endpoint)
                    while not self._stop.is_set() and self._poll(dealer, number):
                        pass
        except AssertionError as error:
            self._failures.append(f"watcher {number}: {error}")
        finally:
            context.destroy(linger=0)

    def _poll(self, dealer: "zmq.Socket[bytes]", number: int) -> bool:
        """Ask once; False: go to another node."""
        from_rev = self._next_rev[number]
        request = {"op": "watch", "prefix": b"", "from_rev": from_rev, "wait_ms": WAIT_MS}
        dealer.send_multipart([b"", msgspec.msgpack.encode({**request, "id": from_rev})])
        if not dealer.poll(WAIT_MS + PATIENCE_MS):
            return False
        reply: Reply = msgspec.msgpack.decode(dealer.recv_multipart()[1])
        assert reply["id"] == from_rev, reply
        if not reply["ok"]:
            assert reply["error"] in {"no_leader", "overloaded"}, reply
            return False
        self.told[number] += _events(reply)
        assert reply["next_rev"] >= from_rev, reply
        self._next_rev[number] = reply["next_rev"]
        return reply["leader"] is not None

    def _rest(self, node: str, from_rev: int, last_rev: int) -> list[Event]:
        found: list[Event] = []
        while from_rev <= last_rev:
            reply = self._nodes.done(node, "watch", prefix=b"", from_rev=from_rev)
            found += _events(reply)
            from_rev = reply["next_rev"]
        return found


def _events(reply: dict[str, Any]) -> list[Event]:
    return [
        (event["kind"], event["rev"], event["key"], event["value"]) for event in reply["events"]
    ]
