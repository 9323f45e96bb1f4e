"""The directory that a node finds at its first start: made once, with who it is.

This module imports the storage; only `up` needs it.
"""

from typing import cast

from raftcache.errors import StorageError
from raftcache.raft.configuration import Member, bootstrap_configuration, server_id_of
from raftcache.storage.directory import bootstrap
from raftcache.storage.identity import Durability, Identity
from raftcache.storage.snapshots import SnapshotReader

from .errors import BadConfiguration
from .paths import Paths
from .spec_values import Spec
from .state import ClusterState


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
            durability=cast("Durability", spec.durability),
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
