"""After the faults: a healed majority must get to work in time, then everybody must agree.

The bound is the liveness that Raft promises: with a majority that can talk, a leader is there and
a write goes through within ten election timeouts.
"""

from random import Random

from .faults import Faults
from .kinds_of_link import isolated

TIMEOUTS_MAX = 10
SETTLE_MS = 20_000
STOPS_MS = 2_500
"""How long nodes that were told to stop may still be at it."""


def make_peace(faults: Faults) -> None:
    """Heal a majority and see it make progress; then all, and see them agree.

    Raises:
        AssertionError: it took too long.
    """
    cluster = faults.cluster
    _let_stops_end(faults)
    random = Random(f"{cluster.seed}/peace")
    names = list(cluster.names)
    random.shuffle(names)
    majority, minority = names[: len(names) // 2 + 1], names[len(names) // 2 + 1 :]
    if random.random() < 0.5:
        minority = []  # All of them are healed at once.
    _set_aside(faults, minority, random)
    for name in majority:
        _start(faults, name)
    _expect_progress(faults, majority, minority)
    cluster.heal()
    for name in cluster.names:
        _start(faults, name)
    cluster.elect(within_ms=SETTLE_MS)


def _let_stops_end(faults: Faults) -> None:
    cluster = faults.cluster
    cluster.run_until(
        lambda: not any(process.stopping for process in cluster.running), within_ms=STOPS_MS
    )


def _set_aside(faults: Faults, names: list[str], random: Random) -> None:
    """Keep some nodes out of it: dead, or alive and cut off."""
    cluster = faults.cluster
    for name in names:
        process = cluster.hosts[name].process
        if process is not None and process.alive and random.random() < 0.5:
            cluster.kill(name)
        others = [other for other in cluster.names if other != name]
        cluster.network.cuts |= isolated([name, *others])


def _start(faults: Faults, name: str) -> None:
    """Start a node; the second attempt is for one whose damaged file is restored after the first.

    It has what its disk has, and that is sound.
    """
    started = faults.start(name) or faults.start(name)
    assert started, f"{name} does not start, though its disk is in order"


def _expect_progress(faults: Faults, majority: list[str], minority: list[str]) -> None:
    cluster, profile = faults.cluster, faults.cluster.profile
    timeout_ms = profile.election_ticks_max * profile.tick_ms
    within_ms = TIMEOUTS_MAX * timeout_ms
    begun_ms = cluster.scheduler.now_ms
    out = f"with {', '.join(minority) or 'nobody'} left out"
    while True:
        left_ms = begun_ms + within_ms - cluster.scheduler.now_ms
        assert left_ms > 0, (
            f"a healed majority makes progress within {TIMEOUTS_MAX} election timeouts "
            f"({within_ms} ms), {out}"
        )
        # Any of them may be asked: whoever does not lead hands on, or waits for a leader.
        node = majority[left_ms % len(majority)]
        call = cluster.request(
            node, "set", key="progress", value="made", timeout_ms=min(left_ms, timeout_ms)
        )
        end_ms = cluster.scheduler.now_ms + min(left_ms, timeout_ms) + profile.tick_ms
        while not call.done and cluster.scheduler.now_ms < end_ms:
            cluster.scheduler.step()
        if call.done and call.outcome == "ok":
            return
