"""cluster.yaml, checked: every problem at once, each with line, column, and what is right.

The keys and their rules are one table (``KEYS``); reading is a walk over the text's tree along
that table. Nothing is guessed: an unknown key is refused, with the nearest known one.
"""

import ipaddress
from pathlib import Path

import msgspec

from .checking import (
    DURATION_PATTERN,
    Entry,
    Refused,
    Rule,
    Walk,
    choice,
    measure,
    place,
    plain_name,
    refuse,
    shorten,
    truth,
    whole,
)
from .errors import BadConfiguration
from .paths import FILE_NAME
from .spec_values import GATEWAY_OFFSET, GIB, KIB, MIB, NODES_MAX, PORT_BAND, Spec
from .units import format_size, parse_duration_ms, parse_size_bytes
from .yamltree import MalformedText, Mapping, Mark, Problem, Scalar, parse

HEARTBEATS_PER_ELECTION_TIMEOUT_MIN = 3
EPHEMERAL_PORTS_BEGIN = 32_768


class Reading(msgspec.Struct, frozen=True):
    """A spec, and what is worth a warning about it."""

    spec: Spec
    warnings: list[str]


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
        raise refuse(name, [error.problem]) from error
    walk = Walk()
    if isinstance(tree, Mapping):
        walk.mapping(tree, "", KEYS)
    elif tree is not None:
        walk.problems.append(Problem(tree.mark, "expected keys and values, such as `nodes: 3`"))
    spec = Spec(**walk.values)
    _check_together(spec, walk)
    if walk.problems:
        raise refuse(name, walk.problems)
    warnings = sorted(walk.warnings, key=lambda warning: warning.mark)
    return Reading(spec, [place(name, warning) for warning in warnings])


def read_shape(tree: Mapping, path: str) -> tuple[Spec, Walk]:
    """Check what a scenario says of its cluster: the keys of cluster.yaml but name and places."""
    walk = Walk()
    walk.mapping(tree, path, {key: KEYS[key] for key in _SHAPE})
    spec = Spec(**walk.values)
    _check_together(spec, walk)
    return spec, walk


def _check_together(spec: Spec, walk: Walk) -> None:
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
    if spec.snapshot_wal_bytes < spec.segment_bytes:
        field = "segment_bytes" if "snapshot_wal_bytes" not in walk.marks else "snapshot_wal_bytes"
        message = (
            f"storage.snapshot_wal: {format_size(spec.snapshot_wal_bytes)} of log are less than a "
            f"segment ({format_size(spec.segment_bytes)}), and the log is freed by whole segments"
        )
        walk.warnings.append(Problem(walk.marks[field], message))
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
    _check_gateway(spec, walk)


def _check_gateway(spec: Spec, walk: Walk) -> None:
    port = spec.gateway_port
    if port is None:
        return
    mark = walk.marks["gateway_port"]
    if spec.gateway_host != spec.host:
        message = f"gateway.http: the cluster lives at {spec.host}; use {spec.host}:{port}"
        walk.problems.append(Problem(mark, message))
    elif spec.base_port is None:
        message = (
            f"gateway.http: with `base_port: auto` a free port is chosen for it too, and {port} is"
            " not used; write auto here as well"
        )
        walk.warnings.append(Problem(mark, message))
    else:
        band, k = divmod(port - spec.base_port, PORT_BAND)
        if 0 <= band <= 2 and 1 <= k <= NODES_MAX:
            message = (
                f"gateway.http: {port} is among the ports of the nodes; "
                f"{spec.base_port + GATEWAY_OFFSET} is not"
            )
            walk.problems.append(Problem(mark, message))


def _loopback(value: Scalar) -> str:
    if value.text == "localhost":
        return "127.0.0.1"
    try:
        address = ipaddress.IPv4Address(value.text)
    except ValueError:
        raise Refused(f"'{shorten(value.text)}' is no IPv4 address; use 127.0.0.1") from None
    if not address.is_loopback:
        raise Refused(
            f"{value.text} is not a loopback address; a cluster over several hosts comes later, "
            "use 127.0.0.1"
        )
    return str(address)


