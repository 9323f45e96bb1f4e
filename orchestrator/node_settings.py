"""The settings that a node is started with: a file each, written before every start.

A node that joins a cluster that runs gets what the others have, not what cluster.yaml says by now:
timings must be the same everywhere.
"""

from typing import Any

import msgspec

from .errors import BadConfiguration
from .paths import Paths
from .spec_values import Spec
from .state import ClusterState, NodeRecord

SETTINGS_FORMAT = 1
_SHARED = ("raft", "storage", "limits", "cache", "chaos")
"""What is the same for all nodes."""


def write_settings(paths: Paths, state: ClusterState, spec: Spec) -> list[str]:
    """Write the settings of every node; return the names of those whose settings changed."""
    shared = {
        "raft": {
            "heartbeat_ms": spec.heartbeat_ms,
            "election_timeout_min_ms": spec.election_timeout_min_ms,
            "election_timeout_max_ms": spec.election_timeout_max_ms,
            "detect_disconnects": spec.detect_disconnects,
        },
        "storage": {
            "durability": spec.durability,
            "segment_bytes": spec.segment_bytes,
            "snapshot_wal_bytes": spec.snapshot_wal_bytes,
            "snapshots_kept": spec.snapshots_kept,
        },
        "limits": {
            "value_bytes": spec.value_bytes,
            "request_bytes": spec.request_bytes,
            "clients": spec.clients,
        },
        "cache": {"max_bytes": spec.cache_bytes, "eviction": spec.eviction},
        "chaos": {"enabled": spec.chaos_enabled},
    }
    return [node.name for node in state.nodes if _write(paths, state, node, shared)]


def extend_settings(paths: Paths, state: ClusterState) -> None:
    """Write the settings of every node anew, with what they share as it is written already.

    Raises:
        BadConfiguration: no node has settings that could be read.
    """
    shared = _shared(paths, state)
    for node in state.nodes:
        _write(paths, state, node, shared)


def _shared(paths: Paths, state: ClusterState) -> dict[str, Any]:
    for node in state.nodes:
        try:
            found = msgspec.json.decode(paths.settings(node.name).read_bytes())
            return {section: found[section] for section in _SHARED if section in found}
        except (OSError, msgspec.DecodeError, KeyError, TypeError):
            continue
    raise BadConfiguration(
        f"no node's settings are left in {paths.run}", hint="bin/cluster up   writes them anew"
    )


def _write(paths: Paths, state: ClusterState, node: NodeRecord, shared: dict[str, Any]) -> bool:
    """Write a node's settings; tell whether that is news."""
    settings = {
        "format": SETTINGS_FORMAT,
        "cluster": state.cluster,
        "cluster_id": state.cluster_id,
        "node_id": node.name,
        "incarnation": node.incarnation,
        "run_id": state.run_id,
        "directory": str(paths.data(node.name)),
        "client_endpoint": node.client,
        "peer_endpoint": node.peer,
        "events_endpoint": node.events,
        "admin_endpoint": f"ipc://{paths.admin_socket(node.name)}",
        **shared,
    }
    others = [other.peer for other in state.nodes if other is not node]
    if others:  # whom to ask for a seat, should its own state be gone
        settings["join"] = {"peers": others}
    data = msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n"
    path = paths.settings(node.name)
    if path.exists() and path.read_bytes() == data:
        return False
    beside = path.with_suffix(".tmp")
    beside.write_bytes(data)
    beside.replace(path)
    return True
