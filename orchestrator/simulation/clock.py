"""A node's own clock: it may run fast or slowly, change its mind about that, and jump ahead.

It stands in for ``CLOCK_MONOTONIC``, so it never goes back.
"""

from .scheduler import Scheduler

BEGINS_MS = 1_000
NORMAL_RATE = 1_000


class Clock:
    """What one life of a node takes for the time.

    Args:
        scheduler: the true time.
        rate: how fast this clock runs, in thousandths.
    """

    def __init__(self, scheduler: Scheduler, rate: int = NORMAL_RATE) -> None:
        self.rate = rate
        self._scheduler = scheduler
        self._since_us = scheduler.now_us
        self._shown_us = BEGINS_MS * 1_000

    def now_us(self) -> int:
        """Return what it shows, in microseconds."""
        passed_us = self._scheduler.now_us - self._since_us
        return self._shown_us + passed_us * self.rate // NORMAL_RATE

    def now_ms(self) -> int:
        """Return what it shows, in whole milliseconds."""
        return self.now_us() // 1_000

    def wait_us(self, wait_ms: int) -> int:
        """Return after how much true time it will show ``wait_ms`` more."""
        return 1 + wait_ms * 1_000 * NORMAL_RATE // self.rate

    def set_rate(self, rate: int) -> None:
        """Run at another rate from now on."""
        self._shown_us, self._since_us = self.now_us(), self._scheduler.now_us
        self.rate = rate

    def jump(self, ahead_ms: int) -> None:
        """Show this much more at once, as after a suspended host's return."""
        assert ahead_ms >= 0, "a monotonic clock never goes back"
        self._shown_us += ahead_ms * 1_000
