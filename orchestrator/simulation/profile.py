"""How the world behaves in one run: calm by default. ``draw`` makes others out of seeds."""

import msgspec

from raftcache.node.snapshots import SnapshotSizes
from raftcache.protocol.limits import Eviction, Limits
from raftcache.raft.options import Options
from raftcache.storage.identity import Durability

NO_LIMIT_BYTES = 512 * 1024 * 1024


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The world of one run. Times are in microseconds, chances in thousandths."""

    nodes: int = 3
    tick_ms: int = 10
    heartbeat_ticks: int = 5
    election_ticks_min: int = 15
    election_ticks_max: int = 30
    clock_rates: tuple[int, ...] = (1000,)
    """How fast each node's clock runs, in thousandths; the last one holds for all further nodes."""
    segment_bytes: int = 8192
    cache_bytes: int = NO_LIMIT_BYTES
    """How much keys and values may weigh before others have to go for them."""
    eviction: Eviction = "volatile-lru"
    """Which may go."""
    hasty: bool = False
    """Whoever adds a node adds another one at once."""
    astray: bool = False
    """In the end, one node's state goes astray."""
    narrow: bool = False
    """What is bounded is bounded narrowly; see ``narrow``."""
    durability: Durability = "fsync"

    append_bytes: int = 1024 * 1024
    """Bytes of entries in one message between nodes; one entry always fits."""

    snapshot_log_bytes: int = 64 * 1024 * 1024
    """How much log calls for a snapshot: by default more than a run ever writes."""
    snapshots_kept: int = 2
    slice_bytes: int = 4096
    chunk_bytes: int = 4096
    pace_bytes: int = 128 * 1024
    """How much of a snapshot is cut in a tick."""
    applied_bytes: int = 8 * 1024 * 1024
    """How much log stays in memory that no follower is known to lack."""
    tail_bytes: int = 4 * 1024 * 1024
    """How much log stays in memory behind a snapshot."""
    held_bytes: int = 64 * 1024 * 1024
    """The same while somebody is sent one."""
    job_us: tuple[int, int] = (50, 1_000)
    """How long a piece of work on a snapshot's file takes."""
    bulk_loss: int = 0
    """The chance that a piece of a snapshot is lost on its way."""

    turn_us: tuple[int, int] = (20, 200)
    """How long input lies before the loop takes it."""
    disk_us: tuple[int, int] = (100, 2_000)
    """How long a write and its sync take."""
    slow_disk: int = 0
    """The chance that a write takes a hundred times as long."""
    delay_us: tuple[int, int] = (50, 1_000)
    """How long a message between nodes takes."""
    loss: int = 0
    duplicate: int = 0
    reorder: int = 0
    """The chance that a message overtakes, and is overtaken by, others of its link."""
    late_us: int = 50_000
    """How late duplicates and reordered messages may come."""

    detect: int = 0
    """The chance that another node notices by a connection's end that a process is gone."""
    detect_us: tuple[int, int] = (2_000, 13_000)
    """How long that takes."""

    fault_pause_us: tuple[int, int] = (20_000, 400_000)
    """The time between two faults."""
    faults: tuple[str, ...] = ()
    """The kinds of fault to choose from, each as often as it is named; ``kinds.KINDS``."""
    strikes: tuple[int, ...] | None = None
    """The faults that do happen, by their number from 0; None: all of them."""
    away_us: tuple[int, int] = (10_000, 800_000)
    """How long a fault lasts, and a dead process stays dead."""
    points: tuple[str, ...] = ()
    """The named points at which something is forced; ``points.POINTS`` has them all."""
    point_passes: int = 12
    """How often, at most, a point is passed unharmed first."""
    point_effects: tuple[str, ...] = ("crash", "crash", "power", "pause", "isolate")
    """What is forced there, drawn each time."""
    events: int = 4_000
    """How long things go wrong: so many events, see ``record``."""
    faulty_ms: int = 20_000
    """And no longer than this."""

    clients: int = 4
    sessions: int = 0
    """How many clients there are besides that number their writes, and repeat them."""
    deeds: tuple[str, ...] = ("incr", "set", "cas", "create", "delete", "bind")
    """What those do, each as often as it is named; ``deeds.KEYS_OF`` has them all."""
    rude: int = 0
    """The chance that one of them uses a number as nobody should."""
    watchers: int = 0
    """How many clients watch, and never write; see ``watchers``."""
    think_us: tuple[int, int] = (0, 20_000)
    """How long a client waits between an answer and its next request."""
    value_bytes: int = 0
    """How much longer than need be values are; a frame of the log with such ones has sectors."""
    mix: tuple[str, ...] = ("set", "set", "get", "get", "incr", "cas")
    """What clients do, each as often as it is named; ``workload.OPERATIONS`` has them all."""

    def options(self) -> Options:
        """Return Raft's options."""
        return Options(
            heartbeat_ticks=self.heartbeat_ticks,
            election_ticks_min=self.election_ticks_min,
            election_ticks_max=self.election_ticks_max,
            append_bytes_max=self.append_bytes,
        )

    def limits(self) -> Limits:
        """Return what nodes let clients have."""
        return Limits(cache_bytes=self.cache_bytes, eviction=self.eviction)

    @property
    def is_full(self) -> bool:
        """Tell whether there may be no room for a write."""
        return self.cache_bytes < NO_LIMIT_BYTES

    def sizes(self) -> SnapshotSizes:
        """Return into what pieces snapshots are cut."""
        return SnapshotSizes(
            slice_bytes=self.slice_bytes,
            chunk_bytes=self.chunk_bytes,
            pace_bytes=self.pace_bytes,
            applied_bytes=self.applied_bytes,
            tail_bytes=self.tail_bytes,
            held_bytes=self.held_bytes,
        )

    def clock_rate(self, number: int) -> int:
        """Return how fast the clock of the node with this number, from 0, runs."""
        return self.clock_rates[min(number, len(self.clock_rates) - 1)]


CALM = Profile()
