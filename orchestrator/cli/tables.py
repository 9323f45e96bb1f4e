"""The table of nodes, for `up` and `status`, in text and in JSON."""

from typing import Any

from ..gateway import GatewayView
from ..units import format_size
from ..view import ClusterView, NodeView
from .console import Console

_STATE_COLOURS = {
    "ready": "green",
    "behind": "yellow",
    "removed": "yellow",
    "starting": "yellow",
    "paused": "yellow",
    "silent": "red",
    "killed": "red",
    "stopped": "dim",
    "crashed": "red",
    "down": "red",
}


def print_nodes(console: Console, view: ClusterView) -> None:
    """Print a line per node; fits in 80 columns."""
    head = ["node", "role", "term", "commit", "applied", "state", "clients", "pid", "memory"]
    rows = [_row(node) for node in view.nodes]
    console.table(head, rows, "llrrrllrr")


def _row(node: NodeView) -> list[str]:
    role = (node.role or "-").replace("_", "-")
    return [
        node.name,
        f"(bold){role}" if role == "leader" else role,
        _number(node.term),
        _number(node.commit),
        _number(node.applied),
        f"({_STATE_COLOURS[node.state]}){node.state}",
        node.client.removeprefix("tcp://"),
        _number(node.pid),
        "-" if node.resident_bytes is None else format_size(node.resident_bytes),
    ]


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def view_as_json(view: ClusterView) -> dict[str, Any]:
    """Return a view as plain values."""
    return {
        "cluster": view.cluster,
        "health": view.health,
        "leader": view.leader,
        "term": view.term,
        "quorum": view.quorum,
        "supervisor_running": view.supervisor_running,
        "nodes": [node_as_json(node) for node in view.nodes],
    }


def cache_in_short(view: ClusterView) -> str:
    """Return how full the cache is and how it is used, or nothing where nobody has used it.

    Each node counts the reads that it answers; what goes, goes at all of them.
    """
    told = [node.status for node in view.nodes if node.status is not None]
    counts = [status["counts"] for status in told if "counts" in status]
    hits, misses = (sum(one[name] for one in counts) for name in ("hits", "misses"))
    expiries, evictions = (
        max((one[name] for one in counts), default=0) for name in ("expiries", "evictions")
    )
    if not any((hits, misses, expiries, evictions)):
        return ""
    sizes = max((status["sizes"] for status in told), key=lambda one: int(one["bytes"]))
    keys = f"{sizes['keys']:,} key{'' if sizes['keys'] == 1 else 's'}"
    return (
        f"cache: {keys}, {format_size(sizes['bytes'])} of "
        f"{format_size(sizes['bytes_max'])}; hits {hits:,}, misses {misses:,}, "
        f"expired {expiries:,}, evicted {evictions:,}"
    )


def gateway_as_json(gateway: GatewayView | None) -> dict[str, Any] | None:
    """Return the gateway's view as plain values."""
    if gateway is None:
        return None
    return {
        "url": gateway.url,
        "state": gateway.state,
        "pid": gateway.pid,
        "memory_bytes": gateway.resident_bytes,
        "supervisor": gateway.supervisor,
    }


def node_as_json(node: NodeView) -> dict[str, Any]:
    """Return one node's view as plain values."""
    return {
        "name": node.name,
        "state": node.state,
        "role": node.role,
        "term": node.term,
        "commit": node.commit,
        "applied": node.applied,
        "client": node.client,
        "pid": node.pid,
        "memory_bytes": node.resident_bytes,
        "supervisor": node.supervisor,
        "status": node.status,
    }
