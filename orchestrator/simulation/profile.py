"""How the world behaves in one run: calm by default, or drawn from a seed.

Uniform faults find little, so each seed draws a *kind* of world first: some lose messages and never
crash, others crash at every turn on a perfect network ("swarm testing").
"""

from random import Random

import msgspec

from raftcache.node.snapshots import SnapshotSizes
from raftcache.raft.options import Options


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """The world of one run. Times are in microseconds, chances in thousandths."""

    nodes: int = 3
    tick_ms: int = 10
    heartbeat_ticks: int = 5
    election_ticks_min: int = 15
    election_ticks_max: int = 30
    clock_rates: tuple[int, ...] = (1000,)
    """How fast each node's clock runs, in thousandths; the last one holds for all further nodes."""
    segment_bytes: int = 8192

    snapshot_log_bytes: int = 64 * 1024 * 1024
    """How much log calls for a snapshot: by default more than a run ever writes."""
    snapshots_kept: int = 2
    slice_bytes: int = 4096
    chunk_bytes: int = 4096
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

    fault_pause_us: tuple[int, int] = (20_000, 400_000)
    """The time between two faults."""
    faults: tuple[str, ...] = ()
    """The kinds of fault to choose from; ``faults.KINDS`` has them all."""
    clients: int = 4
    think_us: tuple[int, int] = (0, 20_000)
    """How long a client waits between an answer and its next request."""

    def options(self) -> Options:
        """Return Raft's options."""
        return Options(
            heartbeat_ticks=self.heartbeat_ticks,
            election_ticks_min=self.election_ticks_min,
            election_ticks_max=self.election_ticks_max,
        )

    def sizes(self) -> SnapshotSizes:
        """Return into what pieces snapshots are cut."""
        return SnapshotSizes(
            slice_bytes=self.slice_bytes,
            chunk_bytes=self.chunk_bytes,
            tail_bytes=self.tail_bytes,
            held_bytes=self.held_bytes,
        )

    def clock_rate(self, number: int) -> int:
        """Return how fast the clock of the node with this number, from 0, runs."""
        return self.clock_rates[min(number, len(self.clock_rates) - 1)]


CALM = Profile()


def draw_profile(random: Random, kinds: tuple[str, ...]) -> Profile:
    """Draw a world in which some things go wrong often, some seldom, and others never."""
    spread = random.choice((1, 5, 15))
    chosen = tuple(kind for kind in kinds if random.random() < 0.5)
    return Profile(
        nodes=random.choice((3, 3, 3, 5)),
        election_ticks_max=15 + spread,
        clock_rates=random.choice(((1000,), (1000, 900, 1100), (700, 1000, 1400))),
        segment_bytes=random.choice((4096, 8192, 65536)),
        turn_us=random.choice(((20, 200), (500, 5_000), (1, 2))),
        disk_us=random.choice(((50, 500), (500, 10_000), (2_000, 40_000))),
        slow_disk=random.choice((0, 0, 10)),
        delay_us=random.choice(((50, 500), (200, 20_000))),
        loss=random.choice((0, 0, 20, 200)),
        duplicate=random.choice((0, 0, 50, 300)),
        reorder=random.choice((0, 0, 50, 300)),
        late_us=random.choice((5_000, 100_000, 600_000)),
        fault_pause_us=random.choice(((20_000, 200_000), (100_000, 900_000))),
        faults=chosen or (random.choice(kinds),),
        clients=random.choice((2, 4, 8)),
        think_us=random.choice(((0, 2_000), (0, 50_000))),
        # Each entry counts about a hundred bytes.
        snapshot_log_bytes=random.choice((64 * 1024 * 1024, 300, 700, 2_000)),
        snapshots_kept=random.choice((1, 2, 2, 3)),
        slice_bytes=random.choice((256, 4_096)),
        chunk_bytes=random.choice((512, 4_096)),
        tail_bytes=random.choice((0, 0, 500)),
        held_bytes=random.choice((0, 3_000, 64 * 1024 * 1024)),
        job_us=random.choice(((50, 500), (50, 500), (500, 20_000))),
        bulk_loss=random.choice((0, 0, 100)),
    )


def draw_busy_profile(random: Random, kinds: tuple[str, ...]) -> Profile:
    """Draw a world with peace enough to get work done, so that snapshots come and go all the time.

    Where faults never pause, nobody leads for long, and logs stay too short to be compacted.
    """
    return msgspec.structs.replace(
        draw_profile(random, kinds),
        disk_us=random.choice(((50, 500), (500, 5_000))),
        delay_us=random.choice(((50, 500), (200, 3_000))),
        loss=random.choice((0, 0, 20)),
        late_us=random.choice((5_000, 50_000)),
        fault_pause_us=random.choice(((100_000, 500_000), (200_000, 1_200_000))),
        clients=8,
        think_us=random.choice(((0, 2_000), (0, 20_000))),
        snapshot_log_bytes=random.choice((300, 1_000, 3_000)),
    )
