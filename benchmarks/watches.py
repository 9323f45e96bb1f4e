"""What watches on keys that nobody writes cost a node's writes.

    benchmarks/run watches [--watches 1000] [--seconds 10]

Entries are applied and each is followed by what a node does for watches at the end of a turn:
the part of a write on which watches have any bearing. The rest of a write, its frames, its log and
its answer, costs several times as much, so what this prints is the most that they can cost. All
kinds take turns, so that what else the machine does slows all of them; times are CPU times of this
thread, and the least of each kind counts.
"""

import argparse
import gc
import time
from random import Random
from typing import Any

import msgspec

from raftcache.node.answers import Answers
from raftcache.node.outbox import Outbox
from raftcache.node.pending import ClientOrigin, Pending
from raftcache.node.watches import Watches
from raftcache.protocol.limits import Limits
from raftcache.protocol.replies import ReplyHeader
from raftcache.protocol.requests import decode_request
from raftcache.raft.configuration import Member, bootstrap_configuration, server_id_of
from raftcache.raft.core import Raft
from raftcache.raft.options import Options
from raftcache.store.commands import COMMAND_VERSION, RaiseVersion, Set, encode_commands
from raftcache.store.machine import StateMachine

KEYS = 10_000
ENTRIES = 200
KINDS = ("none", "keys", "prefixes", "prefixes of 30 lengths")


class Node:
    """A state machine, and watches of one kind, none of which is ever told anything."""

    def __init__(self, kind: str, count: int) -> None:
        self.machine = StateMachine()
        self.machine.apply(1, encode_commands([RaiseVersion(COMMAND_VERSION)], 1))
        member = Member(server_id_of("n1", 1), "n1", 1, "tcp://h:1", "tcp://h:2")
        raft = Raft(
            member.server_id,
            bootstrap_configuration((member,)),
            options=Options(),
            random=Random(1),  # noqa: S311 - no secret
        )
        answers = Answers(ReplyHeader("n1", 1, None, 0), Outbox("c", member.server_id))
        self.watches = Watches(raft, answers, lambda: self.machine, lambda: None)
        for number in range(count if kind != "none" else 0):
            self.watch(kind, number)
        self.watches.on_turn()
        assert not answers.take(), "nobody is told anything"

    def watch(self, kind: str, number: int) -> None:
        """Let one wait."""
        fields: dict[str, Any] = {"op": "watch", "from_rev": 1, "wait_ms": 60_000}
        if kind == "keys":
            fields["key"] = b"config/%06d" % number
        elif kind == "prefixes":
            fields["prefix"] = b"config/%06d/" % number
        else:
            fields["prefix"] = b"%06d" % number + b"c" * (number % 30)
        request = decode_request(msgspec.msgpack.encode(fields), Limits())
        assert request.watch is not None
        pending = Pending(ClientOrigin(0, [b"", b""]), request, b"", 60_000)
        self.watches.take(pending, request.watch, 1)

    def write(self, entries: list[bytes]) -> float:
        """Apply some entries, each in a turn of its own; return the seconds that it took."""
        machine, watches = self.machine, self.watches
        began = time.thread_time()
        for entry in entries:
            machine.apply(machine.last_applied + 1, entry)
            watches.on_turn()
        return time.thread_time() - began


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--watches", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    arguments = parser.parse_args()
    gc.disable()
    for commands in (1, 10, 100):
        least = measure(commands, arguments.watches, arguments.seconds / 3)
        for kind, seconds in least.items():
            per_write_us = seconds / (ENTRIES * commands) * 1e6
            cost = (seconds / least["none"] - 1) * 100
            print(
                f"{commands:3d} writes a turn  {arguments.watches} watches: {kind:<24}"
                f"{per_write_us:7.2f} us a write  {cost:+6.1f} %"
            )


def measure(commands: int, watches: int, seconds: float) -> dict[str, float]:
    """Return the least time of each kind for as many entries of so many commands."""
    nodes = {kind: Node(kind, watches) for kind in KINDS}
    random = Random(1)  # noqa: S311 - no secret, and the same each time
    least: dict[str, float] = {}
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        entries = [
            encode_commands(
                [Set(b"user/%08d" % random.randrange(KEYS), bytes(100)) for _ in range(commands)], 1
            )
            for _ in range(ENTRIES)
        ]
        for kind, node in nodes.items():
            took = node.write(entries)
            least[kind] = min(took, least.get(kind, took))
    return least


if __name__ == "__main__":
    main()
