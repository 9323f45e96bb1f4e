"""Reads scenario files: every problem at once, each with its line and what is right.

The grammar is the tables at the bottom. What a later version will take is known by name here, so
that a file that asks for it gets a better answer than ``unknown key``.
"""

import re
from pathlib import Path
from typing import Any

from ..checking import Entry, Refused, Walk, measure, plain_name, refuse, shorten, whole
from ..errors import BadConfiguration, OrchestratorError
from ..selectors import Candidates, resolve
from ..spec import read_shape
from ..spec_values import MIB, Spec
from ..units import format_size, parse_duration_ms, parse_size_bytes
from ..yamltree import MalformedText, Mapping, Mark, Node, Problem, Scalar, Sequence, parse
from .link_grammar import LINK_KEYS, check_ends, harm_of, link_faults
from .scenario import ACTIONS, CUTTING, LASTING, MENDING, MIX, OPERATIONS, Load, Scenario, Step

FIRINGS_MAX = 1_000
"""Of all steps together: more is a mistake in `every`."""
STEPS_MAX = 100


def read_scenario(path: Path, *, nodes: int | None = None) -> Scenario:
    """Read and check a scenario; ``nodes`` overrules what it says of its cluster's size.

    Raises:
        BadConfiguration: the message has a line for every problem: ``file:line:column: what``.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadConfiguration(f"{path}: can't be read: {error.strerror}") from error
    return parse_scenario(data, path.name, nodes=nodes)


def parse_scenario(
    data: bytes, name: str = "scenario.yaml", *, nodes: int | None = None
) -> Scenario:
    """Check the bytes of a scenario; ``name`` is how messages call it."""
    try:
        tree = parse(data)
    except MalformedText as error:
        raise refuse(name, [error.problem]) from error
    if not isinstance(tree, Mapping):
        what = "expected keys and values, such as `duration: 30s` and `steps:`"
        raise refuse(name, [Problem(Mark() if tree is None else tree.mark, what)])
    reading = _Reading(tree, nodes)
    if reading.problems:
        raise refuse(name, reading.problems)
    fallback = re.sub(r"[^A-Za-z0-9_-]", "-", Path(name).stem)[:32].strip("-") or "scenario"
    return reading.scenario(fallback)


class _Reading:
    """One file's tree, on its way to a scenario."""

    def __init__(self, tree: Mapping, nodes: int | None) -> None:
        self.problems: list[Problem] = []
        parts = {key: tree.items.get(key) for key in ("cluster", "steps")}
        plain = {key: item for key, item in tree.items.items() if key not in parts}
        self.walk = Walk()
        self.walk.mapping(Mapping(tree.mark, plain), "", _TOP)
        self.spec, self.shape = self._read_cluster(parts["cluster"])
        self.nodes = nodes or self.spec.nodes
        self._check_load()
        self.duration_ms: int = self.walk.values.get("duration_ms", Scenario(name="").duration_ms)
        self.steps = self._read_steps(tree.mark, parts["steps"])
        self.problems += self.walk.problems

    def scenario(self, fallback: str) -> Scenario:
        """Return the scenario, if there was no problem."""
        values = dict(self.walk.values)
        given = {word: values.pop(f"mix_{word}", 0) for word in OPERATIONS}
        mix = {word: count for word, count in given.items() if count or word in MIX}
        load = {key: values.pop(key) for key in Load.__struct_fields__ if key in values}
        if any(mix.values()):
            load["mix"] = mix
        return Scenario(
            name=values.pop("name", fallback),
            nodes=self.nodes,
            shape=self.shape,
            load=Load(**load),
            steps=tuple(self.steps),
            **values,
        )

    def _read_cluster(self, part: tuple[Mark, Node] | None) -> tuple[Spec, str]:
        if part is None:
            return Spec(), ""
        node = part[1]
        if not isinstance(node, Mapping):
            if not (isinstance(node, Scalar) and node.text == ""):
                self._problem(node.mark, "cluster: expected keys: nodes, raft, storage")
            return Spec(), ""
        spec, walk = read_shape(node, "cluster.")
        if walk.problems:
            self.problems += walk.problems
            return spec, ""
        rest = {key: value for key, (_, value) in node.items.items() if key != "nodes"}
        return spec, "".join(f"{key}: {_flow(value)}\n" for key, value in rest.items())

    def _check_load(self) -> None:
        values, marks = self.walk.values, self.walk.marks
        given = {word: values[f"mix_{word}"] for word in OPERATIONS if f"mix_{word}" in values}
        if given and not any(count for word, count in given.items() if word != "get"):
            mark = marks[f"mix_{next(iter(given))}"]
            self._problem(mark, "load.mix: nothing writes, so nothing could be lost; add `set: 1`")
        largest = values.get("value_bytes_max", 0)
        if largest > self.spec.value_bytes:
            limit = format_size(self.spec.value_bytes)
            self._problem(marks["value_bytes_max"], f"load.value: a node takes at most {limit}")

    def _read_steps(self, top: Mark, part: tuple[Mark, Node] | None) -> list[Step]:
        if part is None:
            self._problem(top, "`steps:` is missing: a list such as `- {at: 2s, kill: leader}`")
            return []
        mark, node = part
        if not isinstance(node, Sequence):
            self._problem(
                mark if isinstance(node, Scalar) and not node.text else node.mark,
                "steps: expected a list, each item such as `- {at: 2s, kill: leader, for: 3s}`",
            )
            return []
        if len(node.items) > STEPS_MAX:
            self._problem(node.items[STEPS_MAX].mark, f"steps: more than {STEPS_MAX}")
            return []
        steps = [step for item in node.items if (step := self._read_step(item)) is not None]
        firings = sum(_firings(step, self.duration_ms) for step in steps)
        if firings > FIRINGS_MAX:
            worst = max(steps, key=lambda step: _firings(step, self.duration_ms))
            count = _firings(worst, self.duration_ms)
            self._problem(
                Mark(worst.line, 1),
                f"steps: they would fire {firings:,} times, this one {count:,} times; "
                f"at most {FIRINGS_MAX:,} in all",
            )
        return steps

    def _read_step(self, item: Node) -> Step | None:
        if not isinstance(item, Mapping):
            what = "a step has keys and values, such as `- {at: 2s, kill: leader}`"
            self._problem(item.mark, what)
            return None
        walk = Walk()
        walk.mapping(item, "", _STEP)
        self.problems += walk.problems
        for mark, what in _faults_of(walk, item, self.duration_ms):
            self._problem(mark, what)
        actions = [word for word in ACTIONS if word in walk.values]
        if walk.problems or len(actions) != 1:
            return None
        action = actions[0]
        selector = walk.values.pop(action)
        self._check_selector(action, selector, walk.marks[action])
        harm = harm_of(walk.values)
        return Step(
            line=item.mark.line,
            action=action,
            selector=selector,
            harm=harm if action == "link" else None,
            **walk.values,
        )

    def _check_selector(self, action: str, selector: str, mark: Mark) -> None:
        names = [f"n{k}" for k in range(1, self.nodes + 1)]
        if action in CUTTING:
            complaint = check_ends(action, selector, names)
            if complaint:
                self._problem(mark, f"{action}: {complaint}")
            return
        everything = Candidates(names, names, names, names[0], names[0])
        try:
            resolve([selector], everything)
        except OrchestratorError as error:
            more = f"; {' '.join(error.hint.split())}" if error.hint else ""
            self._problem(mark, f"{action}: {error.message}{more}")

    def _problem(self, mark: Mark, message: str) -> None:
        self.problems.append(Problem(mark, message))


