"""What goes wrong in a run: one fault after the other, drawn from the kinds of its profile.

Rules: a fault ends by itself after a while, or at ``stop``; the next may come before that. So a
majority may be gone for a time. Data may not.
"""

from collections.abc import Callable
from random import Random
from typing import Final

from .cluster import SimulatedCluster
from .profile import CALM

LASTS_US: Final = (10_000, 800_000)
AWAY_US: Final = 400_000


class Faults:
    """Makes trouble in a cluster until it is told to stop.

    Args:
        cluster: where.
        random: decides what and when.
    """

    def __init__(self, cluster: SimulatedCluster, random: Random) -> None:
        self.count = 0
        self._cluster = cluster
        self._random = random
        self._running = True
        self._next()

    def stop(self) -> None:
        """Make no more trouble, and mend everything: links, losses, stopped and dead nodes."""
        self._running = False
        cluster = self._cluster
        cluster.heal()
        cluster.network.profile = CALM
        for process in cluster.running:
            process.doom = None
            if process.paused:
                cluster.resume(process.name)
        cluster.up()

    def _next(self) -> None:
        pause_us = self._random.randint(*self._cluster.profile.fault_pause_us)
        self._cluster.scheduler.after(pause_us, self._strike)

    def _strike(self) -> None:
        if not self._running:
            return
        kind = self._random.choice(self._cluster.profile.faults)
        self._cluster.note(f"fault: {kind}")
        self.count += 1
        KINDS[kind](self)
        self._next()

    def _later(self, action: Callable[[], None]) -> None:
        def act() -> None:
            if self._running:
                action()

        self._cluster.scheduler.after(self._random.randint(*LASTS_US), act)

    def _some_node(self) -> str | None:
        """Return a node that runs; the leader more often than others. None: none runs."""
        names = [process.name for process in self._cluster.running if not process.paused]
        leader = self._cluster.leader()
        if leader in names and self._random.random() < 0.4:
            return leader
        return self._random.choice(names) if names else None

    def _start_later(self, name: str) -> None:
        def start() -> None:
            process = self._cluster.hosts[name].process
            if process is None or not process.alive:
                self._cluster.start(name)

        self._later(start)

    def kill(self) -> None:
        """Kill a process; it is started again later."""
        name = self._some_node()
        if name is not None:
            self._cluster.kill(name)
            self._start_later(name)

    def power(self) -> None:
        """Cut a host's power; it comes back later."""
        name = self._some_node()
        if name is not None:
            self._cluster.kill(name, power=True)
            self._start_later(name)

    def doom(self) -> None:
        """Let a node die at one of the next points of its work, and perhaps lose its power."""
        name = self._some_node()
        if name is None:
            return
        process = self._cluster.process(name)
        left = self._random.randint(1, 30)
        power = self._random.random() < 0.5

        def doom(_point: str) -> bool:
            nonlocal left
            left -= 1
            return left == 0

        def power_goes() -> None:
            if process.alive:
                return
            if power and self._cluster.hosts[name].process is process:
                self._cluster.cut_power(name)
            self._start_later(name)

        process.doom = doom
        # By then it has died, or will go on living.
        self._cluster.scheduler.after(9_999, power_goes)

    def kill_all(self) -> None:
        """Kill all processes at once."""
        power = self._random.random() < 0.5
        for process in self._cluster.running:
            self._cluster.kill(process.name, power=power)
            self._start_later(process.name)

    def pause(self) -> None:
        """Stop a process for a while."""
        name = self._some_node()
        if name is None:
            return
        process = self._cluster.process(name)
        self._cluster.pause(name)

        def resume() -> None:
            if process.alive and process.paused:
                self._cluster.resume(name)

        self._later(resume)

    def isolate(self) -> None:
        """Cut a node off from the others."""
        name = self._some_node()
        if name is not None:
            self._cluster.isolate(name)
            self._later(self._cluster.heal)

    def cut_one_way(self) -> None:
        """Cut one direction of one link."""
        source, target = self._random.sample(self._cluster.names, 2)
        self._cluster.note(f"{source} no longer reaches {target}")
        self._cluster.network.cut(source, target)
        self._later(self._cluster.heal)

    def split(self) -> None:
        """Part the nodes into two groups."""
        group = {name for name in self._cluster.names if self._random.random() < 0.5}
        self._cluster.note(f"split: {sorted(group)}")
        for one in sorted(group):
            for other in self._cluster.names:
                if other not in group:
                    self._cluster.network.cut(one, other)
                    self._cluster.network.cut(other, one)
        self._later(self._cluster.heal)

    def terminate(self) -> None:
        """Ask a node to stop."""
        name = self._some_node()
        if name is not None:
            self._cluster.stop(name)
            self._start_later(name)

    def away(self) -> None:
        """Kill a process for so long that the others go on far without it."""
        name = self._some_node()
        if name is not None:
            self._cluster.kill(name)
            self._cluster.scheduler.after(AWAY_US, lambda: self._start_later(name))

    def rot(self) -> None:
        """Kill a process, and let a byte of its newest snapshot rot where an older one stands in.

        That takes an older one which the log goes on from: a log that has restarted behind the
        newest one does not.
        """
        name = self._some_node()
        if name is None:
            return
        self._cluster.kill(name)
        self._start_later(name)
        host = self._cluster.hosts[name]
        positions = host.snapshots()
        if len(positions) >= 2 and self._cluster.checks.durable[name].restarted <= positions[-2]:
            self._cluster.note(f"{name}: snapshot {positions[-1]} rots")
            host.damage_newest_snapshot(self._random)

    def snapshot(self) -> None:
        """Ask some node to take a snapshot now."""
        name = self._some_node()
        if name is not None:
            self._cluster.request(name, "snapshot", admin=True)

    def transfer(self) -> None:
        """Ask the leader to hand over to some node, perhaps itself."""
        leader = self._cluster.leader()
        if leader is not None:
            to = self._random.choice(self._cluster.names)
            self._cluster.request(leader, "leader_transfer", admin=True, to=to)


KINDS: Final[dict[str, Callable[[Faults], None]]] = {
    "kill": Faults.kill,
    "power": Faults.power,
    "doom": Faults.doom,
    "kill_all": Faults.kill_all,
    "pause": Faults.pause,
    "isolate": Faults.isolate,
    "cut_one_way": Faults.cut_one_way,
    "split": Faults.split,
    "stop": Faults.terminate,
    "transfer": Faults.transfer,
    "away": Faults.away,
    "rot": Faults.rot,
    "snapshot": Faults.snapshot,
}
"""Every kind of fault, by the name that profiles use."""
