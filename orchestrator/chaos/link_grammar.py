"""The part of the grammar that is about links: what `partition`, `isolate` and `link` may say."""

import re
from collections.abc import Sequence
from typing import Any

from raftcache.protocol.faults import BANDWIDTH_MAX, FaultRule, kind_named

from ..checking import Entry, Refused, choice, measure, shorten, truth
from ..errors import OrchestratorError, UsageError
from ..links import cuts_between, groups_of
from ..selectors import Candidates, resolve
from ..units import parse_duration_ms, parse_size_bytes
from ..yamltree import Mark, Scalar

HARMS = ("drop", "delay", "jitter", "duplicate", "reorder", "bandwidth")


def _chance(value: Scalar) -> float:
    found = re.fullmatch(r"([0-9]{1,3}(?:\.[0-9]{1,9})?) ?(%?)", value.text.strip(), re.ASCII)
    chance = float(found[1]) / (100 if found[2] else 1) if found else 2.0
    if chance > 1:
        raise Refused(f"'{shorten(value.text)}' is not allowed; use 0 to 1, or 10%")
    return chance


def _kinds(value: Scalar) -> tuple[str, ...]:
    return tuple(kind_named(part) for part in value.text.split(","))


_LATE = measure(parse_duration_ms, 0, 60_000, "use 0ms to 1m")

LINK_KEYS: dict[str, Entry] = {
    "direction": (choice("in", "out"), ("direction",)),
    "drop": (_chance, ("drop",)),
    "delay": (_LATE, ("delay",)),
    "jitter": (_LATE, ("jitter",)),
    "duplicate": (_chance, ("duplicate",)),
    "reorder": (_chance, ("reorder",)),
    "bandwidth": (
        measure(parse_size_bytes, 1, BANDWIDTH_MAX, "use 1B to 900GiB, a second"),
        ("bandwidth",),
    ),
    "type": (_kinds, ("types",)),
    "one_way": (truth, ("one_way",)),
}
_OF_LINKS = {*HARMS, "types", "one_way"}


def link_faults(
    action: str, values: dict[str, Any], marks: dict[str, Mark]
) -> list[tuple[Mark, str]]:
    """Return what is wrong with a step's keys about links, taken together."""
    found = []
    for field in sorted(_OF_LINKS.intersection(values), key=lambda field: marks[field]):
        if action != "link":
            key = "type" if field == "types" else field
            found.append((marks[field], f"{key}: goes with `link`, and not with {action}"))
    if "direction" in values and action != "isolate":
        found.append((marks["direction"], f"direction: goes with `isolate`, not with {action}"))
    if action == "link" and not any(values.get(field) for field in HARMS):
        what = f"link: what shall be wrong with it? Add one of {', '.join(HARMS)}"
        found.append((marks["link"], what))
    return found


def harm_of(values: dict[str, Any]) -> FaultRule:
    """Take the values about a link out, and make of them what is done to it."""
    given = {field: values.pop(field) for field in (*HARMS, "types") if field in values}
    for field in ("delay", "jitter"):
        if field in given:
            given[f"{field}_ms"] = float(given.pop(field))
    return FaultRule(peer="", direction="out", **given)


def ends_of(selector: str) -> tuple[str, str]:
    """Return the two ends of a link, as they are named.

    Raises:
        UsageError: there are not two.
    """
    ends = selector.split()
    if len(ends) != 2:
        raise UsageError("a link has two ends, as in `link: leader followers`")
    return ends[0], ends[1]


def check_ends(action: str, selector: str, names: Sequence[str]) -> str:
    """Return what is wrong with whom a step about links means; empty: nothing."""
    everything = Candidates([*names], [*names], [], names[0], names[0])
    try:
        if action == "partition":
            if not cuts_between(groups_of([selector], everything)):
                return "these groups share their nodes, so nothing would be cut"
        elif action == "link":
            first, second = (resolve([end], everything) for end in ends_of(selector))
            if not any(a != b for a in first for b in second):
                return "a link has two different ends"
        else:
            resolve([selector], everything)
            if len(names) == 1:
                return "a cluster of one node has no links"
    except OrchestratorError as error:
        return error.message + (f"; {' '.join(error.hint.split())}" if error.hint else "")
    return ""
