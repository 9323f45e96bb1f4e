"""Deeds of every kind, on keys of which no history is kept: what they come to, ``plain`` tells."""

from random import Random
from typing import Any

from .workload import LOOSE

TTLS_MS = (30, 200, 1_000, 100_000)
LONG_BYTES = 150
STEPS_MAX = 4


class LooseDeeds:
    """Draws anything that may be done to keys under a number.

    Args:
        random: decides.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._seen: dict[str, int] = {}
        self._made: dict[str, int] = {}

    def next(self) -> tuple[str, dict[str, Any]]:
        """Return the next operation, and its fields."""
        random = self._random
        number = random.random()
        if number < 0.15:
            return "txn", self._txn()
        if number < 0.2:
            return "delete_range", {"prefix": random.choice(("loose-", random.choice(LOOSE)))}
        op, asked = self._single()
        if op == "set" and random.random() < 0.4:
            asked["bind"] = True
        if random.random() < 0.3:
            key = random.choice(LOOSE)
            asked["fence"] = {"key": key, "create_rev": self._made.get(key, 1)}
        return op, asked

    def learn(self, key: str, reply: dict[str, Any]) -> None:
        """Take note of an answer."""
        if key in LOOSE and "mod_rev" in reply:
            self._seen[key] = int(reply["mod_rev"])
            if reply.get("created"):
                self._made[key] = int(reply["mod_rev"])

    def _single(self) -> tuple[str, dict[str, Any]]:
        """Return a write to one key."""
        random, key = self._random, self._random.choice(LOOSE)
        op = random.choice(("set", "set", "set", "incr", "incr", "delete", "expire"))
        asked: dict[str, Any] = {"key": key}
        if op == "expire":
            return op, {**asked, "ttl_ms": random.choice((*TTLS_MS, None))}
        if op == "set":
            asked["value"] = str(random.randrange(10)) + random.choice(("", "", "." * LONG_BYTES))
        if op in {"set", "incr"} and random.random() < 0.5:
            asked["ttl_ms"] = random.choice(TTLS_MS)
            if op == "set":
                asked["sliding"] = random.random() < 0.5
        if op in {"set", "delete"}:
            if random.random() < 0.3:
                asked["if_mod_rev"] = self._seen.get(key, 0)
            if random.random() < 0.3:
                asked["prev"] = True
        return op, asked

    def _txn(self) -> dict[str, Any]:
        random = self._random
        key = random.choice(LOOSE)
        compares = (
            {"key": key, "field": "mod_rev", "cmp": "=", "to": self._seen.get(key, 0)},
            {"key": key, "field": "create_rev", "cmp": "<", "to": self._made.get(key, 0) + 1},
            {"key": key, "field": "key_version", "cmp": ">", "to": random.randrange(3)},
            {"key": key, "field": "exists", "cmp": "!=", "to": random.random() < 0.5},
        )
        return {
            "compare": random.sample(compares, random.randrange(3)),
            "then": self._steps(),
            "else": self._steps(),
        }

    def _steps(self) -> list[dict[str, Any]]:
        steps = []
        for _ in range(self._random.randint(1, STEPS_MAX)):
            op, asked = self._single()
            if op == "set" and asked.get("sliding"):
                asked["prev"] = True
            steps.append({"op": op, **asked})
        return steps


def is_loose(asked: dict[str, Any]) -> bool:
    """Tell whether an operation's fields are of such keys."""
    first = asked.get("key") or asked.get("prefix") or asked["then"][0]["key"]
    return str(first).startswith("loose-")
