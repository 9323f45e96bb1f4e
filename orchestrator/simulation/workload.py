"""Clients that work against a simulated cluster, and the history of what they did and saw.

Each client has one request under way. It takes no answer for ``unknown``, and never repeats.
"""

from collections.abc import Callable
from random import Random
from types import MappingProxyType
from typing import Any, Final

import msgspec

from .calls import Call
from .cluster import SimulatedCluster

PATIENCE_US = 300_000
"""How long a client waits beyond the time that it gave the server."""
BATCH_MAX = 5
REGISTERS = tuple(f"register-{number}" for number in range(3))
"""Keys that are set and read, with conditions or without; every value is new."""
COUNTERS = tuple(f"counter-{number}" for number in range(2))
"""Keys that are counted up and read."""
MIXED = tuple(f"mixed-{number}" for number in range(3))
"""Keys to which anything is done."""
TALLIES = tuple(f"tally-{number}" for number in range(2))
"""Keys that are counted up in batches."""
HUGE = ("tally-huge",)
"""A key to which so much is added that it is sometimes too much."""
KEYS = (*REGISTERS, *COUNTERS, *MIXED, *TALLIES, *HUGE)
FLEETING = tuple(f"fleeting-{number}" for number in range(2))
"""Keys that expire; when, only the leaders' clocks know."""
BOUND = tuple(f"bound-{number}" for number in range(2))
"""Keys that go with sessions."""
LOCKS = ("lock-0",)
"""Keys that go with sessions, and are made by whoever finds none."""
FENCED = ("fenced-0", "fenced-1")
"""Keys that are written only behind a fence: by those who have, or had, a lock."""
PASSING = tuple(f"passing-{number}" for number in range(2))
"""Keys that are always set with a time to live; some slide."""
EBBING = ("ebbing-0",)
"""A key that is counted up, and has a time to live from its first count on."""
LOOSE = tuple(f"loose-{number}" for number in range(6))
"""Keys to which clients with sessions do anything; only ``plain`` knows what becomes of it."""
OF_SESSIONS = (*BOUND, *LOCKS, *FENCED, *PASSING, *EBBING)
"""What only clients with sessions write and read."""

OK = "ok"
FAILED = "failed"
UNKNOWN = "unknown"


class Operation(msgspec.Struct, kw_only=True):
    """One request in a history. Times are virtual microseconds.

    ``outcome``: ``ok``; ``failed``: it had no effect and never will; ``unknown``: nobody knows.
    ``asked`` are the request's own fields, ``fields`` the answer's, when there was one.
    ``returned_us`` of an unknown operation is None: it may still take effect at any time.
    """

    number: int
    client: int
    node: str
    op: str
    key: str
    argument: Any = None
    asked: dict[str, Any] = {}
    invoked_us: int
    returned_us: int | None = None
    outcome: str = UNKNOWN
    fields: dict[str, Any] = {}


class Workload:
    """Some clients, each with its own random stream.

    Args:
        cluster: whom they ask.
        seed: decides what they ask.
    """

    def __init__(self, cluster: SimulatedCluster, seed: int | str) -> None:
        self.history: list[Operation] = []
        self._cluster = cluster
        self._running = True
        for number in range(cluster.profile.clients):
            _Client(self, cluster, Random(f"{seed}/client/{number}"), number).begin()

    @property
    def running(self) -> bool:
        """Tell whether the clients go on."""
        return self._running

    def stop(self) -> None:
        """Let the clients ask nothing more; what is under way may still be answered."""
        self._running = False

    def read_all(self) -> None:
        """Read every key once, linearizably, at a node in turn; into the same history."""
        names = [process.name for process in self._cluster.running]
        for number, key in enumerate(KEYS):
            node = names[number % len(names)]
            operation = self.invoke(-1, node, "get", {"key": key})
            reply = self._cluster.ask(node, "get", key=key.encode())
            self.settle(operation, reply)
            assert operation.outcome == OK, f"a final read failed: {reply}"

    def invoke(self, client: int, node: str, op: str, asked: dict[str, Any]) -> Operation:
        """Note that an operation begins."""
        operation = self.operation(client, node, op, asked)
        self.history.append(operation)
        return operation

    def operation(self, client: int, node: str, op: str, asked: dict[str, Any]) -> Operation:
        """Return an operation that begins now."""
        return Operation(
            number=len(self.history),
            client=client,
            node=node,
            op=op,
            key=asked.get("key", ""),
            argument=asked.get("value"),
            asked=asked,
            invoked_us=self._cluster.scheduler.now_us,
        )

    def settle(self, operation: Operation, reply: dict[str, Any]) -> None:
        """Note how an operation ended."""
        operation.fields = reply
        if reply["ok"]:
            operation.outcome = OK
        elif reply["applied"] == "no":
            operation.outcome = FAILED
        else:
            return
        operation.returned_us = self._cluster.scheduler.now_us


