"""What clients with sessions do: each draws one thing after the other, and remembers what it holds.

A client that takes a lock writes behind it from then on, as long as it has not been told that the
lock is another's: also when it has lost it long since, which is when a fence must hold.
"""

from random import Random
from typing import Any

from .loose import LooseDeeds
from .workload import (
    BOUND,
    COUNTERS,
    EBBING,
    FENCED,
    LOCKS,
    LOOSE,
    MIXED,
    PASSING,
    REGISTERS,
    TALLIES,
)

KEYS_OF = {
    "incr": COUNTERS,
    "set": REGISTERS,
    "cas": REGISTERS,
    "create": MIXED,
    "delete": MIXED,
    "bind": BOUND,
    "lock": LOCKS,
    "fenced": FENCED,
    "passing": PASSING,
    "ebb": EBBING,
    "txn": MIXED,
    "delete_range": MIXED,
    "loose": LOOSE,
}
"""What is done to which keys. What is refused now may be possible later, if it is deleted."""
READ = (*BOUND, *LOCKS, *LOCKS, *LOCKS, *FENCED, *PASSING, *EBBING)
TTLS_MS = (50, 200, 400)
GIVE_UP = 0.3
"""How likely somebody whose fence was refused believes it."""
ADOPT = 0.6
"""How likely somebody who sees a lock writes behind it, as if it had been taken together."""
GIVE_BACK = 0.4
"""How likely somebody who has a lock gives it back, and goes on as if it had not."""
LOOK = 0.15


class Deeds:
    """Draws what one client does.

    Args:
        random: decides.
        number: of the client; values tell it.
        kinds: what it does, each as often as it is named.
    """

    def __init__(self, random: Random, number: int, kinds: tuple[str, ...]) -> None:
        self._kinds = kinds
        self._random = random
        self._number = number
        self._count = 0
        self._seen: dict[str, int] = {}
        self._loose = LooseDeeds(random)
        self.lock_rev = 0
        """By which creation of the lock this client writes; 0: none."""

    def next(self) -> tuple[str, dict[str, Any]]:
        """Return the next operation, and its fields."""
        random = self._random
        self._count += 1
        kind = random.choice(self._kinds)
        if kind == "fenced" and not self.lock_rev:
            kind = "lock"
        if kind == "loose":
            return self._loose.next()
        key = random.choice(KEYS_OF[kind])
        value = f"{self._number}.{self._count}.{random.randrange(1000)}"
        if kind == "txn":
            return kind, self._txn(key, value)
        if kind == "delete_range":
            return kind, {"prefix": random.choice((key, "mixed-"))}
        if kind == "ebb":
            return "incr", {"key": key, "ttl_ms": random.choice(TTLS_MS)}
        if kind in {"incr", "delete"}:
            return kind, {"key": key}
        if kind == "lock" and self.lock_rev and random.random() < GIVE_BACK:
            return "delete", {"key": key}
        return "set", {"key": key, "value": value, **self._more(kind, key)}

    def _more(self, kind: str, key: str) -> dict[str, Any]:
        """Return what a kind of set has besides key and value."""
        random = self._random
        if kind == "passing":
            return {"ttl_ms": random.choice(TTLS_MS), "sliding": random.random() < 0.5}
        more: dict[str, dict[str, Any]] = {
            "lock": {"if_mod_rev": 0, "bind": True},
            "fenced": {"fence": {"key": LOCKS[0], "create_rev": self.lock_rev}},
            "bind": {"bind": True},
            "cas": {"if_mod_rev": self._seen.get(key, 0)},
            "create": {"if_mod_rev": 0},
        }
        return more.get(kind, {})

    def _txn(self, key: str, value: str) -> dict[str, Any]:
        """Return a transaction's fields: on two keys and a count, if one is as it was seen."""
        random = self._random
        other = random.choice([one for one in MIXED if one != key])
        compares = (
            {"key": key, "field": "mod_rev", "cmp": "=", "to": self._seen.get(key, 0)},
            {"key": other, "field": "exists", "cmp": "=", "to": random.random() < 0.5},
            {"key": other, "field": "mod_rev", "cmp": "<", "to": self._seen.get(key, 0) + 1},
        )
        then = [
            {"op": "set", "key": key, "value": value},
            {"op": "incr", "key": TALLIES[0]},
            {"op": "get", "key": key},
            {"op": "get", "key": other},
            {"op": random.choice(("delete", "get")), "key": other},
        ]
        if random.random() < 0.1:
            then.append({"op": "incr", "key": key})  # No number: all of it fails.
        otherwise = [{"op": "get", "key": other}, {"op": "get", "key": key}]
        return {
            "compare": random.sample(compares, random.randrange(3)),
            "then": then,
            "else": otherwise,
        }

    def wants_to_look(self) -> bool:
        """Draw whether it reads what only such clients write, where they do."""
        return "fenced" in self._kinds and self._random.random() < LOOK

    def look(self) -> dict[str, Any]:
        """Return the fields of a read, linearizable."""
        return {"key": self._random.choice(READ)}

    def learn(self, key: str, op: str, reply: dict[str, Any]) -> None:
        """Take note of an answer."""
        self._loose.learn(key, reply)
        if "mod_rev" in reply:
            self._seen[key] = int(reply["mod_rev"])
        if key in LOCKS and op == "set" and reply["ok"]:
            self.lock_rev = int(reply["mod_rev"])
        elif key in LOCKS and op == "get" and reply["ok"] and self._random.random() < ADOPT:
            self.lock_rev = int(reply["create_rev"])
        elif reply.get("error") == "fenced" and self._random.random() < GIVE_UP:
            self.lock_rev = 0
