"""Swarm testing: each seed draws its own mix of faults, timings and sizes, and keeps to it.

One uniform mix finds little: where everything goes wrong all the time, no leader lives long enough
to leave something behind. So a run is a row of short *scenes*. In each, some servers are apart from
the others: they rest, as if paused, or they go on among themselves; what passes between the two
sides waits on the way. Most scenes begin with an election; then some twenty events happen; somebody
may die.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random

from raftcache.raft.configuration import Configuration
from raftcache.raft.membership import ChangeRefused
from raftcache.raft.types import ServerId

from .network import Network
from .server import Server
from .swarm_profiles import draw_profile

SERVERS_MAX = 7
"""Servers at a time, those included that were removed and still run."""

IN_FLIGHT_MAX = 100
"""Messages under way; beyond that the oldest is lost, as a full queue would lose it."""


@dataclass
class Tally:
    """What the runs came to: proof that the swarm exercises what it means to."""

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, kind: str, amount: int = 1) -> None:
        """Count ``amount`` more of a kind."""
        self.counts[kind] = self.counts.get(kind, 0) + amount


class Swarm:
    """One run of one seed; ``of_changes``: mostly of configuration changes."""

    def __init__(self, seed: int, *, of_changes: bool = False) -> None:
        self.random = Random(seed)
        self.profile = draw_profile(self.random, of_changes=of_changes)
        self.network = Network(self.profile.servers, seed=seed, options=self.profile.options)
        self.network.drops_strangers = self.profile.drops_strangers
        self.apart: set[ServerId] = set()
        self.resting: set[ServerId] = set()
        self.tally = Tally()
        self.serial = 0
        self.incarnation = 0
        self._kinds = list(self.profile.weights)
        self._cumulative = list(accumulate(self.profile.weights.values()))

    def run(self, events: int) -> Tally:
        """Let so many events happen, then mend everything and see that the servers agree."""
        while events > 0:
            self._begin_scene()
            scene = self.random.randint(1, 2 * self.profile.events)
            for kind in self.random.choices(self._kinds, cum_weights=self._cumulative, k=scene):
                getattr(self, f"_{kind}")()
            del self.network.in_flight[:-IN_FLIGHT_MAX]
            self.network.check_promises_kept()
            events -= scene
        self._converge()
        self._count()
        return self.tally

    def _begin_scene(self) -> None:
        profile, network = self.profile, self.network
        network.heal()
        if self._decide(profile.forget):
            network.in_flight.clear()
        if self._decide(profile.crash):
            self._kill(self._victim(), written=self._decide(profile.written))
        for name in sorted(network.dead):
            if self._decide(profile.revive):
                network.restart(name)
        if self._decide(profile.retire):
            self._retire()
        names = self._names()
        self.apart = set()
        if not self._decide(profile.together):
            # Mostly it is one, so that the others can get something done; often the leader.
            few = self.random.sample(names, len(names) // 2)
            self.apart = set(few) if self._decide(0.2) else {self._victim()}
        self.resting = self.apart if self._decide(profile.paused) else set()
        if self._decide(profile.cut):
            network.cut.add((self.random.choice(names), self.random.choice(names)))
        if self._decide(profile.campaign):
            self._let_time_pass()

    def _let_time_pass(self) -> None:
        """Let the followers miss their leader; one or two of them campaign then."""
        followers = [
            one
            for one in self._running()
            if not one.raft.is_leader and one.server_id not in self.apart
        ]
        self.random.shuffle(followers)
        rivals = followers[: 2 if self._decide(self.profile.rivals) else 1]
        for server in followers:
            state = server.raft.state
            left = state.election_timeout_ticks - state.election_ticks
            count = left if server in rivals else min(left - 1, state.options.election_ticks_min)
            server.work(*[lambda raft: raft.tick()] * count)

    def _converge(self) -> None:
        network = self.network
        network.heal()
        for name in sorted(network.dead):
            network.restart(name)
        leader = self._settle_changes()
        network.check()
        members = network.servers[leader].raft.state.configuration.everyone()
        applied = [network.data_applied(name) for name in members]
        assert all(one == applied[0] for one in applied), "all apply the same, in the same order"

    def _settle_changes(self) -> ServerId:
        """Run until a voter leads and no change is under way; return it."""
        network = self.network
        network.run_until(self._is_complete)
        leader = network.elect()
        raft = network.servers[leader].raft
        if len(raft.state.configurations) > 1:
            # Those that were removed are still there, and ask around.
            term = raft.current_term
            network.tick(5 * self.profile.options.election_ticks_max)
            assert raft.is_leader, "who was removed disturbs nobody (thesis §4.2.3)"
            assert raft.current_term == term, "who was removed raises no term (thesis §4.2.3)"
        return leader

    def _is_complete(self) -> bool:
        leader = self.network.leader()
        if leader is None:
            return False
        raft = self.network.servers[leader].raft
        is_voter = raft.state.configuration.is_voter(leader)
        return is_voter and not raft.change_in_progress

    def _count(self) -> None:
        servers = self.network.servers.values()
        self.tally.add("terms", max(server.raft.current_term for server in servers))
        self.tally.add("leaders", len(self.network.checks.leaders))
        self.tally.add("committed", self.network.checks.last_committed)
        self.tally.add(
            "truncations", sum(event.kind == "truncated" for event in self.network.events)
        )
        self.tally.add("reads", self.network.reads_released)
        longest = max(servers, key=lambda server: server.raft.state.commit_index).raft.state
        self.tally.add("changes", len(longest.configurations) - 1)

    # Events

    def _deliver(self) -> None:
        network = self.network
        ready = [
            position
            for position, one in enumerate(network.in_flight)
            if (one.source in self.apart) == (one.target in self.apart)
            and one.target not in self.resting
        ]
        if not ready:
            self._persist()
            return
        position = self.random.choice(ready) if self._decide(self.profile.reorder) else ready[0]
        target = network.deliver(position, at_once=self.random.randint(1, self.profile.batch))
        if target is None:
            return
        if self._decide(self.profile.crash_after):
            self._kill(target, written=self._decide(self.profile.written))
        elif self._decide(self.profile.quick_disk):
            server = network.servers[target]
            while server.disk.queue:
                server.persist_one()

    def _persist(self) -> None:
        busy = [server for server in self._running() if server.disk.queue]
        if busy:
            self.random.choice(busy).persist_one()
        else:
            self._tick()

    def _tick(self) -> None:
        if running := self._running():
            self.random.choice(running).work(lambda raft: raft.tick())

    def _propose(self) -> None:
        leaders = [server for server in self._leaders() if server.raft.accepts_proposals]
        if leaders:
            self.serial += 1
            server = self.random.choice(leaders)
            data = f"{server.server_id}:{self.serial}".encode()
            server.work(*[lambda raft: raft.propose(data)] * self.random.choice([1, 1, 4]))

    def _read(self) -> None:
        if leaders := self._leaders():
            self.serial += 1
            self.random.choice(leaders).read(self.serial)

    def _lose(self) -> None:
        if self.network.in_flight:
            self.network.in_flight.pop(self.random.randrange(len(self.network.in_flight)))

    def _duplicate(self) -> None:
        if self.network.in_flight:
            self.network.in_flight.append(self.random.choice(self.network.in_flight))

    def _transfer(self) -> None:
        leaders = [server for server in self._leaders() if server.raft.accepts_proposals]
        if leaders:
            server = self.random.choice(leaders)
            state = server.raft.state
            targets = [peer for peer in state.peers() if state.configuration.is_voter(peer)]
            if targets:
                target = self.random.choice(targets)
                server.work(lambda raft: raft.transfer_leadership(target))

    def _change(self) -> None:
        if leaders := self._leaders():
            server = self.random.choice(leaders)
            target = self._draw_configuration(server)
            try:
                self.network.change(server.server_id, target)
            except ChangeRefused:
                self.tally.add("refused changes")
            else:
                self.tally.add("begun changes")

    def _draw_configuration(self, leader: Server) -> Configuration:
        """Draw any configuration of those that are members and perhaps a newcomer."""
        pool = list(leader.raft.state.configuration.everyone())
        self.random.shuffle(pool)
        if leader.server_id in pool and self._decide(0.3):
            # The leader is the last to become a voter: mostly it leaves, and a newcomer leads.
            pool.remove(leader.server_id)
            pool.append(leader.server_id)
        if self._decide(0.5) and len(self._names()) < SERVERS_MAX:
            # A name may return; its incarnation never does.
            self.incarnation += 1
            name = f"n{self.random.randint(1, SERVERS_MAX)}#{self.incarnation}"
            self.network.join(name)
            pool.insert(self.random.choice([0, len(pool)]), name)
        count = self.random.randint(1, min(5, len(pool)))
        rest = pool[count:]
        return Configuration(
            voters=tuple(pool[:count]),
            learners=tuple(rest[: self.random.randint(0, len(rest))]),
            incarnation_mark=self.incarnation,
        )

    def _retire(self) -> None:
        """Switch off who is no member any more, by a configuration that is committed."""
        network = self.network
        leader = network.leader()
        if leader is None:
            return
        raft = network.servers[leader].raft
        if raft.change_in_progress or raft.state.commit_index < raft.state.term_start_index:
            return
        for name in self._names():
            if not raft.state.configuration.takes_part(name):
                network.retire(name)
                self.tally.add("retired")

    # Helpers

    def _decide(self, probability: float) -> bool:
        return self.random.random() < probability

    def _running(self) -> list[Server]:
        """Return who is neither dead nor resting."""
        servers = self.network.servers
        return [servers[name] for name in sorted(servers) if name not in self.resting]

    def _leaders(self) -> Sequence[Server]:
        """Return all who believe that they lead, the deposed ones too."""
        return [server for server in self._running() if server.raft.is_leader]

    def _victim(self) -> ServerId:
        leader = self.network.leader()
        if leader is not None and self._decide(self.profile.aim):
            return leader
        return self.random.choice(self._names())

    def _names(self) -> list[ServerId]:
        """Return all servers, dead or alive."""
        return sorted({*self.network.servers, *self.network.dead})

    def _kill(self, name: ServerId, *, written: bool) -> None:
        if name in self.network.servers:
            self.tally.add("crashes")
            self.network.crash(name, units_kept=self.random.choice([1, 9]) if written else 0)
            if self._decide(self.profile.revive):
                self.network.restart(name)
