"""The verbs, in the order of the help page: each with the module that carries it out.

A verb's module has a :class:`Verb` under the verb's name in capitals. The table here is all that
the help page needs, so that it is there at once.
"""

import argparse
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from .call import Call


class Entry(NamedTuple):
    """A line of the help page."""

    module: str
    usage: str
    summary: str


class Verb(NamedTuple):
    """All of a verb: what its own help page says, its arguments, and what it does."""

    description: str
    examples: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: "Callable[[Call], int]"
    """Carries it out and returns the exit code."""


GROUPS: dict[str, dict[str, Entry]] = {
    "the cluster": {
        "up": Entry("up", "up", "start what is down, wait until it is ready"),
        "status": Entry("status", "status", "ask every node how it is"),
        "wait": Entry("status", "wait", "wait for a leader, or until all have caught up"),
        "ps": Entry("status", "ps", "the processes behind it"),
        "down": Entry("down", "down", "end it, and prove that nothing is left"),
        "snapshot": Entry("snapshot", "snapshot WHAT FILE", "save all data to a file, or restore"),
    },
    "who takes part": {
        "add": Entry("membership", "add", "one node more; it votes once it has caught up"),
        "remove": Entry("membership", "remove NODES", "for good; the others agree to it"),
        "replace": Entry("membership", "replace NODES", "a new life for one that is damaged"),
        "scale": Entry("membership", "scale N", "add or remove, until there are N"),
        "transfer": Entry("membership", "transfer [NODE]", "the leader hands over, in ms"),
    },
    "data": {
        "set": Entry("data", "set KEY VALUE", "write a key"),
        "get": Entry("data", "get KEY", "read it"),
        "incr": Entry("data", "incr KEY [BY]", "add to a number"),
        "delete": Entry("data", "delete KEY", "delete it"),
        "keys": Entry("data", "keys [PREFIX]", "list keys"),
        "lock": Entry("lock", "lock NAME -- CMD", "run a command while holding a lock"),
        "watch": Entry("watch", "watch [KEY]", "every change as it happens, over any failover"),
    },
    "breaking things": {
        "demo": Entry("demo", "demo", "a failover in 30 seconds, told line by line"),
        "chaos": Entry("chaos", "chaos run|list", "scenarios: break it under load, and judge"),
        "simulate": Entry("simulate", "simulate", "whole clusters under virtual time, by seed"),
        "run": Entry("command", "run -- CMD", "a command against a cluster of its own"),
        "kill": Entry("process", "kill NODES", "SIGKILL; says who takes over, and how fast"),
        "stop": Entry("process", "stop NODES", "end in order; a leader hands over first"),
        "pause": Entry("process", "pause NODES", "freeze: alive, connected, silent"),
        "resume": Entry("process", "resume [NODES]", "let go on what was paused"),
        "partition": Entry("network", "partition 'A|B'", "cut the links between groups of nodes"),
        "isolate": Entry("network", "isolate NODES", "cut nodes off; --in, --out: one way only"),
        "link": Entry("network", "link A B", "lossy, late, slow ...: --drop 0.1, --delay 20ms"),
        "heal": Entry("network", "heal [NODES]", "make all links whole, or only some nodes'"),
        "faults": Entry("network", "faults", "what is wrong with the links on purpose"),
        "start": Entry("process", "start [NODES]", "start what is down, wait until it caught up"),
        "restart": Entry("process", "restart [NODES]", "stop and start; --rolling: one by one"),
    },
    "looking": {
        "logs": Entry("look", "logs [NODES]", "what the nodes printed; -f follows"),
        "events": Entry("events", "events", "elections as they happen, explained; -f follows"),
        "env": Entry("command", "env", "the endpoints, for your shell"),
        "bench": Entry("bench", "bench", "how fast it is, beside what would be possible here"),
        "check": Entry("check", "check [FILE]", "check a cluster.yaml without starting anything"),
        "schema": Entry("check", "schema", "what cluster.yaml may say, for editors"),
    },
}

ENTRIES: dict[str, Entry] = {
    verb: entry for group in GROUPS.values() for verb, entry in group.items()
}

SETTLES_FIRST = {
    *("status", "wait", "snapshot"),
    *("kill", "stop", "pause", "resume", "start", "restart"),
}
"""Verbs before which it is seen to what a killed `add`, `remove`, `replace` or `scale` has left;
these themselves and `up` do it on their own."""

TAKES_COMMAND = {"run", "lock"}
"""Verbs with a command after the dashes, whatever it looks like."""

COMES_LATER = {
    "doctor": "finding leftovers of dead runs",
}
"""Verbs that are planned: asking for one deserves a better answer than `unknown`."""
