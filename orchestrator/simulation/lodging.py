"""What a process finds on its host, and the shipped node that it makes of that."""

from collections.abc import Callable
from random import Random
from typing import NamedTuple

from raftcache.node.durable import durable_of
from raftcache.node.joining import Errand, Joiner
from raftcache.node.opening import Home, Opened
from raftcache.node.ports import EventSink, Storage
from raftcache.node.server import Server
from raftcache.node.snapshots import JobRunner
from raftcache.node.values import About
from raftcache.storage.memory import MemoryLog
from raftcache.storage.wal import Batch

from .disk import SimulatedDisk
from .profile import Profile


class Lodging(NamedTuple):
    """What a process finds on its host."""

    home: Home
    disk: SimulatedDisk
    errand: Errand | None
    """Whom to ask for a place if there is no state; None: such a node does not start."""
    clock_rate: int
    """How fast its clock runs, in thousandths."""


def new_server(
    lodging: Lodging,
    opened: Opened,
    profile: Profile,
    *,
    storage: Storage,
    runner: JobRunner,
    random: Random,
    publish: EventSink,
) -> Server:
    """Make the server of a node that has its place."""
    return Server(
        about=_about(lodging, opened.incarnation),
        durable=durable_of(
            opened.recovered,
            files=opened.files,
            directory=opened.directory,
            runner=runner,
            log_bytes=profile.snapshot_log_bytes,
            kept=profile.snapshots_kept if opened.wal is not None else 1,
            sizes=profile.sizes(),
        ),
        options=profile.options(),
        tick_ms=profile.tick_ms,
        limits=profile.limits(),
        storage=storage,
        random=random,
        publish=publish,
    )


def new_joiner(
    lodging: Lodging, errand: Errand, profile: Profile, *, random: Random, publish: EventSink
) -> Joiner:
    """Make what a node without a place is driven by."""
    return Joiner(
        about=_about(lodging, 0),
        errand=errand,
        tick_ms=profile.tick_ms,
        limits=profile.limits(),
        random=random,
        publish=publish,
    )


def _about(lodging: Lodging, incarnation: int) -> About:
    home = lodging.home
    return About(
        cluster="simulated",
        cluster_id=home.cluster_id,
        node_id=home.node_id,
        incarnation=incarnation,
        durability=home.durability,
        build="simulated",
        pid=1,
    )


class SimulatedMemoryLog(MemoryLog):
    """A log in memory whose writes are noted as those of a disk are."""

    def __init__(self, on_durable: Callable[[list[Batch]], None]) -> None:
        super().__init__(lambda: None)
        self._on_durable = on_durable

    def submit(self, batch: Batch) -> int:
        """Take a batch; return its ticket."""
        self._on_durable([batch])
        return super().submit(batch)
