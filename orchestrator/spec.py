"""cluster.yaml, checked: every problem at once, each with line, column, and what is right.

The keys and their rules are one table (``_KEYS``); reading is a walk over the text's tree along
that table. Nothing is guessed: an unknown key is refused, with the nearest known one.
"""

import difflib
import ipaddress
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from .errors import BadConfiguration
from .paths import FILE_NAME
from .spec_values import GIB, KIB, MIB, NODES_MAX, PORT_BAND, Spec
from .units import format_size, parse_duration_ms, parse_size_bytes
from .yamltree import MalformedText, Mapping, Mark, Node, Problem, Scalar, parse

HEARTBEATS_PER_ELECTION_TIMEOUT_MIN = 3
EPHEMERAL_PORTS_BEGIN = 32_768


class Reading(msgspec.Struct, frozen=True):
    """A spec, and what is worth a warning about it."""

    spec: Spec
    warnings: list[str]


class _Refused(Exception):  # noqa: N818 - caught right here
    """A value that does not do; the walk adds the place."""


_Check: TypeAlias = Callable[[Scalar], Any]


def read_spec(path: Path) -> Reading:
    """Read and check a cluster.yaml.

    Raises:
        BadConfiguration: the message has a line for every problem: ``file:line:column: what``.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BadConfiguration(f"{path}: can't be read: {error.strerror}") from error
    return parse_spec(data, path.name)


def parse_spec(data: bytes, name: str = FILE_NAME) -> Reading:
    """Check the bytes of a cluster.yaml; ``name`` is how messages call it."""
    try:
        tree = parse(data)
    except MalformedText as error:
        problem = error.problem
        raise BadConfiguration(_line(name, problem)) from error
    walk = _Walk()
    if isinstance(tree, Mapping):
        walk.mapping(tree, "", _KEYS)
    elif tree is not None:
        walk.problems.append(Problem(tree.mark, "expected keys and values, such as `nodes: 3`"))
    spec = Spec(**walk.values)
    _check_together(spec, walk)
    if walk.problems:
        lines = [_line(name, problem) for problem in sorted(walk.problems, key=lambda p: p.mark)]
        raise BadConfiguration("\n".join(lines))
    return Reading(spec, [_line(name, problem) for problem in walk.warnings])


def _line(name: str, problem: Problem) -> str:
    return f"{name}:{problem.mark.line}:{problem.mark.column}: {problem.message}"


class _Walk:
    """Collects values and problems from the tree, along the table."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self.marks: dict[str, Mark] = {}  # of each field that was given
        self.problems: list[Problem] = []
        self.warnings: list[Problem] = []

    def mapping(self, node: Mapping, path: str, table: "dict[str, _Entry]") -> None:
        for key, (mark, value) in node.items.items():
            entry = table.get(key)
            if entry is None:
                self.problems.append(Problem(mark, _unknown(key, path, table)))
            elif isinstance(entry, str):
                self.problems.append(Problem(mark, f"`{path}{key}` comes later: {entry}"))
            elif isinstance(entry, dict):
                self.section(value, f"{path}{key}", entry)
            else:
                self.leaf(value, f"{path}{key}", entry)

    def section(self, value: Node, path: str, table: "dict[str, _Entry]") -> None:
        if isinstance(value, Mapping):
            self.mapping(value, f"{path}.", table)
        elif not (isinstance(value, Scalar) and value.text == "" and not value.quoted):
            known = ", ".join(key for key, entry in table.items() if not isinstance(entry, str))
            self.problems.append(Problem(value.mark, f"{path}: expected keys: {known}"))

    def leaf(self, value: Node, path: str, entry: "tuple[_Check, tuple[str, ...]]") -> None:
        check, fields = entry
        if not isinstance(value, Scalar):
            self.problems.append(Problem(value.mark, f"{path}: expected a single value"))
            return
        try:
            found = check(value)
        except (_Refused, ValueError) as error:
            self.problems.append(Problem(value.mark, f"{path}: {error}"))
            return
        for field, part in zip(fields, found if len(fields) > 1 else (found,), strict=True):
            self.values[field] = part
            self.marks[field] = value.mark


