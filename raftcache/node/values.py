"""What goes into a server and comes out of it: who it is, what it begins with, what it sends."""

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from ..raft.configuration import Configuration
from ..raft.core import SnapshotPosition
from ..raft.types import Entry, HardState, Index, ServerId
from ..store.machine import StateMachine
from .outbox import Outgoing
from .sending import Bulk
from .snapshots import SnapshotSetup

CLIENT_SOCKET = 0
ADMIN_SOCKET = 1


class About(msgspec.Struct, frozen=True, kw_only=True):
    """What a node says of itself and never changes."""

    cluster: str
    cluster_id: str
    node_id: str
    incarnation: int
    durability: str
    build: str
    pid: int


class Durable(NamedTuple):
    """What a node had on disk when it started."""

    configuration: Configuration
    """The one that the cluster began with, or that the node was told when it joined; later ones
    are in ``entries``."""
    hard_state: HardState
    entries: Sequence[Entry]
    """The log behind the newest snapshot, if there is one."""
    snapshots: SnapshotSetup | None = None
    """Where they live, the newest, and when they are taken; None: this node takes none."""
    store: StateMachine | None = None
    """Restored from the newest one."""
    lost: SnapshotPosition | None = None
    """Where the log begins, when no snapshot that reaches there is sound."""
    configuration_index: Index = 0
    """Where in the cluster's log ``configuration`` is; 0: the cluster began with it."""


class Effects(msgspec.Struct, frozen=True, gc=False):
    """What one turn has for the sockets."""

    replies: list[tuple[int, list[bytes], bytes]]
    """Socket (:data:`CLIENT_SOCKET`, :data:`ADMIN_SOCKET`), envelope and reply."""
    peer_frames: list[Outgoing]
    bulk: list[Bulk]
    """Chunks of snapshots, for the sockets that carry nothing else."""
    endpoints: dict[ServerId, str] | None = None
    """Where to be connected to, by peer, from now on; None: as before."""
    wants_disk: bool = True
    """What becomes durable next lets something happen at once: the loop is to be woken for it."""
    is_crowded: bool = False
    """Many requests wait for a majority: what comes now may as well gather for a moment."""
