"""What outlives a node's process: its name, its disk, and what became of its last life."""

from collections.abc import Mapping
from random import Random

from raftcache.node.joining import Errand
from raftcache.node.opening import Home, Opened
from raftcache.raft.configuration import Configuration, Member, server_id_of
from raftcache.raft.types import Index
from raftcache.storage.directory import bootstrap
from raftcache.storage.identity import Durability, Identity
from raftcache.storage.snapshots import snapshot_name, snapshot_position

from .disk import SimulatedDisk
from .lodging import Lodging
from .process import Process
from .profile import Profile

CLUSTER_ID = "0123456789abcdef0123456789abcdef"


class SimulatedHost:
    """What outlives a node's process: its name, its disk, and the present process, if any."""

    def __init__(self, member: Member, *, capacity_bytes: int | None, clock_rate: int) -> None:
        self.member = member
        """Its name, and where it listens; its incarnation may have changed since."""
        self.clock_rate = clock_rate
        self.durability: Durability = "fsync"
        self.boot_id = "simulated"
        """Which run of its kernel this is."""
        self.join_peers: list[str] = []
        """Whom it asks for a place when it has no state; empty: then it does not start."""
        self.disk = SimulatedDisk(capacity_bytes)
        self.process: Process | None = None
        self.lives = 0
        self.last_exit: int | None = None
        self.died_us = 0
        self.set_aside: list[str] | None = None
        """Names of its own durable files, while others are in their place: they will be back."""

    @property
    def directory(self) -> str:
        """Where the node's directory is on the disk."""
        return f"/nodes/{self.member.node_id}"

    def lodging(self, cluster_id: str, segment_bytes: int) -> Lodging:
        """Return what a process finds here."""
        member = self.member
        home = Home(
            files=self.disk,
            directory=self.directory,
            cluster_id=cluster_id,
            node_id=member.node_id,
            incarnation=None if self.join_peers else member.incarnation,
            durability=self.durability,
            segment_bytes=segment_bytes,
            boot_id=self.boot_id,
        )
        errand = Errand("", self.join_peers, member.peer_endpoint, member.client_endpoint)
        return Lodging(home, self.disk, errand if self.join_peers else None, self.clock_rate)

    def files(self) -> list[str]:
        """Return the names of the files in the directory; none if it was never made."""
        return self.disk.names(self.directory) if self.disk.has_directory(self.directory) else []

    def snapshots(self) -> list[Index]:
        """Return the positions of the snapshots in the directory, rising."""
        names = self.disk.names(self.directory)
        return sorted(at[0] for name in names if (at := snapshot_position(name)))

    def newest_snapshot(self) -> Index:
        """Return up to where the snapshots reach that a power cut would leave; 0: there is none."""
        names = self.set_aside
        if names is None:
            names = self.disk.durable_names(self.directory)
        return max((at[0] for name in names if (at := snapshot_position(name))), default=0)

    def damage_newest_snapshot(self, random: Random) -> str:
        """Change one byte of the newest snapshot on the disk; return its path."""
        return self.damage_snapshot(random, -1)

    def damage_snapshot(self, random: Random, number: int) -> str:
        """Change one byte of a snapshot, counted from the oldest; return its path."""
        names = self.disk.names(self.directory)
        positions = sorted(position for name in names if (position := snapshot_position(name)))
        path = f"{self.directory}/{snapshot_name(*positions[number])}"
        data = self.disk.content(path)
        offset = random.randrange(len(data))
        self.disk.overwrite(path, offset, bytes([data[offset] ^ 1 << random.randrange(8)]))
        return path


def first_host(
    member: Member,
    number: int,
    profile: Profile,
    configuration: Configuration,
    capacity_bytes: int | None,
) -> SimulatedHost:
    """Return a host on which a node's directory was made as the cluster's first start makes it."""
    host = SimulatedHost(
        member, capacity_bytes=capacity_bytes, clock_rate=profile.clock_rate(number)
    )
    host.durability = profile.durability
    identity = Identity(
        cluster_id=CLUSTER_ID,
        node_id=member.node_id,
        incarnation=member.incarnation,
        configuration=configuration,
        durability=profile.durability,
    )
    bootstrap(host.directory, identity, segment_bytes=profile.segment_bytes, files=host.disk)
    return host


def name_at(hosts: Mapping[str, SimulatedHost], endpoint: str | None) -> str | None:
    """Return which host's node listens there; None: nobody's, or nobody knows where."""
    for name, host in hosts.items():
        if host.member.peer_endpoint == endpoint:
            return name
    return None


def newest_snapshot_in_memory(opened: Opened) -> Index:
    """Return up to where the snapshots of a node reach that lives in memory; 0: there is none."""
    names = opened.files.names(opened.directory)
    return max((at[0] for name in names if (at := snapshot_position(name))), default=0)


def member_at(number: int) -> Member:
    """Return the member with this number, from 1, as a cluster begins with it."""
    return Member(
        server_id=server_id_of(f"n{number}", 1),
        node_id=f"n{number}",
        incarnation=1,
        peer_endpoint=f"tcp://127.0.0.1:{7500 + number}",
        client_endpoint=f"tcp://127.0.0.1:{7400 + number}",
    )
