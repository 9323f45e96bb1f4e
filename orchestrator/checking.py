"""Checking YAML along a table of keys: every problem at once, each with its place.

Nothing is guessed: an unknown key is refused, with the nearest known one. What a value must be is
a :data:`Check`; what several values must be together, the caller looks at afterwards.
"""

import difflib
import re
from collections.abc import Callable, Iterable
from typing import Any, TypeAlias

import msgspec

from .errors import BadConfiguration
from .units import format_size, parse_duration_ms, parse_size_bytes
from .yamltree import Mapping, Mark, Node, Problem, Scalar


class Refused(Exception):  # noqa: N818 - caught right here
    """A value that does not do; the walk adds the place."""


Check: TypeAlias = Callable[[Scalar], Any]
"""Makes a value of what is written; raises :class:`Refused` or ``ValueError`` with the reason."""


class Rule(msgspec.Struct, frozen=True):
    """A check that can also say what it takes, and write it."""

    check: Check
    schema: dict[str, Any]
    """What is taken, as JSON Schema says it; bounds of what has a unit are in its description."""
    write: Callable[..., Any] = lambda value: value
    """Makes of the values, one for each field, what a file would have."""

    def __call__(self, value: Scalar) -> Any:
        """Check a value."""
        return self.check(value)


Entry: TypeAlias = "tuple[Check, tuple[str, ...]] | dict[str, Any] | str"
"""A value with its check and the fields it fills; a section; or why it comes later."""


