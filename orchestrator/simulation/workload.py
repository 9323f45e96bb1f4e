"""Clients that work against a simulated cluster, and the history of what they did and saw.

Each client has one request under way. It takes no answer for ``unknown``, and never repeats.
"""

from random import Random
from typing import Any

import msgspec

from .calls import Call
from .cluster import SimulatedCluster

PATIENCE_US = 300_000
"""How long a client waits beyond the time that it gave the server."""

OK = "ok"
FAILED = "failed"
UNKNOWN = "unknown"


class Operation(msgspec.Struct, kw_only=True):
    """One line of a history. Times are virtual microseconds.

    ``outcome``: ``ok``; ``failed``: it had no effect and never will; ``unknown``: nobody knows.
    ``fields`` are the answer's, when there was one. ``returned_us`` of an unknown operation is
    None: it may still take effect at any time.
    """

    number: int
    client: int
    node: str
    op: str
    key: str
    argument: Any = None
    invoked_us: int
    returned_us: int | None = None
    outcome: str = UNKNOWN
    fields: dict[str, Any] = {}


class Workload:
    """Some clients, each with its own random stream.

    Args:
        cluster: whom they ask.
        seed: decides what they ask.
        registers: how many keys are set and read.
        counters: how many keys are counted up and read.
    """

    def __init__(
        self, cluster: SimulatedCluster, seed: int, *, registers: int = 3, counters: int = 2
    ) -> None:
        self.history: list[Operation] = []
        self.registers = [f"register-{number}" for number in range(registers)]
        self.counters = [f"counter-{number}" for number in range(counters)]
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
        for number, key in enumerate([*self.registers, *self.counters]):
            node = names[number % len(names)]
            operation = self.invoke(-1, node, "get", key, None)
            reply = self._cluster.ask(node, "get", key=key.encode())
            self.settle(operation, reply)
            assert operation.outcome == OK, self._cluster.explain(f"a final read failed: {reply}")

    def invoke(self, client: int, node: str, op: str, key: str, argument: Any) -> Operation:
        """Note that an operation begins."""
        operation = Operation(
            number=len(self.history),
            client=client,
            node=node,
            op=op,
            key=key,
            argument=argument,
            invoked_us=self._cluster.scheduler.now_us,
        )
        self.history.append(operation)
        return operation

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
        self._workload = workload
        self._cluster = cluster
        self._random = random
        self._number = number
        self._turn = 0
        self._seen: dict[str, int] = {}

    def begin(self) -> None:
        """Ask for the first time, soon."""
        self._think()

    def _think(self) -> None:
        pause_us = self._random.randint(*self._cluster.profile.think_us)
        self._cluster.scheduler.after(pause_us, self._ask)

    def _ask(self) -> None:
        if not self._workload.running:
            return
        self._turn += 1
        random = self._random
        node = random.choice(self._cluster.names)
        op, key, argument = self._choose()
        timeout_ms = random.choice((50, 200, 1_000))
        operation = self._workload.invoke(self._number, node, op, key, argument)
        fields: dict[str, Any] = {"key": key, "timeout_ms": timeout_ms}
        if op == "set":
            fields["value"] = argument
            if random.random() < 0.2:
                fields["if_mod_rev"] = self._seen.get(key, 0)
        if random.random() < 0.1:
            fields["forward"] = False
        turn = self._turn
        call = self._cluster.request(node, op, json=random.random() < 0.2, **fields)

        def answered(call: Call) -> None:
            if turn != self._turn:
                return  # This client has given up on it, and nobody listens any more.
            self._workload.settle(operation, call.reply)
            if "mod_rev" in call.reply:
                self._seen[key] = call.reply["mod_rev"]
            self._turn += 1
            self._think()

        def give_up() -> None:
            if turn == self._turn:
                self._turn += 1
                self._think()

        call.on_answer = answered
        self._cluster.scheduler.after(timeout_ms * 1_000 + PATIENCE_US, give_up)

    def _choose(self) -> tuple[str, str, str | None]:
        random = self._random
        if random.random() < 0.5:
            key = random.choice(self._workload.registers)
            if random.random() < 0.5:
                return "set", key, f"{self._number}.{self._turn}"
            return "get", key, None
        key = random.choice(self._workload.counters)
        return ("incr", key, None) if random.random() < 0.7 else ("get", key, None)
