"""Swarm testing: each seed draws its own mix of faults, timings and sizes, and keeps to it.

One uniform mix finds little: where everything goes wrong all the time, no leader lives long enough
to leave something behind. So a run is a row of short *scenes*. In each, some servers are apart from
the others: they rest, as if paused, or they go on among themselves; what passes between the two
sides waits on the way. Most scenes begin with an election; then some twenty events happen; somebody
may die. What profiles hold was tuned with the planted bugs of ``test_mutants``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from random import Random

from raftcache.raft.options import Options
from raftcache.raft.types import ServerId

from .network import Network, Server

IN_FLIGHT_MAX = 100
"""Messages under way; beyond that the oldest is lost, as a full queue would lose it."""


@dataclass(kw_only=True)
class Profile:
    """What can happen in one run, and how readily.

    Attributes:
        servers: how many there are.
        options: timings and bounds; an election takes few ticks.
        weights: how often each kind of event is drawn within a scene.
        events: how many events a scene has on average.
        together: the probability that nobody is apart in a scene.
        paused: of those that are apart, the share that rest.
        campaign: the probability that a scene begins with somebody's timeout.
        rivals: the probability that two time out at once.
        crash: the probability that somebody dies at the beginning of a scene.
        written: of those, the share whose disk finishes what it was handed.
        aim: the probability that this, and being apart, hits the leader rather than anybody.
        crash_after: the probability that a server dies right after it handled a message.
        revive: the probability that a dead server starts again at once, or with the next scene.
        cut: the probability that one direction of a link is dead for a scene.
        forget: the probability that all that is under way is lost at the end of a scene.
        reorder: the share of deliveries that take any message instead of the oldest.
        batch: messages that a server may take in together, in one turn.
        quick_disk: the probability that the disk is done before anything else happens.
    """

    servers: int
    options: Options
    weights: dict[str, float]
    events: int
    together: float
    paused: float
    campaign: float
    rivals: float
    crash: float
    written: float
    aim: float
    crash_after: float
    revive: float
    cut: float
    forget: float
    reorder: float
    batch: int
    quick_disk: float


@dataclass
class Tally:
    """What the runs came to: proof that the swarm exercises what it means to."""

    counts: dict[str, int] = field(default_factory=dict)

    def add(self, kind: str, amount: int = 1) -> None:
        """Count ``amount`` more of a kind."""
        self.counts[kind] = self.counts.get(kind, 0) + amount


def draw_profile(random: Random) -> Profile:
    """Draw what one run is like: most runs have a theme, the others are any mix."""
    profile = _draw_mix(random)
    theme = random.choice([None, None, *_THEMES])
    if theme is not None:
        theme(profile)
    return profile


def _draw_mix(random: Random) -> Profile:
    pick = random.choice
    shortest = pick([2, 3, 4])
    return Profile(
        servers=pick([1, 2, *[3] * 8, 4, 5]),
        options=Options(
            heartbeat_ticks=1,
            election_ticks_min=shortest,
            election_ticks_max=shortest + pick([1, 3]),
            append_bytes_max=pick([1, 1, 1, 30, 1024 * 1024]),
            inflight_messages_max=pick([1, 1, 2, 128]),
            inflight_bytes_max=pick([50, 8 * 1024 * 1024]),
        ),
        weights={
            "deliver": 60,
            "persist": pick([10, 30, 60]),
            "tick": pick([0, 1, 4]),
            "propose": pick([4, 10]),
            "read": pick([0, 10, 25]),
            "lose": pick([0, 0, 3]),
            "duplicate": pick([0, 2, 8]),
            "transfer": pick([0, 0, 1]),
        },
        events=pick([7, 13, 20, 40]),
        together=pick([0.2, 0.5]),
        paused=pick([0, 0.5, 1]),
        campaign=pick([0.3, 0.6, 0.9]),
        rivals=pick([0, 0.3]),
        crash=pick([0, 0.2, 0.5]),
        written=pick([0, 0.3]),
        aim=pick([0, 0.5, 1]),
        crash_after=pick([0, 0, 0.02, 0.05]),
        revive=pick([0.5, 1]),
        cut=pick([0, 0, 0.3]),
        forget=pick([0, 0, 0.3]),
        reorder=pick([0, 0.1, 0.5]),
        batch=pick([1, 1, 4]),
        quick_disk=pick([0, 0.7, 1]),
    )


def _theme_leaders_left_behind(profile: Profile) -> None:
    """Leaders are cut off with entries that few have, one entry per message (Figure 8)."""
    profile.servers, profile.events = 3, 20
    profile.options.append_bytes_max = profile.options.inflight_messages_max = 1
    profile.aim, profile.together, profile.campaign = 1, 0.2, 0.9


def _theme_late_repeats(profile: Profile) -> None:
    """Messages of a window come twice, and late."""
    profile.servers, profile.events, profile.reorder, profile.quick_disk = 3, 40, 0.1, 0.7
    profile.options.append_bytes_max, profile.options.inflight_messages_max = 1, 128
    profile.weights["duplicate"] = 10


def _theme_reads_of_the_deposed(profile: Profile) -> None:
    """Leaders are asked for reads before they learn that others have taken over."""
    profile.servers, profile.events, profile.reorder, profile.quick_disk = 3, 20, 0.1, 1
    profile.aim, profile.together, profile.paused, profile.campaign = 1, 0.3, 0.5, 0.9
    profile.crash = profile.crash_after = profile.forget = profile.cut = 0
    profile.options.append_bytes_max = 1024 * 1024
    profile.weights["read"] = 25


def _theme_slow_disks(profile: Profile) -> None:
    """Disks are behind, and leaders die with what was not written."""
    profile.servers, profile.events, profile.quick_disk = 3, 20, 0
    profile.aim, profile.crash, profile.crash_after, profile.campaign = 1, 0.2, 0, 0.9
    profile.weights["persist"] = 10


_THEMES = [
    _theme_leaders_left_behind,
    _theme_late_repeats,
    _theme_reads_of_the_deposed,
    _theme_slow_disks,
]


class Swarm:
    """One run of one seed."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.profile = draw_profile(self.random)
        self.network = Network(self.profile.servers, seed=seed, options=self.profile.options)
        self.voters = self.network.configuration.voters
        self.apart: set[ServerId] = set()
        self.resting: set[ServerId] = set()
        self.tally = Tally()
        self.serial = 0
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
        self.apart = set()
        if not self._decide(profile.together):
            # Mostly it is one, so that the others can get something done; often the leader.
            few = self.random.sample(self.voters, len(self.voters) // 2)
            self.apart = set(few) if self._decide(0.2) else {self._victim()}
        self.resting = self.apart if self._decide(profile.paused) else set()
        if self._decide(profile.cut):
            network.cut.add((self.random.choice(self.voters), self.random.choice(self.voters)))
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
        network.elect()
        network.check()
        applied = [network.data_applied(name) for name in sorted(network.servers)]
        assert all(one == applied[0] for one in applied), "all apply the same, in the same order"

    def _count(self) -> None:
        servers = self.network.servers.values()
        self.tally.add("terms", max(server.raft.current_term for server in servers))
        self.tally.add("leaders", len(self.network.checks.leaders))
        self.tally.add("committed", self.network.checks.last_committed)
        self.tally.add(
            "truncations", sum(event.kind == "truncated" for event in self.network.events)
        )
        self.tally.add("reads", self.network.reads_released)

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
        if leaders and len(self.voters) > 1:
            server = self.random.choice(leaders)
            target = self.random.choice(server.raft.state.peers())
            server.work(lambda raft: raft.transfer_leadership(target))

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
        return self.random.choice(self.voters)

    def _kill(self, name: ServerId, *, written: bool) -> None:
        if name in self.network.servers:
            self.tally.add("crashes")
            self.network.crash(name, units_kept=self.random.choice([1, 9]) if written else 0)
            if self._decide(self.profile.revive):
                self.network.restart(name)
