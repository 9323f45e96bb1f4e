"""Virtual time: a heap of things to happen, each at its microsecond.

Rules: nothing else in a simulation moves time; what is due at the same moment happens in the order
in which it was asked for. So a run depends on nothing but what was put in.
"""

from collections.abc import Callable
from heapq import heappop, heappush
from typing import TypeAlias

Action: TypeAlias = Callable[[], None]


class Scheduler:
    """What is to happen, and what time it is."""

    def __init__(self) -> None:
        self.now_us = 0
        self.steps = 0
        self._heap: list[tuple[int, int, Action]] = []
        self._asked = 0

    @property
    def now_ms(self) -> int:
        """The time in whole milliseconds."""
        return self.now_us // 1_000

    def after(self, delay_us: int, action: Action) -> None:
        """Let ``action`` happen once ``delay_us`` have passed."""
        assert delay_us >= 0, "time only goes forward"
        self._asked += 1
        heappush(self._heap, (self.now_us + delay_us, self._asked, action))

    def step(self) -> bool:
        """Let the next thing happen; False when there is none."""
        if not self._heap:
            return False
        self.now_us, _, action = heappop(self._heap)
        self.steps += 1
        action()
        return True

    def run_us(self, duration_us: int) -> None:
        """Let everything happen that is due within ``duration_us``."""
        end_us = self.now_us + duration_us
        while self._heap and self._heap[0][0] <= end_us:
            self.step()
        self.now_us = end_us
