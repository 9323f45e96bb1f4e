"""Keys that slide: whoever reads one tells the leader, and the leader lets its time begin anew.

Rules of this file:

- A read never waits for it. The leader puts what it has heard of into the log once per turn, and
  if there is no hurry one entry at a time; the others tell it once per turn.
- The entry bears the time that it was when the turn before ended: whoever has seen a key whose time
  was not up at that moment sees it live on, even if its time is up now.
- A key is told of at most once per tenth of its time to live: so it may go that much early, counted
  from its last read, and a key that is read all the time costs ten commands in its time.
"""

from typing import Final

from ..protocol.peer import KeysRead
from ..raft.core import Raft
from ..raft.types import Index, Term
from ..store.commands import Touch, encode_commands
from ..store.machine import StateMachine
from ..store.records import NEVER, Record
from .cluster_time import ClusterTime
from .outbox import Outbox
from .ports import Storage

WAITING_MAX: Final = 10_000
"""How many keys wait to be told of; of others the next read tells."""
TOLD_MAX: Final = 50_000
"""How many keys are known to have been told of; of others it may be said too often."""
TOUCHES_MAX: Final = 1_000
"""How many keys one entry, or one frame, tells of."""


class Touches:
    """What this server has read of keys that slide, on its way into the log."""

    def __init__(self, raft: Raft, storage: Storage, outbox: Outbox, time: ClusterTime) -> None:
        self._raft = raft
        self._storage = storage
        self._outbox = outbox
        self._time = time
        self.waiting: dict[bytes, int] = {}
        """The keys to tell of, and their ``mod_rev``."""
        self._told_ms: dict[bytes, int] = {}
        """When each key was told of, in cluster time."""
        self._hurry_ms = NEVER
        """The cluster time from which on a key that waits has less than half of its time left."""
        self._proposed: tuple[Term, Index] = (0, 0)

    def on_read(self, key: bytes, record: Record, now_ms: int) -> None:
        """Note that a key that slides was read; ``now_ms`` is cluster time."""
        tenth_ms = record.ttl_ms // 10
        if now_ms - (record.deadline_ms - record.ttl_ms) < tenth_ms:
            return
        told_ms = self._told_ms.get(key)
        if told_ms is not None and now_ms - told_ms < tenth_ms:
            return
        if len(self.waiting) < WAITING_MAX:
            self.waiting[key] = record.mod_rev
            self._hurry_ms = min(self._hurry_ms, record.deadline_ms - record.ttl_ms // 2)
            if len(self._told_ms) >= TOLD_MAX:
                self._told_ms.clear()
            self._told_ms[key] = now_ms

    def on_turn(self, store: StateMachine) -> None:
        """Put what was read into the log, or tell the leader. Assumes that time was not moved yet.

        Where nobody leads it is forgotten: no time passes there.
        """
        raft, leader = self._raft, self._raft.state.leader_id
        if raft.is_leader:
            if self._time.is_kept_here(store) and self._may_propose(store):
                touches = [Touch(key, mod_rev) for key, mod_rev in self._take()]
                data = encode_commands(touches, self._time.now_ms)
                self._proposed = (raft.current_term, raft.propose(data))
        elif leader is not None:
            self._outbox.add_keys_read(leader, KeysRead([key for key, _ in self._take()]))
        else:
            self._take()

    def _may_propose(self, store: StateMachine) -> bool:
        term, index = self._proposed
        on_its_way = term == self._raft.current_term and index > store.last_applied
        if on_its_way and self._time.now_ms < self._hurry_ms:
            return False
        return self._raft.accepts_proposals and self._storage.has_room

    def _take(self) -> list[tuple[bytes, int]]:
        waiting = [*self.waiting.items()]
        self.waiting = dict(waiting[TOUCHES_MAX:])
        if not self.waiting:
            self._hurry_ms = NEVER
        return waiting[:TOUCHES_MAX]
