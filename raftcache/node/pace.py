"""How fast a snapshot is cut.

A slice holds up whatever came in with it, so a tick has room for a few only. But what is replaced
meanwhile is kept for the snapshot, and on disk the log grows: so the longer it takes, the faster it
goes, and it comes to its end however large the state is.
"""

PACE_TICKS = 1_000
"""After so many ticks a snapshot is cut twice as fast, and again after as many."""


class Pace:
    """How much of one snapshot may be cut in a tick.

    Args:
        tick_bytes: how much that is at first.
    """

    def __init__(self, tick_bytes: int) -> None:
        self._tick_bytes = self._left_bytes = tick_bytes
        self._ticks = 0
        self._hurries = False

    @property
    def allows_more(self) -> bool:
        """Tell whether another slice may be cut in this tick."""
        return self._left_bytes > 0 or self._hurries

    def hurry(self) -> None:
        """Let it be cut as fast as the disk takes it: everybody waits for it."""
        self._hurries = True

    def on_cut(self, size_bytes: int) -> None:
        """Count a slice."""
        self._left_bytes -= size_bytes

    def on_tick(self) -> None:
        """Begin another tick; what the last one left over is lost."""
        self._ticks += 1
        self._left_bytes = self._tick_bytes << self._ticks // PACE_TICKS
