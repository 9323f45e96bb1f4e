"""A node whose disk is slow or full does not lead while another could.

Rules: what counts is the write that is under way, in ticks, so that a node that was stopped accuses
no disk. A leader hands over to a voter whose disk is in order, if there is one; it goes on leading
otherwise. Where all are slow at one time they share a disk, or what it hangs on, and nobody would
do better: so only that voter counts that has written while the leader could not. Who waits for a
write as long as an election takes stands for none: it could not even write its vote down.
"""

from typing import TYPE_CHECKING

from ..raft import transfer
from ..raft.types import Index, ServerId

if TYPE_CHECKING:
    from .server import Server

PATIENCE = 10
"""So many election timeouts after a slow write, or an attempt to hand over, it is forgotten."""


class DiskWatch:
    """Looks at the log's disk with each tick, and acts."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._persisted = 0
        self._behind_ticks = 0
        """For how long the write under way has been under way."""
        self._slow_ticks = 0
        """For how long the disk is called slow yet."""
        self._retry_ticks = 0
        self._matches: dict[ServerId, Index] = {}
        """How far each voter had come when half of the leader's patience with a write was over."""

    @property
    def is_slow(self) -> bool:
        """Tell whether a write takes, or lately took, longer than an election timeout."""
        return self._slow_ticks > 0

    def alarms(self) -> list[str]:
        """Return what a person should know."""
        if not self.is_slow:
            return []
        limit_ms = self._server.raft.state.options.election_ticks_max * self._server.tick_ms
        what = f"a write took longer than {limit_ms} ms"
        return [f"slow_disk: {what}: this node does not lead while another could"]

    def on_tick(self) -> None:
        """Let one tick pass, before Raft does."""
        server = self._server
        state, storage = server.raft.state, server.storage
        limit = state.options.election_ticks_max
        is_behind = self._measure() >= limit
        if is_behind:
            if not self.is_slow:
                ms = self._behind_ticks * server.tick_ms
                server.events.tell("slow_disk", state.current_term, ms=ms)
            self._slow_ticks = PATIENCE * limit
        elif self._slow_ticks:
            self._slow_ticks -= 1
        state.is_disk_behind = is_behind
        state.has_room = storage.has_room
        state.fit_to_lead = storage.has_room and not self.is_slow
        self._retry_ticks = max(0, self._retry_ticks - 1)
        if self._behind_ticks == limit // 2:
            self._matches = {peer: one.match_index for peer, one in state.progress.items()}
        must_go = is_behind or not storage.has_room
        if must_go and server.raft.accepts_proposals and not self._retry_ticks:
            self._hand_over()

    def _measure(self) -> int:
        """Return for how many ticks nothing has become durable though something waits."""
        persisted = self._server.storage.persisted
        if persisted != self._persisted or not self._server.awaits_disk:
            self._persisted, self._behind_ticks = persisted, 0
        else:
            self._behind_ticks += 1
        return self._behind_ticks

    def _hand_over(self) -> None:
        raft, storage = self._server.raft, self._server.storage
        target = transfer.best_target(raft.state)
        if target is None:
            return
        progress = raft.state.progress[target]
        writes = progress.match_index > self._matches.setdefault(target, progress.match_index)
        has_all = progress.match_index == raft.state.log.last_index
        if progress.fit_to_lead and (writes or has_all or not storage.has_room):
            self._retry_ticks = PATIENCE * raft.state.options.election_ticks_max
            raft.transfer_leadership(target)