def _address(value: Scalar) -> tuple[str, int | None]:
    if value.text == "auto":
        return "127.0.0.1", None
    host, colon, port = value.text.rpartition(":")
    if not colon:
        raise Refused(f"'{shorten(value.text)}' is no address and port; use 127.0.0.1:7480 or auto")
    number: int = whole(1024, 65_535, " after the colon")(Scalar(value.mark, port, quoted=False))
    return _loopback(Scalar(value.mark, host, quoted=False)), number


_port = whole(1024, 65_535 - 3 * PORT_BAND, ", or auto for free ports")


def _base_port(value: Scalar) -> int | None:
    if value.text == "auto":
        return None
    port: int = _port(value)
    return port


def _timeout_range(value: Scalar) -> tuple[int, int]:
    low_text, dash, high_text = value.text.partition("-")
    if not dash:
        raise Refused(
            f"'{shorten(value.text)}' is not a range; each node draws its own timeout, so write "
            "two durations such as 150ms-300ms"
        )
    low, high = parse_duration_ms(low_text), parse_duration_ms(high_text)
    if high <= low:
        raise Refused(f"{value.text} is empty; the second must be the longer, as in 150ms-300ms")
    if high > 600_000:
        raise Refused(f"{value.text} is too long; at most 10m")
    return low, high


_ADDRESS = r"(localhost|127(\.[0-9]{1,3}){3})"
_LOOPBACK = Rule(_loopback, {"type": "string", "pattern": f"^{_ADDRESS}$"})
_BASE_PORT = Rule(
    _base_port,
    {
        "oneOf": [
            {"type": "integer", "minimum": 1024, "maximum": 65_535 - 3 * PORT_BAND},
            {"const": "auto"},
        ]
    },
)
_TIMEOUT_RANGE = Rule(
    _timeout_range,
    {"type": "string", "pattern": f"^{DURATION_PATTERN}-{DURATION_PATTERN}$"},
    lambda low, high: f"{low}ms-{high}ms",
)
_HTTP = Rule(_address, {"type": "string", "pattern": f"^(auto|{_ADDRESS}:[0-9]{{4,5}})$"})

KEYS: dict[str, Entry] = {
    "cluster": (plain_name, ("cluster",)),
    "nodes": (whole(1, NODES_MAX), ("nodes",)),
    "host": (_LOOPBACK, ("host",)),
    "base_port": (_BASE_PORT, ("base_port",)),
    "raft": {
        "heartbeat": (
            measure(parse_duration_ms, 1, 60_000, "use 1ms to 1m"),
            ("heartbeat_ms",),
        ),
        "election_timeout": (
            _TIMEOUT_RANGE,
            ("election_timeout_min_ms", "election_timeout_max_ms"),
        ),
        "detect_disconnects": (truth, ("detect_disconnects",)),
    },
    "storage": {
        "durability": (
            choice("fsync", "os", "memory"),
            ("durability",),
        ),
        "segment": (
            measure(parse_size_bytes, 64 * KIB, GIB, "use 64KiB to 1GiB"),
            ("segment_bytes",),
        ),
        "snapshot_wal": (
            measure(parse_size_bytes, 256 * KIB, 64 * GIB, "use 256KiB to 64GiB"),
            ("snapshot_wal_bytes",),
        ),
        "snapshots_kept": (whole(1, 10), ("snapshots_kept",)),
    },
    "limits": {
        "value": (measure(parse_size_bytes, 1, 32 * MIB, "use 1B to 32MiB"), ("value_bytes",)),
        "request": (
            measure(parse_size_bytes, 4 * KIB, 32 * MIB, "use 4KiB to 32MiB"),
            ("request_bytes",),
        ),
        "clients": (whole(1, 1_000_000), ("clients",)),
    },
    "chaos": {"enabled": (truth, ("chaos_enabled",))},
    "restart": (choice("on-crash", "never"), ("restart",)),
    "gateway": {
        "http": (_HTTP, ("gateway_host", "gateway_port")),
        "node_routes": (choice("token", "open", "off"), ("node_routes",)),
    },
    "cache": {
        "max_bytes": (
            measure(parse_size_bytes, MIB, 64 * 1024 * GIB, "use 1MiB to 64TiB"),
            ("cache_bytes",),
        ),
        "eviction": (choice("volatile-lru", "allkeys-lru", "none"), ("eviction",)),
    },
}
"""Every key with its rule and the fields that it fills; what `schema` prints comes from here."""

_SHAPE = ("nodes", "raft", "storage")
"""What may differ between clusters that live for one scenario only."""