def _unknown(key: str, path: str, table: "dict[str, _Entry]") -> str:
    known = [name for name, entry in table.items() if not isinstance(entry, str)]
    shown = key if len(key) <= 40 else key[:37] + "..."
    near = difflib.get_close_matches(key[:40].lower().replace("-", "_"), known, n=1)
    guess = f"; did you mean `{near[0]}`?" if near else "."
    where = f"in `{path[:-1]}`" if path else "here"
    return f"unknown key `{path}{shown}`{guess} Allowed {where}: {', '.join(known)}"


def _check_together(spec: Spec, walk: _Walk) -> None:
    """Check what no single value shows."""

    def problem(field: str, message: str) -> None:
        walk.problems.append(Problem(walk.marks.get(field, Mark()), message))

    least = HEARTBEATS_PER_ELECTION_TIMEOUT_MIN * spec.heartbeat_ms
    if spec.election_timeout_min_ms < least:
        field = "election_timeout_min_ms"
        if field not in walk.marks:
            field = "heartbeat_ms"
        problem(
            field,
            f"raft.election_timeout: begins at {spec.election_timeout_min_ms}ms, but must be at "
            f"least 3 heartbeats ({least}ms), or a late heartbeat becomes an election",
        )
    if spec.value_bytes > spec.request_bytes:
        problem(
            "value_bytes" if "value_bytes" in walk.marks else "request_bytes",
            f"limits.value: {format_size(spec.value_bytes)} would never fit in a request "
            f"(limits.request: {format_size(spec.request_bytes)})",
        )
    if spec.nodes % 2 == 0:
        message = (
            f"nodes: {spec.nodes} survive no more deaths than {spec.nodes - 1} would; "
            "an odd number is better"
        )
        walk.warnings.append(Problem(walk.marks.get("nodes", Mark()), message))
    if spec.base_port is not None and spec.base_port + 3 * PORT_BAND > EPHEMERAL_PORTS_BEGIN:
        message = (
            f"base_port: ports above {EPHEMERAL_PORTS_BEGIN} may be taken at any moment by the "
            "outgoing connections of other programs"
        )
        walk.warnings.append(Problem(walk.marks["base_port"], message))


def _whole(low: int, high: int, why: str = "") -> _Check:
    def check(value: Scalar) -> int:
        text = value.text.replace("_", "")
        expected = f"expected a whole number from {low} to {high}{why}"
        if not value.quoted and text.lower() in _BOOLEANS:
            raise _Refused(f"'{value.text}' is a truth value in YAML; {expected}")
        if value.quoted or not re.fullmatch(r"-?[0-9]{1,18}", text, re.ASCII):
            raise _Refused(f"'{_short(value.text)}' is not allowed; {expected}")
        if not low <= int(text) <= high:
            raise _Refused(f"{text} is not allowed; {expected}")
        return int(text)

    return check


def _measure(parse_text: Callable[[str], int], low: int, high: int, allowed: str) -> _Check:
    def check(value: Scalar) -> int:
        amount = parse_text(value.text)
        if not low <= amount <= high:
            raise _Refused(f"{value.text} is not allowed; {allowed}")
        return amount

    return check


def _choice(*words: str, later: dict[str, str] | None = None) -> _Check:
    def check(value: Scalar) -> str:
        if value.text in words:
            return value.text
        if later and value.text in later:
            raise _Refused(f"`{value.text}` comes later: {later[value.text]}")
        near = difflib.get_close_matches(value.text.lower()[:40], words, n=1)
        guess = f"did you mean {near[0]}? " if near else ""
        raise _Refused(f"'{_short(value.text)}' is not allowed; {guess}use {' or '.join(words)}")

    return check


_BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}


