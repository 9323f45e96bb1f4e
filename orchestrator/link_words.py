"""What is wrong with the links, in as few words as it can be said, for people."""

from collections.abc import Sequence
from itertools import combinations

import msgspec

from raftcache.protocol.faults import FaultRule

from .links import Picture, Way, cuts_between


def describe_cuts(picture: Picture, everybody: Sequence[str]) -> list[str]:
    """Return what is cut: as a partition if it is one, else node by node, else link by link."""
    cuts = picture.cuts
    if not cuts:
        return []
    if all((target, source) in cuts for source, target in cuts):
        touched = [name for name in everybody if any(name in way for way in cuts)]
        groups = _groups_behind(cuts, touched)
        if cuts_between(groups) == cuts:
            return [describe_groups(groups, everybody)]
    left = set(cuts)
    return [*_by_node(left, everybody), *_by_link(left, everybody)]


def describe_groups(groups: Sequence[Sequence[str]], everybody: Sequence[str]) -> str:
    """Return a partition in words, and who is in none of its groups."""
    sides = " | ".join(", ".join(group) for group in groups)
    free = [name for name in everybody if not any(name in group for group in groups)]
    if not free:
        return f"cut: {sides}"
    verb = "is" if len(free) == 1 else "are"
    return f"cut: {sides}  ({', '.join(free)} {verb} in touch with all)"


def _by_node(left: set[Way], everybody: Sequence[str]) -> list[str]:
    """Tell of nodes whose every way is cut; take what was told out of ``left``."""
    lines = []
    for name in everybody:
        spoken = {(name, other) for other in everybody if other != name}
        heard = {(other, name) for other in everybody if other != name}
        if spoken | heard <= left:
            lines.append(f"cut: {name} from all others")
            left -= spoken | heard
        elif spoken <= left:
            lines.append(f"cut: nobody hears {name}")
            left -= spoken
        elif heard <= left:
            lines.append(f"cut: {name} hears nobody")
            left -= heard
    return lines


def _by_link(left: set[Way], everybody: Sequence[str]) -> list[str]:
    lines = []
    for a, b in combinations(everybody, 2):
        if (a, b) in left and (b, a) in left:
            lines.append(f"cut: {a} | {b}")
        elif (a, b) in left:
            lines.append(f"cut: {b} does not hear {a}")
        elif (b, a) in left:
            lines.append(f"cut: {a} does not hear {b}")
    return lines


def describe_order(name: str, rules: Sequence[FaultRule]) -> str:
    """Return in a sentence what a node was told to do to its links."""
    if not rules:
        return f"{name} is told: no more faults on its links"
    silent = {rule.peer for rule in rules if rule.is_cut and rule.direction == "out"}
    deaf = {rule.peer for rule in rules if rule.is_cut and rule.direction == "in"}
    disturbed = {rule.peer for rule in rules if not rule.is_cut}
    words = (
        ("cut off from", silent & deaf),
        ("silent to", silent - deaf),
        ("deaf to", deaf - silent),
        ("on bad links with", disturbed),
    )
    parts = [f"{word} {', '.join(sorted(peers))}" for word, peers in words if peers]
    return f"{name} is told: be {', '.join(parts)}"


def describe_conditions(picture: Picture) -> list[str]:
    """Return what else is wrong, a line for each link, or for each direction where they differ."""
    lines = []
    seen: set[tuple[Way, FaultRule]] = set()
    plain = {(one.way, msgspec.structs.replace(one.rule, peer="")) for one in picture.conditions}
    for one in picture.conditions:
        source, target = one.way
        rule = msgspec.structs.replace(one.rule, peer="")
        if (one.way, rule) in seen:
            continue
        seen.add((one.way, rule))
        arrow = "->"
        if ((target, source), rule) in plain:
            seen.add(((target, source), rule))
            arrow = "<->"
        lines.append(f"{source} {arrow} {target}: {describe_rule(rule)}")
    return lines


def describe_rule(rule: FaultRule) -> str:
    """Return in words what a rule does."""
    parts = []
    if rule.drop:
        parts.append(f"{rule.drop * 100:.4g} % lost" if rule.drop < 1 else "all lost")
    if rule.delay_ms or rule.jitter_ms:
        jitter = f" +- {rule.jitter_ms:g} ms" if rule.jitter_ms else ""
        parts.append(f"{rule.delay_ms:g} ms late{jitter}")
    if rule.duplicate:
        parts.append(f"{rule.duplicate * 100:.4g} % doubled")
    if rule.reorder:
        parts.append(f"{rule.reorder * 100:.4g} % out of order")
    if rule.bandwidth is not None:
        parts.append(f"{rule.bandwidth:,} bytes/s")
    about = f" (of {', '.join(rule.types)})" if rule.types else ""
    return ", ".join(parts) + about


def _groups_behind(cuts: frozenset[Way], touched: Sequence[str]) -> list[list[str]]:
    """Return the nodes in groups, in which all can talk, if it is a partition at all."""
    groups: list[list[str]] = []
    for name in touched:
        for group in groups:
            if all((name, other) not in cuts for other in group):
                group.append(name)
                break
        else:
            groups.append([name])
    return groups
