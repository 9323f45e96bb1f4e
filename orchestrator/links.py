"""The links between the nodes as they are on purpose: what is cut, what is disturbed; pure.

A way is one direction of a link. A cut way is held at both of its ends, so that it stays cut when
one of them is started anew, and so that between two partitions no way is open that is closed in
both. What else is wrong with a way is held where it begins: at both ends it would happen twice.
"""

import random
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import permutations
from typing import Any, TypeAlias

import msgspec

from raftcache.protocol.faults import FaultRule

from .errors import UsageError
from .selectors import Candidates, resolve

Way: TypeAlias = tuple[str, str]
"""From one node to another."""


class Condition(msgspec.Struct, frozen=True):
    """What is wrong with a way that is not cut."""

    source: str
    rule: FaultRule
    """As the source holds it."""

    @property
    def way(self) -> Way:
        """Which way it is about."""
        return self.source, self.rule.peer


class Picture(msgspec.Struct, frozen=True):
    """All that is wrong on purpose with the links of a cluster."""

    cuts: frozenset[Way] = frozenset()
    conditions: tuple[Condition, ...] = ()

    def __bool__(self) -> bool:
        """Tell whether anything is."""
        return bool(self.cuts or self.conditions)

    def with_conditions(self, added: Iterable[Condition]) -> "Picture":
        """Return it with these, instead of others for the same ways and kinds of message."""
        new = list(added)
        replaced = {(one.way, frozenset(one.rule.types)) for one in new}
        kept = [
            one for one in self.conditions if (one.way, frozenset(one.rule.types)) not in replaced
        ]
        return Picture(self.cuts, (*kept, *new))

    def among(self, names: Iterable[str]) -> "Picture":
        """Return what of it is between these nodes: others have left the cluster."""
        known = set(names)
        return Picture(
            frozenset(way for way in self.cuts if known >= {*way}),
            tuple(one for one in self.conditions if known >= {*one.way}),
        )

    def without(self, names: Iterable[str]) -> "Picture":
        """Return it with every link of these nodes whole."""
        healed = set(names)
        return Picture(
            frozenset(way for way in self.cuts if not healed & {*way}),
            tuple(one for one in self.conditions if not healed & {*one.way}),
        )


def picture_of(rules: Mapping[str, Sequence[FaultRule]]) -> Picture:
    """Return what the rules in force at each node come to."""
    cuts: set[Way] = set()
    conditions: list[Condition] = []
    for name in sorted(rules):
        for rule in rules[name]:
            outward = rule.direction == "out"
            source, target = (name, rule.peer) if outward else (rule.peer, name)
            if rule.is_cut:
                cuts.add((source, target))
            else:
                plain = msgspec.structs.replace(rule, peer=target, direction="out")
                conditions.append(Condition(source, plain))
    return Picture(frozenset(cuts), tuple(conditions))


def rules_from(fields: object) -> list[FaultRule]:
    """Return the rules that a node told, be it of a newer version; what is unknown is left out."""
    found = []
    for one in fields if isinstance(fields, list) else []:
        try:
            found.append(msgspec.convert(one, FaultRule, strict=False))
        except msgspec.ValidationError:
            continue
    return found


def rules_for(picture: Picture, name: str, reached: Iterable[str]) -> list[FaultRule]:
    """Return the rules that a node has to hold, cuts first, for the first that fits decides.

    ``reached`` are the nodes that can be told: what another should hold, its peer does.
    """
    told = set(reached)
    rules = []
    for source, target in sorted(picture.cuts):
        if source == name:
            rules.append(FaultRule(peer=target, direction="out", drop=1.0))
        elif target == name:
            rules.append(FaultRule(peer=source, direction="in", drop=1.0))
    by_types = sorted(picture.conditions, key=lambda one: not one.rule.types)
    for one in by_types:
        source, target = one.way
        if source == name:
            rules.append(one.rule)
        elif target == name and source not in told:
            rules.append(msgspec.structs.replace(one.rule, peer=source, direction="in"))
    return rules


def groups_of(
    texts: Sequence[str], candidates: Candidates, chance: random.Random | None = None
) -> list[list[str]]:
    """Return the groups of a partition: `n1|n2,n3`, with selectors in them.

    A word such as `followers` or `one` means nodes that no group before it has.

    Raises:
        UsageError: there are no two groups, or one of them is empty or unknown.
    """
    parts = [part.strip() for text in texts for part in text.split("|")]
    example = "bin/cluster partition 'leader|followers'"
    if len(parts) < 2:
        raise UsageError(
            "a partition has at least two groups, with | between them (and quotes around)",
            hint=f"{example}\nbin/cluster isolate {parts[0] or 'leader'}",
        )
    if not all(parts):
        raise UsageError("one of the groups is empty", hint=example)
    groups: list[list[str]] = []
    taken: set[str] = set()
    for part in parts:
        names = _group(part, candidates, taken, chance)
        if not names:
            raise UsageError(f"no node is left that '{part}' could mean", hint=example)
        taken.update(names)
        groups.append(names)
    return groups


_FIXED = {"leader", "old-leader"}


def _group(
    text: str, candidates: Candidates, taken: set[str], chance: random.Random | None
) -> list[str]:
    left = msgspec.structs.replace(
        candidates,
        up=[name for name in candidates.up if name not in taken],
        paused=[name for name in candidates.paused if name not in taken],
    )
    meant: set[str] = set()
    for word in re.split(r",(?![^(]*\))", text):
        names = resolve([word], left, chance)
        if word.strip() not in {*_FIXED, *candidates.names}:
            names = [name for name in names if name not in taken]
        meant.update(names)
    return [name for name in candidates.names if name in meant]


def cuts_between(groups: Sequence[Sequence[str]]) -> frozenset[Way]:
    """Return the ways between nodes that are in no group together."""
    named = sorted({name for group in groups for name in group})
    together = {pair for group in groups for pair in permutations(group, 2)}
    return frozenset(way for way in permutations(named, 2) if way not in together)


def cuts_around(
    names: Iterable[str], everybody: Iterable[str], *, inward: bool = True, outward: bool = True
) -> frozenset[Way]:
    """Return the ways that lead to (``inward``) and from (``outward``) each of these nodes."""
    alone = set(names)
    return frozenset(
        (source, target)
        for source, target in permutations(everybody, 2)
        if (outward and source in alone) or (inward and target in alone)
    )


def circles(picture: Picture, alive: Sequence[str]) -> dict[str, list[str]]:
    """Return for each node those with which it can talk both ways, itself included."""
    return {
        name: [
            other
            for other in alive
            if other == name or not {(name, other), (other, name)} & picture.cuts
        ]
        for name in alive
    }


def as_json(picture: Picture) -> dict[str, Any]:
    """Return it as plain values."""
    return {
        "cuts": [{"from": source, "to": target} for source, target in sorted(picture.cuts)],
        "links": [
            {
                "from": one.source,
                "to": one.rule.peer,
                **{
                    name: value
                    for name, value in msgspec.to_builtins(one.rule).items()
                    if name not in {"peer", "direction"}
                },
            }
            for one in picture.conditions
        ],
    }
