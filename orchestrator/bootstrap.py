"""What a node finds when it starts: its directory, made once, and its settings, written each time.

This module imports the storage; only `up` needs it.
"""

import msgspec

from raftcache.errors import StorageError
from raftcache.raft.configuration import Member, bootstrap_configuration, server_id_of
from raftcache.storage.directory import bootstrap
from raftcache.storage.identity import Identity
from raftcache.storage.snapshots import SnapshotReader

from .errors import BadConfiguration
from .paths import Paths
from .spec_values import Spec
from .state import ClusterState

SETTINGS_FORMAT = 1


def bootstrap_nodes(
    paths: Paths, state: ClusterState, spec: Spec, seed: SnapshotReader | None = None
) -> None:
    """Make every node's directory, each with the same initial configuration and data.

    The data is that of the snapshot ``seed``, or none.

    Killed midway and called again with the same state, it completes what is missing. It must not
    be called once ``state.bootstrapped`` is set: a directory that was lost since then held a vote.

    Raises:
        BadConfiguration: a directory is there and belongs to something else.
    """
    assert not state.bootstrapped, "a cluster is bootstrapped exactly once"
    members = tuple(
        Member(
            server_id_of(node.name, node.incarnation),
            node.name,
            node.incarnation,
            node.peer,
            node.client,
        )
        for node in state.nodes
    )
    initial = bootstrap_configuration(members)
    for node in state.nodes:
        identity = Identity(
            cluster_id=state.cluster_id,
            node_id=node.name,
            incarnation=node.incarnation,
            configuration=initial,
            durability="os" if spec.durability == "os" else "fsync",
        )
        try:
            bootstrap(
                str(paths.data(node.name)),
                identity,
                segment_bytes=spec.segment_bytes,
                seed=seed,
            )
        except StorageError as error:
            raise BadConfiguration(
                str(error), hint="bin/cluster up --wipe   begins anew, without the data"
            ) from error


def write_settings(paths: Paths, state: ClusterState, spec: Spec) -> list[str]:
    """Write the settings of every node; return the names of those whose settings changed."""
    changed = []
    for node in state.nodes:
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
            "chaos": {"enabled": spec.chaos_enabled},
        }
        data = msgspec.json.format(msgspec.json.encode(settings), indent=2) + b"\n"
        path = paths.settings(node.name)
        if not path.exists() or path.read_bytes() != data:
            changed.append(node.name)
            beside = path.with_suffix(".tmp")
            beside.write_bytes(data)
            beside.replace(path)
    return changed