def _faults_of(walk: Walk, item: Mapping, duration_ms: int) -> list[tuple[Mark, str]]:
    """Return what no single value of a step shows."""
    found: list[tuple[Mark, str]] = []
    values, marks = walk.values, walk.marks
    actions = [word for word in ACTIONS if word in item.items]
    if not actions and not walk.problems:
        found.append((item.mark, f"this step does nothing; say one of {', '.join(ACTIONS)}"))
    if len(actions) > 1:
        mark = item.items[actions[1]][0]
        found.append((mark, f"{' and '.join(actions)} in one step; make a step of each"))
    if "at" not in item.items and "every" not in item.items and not walk.problems:
        found.append((item.mark, "when? Add `at: 2s`, or `every: 5s`"))
    if actions and actions[0] in values:
        found += link_faults(actions[0], values, marks)
    if actions and actions[0] not in LASTING and "for_ms" in values:
        what = f"for: {actions[0]} leaves nothing to undo; it goes with {', '.join(LASTING)}"
        found.append((marks["for_ms"], what))
    if "repeat" in values and "every" not in item.items:
        found.append((marks["repeat"], "repeat: how often? Add `every: 5s`"))
    for key in ("at_ms", "every_ms"):
        if values.get(key, 0) >= duration_ms and not (key == "every_ms" and "at_ms" in values):
            what = f"{key[:-3]}: never comes, for the run ends after {duration_ms / 1000:g} s"
            found.append((marks[key], f"{what}; shorten it, or raise `duration`"))
    return found