class _Client:
    """One client: asks, waits, thinks, asks."""

    def __init__(
        self, workload: Workload, cluster: SimulatedCluster, random: Random, number: int
    ) -> None:
        self.random = random
        self._workload = workload
        self._cluster = cluster
        self._number = number
        self._turn = 0
        self.newest_rev = 0
        """The newest revision that this client was told of."""
        self._seen: dict[str, int] = {}
        self._values: dict[str, Any] = {}

    def begin(self) -> None:
        """Ask for the first time, soon."""
        self._think()

    def new_value(self) -> str:
        """Return a value that nobody else ever writes."""
        value = f"{self._number}.{self._turn}.{self.random.randrange(1000)}"
        return value + "." * self._cluster.profile.value_bytes

    def seen(self, key: str) -> int:
        """Return the revision in which this client last saw a key."""
        return self._seen.get(key, 0)

    def value(self, key: str) -> Any:
        """Return the value that this client last saw under a key."""
        return self._values.get(key, "never")

    def _think(self) -> None:
        pause_us = self.random.randint(*self._cluster.profile.think_us)
        self._cluster.scheduler.after(pause_us, self._ask)

    def _ask(self) -> None:
        if not self._workload.running:
            return
        self._turn += 1
        random = self.random
        node = random.choice(self._cluster.names)
        op, asked = OPERATIONS[random.choice(self._cluster.profile.mix)](self)
        timeout_ms = random.choice((50, 200, 1_000))
        operation = self._workload.invoke(self._number, node, op, asked)
        fields = {**asked, "timeout_ms": timeout_ms}
        if random.random() < 0.1:
            fields["forward"] = False
        turn = self._turn
        call = self._cluster.request(node, op, json=random.random() < 0.2, **fields)

        def answered(call: Call) -> None:
            self._cluster.record.counts[f"{op} {call.outcome}"] += 1
            if turn != self._turn:
                return  # This client has given up on it, and nobody listens any more.
            self._workload.settle(operation, call.reply)
            self.newest_rev = max(self.newest_rev, call.reply["store_rev"])
            if "mod_rev" in call.reply:
                self._seen[operation.key] = call.reply["mod_rev"]
                value = call.reply.get("value", operation.argument)
                self._values[operation.key] = value.decode() if isinstance(value, bytes) else value
            self._turn += 1
            self._think()

        def give_up() -> None:
            if turn == self._turn:
                self._turn += 1
                self._think()

        call.on_answer = answered
        self._cluster.scheduler.after(timeout_ms * 1_000 + PATIENCE_US, give_up)


def _set(client: _Client) -> tuple[str, dict[str, Any]]:
    key = client.random.choice((*REGISTERS, MIXED[0]))
    return "set", {"key": key, "value": client.new_value()}


def _get(client: _Client) -> tuple[str, dict[str, Any]]:
    return "get", {"key": client.random.choice(KEYS)}


def _incr(client: _Client) -> tuple[str, dict[str, Any]]:
    return "incr", {"key": client.random.choice(COUNTERS)}


def _cas(client: _Client) -> tuple[str, dict[str, Any]]:
    key = client.random.choice((*REGISTERS, *MIXED))
    return "set", {"key": key, "value": client.new_value(), "if_mod_rev": client.seen(key)}


def _cas_value(client: _Client) -> tuple[str, dict[str, Any]]:
    key = client.random.choice(MIXED)
    asked = {"key": key, "value": client.new_value()}
    known = client.value(key)
    return "set", asked if known is None else {**asked, "if_value": known}


def _delete(client: _Client) -> tuple[str, dict[str, Any]]:
    key = client.random.choice(MIXED)
    if client.random.random() < 0.3:
        return "delete", {"key": key, "if_mod_rev": client.seen(key)}
    return "delete", {"key": key}


def _batch(client: _Client) -> tuple[str, dict[str, Any]]:
    random = client.random
    operations: list[dict[str, Any]] = []
    for number in range(random.randint(1, BATCH_MAX)):
        op = random.choice(("set", "get", "incr", "delete"))
        key = random.choice(TALLIES if op == "incr" else MIXED)
        operation = {"op": op, "key": key}
        if op == "set":
            operation["value"] = f"{client.new_value()}.{number}"
        operations.append(operation)
    return "batch", {"ops": operations}


def _fleeting(client: _Client) -> tuple[str, dict[str, Any]]:
    random, key = client.random, client.random.choice(FLEETING)
    op = random.choice(("set", "set", "get", "get", "expire"))
    if op == "set":
        ttl_ms = random.choice((1, 50, 400))
        return op, {"key": key, "value": client.new_value(), "ttl_ms": ttl_ms}
    return op, {"key": key, "ttl_ms": random.choice((5, 300, None))} if op == "expire" else {
        "key": key
    }


def _range(client: _Client) -> tuple[str, dict[str, Any]]:
    asked = {"prefix": client.random.choice(("register-", "mixed-", "counter-", "tally-"))}
    return "range", asked if client.random.random() < 0.8 else {**asked, "read": "local"}


def _past(client: _Client) -> tuple[str, dict[str, Any]]:
    prefix = client.random.choice(("register-", "mixed-", "counter-", "tally-"))
    at_rev = max(1, client.newest_rev - client.random.randint(0, 8))
    return "range", {"prefix": prefix, "at_rev": at_rev}


def _huge(client: _Client) -> tuple[str, dict[str, Any]]:
    by = client.random.choice((2**62, -(2**62), 2**63 - 1, -(2**63), 5))
    return "incr", {"key": HUGE[0], "by": by}


def _local(client: _Client) -> tuple[str, dict[str, Any]]:
    return "get", {"key": client.random.choice(KEYS), "read": "local"}


OPERATIONS: Final[MappingProxyType[str, Callable[[_Client], tuple[str, dict[str, Any]]]]] = (
    MappingProxyType(
        {
            "set": _set,
            "get": _get,
            "incr": _incr,
            "cas": _cas,
            "cas_value": _cas_value,
            "delete": _delete,
            "batch": _batch,
            "fleeting": _fleeting,
            "range": _range,
            "past": _past,
            "huge": _huge,
            "local": _local,
        }
    )
)
"""What clients can do, by the names that profiles use."""
