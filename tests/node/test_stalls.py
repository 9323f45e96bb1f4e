"""A node's own stall is no silence of the others; the collector runs when nothing else does."""

import gc
import subprocess
import sys

from raftcache.node.stalls import (
    OLD_MS,
    OLD_MS_MAX,
    YOUNG_MS_MAX,
    YOUNG_OBJECTS,
    YOUNG_OBJECTS_MAX,
    Collector,
    TickClock,
)

from .builders import elected, elections


def test_ticks_come_one_by_one() -> None:
    clock = TickClock(10, 1_000)

    due = [now_ms for now_ms in range(1_000, 1_060) if clock.take(now_ms)]

    assert due == [1_010, 1_020, 1_030, 1_040, 1_050]


def test_time_that_was_slept_through_is_one_tick() -> None:
    """An hour in a suspended host must not become an election."""
    clock = TickClock(10, 1_000)
    assert clock.is_late(3_601_000)

    taken = [clock.take(3_601_000) for _ in range(3)]

    assert taken == [True, False, False]
    assert clock.due_ms == 3_601_010
    assert not clock.is_late(3_601_010)


def test_a_tick_that_is_a_little_late_does_not_shift_the_others() -> None:
    clock = TickClock(10, 1_000)

    due = [now_ms for now_ms in (1_013, 1_020, 1_029, 1_030) if clock.take(now_ms)]

    assert due == [1_013, 1_020, 1_030]


def test_a_node_that_was_held_up_hears_its_leader_before_it_counts_time() -> None:
    """Heartbeats lie in its socket: it must not stand for election (PreVote or not)."""
    for pause_ms in (200, 1_000, 10_000):
        cluster, leader, (follower, _) = elected()
        before = elections(cluster)
        cluster.pause(follower)
        cluster.run_ms(pause_ms)

        cluster.resume(follower)
        cluster.run_ms(1_000)

        assert elections(cluster) == before
        assert cluster.leader() == leader


class Heap:
    """Stands in for the interpreter's objects."""

    def __init__(self) -> None:
        self.young = 0
        self.collected: list[tuple[int, int]] = []
        self.now_ms = 0
        self.collector = Collector(0, collect=self.collect, count=lambda: self.young)

    def collect(self, generation: int) -> None:
        """Look at all young objects."""
        self.collected.append((self.now_ms, generation))
        self.young = 0

    def turn(self, now_ms: int, *, idle: bool, young: int = 0) -> bool:
        """Let a turn make so many objects; return whether anything was collected."""
        self.now_ms = now_ms
        self.young += young
        return self.collector.on_tick(now_ms, idle=idle)


def test_an_idle_turn_collects_what_has_come_together() -> None:
    heap = Heap()

    assert not heap.turn(10, idle=True, young=YOUNG_OBJECTS - 1)
    assert not heap.turn(20, idle=False, young=YOUNG_OBJECTS)
    assert heap.turn(30, idle=True)

    assert heap.collected == [(30, 1)]


def test_under_load_it_happens_at_last() -> None:
    """By the number of objects, and by time; else garbage would fill the memory."""
    heap = Heap()

    many = [heap.turn(ms, idle=False, young=YOUNG_OBJECTS_MAX // 4) for ms in range(0, 80, 10)]
    late = [heap.turn(ms, idle=False, young=1) for ms in (100, YOUNG_MS_MAX, YOUNG_MS_MAX + 100)]

    assert many == [False, False, False, True] * 2
    assert late == [False, False, True]


def test_what_has_stayed_is_looked_at_seldom() -> None:
    """It is the larger part, and takes the longest."""
    idle, busy = Heap(), Heap()

    for now_ms in range(0, 2 * OLD_MS_MAX + 1, 60_000):
        idle.turn(now_ms, idle=True)
        busy.turn(now_ms, idle=False)

    assert [at for at, _ in idle.collected] == list(range(OLD_MS, 2 * OLD_MS_MAX + 1, OLD_MS))
    assert busy.collected == [(OLD_MS_MAX, 2), (2 * OLD_MS_MAX, 2)]


def test_taking_over_stops_the_interpreters_own_collections() -> None:
    program = (
        "import gc\n"
        "from raftcache.node.stalls import take_over_collection\n"
        "take_over_collection()\n"
        "assert not gc.isenabled()\n"
        "assert gc.get_freeze_count() > 1000\n"
    )

    subprocess.run(
        [sys.executable, "-c", program], check=True, env={"PYTHONPATH": ":".join(sys.path)}
    )

    assert gc.isenabled(), "in a process of its own"
