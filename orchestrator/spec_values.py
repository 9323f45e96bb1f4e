"""What cluster.yaml asks for, as values: apart from its reading, so that few need PyYAML."""

import msgspec

NODES_MAX = 25
PORT_BAND = 100
"""Client ports are base + k, peer ports one band above, event ports two."""
GATEWAY = "gateway"
"""What the HTTP gateway is called where nodes have names."""
GATEWAY_OFFSET = 80
"""Where a gateway listens when its port is left open: beyond all client ports."""
KIB, MIB, GIB = 1024, 1024**2, 1024**3


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """What cluster.yaml asks for, defaults filled in."""

    cluster: str = "demo"
    nodes: int = 3
    host: str = "127.0.0.1"
    base_port: int | None = 7400
    """None: free ports, chosen at the first `up` and remembered."""
    heartbeat_ms: int = 50
    election_timeout_min_ms: int = 150
    election_timeout_max_ms: int = 300
    detect_disconnects: bool = True
    durability: str = "fsync"
    segment_bytes: int = 16 * MIB
    snapshot_wal_bytes: int = 64 * MIB
    snapshots_kept: int = 2
    value_bytes: int = 1 * MIB
    request_bytes: int = 4 * MIB
    clients: int = 10_000
    cache_bytes: int = 512 * MIB
    """How much keys and values may weigh, in each node."""
    eviction: str = "volatile-lru"
    """What goes for what is new: ``volatile-lru``, ``allkeys-lru`` or ``none``."""
    chaos_enabled: bool = False
    restart: str = "on-crash"
    gateway_host: str = ""
    """Where the HTTP gateway listens; empty: there is none."""
    gateway_port: int | None = None
    """None: ``base_port`` and :data:`GATEWAY_OFFSET`."""
    node_routes: str = "token"
    """Who may add and remove nodes over HTTP: ``token``, ``open`` or ``off``."""
