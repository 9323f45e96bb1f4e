"""What keeps a node's own stalls from being taken for the others' silence, and from being long.

Rules: however late a tick comes, it is one tick, and before it counts everything that came in
meanwhile is taken. The garbage collector never runs by itself: what a restart or a snapshot brought
is not looked at at all, and the rest when there is nothing else to do, or at last all the same.
"""

import gc
from collections.abc import Callable

LATE_ROUNDS_MAX = 20
"""How many times a turn that comes late takes what is in the peers' socket, before it ticks."""
YOUNG_OBJECTS = 10_000
"""So many new objects are worth a look when there is nothing to do."""
YOUNG_OBJECTS_MAX = 200_000
"""So many are looked at under load as well: it takes some ten milliseconds."""
YOUNG_MS_MAX = 30_000
OLD_MS = 10 * 60_000
"""How often objects that have stayed are looked at, in an idle turn."""
OLD_MS_MAX = 60 * 60_000
"""How often under load."""


class TickClock:
    """Says when a tick is due.

    Args:
        tick_ms: the length of a tick.
        now_ms: when it begins.
    """

    def __init__(self, tick_ms: int, now_ms: int) -> None:
        self._tick_ms = tick_ms
        self.due_ms = now_ms + tick_ms
        """When the next tick is due."""

    def is_late(self, now_ms: int) -> bool:
        """Tell whether the last turn, or whatever held this process up, took a tick's time."""
        return now_ms >= self.due_ms + self._tick_ms

    def take(self, now_ms: int) -> bool:
        """Tell whether a tick is due; time that was slept through counts as one."""
        if now_ms < self.due_ms:
            return False
        ticked_ms = now_ms if self.is_late(now_ms) else self.due_ms
        self.due_ms = ticked_ms + self._tick_ms
        return True


class Collector:
    """Runs the garbage collector at ticks, so that no other turn has to ask for it.

    Args:
        now_ms: when it begins.
        collect: collects one generation and those below.
        count: tells how many objects there are that no collection has seen.
    """

    def __init__(
        self,
        now_ms: int,
        *,
        collect: Callable[[int], object] = gc.collect,
        count: Callable[[], int] = lambda: gc.get_count()[0],
    ) -> None:
        self._collect = collect
        self._count = count
        self._young_ms = self._old_ms = now_ms

    def on_tick(self, now_ms: int, *, idle: bool) -> bool:
        """Collect if it is time to; ``idle``: nothing came in and nobody waits.

        Returns:
            Whether it did.
        """
        if now_ms - self._old_ms >= (OLD_MS if idle else OLD_MS_MAX):
            self._old_ms = self._young_ms = now_ms
            self._collect(2)
            return True
        count = self._count()
        worth_it = count >= (YOUNG_OBJECTS if idle else YOUNG_OBJECTS_MAX)
        if worth_it or (count and now_ms - self._young_ms >= YOUNG_MS_MAX):
            self._young_ms = now_ms
            self._collect(1)
            return True
        return False


def take_over_collection() -> None:
    """Let the collector run by :class:`Collector` alone, and never look at what there is now."""
    gc.disable()
    gc.collect()
    gc.freeze()


def keep_what_was_restored() -> None:
    """Never look at what there is now: a snapshot has brought most of it. Takes no time."""
    gc.freeze()
