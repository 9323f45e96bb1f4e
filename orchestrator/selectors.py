"""Selectors: which nodes a verb means, by name or by what they are at the moment."""

import difflib
import random
import re
from collections.abc import Iterable

import msgspec

from .errors import NoQuorum, UsageError

WORDS = (
    "leader",
    "old-leader",
    "followers",
    "one-follower",
    "one",
    "random(K)",
    "minority",
    "majority",
    "all",
    "down",
    "paused",
)
HELP = (
    "a name (n1), several (n1,n3), leader, old-leader, followers, one-follower, one, random(2), "
    "minority, majority, all, down, paused"
)


class Candidates(msgspec.Struct, frozen=True):
    """What selectors choose from; all lists are in the order of the nodes' names."""

    names: list[str]
    up: list[str]
    """Those that have a process, paused or not."""
    paused: list[str]
    leader: str | None
    old_leader: str | None
    learners: frozenset[str] = frozenset()
    """Those that count for no majority yet."""


def resolve(
    texts: Iterable[str], candidates: Candidates, chance: random.Random | None = None
) -> list[str]:
    """Return the nodes that are meant, each once, in the order of their names.

    ``chance`` decides where a selector leaves a choice.

    Raises:
        UsageError: a selector is unknown, or nothing fits it now.
        NoQuorum: the leader is meant, and there is none.
    """
    chance = chance or random.Random()
    meant: set[str] = set()
    for text in texts:
        for part in re.split(r",(?![^(]*\))", text):
            meant.update(_resolve_one(part.strip(), candidates, chance))
    return [name for name in candidates.names if name in meant]


def _resolve_one(text: str, candidates: Candidates, chance: random.Random) -> list[str]:
    if text in candidates.names:
        return [text]
    up, names = candidates.up, candidates.names
    followers = [name for name in up if name != candidates.leader]
    groups = {
        "followers": followers,
        "all": names,
        "down": [name for name in names if name not in up],
        "paused": candidates.paused,
    }
    if text in groups:
        return groups[text]
    voting = [name for name in up if name not in candidates.learners]
    size = len(names) - len(candidates.learners)
    draws = {
        "one-follower": (followers, 1),
        "one": (up, 1),
        "minority": (voting, (size - 1) // 2),
        "majority": (voting, size // 2 + 1),
    }
    counted = re.fullmatch(r"random\(([0-9]{1,3})\)", text)
    if counted:
        draws[text] = (up, int(counted[1]))
        if not int(counted[1]):
            raise UsageError(f"{text} means no node at all; K is 1 or more")
    if text in draws:
        return _draw(*draws[text], text, chance)
    if text in {"leader", "old-leader"}:
        return [_leading(text, candidates)]
    raise _unknown(text, candidates)


def _leading(text: str, candidates: Candidates) -> str:
    name = candidates.leader if text == "leader" else candidates.old_leader
    if name is None and text == "leader":
        raise NoQuorum("there is no leader now", hint="bin/cluster status")
    if name is None:
        raise UsageError("no leader before the present one was seen, so there is no old one")
    return name


def _draw(names: list[str], count: int, text: str, chance: random.Random) -> list[str]:
    if count > len(names):
        raise UsageError(f"{text} means {count} of the nodes that fit, and there are {len(names)}")
    return chance.sample(names, count)


def _unknown(text: str, candidates: Candidates) -> UsageError:
    near = difflib.get_close_matches(text[:40], [*candidates.names, *WORDS], n=1)
    guess = f"; did you mean {near[0]}?" if near else ""
    return UsageError(
        f"no node is called '{text[:40]}'{guess}",
        hint=f"the nodes are {', '.join(candidates.names)}; or say\n"
        f"{', '.join(WORDS[:6])},\n{', '.join(WORDS[6:])}",
    )
