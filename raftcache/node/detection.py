"""When a node stands for election because its leader's process is gone: soon, and not with others.

The loop tells what the transport has found out, and asks when it has to be awake; Raft decides
(``raft/detection.py``).
"""

from random import Random

from ..raft.core import Raft
from ..raft.types import ServerId


class LeaderWatch:
    """Passes on that processes are gone, and lets Raft act on it after a random delay.

    Args:
        raft: what is told.
        random: draws the delay.
        tick_ms: the longest delay. The nodes' ticks may fall together, so waiting for the next
            one would not part them.
    """

    def __init__(self, raft: Raft, random: Random, tick_ms: int) -> None:
        self.due_ms: int | None = None
        """When :meth:`on_time` has something to do; None: never."""
        self._raft = raft
        self._random = random
        self._tick_ms = tick_ms

    def on_disconnected(self, peer: ServerId, now_ms: int) -> None:
        """Note that nobody listens at this peer's port any more: its process is gone."""
        if self._raft.peer_disconnected(peer) and self.due_ms is None:
            self.due_ms = now_ms + self._random.randint(0, self._tick_ms)

    def on_time(self, now_ms: int) -> None:
        """Act if it is time to; the leader may have been heard since."""
        if self.due_ms is not None and now_ms >= self.due_ms:
            self.due_ms = None
            self._raft.campaign_early()