def _truth(value: Scalar) -> bool:
    found = None if value.quoted else _BOOLEANS.get(value.text.lower())
    if found is None:
        raise _Refused(f"'{_short(value.text)}' is not allowed; use true or false")
    return found


def _name(value: Scalar) -> str:
    if not value.quoted and value.text.lower() in _BOOLEANS:
        raise _Refused(f"'{value.text}' is a truth value in YAML; put it in quotes if it is a name")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}", value.text, re.ASCII):
        raise _Refused(
            f"'{_short(value.text)}' is not allowed; use 1 to 32 letters, digits, - and _, "
            "a letter or digit first"
        )
    return value.text


def _loopback(value: Scalar) -> str:
    if value.text == "localhost":
        return "127.0.0.1"
    try:
        address = ipaddress.IPv4Address(value.text)
    except ValueError:
        raise _Refused(f"'{_short(value.text)}' is no IPv4 address; use 127.0.0.1") from None
    if not address.is_loopback:
        raise _Refused(
            f"{value.text} is not a loopback address; a cluster over several hosts comes later, "
            "use 127.0.0.1"
        )
    return str(address)


_port = _whole(1024, 65_535 - 3 * PORT_BAND, ", or auto for free ports")


def _base_port(value: Scalar) -> int | None:
    if value.text == "auto":
        return None
    port: int = _port(value)
    return port


def _timeout_range(value: Scalar) -> tuple[int, int]:
    low_text, dash, high_text = value.text.partition("-")
    if not dash:
        raise _Refused(
            f"'{_short(value.text)}' is not a range; each node draws its own timeout, so write "
            "two durations such as 150ms-300ms"
        )
    low, high = parse_duration_ms(low_text), parse_duration_ms(high_text)
    if high <= low:
        raise _Refused(f"{value.text} is empty; the second must be the longer, as in 150ms-300ms")
    if high > 600_000:
        raise _Refused(f"{value.text} is too long; at most 10m")
    return low, high


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:37] + "..."


_Entry: TypeAlias = "tuple[_Check, tuple[str, ...]] | dict[str, Any] | str"
"""A value with its check and the fields it fills; a section; or why it comes later."""

_SNAPSHOTS_LATER = "a node keeps its whole log until it can take snapshots"

_KEYS: dict[str, _Entry] = {
    "cluster": (_name, ("cluster",)),
    "nodes": (_whole(1, NODES_MAX), ("nodes",)),
    "host": (_loopback, ("host",)),
    "base_port": (_base_port, ("base_port",)),
    "raft": {
        "heartbeat": (
            _measure(parse_duration_ms, 1, 60_000, "use 1ms to 1m"),
            ("heartbeat_ms",),
        ),
        "election_timeout": (
            _timeout_range,
            ("election_timeout_min_ms", "election_timeout_max_ms"),
        ),
        "detect_disconnects": (_truth, ("detect_disconnects",)),
    },
    "storage": {
        "durability": (
            _choice(
                "fsync",
                "os",
                later={"memory": "a node that forgets needs learners; until then use fsync or os"},
            ),
            ("durability",),
        ),
        "segment": (
            _measure(parse_size_bytes, 64 * KIB, GIB, "use 64KiB to 1GiB"),
            ("segment_bytes",),
        ),
        "snapshot_wal": _SNAPSHOTS_LATER,
        "snapshots_kept": _SNAPSHOTS_LATER,
    },
    "limits": {
        "value": (_measure(parse_size_bytes, 1, 64 * MIB, "use 1B to 64MiB"), ("value_bytes",)),
        "request": (
            _measure(parse_size_bytes, 4 * KIB, 128 * MIB, "use 4KiB to 128MiB"),
            ("request_bytes",),
        ),
        "clients": (_whole(1, 1_000_000), ("clients",)),
    },
    "chaos": {"enabled": (_truth, ("chaos_enabled",))},
    "restart": (_choice("on-crash", "never"), ("restart",)),
    "gateway": "there is no HTTP gateway yet",
    "cache": "there is no eviction yet; all that is written is kept",
}
