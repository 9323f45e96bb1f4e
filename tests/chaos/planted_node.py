"""A node with a planted bug: started in a node's place by the tests, never shipped.

    python planted_node.py lost|stale SETTINGS.json

``lost``: every 30th write is acknowledged, and goes to another key. ``stale``: of the first 200
reads every 20th answers what the first read of its key has found.
"""

import itertools
import sys
from typing import Any

import msgspec

from raftcache.node.main import main
from raftcache.parent import ParentWatch
from raftcache.store.machine import StateMachine


def plant_lost_write() -> None:
    """Do what a bug in apply might: the same on every node, so that their states agree."""
    original: Any = StateMachine._set
    numbers = itertools.count(1)

    def set_astray(self: StateMachine, command: Any) -> Any:
        if next(numbers) % 30 == 0:
            command = msgspec.structs.replace(command, key=b"astray")
        return original(self, command)

    StateMachine._set = set_astray  # type: ignore[method-assign, assignment]


def plant_stale_read() -> None:
    """Answer from a cache that nobody ever invalidates, now and then."""
    original: Any = StateMachine._get
    numbers = itertools.count(1)
    cached: dict[bytes, Any] = {}

    def get_stale(self: StateMachine, query: Any) -> Any:
        found = original(self, query)
        first = cached.setdefault(query.key, found)
        number = next(numbers)
        return first if number <= 200 and number % 20 == 0 else found

    StateMachine._get = get_stale  # type: ignore[method-assign, assignment]


if __name__ == "__main__":
    watch = ParentWatch()
    {"lost": plant_lost_write, "stale": plant_stale_read}[sys.argv[1]]()
    sys.exit(main(sys.argv[2:], watch))
