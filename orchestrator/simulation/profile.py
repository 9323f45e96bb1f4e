"""How the world behaves in one run: calm by default, or drawn from a seed.

Uniform faults find little, so each seed draws a *kind* of world first: some lose messages and never
crash, others crash at every turn on a perfect network ("swarm testing").
"""

from random import Random

import msgspec

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
    )