class Walk:
    """Collects values and problems from the tree, along the table."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.marks: dict[str, Mark] = {}  # of each field that was given
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def mapping(self, node: Mapping, path: str, table: "dict[str, Entry]") -> None:
        """Check keys and values; ``path`` is how messages call the place, with a dot."""
        for key, (mark, value) in node.items.items():
            entry = table.get(key)
            if entry is None:
                self.problems.append(Problem(mark, unknown_key(key, path, table)))
            elif isinstance(entry, str):
                self.problems.append(Problem(mark, f"`{path}{key}` comes later: {entry}"))
            elif isinstance(entry, dict):
                self.section(value, f"{path}{key}", entry)
            else:
                self.leaf(value, f"{path}{key}", entry)

    def section(self, value: Node, path: str, table: "dict[str, Entry]") -> None:
        """Check what must be keys and values, or nothing."""
        if isinstance(value, Mapping):
            self.mapping(value, f"{path}.", table)
        elif not (isinstance(value, Scalar) and value.text == "" and not value.quoted):
            known = ", ".join(key for key, entry in table.items() if not isinstance(entry, str))
            self.problems.append(Problem(value.mark, f"{path}: expected keys: {known}"))

    def leaf(self, value: Node, path: str, entry: tuple[Check, tuple[str, ...]]) -> None:
        """Check a single value, and keep what it means."""
        check, fields = entry
        if not isinstance(value, Scalar):
            self.problems.append(Problem(value.mark, f"{path}: expected a single value"))
            return
        try:
            found = check(value)
        except (Refused, ValueError) as error:
            self.problems.append(Problem(value.mark, f"{path}: {error}"))
            return
        for field, part in zip(fields, found if len(fields) > 1 else (found,), strict=True):
            self.values[field] = part
            self.marks[field] = value.mark


def unknown_key(key: str, path: str, table: "dict[str, Entry]") -> str:
    """Say that a key is unknown, with the nearest known one."""
    known = [name for name, entry in table.items() if not isinstance(entry, str)]
    shown = key if len(key) <= 40 else key[:37] + "..."
    near = difflib.get_close_matches(key[:40].lower().replace("-", "_"), known, n=1)
    guess = f"; did you mean `{near[0]}`?" if near else "."
    where = f"in `{path[:-1]}`" if path else "here"
    return f"unknown key `{path}{shown}`{guess} Allowed {where}: {', '.join(known)}"


def refuse(name: str, problems: Iterable[Problem]) -> BadConfiguration:
    """Return the error that says all problems of a file, a line for each."""
    ordered = sorted(problems, key=lambda problem: problem.mark)
    return BadConfiguration("\n".join(place(name, problem) for problem in ordered))


def place(name: str, problem: Problem) -> str:
    """Return a problem as a line: file, line, column, what."""
    return f"{name}:{problem.mark.line}:{problem.mark.column}: {problem.message}"


def shorten(text: str) -> str:
    """Return a text as messages quote it."""
    return text if len(text) <= 40 else text[:37] + "..."


def whole(low: int, high: int, why: str = "") -> Check:
    """Return the check of a whole number; ``why`` follows the bounds in messages."""

    def check(value: Scalar) -> int:
        text = value.text.replace("_", "")
        expected = f"expected a whole number from {low} to {high}{why}"
        if not value.quoted and text.lower() in _BOOLEANS:
            raise Refused(f"'{value.text}' is a truth value in YAML; {expected}")
        if value.quoted or not re.fullmatch(r"-?[0-9]{1,18}", text, re.ASCII):
            raise Refused(f"'{shorten(value.text)}' is not allowed; {expected}")
        if not low <= int(text) <= high:
            raise Refused(f"{text} is not allowed; {expected}")
        return int(text)

    return Rule(check, {"type": "integer", "minimum": low, "maximum": high})


_NUMBER = r"[0-9]+(\.[0-9]+)? ?"
DURATION_PATTERN = f"{_NUMBER}(ms|s|m|h)"
SIZE_PATTERN = f"{_NUMBER}(B|KiB|MiB|GiB|kB|KB|MB|GB)"
_UNITS: dict[Callable[[str], int], tuple[str, Callable[[int], str]]] = {
    parse_duration_ms: (DURATION_PATTERN, lambda milliseconds: f"{milliseconds}ms"),
    parse_size_bytes: (SIZE_PATTERN, format_size),
}
"""Of each measure what is taken, as a pattern, and how an amount is written."""


def measure(parse_text: Callable[[str], int], low: int, high: int, allowed: str) -> Check:
    """Return the check of a number with a unit."""

    def check(value: Scalar) -> int:
        amount = parse_text(value.text)
        if not low <= amount <= high:
            raise Refused(f"{value.text} is not allowed; {allowed}")
        return amount

    pattern, write = _UNITS[parse_text]
    schema = {"type": "string", "pattern": f"^{pattern}$", "description": allowed}
    return Rule(check, schema, write)


def choice(*words: str, later: dict[str, str] | None = None) -> Check:
    """Return the check of one word out of several; ``later`` are known, but not yet there."""

    def check(value: Scalar) -> str:
        if value.text in words:
            return value.text
        if later and value.text in later:
            raise Refused(f"`{value.text}` comes later: {later[value.text]}")
        near = difflib.get_close_matches(value.text.lower()[:40], words, n=1)
        guess = f"did you mean {near[0]}? " if near else ""
        raise Refused(f"'{shorten(value.text)}' is not allowed; {guess}use {' or '.join(words)}")

    return Rule(check, {"enum": list(words)})


_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def _truth(value: Scalar) -> bool:
    found = None if value.quoted else _BOOLEANS.get(value.text.lower())
    if found is None:
        raise Refused(f"'{shorten(value.text)}' is not allowed; use true or false")
    return found


truth: Check = Rule(_truth, {"type": "boolean"})
"""Checks a truth value."""

_NAME = "[A-Za-z0-9][A-Za-z0-9_-]{0,31}"


def _plain_name(value: Scalar) -> str:
    if not value.quoted and value.text.lower() in _BOOLEANS:
        raise Refused(f"'{value.text}' is a truth value in YAML; put it in quotes if it is a name")
    if not re.fullmatch(_NAME, value.text, re.ASCII):
        raise Refused(
            f"'{shorten(value.text)}' is not allowed; use 1 to 32 letters, digits, - and _, "
            "a letter or digit first"
        )
    return value.text


plain_name: Check = Rule(_plain_name, {"type": "string", "pattern": f"^{_NAME}$"})
"""Checks a name that can be part of a file name."""