def _firings(step: Step, duration_ms: int) -> int:
    if step.every_ms is None:
        return 1
    count = max(0, duration_ms - 1 - step.first_ms) // step.every_ms + 1
    return count if step.repeat is None else min(count, step.repeat)


def _flow(node: Node) -> str:
    """Write checked values as they are read: none of them needs quotes."""
    if isinstance(node, Mapping):
        inside = ", ".join(f"{key}: {_flow(value)}" for key, (_, value) in node.items.items())
        return f"{{{inside}}}"
    assert isinstance(node, Scalar), "a cluster's keys have single values or sections"
    return node.text


def _duration(low_ms: int, high_ms: int, allowed: str) -> Any:
    return measure(parse_duration_ms, low_ms, high_ms, allowed)


_PERIOD = _duration(100, 3_600_000, "use 100ms to 1h")


def _every(value: Scalar) -> tuple[int, int]:
    period, sign, jitter = value.text.partition("+-")
    every_ms: int = _PERIOD(Scalar(value.mark, period, value.quoted))
    if not sign:
        return every_ms, 0
    jitter_ms = parse_duration_ms(jitter)
    if jitter_ms >= every_ms:
        raise Refused(f"{value.text.strip()} could be negative; the part after +- is the smaller")
    return every_ms, jitter_ms


def _rate(value: Scalar) -> float | None:
    if value.text == "max":
        return None
    found = re.fullmatch(r"([0-9]{1,6}(?:\.[0-9]{1,3})?) ?/ ?s", value.text, re.ASCII)
    if found is None:
        number = re.fullmatch(r"[0-9.]+", value.text, re.ASCII)
        if number:
            raise Refused(f"{value.text} per what? Write {value.text}/s")
        raise Refused(f"'{shorten(value.text)}' is not allowed; use a rate as 200/s, or max")
    if not 0.1 <= float(found[1]) <= 100_000:
        raise Refused(f"{value.text} is not allowed; use 0.1/s to 100000/s, or max")
    return float(found[1])


def _sizes(value: Scalar) -> tuple[int, int]:
    low_text, dash, high_text = value.text.partition("-")
    low = parse_size_bytes(low_text)
    high = parse_size_bytes(high_text) if dash else low
    if low > high:
        raise Refused(f"{value.text} is empty; the second must be the larger, as in 16B-4KiB")
    if not 1 <= low <= high <= MIB:
        raise Refused(f"{value.text} is not allowed; use 1B to 1MiB, or a range as 16B-4KiB")
    return low, high


def _about(value: Scalar) -> str:
    text = " ".join(value.text.split())
    if len(text) > 500:
        raise Refused(f"{len(text)} characters; at most 500")
    return text


def _selector(action: str) -> Any:
    def check(value: Scalar) -> str:
        text = value.text.strip()
        if not text and action in MENDING:
            return MENDING[action]
        if not text:
            raise Refused("which nodes? A name, or leader, followers, one, minority, all ...")
        return text

    return check


_ENGINE_LATER = "conditions and compositions of steps"

_TOP: dict[str, Entry] = {
    "name": (plain_name, ("name",)),
    "about": (_about, ("about",)),
    "seed": (whole(0, 2**32 - 1), ("seed",)),
    "duration": (_duration(1_000, 3_600_000, "use 1s to 1h"), ("duration_ms",)),
    "cluster": {},
    "load": {
        "clients": (whole(1, 100), ("clients",)),
        "rate": (_rate, ("rate",)),
        "mix": {word: (whole(0, 1_000), (f"mix_{word}",)) for word in OPERATIONS},
        "keys": (whole(1, 10_000), ("keys",)),
        "value": (_sizes, ("value_bytes_min", "value_bytes_max")),
        "timeout": (_duration(50, 60_000, "use 50ms to 1m"), ("timeout_ms",)),
    },
    "steps": {},
    "expect": _ENGINE_LATER,
    "include": _ENGINE_LATER,
    "variables": _ENGINE_LATER,
}

_STEP: dict[str, Entry] = {
    "at": (_duration(0, 3_600_000, "use 0s to 1h"), ("at_ms",)),
    "every": (_every, ("every_ms", "jitter_ms")),
    "for": (_duration(1, 3_600_000, "use 1ms to 1h"), ("for_ms",)),
    "repeat": (whole(1, FIRINGS_MAX), ("repeat",)),
    **{action: (_selector(action), (action,)) for action in ACTIONS},
    **LINK_KEYS,
    "transfer": "transferring the leadership by hand",
    "after": _ENGINE_LATER,
    "when": _ENGINE_LATER,
    "choose": _ENGINE_LATER,
    "parallel": _ENGINE_LATER,
    "sequence": _ENGINE_LATER,
    "expect": _ENGINE_LATER,
}
