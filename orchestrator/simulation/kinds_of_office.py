"""What strikes leaders in several steps: chance alone seldom puts these together.

A leader is cut off or stopped with entries that nobody else has. Another takes its place and
commits. Then the former one is back: as the others' hope, since the new leader is gone as well; or
still cut off, and asked to read (§5.4.1, Figures 7 and 8; failures A5, A7, A10, B1 to B3).
"""

from collections.abc import Callable
from random import Random
from types import MappingProxyType
from typing import Final

from raftcache.raft.messages import AppendEntriesResponse

from .calls import peer_frame
from .faults import Faults, Kind
from .kinds_of_link import Links, isolated, mute
from .process import Process

BURST_MAX = 30
"""So many writes a leader gets at the most that it can't have committed any more."""
LOOK_US = 2_000
WAIT_US = 1_500_000
READS = 4
READS_MAX = 40
READ_PAUSE_US = 10_000
NEWS_US = 500_000
"""How late a leader that lingers hears of all but the answers to what it has sent."""


class _Overthrow:
    """One leader's fall, and what comes of it."""

    def __init__(self, faults: Faults, random: Random, former: Process) -> None:
        self._faults = faults
        self._random = random
        self._former = former
        self._cuts: Links = set()
        self._holds = False
        self._lingers = False
        self._end_us = faults.cluster.scheduler.now_us + WAIT_US

    def begin(self) -> None:
        """Let it be heard no more, and have it write what only itself will have."""
        random, former = self._random, self._former
        names = [former.name, *(name for name in self._names() if name != former.name)]
        if random.random() < 0.4 and self._faults.cluster.network.delays is None:
            self._let_linger()
            self._after(random.randint(1_000, 40_000), lambda: self._cut(mute(names)))
        else:
            self._cut(random.choice((isolated, mute))(names))
        pause_us = random.choice((100, 400, 1_500))
        for number in range(random.choice((0, random.randint(1, BURST_MAX)))):
            self._after(number * pause_us, self._write)
        if random.random() < 0.3:
            self._after(random.randint(0, 20_000), self._stop)
        if random.random() < 0.5:
            self._hold_disk()
        self._after(LOOK_US, self._look)

    def _names(self) -> list[str]:
        return self._faults.cluster.names

    def _after(self, delay_us: int, action: Callable[[], None]) -> None:
        def act() -> None:
            if self._faults.running:
                action()

        self._faults.cluster.scheduler.after(delay_us, act)

    def _cut(self, links: Links) -> None:
        network = self._faults.cluster.network
        new = links - network.cuts
        network.cuts |= new
        self._cuts |= new

    def _write(self) -> None:
        self._faults.cluster.request(
            self._former.name, "set", key="vain", value="hope", timeout_ms=300, forward=False
        )

    def _stop(self) -> None:
        if self._former.alive and not self._former.paused:
            self._faults.cluster.pause(self._former.name)

    def _let_linger(self) -> None:
        """Let all that it hears be old, and have it asked to read all the time (failure B3)."""
        cluster, former, random = self._faults.cluster, self._former.name, self._random
        late_us = random.choice(((50_000, 200_000), (100_000, 400_000)))

        def delay(target: str, data: bytes) -> int:
            if target != former:
                return 0
            messages = peer_frame(data).messages
            answers = any(isinstance(message, AppendEntriesResponse) for message in messages)
            return random.randint(*late_us) if answers else NEWS_US

        cluster.network.delays = delay
        self._lingers = True
        for number in range(READS_MAX):
            self._after(number * READ_PAUSE_US, self._read)

    def _hold_disk(self) -> None:
        """Let its disk take its time, so that its word comes when the entries have gone (A10)."""
        writer = getattr(self._former, "writer", None)
        if writer is not None:
            writer.held = self._holds = True

    def _let_disk_go_on(self) -> None:
        if self._former.alive:
            self._former.writer.go_on()

    def _look(self) -> None:
        """Wait until another leads and has committed something."""
        cluster, leader = self._faults.cluster, self._faults.cluster.leader()
        if leader is not None and leader != self._former.name:
            state = cluster.process(leader).server.raft.state
            if state.commit_index >= state.term_start_index:
                self._after(self._random.choice((0, 3_000, 40_000)), self._return)
                return
        if cluster.scheduler.now_us < self._end_us:
            self._after(LOOK_US, self._look)
        else:
            self._return()

    def _return(self) -> None:
        cluster, random, former = self._faults.cluster, self._random, self._former
        cluster.record.counts["overthrown"] += 1
        if former.alive and former.paused:
            cluster.resume(former.name)
        ending = random.choice(("gone", "gone", "hushed", "asked", "mended"))
        cluster.note(f"{former.name} is back: {ending}")
        leader = cluster.leader()
        if ending == "asked":
            for _ in range(READS):
                self._after(random.randint(0, 5_000), self._read)
            self._after(random.randint(5_000, 60_000), self._mend)
            return
        if leader not in (None, former.name):
            assert leader is not None
            if ending == "gone":
                cluster.kill(leader)
            elif ending == "hushed":
                others = [name for name in self._names() if name != leader]
                self._faults.cut(random, isolated([leader, *others]) - self._cuts)
        self._mend()

    def _read(self) -> None:
        self._faults.cluster.request(self._former.name, "get", key="register-0", timeout_ms=300)

    def _mend(self) -> None:
        self._faults.cluster.network.mend(self._cuts)
        if self._lingers:
            self._faults.cluster.network.delays = None
        if self._holds:
            most_us = self._random.choice((2_000, 30_000, 120_000))
            self._after(self._random.randint(0, most_us), self._let_disk_go_on)


def overthrow(faults: Faults, random: Random) -> bool:
    """Cut a leader off with entries of its own; it is back when another has led."""
    leader = faults.cluster.leader()
    if leader is None or len(faults.cluster.names) < 3 or faults.cluster.process(leader).paused:
        return False
    _Overthrow(faults, random, faults.cluster.process(leader)).begin()
    return True


KINDS: Final[MappingProxyType[str, Kind]] = MappingProxyType({"overthrow": overthrow})
