"""What scripted nodes have in common when they play a cluster: data, sessions, a history."""

import itertools
import threading
import time
from collections.abc import Callable

from .fake_node import FakeNode, Fields, Request, refusal

Trouble = Callable[[FakeNode, Request], bool]
"""Makes trouble of a request that the store has done; True: no answer is given."""


class FakeStore:
    """A store of values with sessions, in memory; ``script`` lets a node answer from it.

    ``requests`` are all that were asked of any node, in order. ``trouble`` strikes after a request
    was done, ``refuse`` before it is looked at.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.requests: list[Request] = []
        self.values: dict[bytes, bytes] = {}
        self.revs: dict[bytes, tuple[int, int]] = {}
        self.rev = 0
        self.sessions: dict[int, dict[int, Fields]] = {}
        self.bound: dict[bytes, int] = {}
        self.events: list[Fields] = []
        self.oldest = 1
        self.keepalives_answered = True
        self.trouble: Trouble = lambda _node, _request: False
        self.refuse: Callable[[Request], Fields | None] = lambda _request: None
        self._session_ids = itertools.count(7)

    def script(self, node: FakeNode, request: Request) -> Fields | None:
        """Answer as a leader does."""
        with self.lock:
            self.requests.append(request)
            fields = self.refuse(request)
            if fields is None:
                fields = self._answer(request)
            if fields is None or self.trouble(node, request):
                return None
            reply = {"store_rev": self.rev, **fields}
        if reply.get("events") == []:
            time.sleep(0.005)  # a node would hold it for longer
        return reply

    def ops(self) -> list[str]:
        """Return the names of all requests."""
        return [request["op"] for request in self.requests]

    def expire(self, session: int) -> None:
        """End a session, and delete what was bound to it."""
        self.sessions.pop(session, None)
        for key in [key for key, owner in self.bound.items() if owner == session]:
            self._drop(key, "expire")

    def _answer(self, request: Request) -> Fields | None:
        match request["op"]:
            case "session_open":
                session = next(self._session_ids)
                self.sessions[session] = {}
                return {"session": session}
            case "session_keepalive":
                if not self.keepalives_answered:
                    return None
                return {"ttl_ms": 1} if request["session"] in self.sessions else _expired()
            case "session_close":
                self.expire(request["session"])
                return {}
            case "watch":
                return self._watch(request)
            case "range":
                return self._range(request)
            case "batch":
                common: Fields = {
                    name: request[name] for name in ("session", "ack") if name in request
                }
                results = [self._once({**common, **op}) for op in request["ops"]]
                return {"results": [{"ok": True, **result} for result in results]}
            case _:
                return self._once(request)

    def _once(self, request: Request) -> Fields:
        session, seq = request.get("session"), request.get("seq")
        if seq is None:
            return self._apply(request)
        recorded = self.sessions.get(session or 0)
        if recorded is None:
            return _expired()
        if seq <= request["ack"]:
            return refusal("stale_seq", "unknown")
        if seq not in recorded:
            recorded[seq] = self._apply(request)
        return recorded[seq]

    def _apply(self, request: Request) -> Fields:
        key = request["key"]
        fence = request.get("fence")
        if fence is not None:
            _, created = self.revs.get(fence["key"], (0, 0))
            if fence["key"] not in self.values or created != fence["create_rev"]:
                return refusal("fenced")
        mod_rev, create_rev = self.revs.get(key, (0, 0)) if key in self.values else (0, 0)
        match request["op"]:
            case "get":
                if key not in self.values:
                    return {"found": False}
                return {
                    "found": True,
                    "value": self.values[key],
                    "mod_rev": mod_rev,
                    "create_rev": create_rev,
                    "key_version": 1,
                }
            case "delete":
                if request.get("if_mod_rev", mod_rev) != mod_rev:
                    return refusal("conflict", mod_rev=mod_rev, value=self.values.get(key))
                existed = key in self.values
                if existed:
                    self._drop(key, "delete")
                return {"deleted": int(existed)}
            case "incr":
                value = int(self.values.get(key, b"0")) + int(request.get("by", 1))
                self._put(key, str(value).encode(), request)
                return {"value": value, "mod_rev": self.rev}
            case _:
                return self._set(key, mod_rev, request)

    def _set(self, key: bytes, mod_rev: int, request: Request) -> Fields:
        if request.get("if_mod_rev", mod_rev) != mod_rev:
            return refusal("conflict", mod_rev=mod_rev, value=self.values.get(key))
        self._put(key, request["value"], request)
        return {"mod_rev": self.rev, "created": mod_rev == 0}

    def _put(self, key: bytes, value: bytes, request: Request) -> None:
        self.rev += 1
        _, created = self.revs.get(key, (0, 0)) if key in self.values else (0, self.rev)
        self.values[key], self.revs[key] = value, (self.rev, created)
        self.bound.pop(key, None)
        if request.get("bind"):
            self.bound[key] = request["session"]
        self.events.append({"kind": "set", "key": key, "value": value, "rev": self.rev})

    def _drop(self, key: bytes, kind: str) -> None:
        self.rev += 1
        del self.values[key]
        self.bound.pop(key, None)
        self.events.append({"kind": kind, "key": key, "value": None, "rev": self.rev})

    def _watch(self, request: Request) -> Fields:
        if request["from_rev"] < self.oldest:
            return refusal("compacted", oldest=self.oldest)
        found = [
            event
            for event in self.events
            if event["rev"] >= request["from_rev"]
            and (
                event["key"] == request["key"]
                if "key" in request
                else event["key"].startswith(request["prefix"])
            )
        ]
        return {"events": found, "next_rev": self.rev + 1}

    def _range(self, request: Request) -> Fields:
        keys = sorted(key for key in self.values if key.startswith(request["prefix"]))
        items = [
            {
                "key": key,
                "value": self.values[key],
                "mod_rev": self.revs[key][0],
                "create_rev": self.revs[key][1],
                "key_version": 1,
            }
            for key in keys
        ]
        return {"items": items, "count": len(items), "more": False, "at_rev": self.rev}


def _expired() -> Fields:
    return refusal("session_expired", "unknown")
