"""What outlives a node's process: its name, its disk, and what became of its last life."""

from random import Random

from raftcache.raft.types import Index
from raftcache.storage.identity import Identity
from raftcache.storage.snapshots import snapshot_name, snapshot_position

from .directories import directory_of
from .disk import SimulatedDisk
from .process import Process


class SimulatedHost:
    """What outlives a node's process: its name, its disk, and the present process, if any."""

    def __init__(self, identity: Identity, *, capacity_bytes: int | None, clock_rate: int) -> None:
        self.identity = identity
        self.clock_rate = clock_rate
        self.disk = SimulatedDisk(capacity_bytes)
        self.process: Process | None = None
        self.lives = 0
        self.last_exit: int | None = None
        self.died_us = 0

    @property
    def directory(self) -> str:
        """Where the node's directory is on the disk."""
        return directory_of(self.identity)

    def snapshots(self) -> list[Index]:
        """Return the positions of the snapshots in the directory, rising."""
        names = self.disk.names(self.directory)
        return sorted(at[0] for name in names if (at := snapshot_position(name)))

    def newest_snapshot(self) -> Index:
        """Return up to where the snapshots reach that a power cut would leave; 0: there is none."""
        names = self.disk.durable_names(self.directory)
        return max((at[0] for name in names if (at := snapshot_position(name))), default=0)

    def damage_newest_snapshot(self, random: Random) -> str:
        """Change one byte of the newest snapshot on the disk; return its path."""
        names = self.disk.names(self.directory)
        newest = max(position for name in names if (position := snapshot_position(name)))
        path = f"{self.directory}/{snapshot_name(*newest)}"
        data = self.disk.content(path)
        offset = random.randrange(len(data))
        self.disk.overwrite(path, offset, bytes([data[offset] ^ 1 << random.randrange(8)]))
        return path
