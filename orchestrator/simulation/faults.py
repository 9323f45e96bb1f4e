"""What goes wrong in a run: one strike after the other, and somebody who puts things right again.

Rules: each strike has a number and draws from a random stream of its own, so that one may be left
out and the others stay what they are. A strike ends by itself after a while, or at ``stop``; the
next may come before that. So a majority may be gone for a time. Data may not.
"""

from collections.abc import Callable, Mapping
from random import Random
from typing import TypeAlias

from raftcache.errors import StorageError
from raftcache.raft.types import ServerId

from .calls import Call
from .clock import NORMAL_RATE
from .cluster import SimulatedCluster
from .process import Killed
from .profile import CALM

AGAIN_US = 50_000
"""How long an operator waits before trying to start a node that would not start."""


class Faults:
    """Makes trouble in a cluster until it is told to stop.

    Args:
        cluster: where.
        seed: decides what and when.
        kinds: what there is, by the names that profiles use.
    """

    def __init__(self, cluster: SimulatedCluster, seed: int | str, kinds: "Kinds") -> None:
        self.cluster = cluster
        self.struck: list[tuple[int, str]] = []
        """Number and kind of each strike that found something to strike."""
        self.running = True
        self.away_until_us: dict[str, int] = {}
        """Before when a dead node must not be started."""
        self.repairs: dict[str, Callable[[], None]] = {}
        """How to undo what was done to a dead node's files, where it refuses to start with them."""
        self.lost: set[ServerId] = set()
        """The members whose state is gone for good."""
        self.unreadable = ""
        """Whose disk has sectors that can't be read; "": nobody's yet."""
        self.misplaced: set[str] = set()
        """The nodes that must not start: what they have is not theirs."""
        self.rotten: set[str] = set()
        """The nodes that lost all their snapshots, and have to be sent one."""
        self.whole: set[str] = set()
        """The nodes that lost a snapshot, and have an older one that does."""
        self.former_files: dict[str, tuple[int, dict[str, bytes]]] = {}
        """What nodes had when they lost it: incarnation, and files by their names."""
        self.member_call: Call | None = None
        """The last change of the members that was asked for."""
        self._seed = seed
        self._kinds = kinds
        self._next_strike = 0
        cluster.on_gone = self._on_gone
        if cluster.profile.faults:
            self._wait()

    def stop(self) -> None:
        """Make no more trouble, and mend everything but the nodes that are down."""
        self.running = False
        cluster = self.cluster
        cluster.heal()
        cluster.network.profile = CALM
        cluster.watched.clear()
        for name in cluster.names:
            host = cluster.hosts[name]
            host.clock_rate = NORMAL_RATE
            host.disk.stop_failing()
            host.disk.capacity_bytes = None
        for process in cluster.running:
            process.doom = None
            process.set_clock(rate=NORMAL_RATE)
            process.calm_down()
            if process.paused:
                cluster.resume(process.name)
        cluster.peace_us = cluster.scheduler.now_us

    def start(self, name: str) -> bool:
        """Start a node that is down; tell whether it runs now."""
        host = self.cluster.hosts[name]
        if host.process is not None and host.process.alive:
            return True
        try:
            self.cluster.start(name)
        except Killed:
            return False
        except StorageError as error:
            self.cluster.note(f"{name} does not start: {error}")
            host.disk.kill_process()
            repair = self.repairs.pop(name, None)
            if repair is not None:
                self.cluster.record.fault("damage refused")
                repair()
            return False
        assert name not in self.misplaced, f"{name} starts with what is not its own (failure C11)"
        self.repairs.pop(name, None)
        process = self.cluster.process(name)
        if not self.running:
            process.calm_down()  # In peace nobody gets a slow disk, either (seed 1006040).
        if name in self.whole and process.is_open:
            self.whole.discard(name)
            assert not process.recovered.lacks_snapshot, (
                f"{name} has an older snapshot, and the log behind that (failure E10)"
            )
        return True

    # For the kinds

    def still_rotten(self) -> set[str]:
        """Return who lost all snapshots and has not been sent one since."""
        for process in self.cluster.running:
            if process.name in self.rotten and not process.server.raft.state.needs_snapshot:
                self.rotten.discard(process.name)
        return self.rotten

    def later(self, random: Random, action: Callable[[], None]) -> None:
        """Do something when the present strike is over, unless all are over by then."""

        def act() -> None:
            if self.running:
                action()

        delay_us = random.randint(*self.cluster.profile.away_us)
        self.cluster.scheduler.after(delay_us, act)

    def some_node(self, random: Random) -> str | None:
        """Return a node that runs; the leader more often than others. None: none runs."""
        names = [process.name for process in self.cluster.running if not process.paused]
        leader = self.cluster.leader()
        if leader in names and random.random() < 0.4:
            return leader
        return random.choice(names) if names else None

    def cut(self, random: Random, links: set[tuple[str, str]]) -> None:
        """Cut these links for a while."""
        network = self.cluster.network
        new = links - network.cuts
        network.cuts |= new
        told = " ".join(f"{source}>{target}" for source, target in sorted(new))
        self.cluster.note(f"cut: {told}")
        self.later(random, lambda: network.mend(new))

    def hold(self, random: Random, name: str) -> None:
        """Stop a process for a while."""
        process = self.cluster.process(name)
        self.cluster.pause(name)

        def resume() -> None:
            if process.alive and process.paused:
                self.cluster.resume(name)

        self.later(random, resume)

    def _wait(self) -> None:
        random = Random(f"{self._seed}/pause/{self._next_strike}")
        pause_us = random.randint(*self.cluster.profile.fault_pause_us)
        self.cluster.scheduler.after(pause_us, self._strike)

    def _strike(self) -> None:
        if not self.running:
            return
        number, profile = self._next_strike, self.cluster.profile
        self._next_strike += 1
        if profile.strikes is None or number in profile.strikes:
            random = Random(f"{self._seed}/strike/{number}")
            kind = random.choice(profile.faults)
            self.cluster.note(f"strike {number}: {kind}")
            self.cluster.record.event(b"strike")
            if self._kinds[kind](self, random):
                self.struck.append((number, kind))
                self.cluster.record.fault(kind)
        self._wait()

    def _on_gone(self, name: str) -> None:
        """Have a node started again, in a while."""
        lives = self.cluster.hosts[name].lives
        random = Random(f"{self._seed}/operator/{name}/{lives}")
        due_us = self.cluster.scheduler.now_us + random.randint(*self.cluster.profile.away_us)
        self._start_at(name, max(due_us, self.away_until_us.get(name, 0)))

    def _start_at(self, name: str, due_us: int) -> None:
        def start() -> None:
            if self.running and not self.start(name):
                self._start_at(name, self.cluster.scheduler.now_us + AGAIN_US)

        self.cluster.scheduler.after(due_us - self.cluster.scheduler.now_us, start)


Kind: TypeAlias = Callable[[Faults, Random], bool]
"""Strikes once; False: there was nothing to strike."""
Kinds: TypeAlias = Mapping[str, Kind]
