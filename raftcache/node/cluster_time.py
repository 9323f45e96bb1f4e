"""Cluster time: the one clock of a cluster, kept by its leader and told by the log.

Rules of this file:

- Only a leader looks at a clock. It begins at the last stamp in its log, and adds what its
  monotonic clock says, only while a quorum has answered within one election timeout, and at most
  one election timeout per turn of the loop. So time stands still while nobody leads, a leader that
  was paused does not jump, and what has a deadline may end late but never early.
- Whatever depends on time is decided by the stamps of entries, the same on every server. What a
  server hears of time between entries is for showing only.
"""

from ..raft.core import Raft
from ..raft.quorum import has_quorum
from ..raft.types import EntryKind, Index, Role, ServerId, Term
from ..store.commands import encode_commands, stamp_of
from ..store.machine import StateMachine
from ..store.records import NEVER
from .ports import Storage

STAMPED_VERSION = 2
"""The first version of commands whose entries tell the time."""


class ClusterTime:
    """One server's view of cluster time; as leader, its keeper."""

    def __init__(self, raft: Raft, storage: Storage, *, tick_ms: int) -> None:
        self._raft = raft
        self._storage = storage
        self._timeout_ticks = raft.state.options.election_ticks_min
        self._step_ms_max = self._timeout_ticks * tick_ms
        self._heartbeat_ticks = raft.state.options.heartbeat_ticks
        self._term: Term = 0
        """The term in which this server keeps the time; 0: it does not lead."""
        self._time_ms = 0
        self._clock_ms: int | None = None
        """What the own clock showed when ``_time_ms`` was last moved on; None: it was not yet."""
        self._quorum_answers = False
        self._log_version = 1
        self._heard_ms = 0
        self._asked: Index = 0
        """The newest entry that was made only to let keys go."""
        self._rest_ticks = 0

    @property
    def now_ms(self) -> int:
        """The time as a leader knows it, to the millisecond; elsewhere of no meaning."""
        return self._time_ms

    @property
    def log_version(self) -> int:
        """The newest version among the entries that a new leader has found in its log."""
        return self._log_version

    def on_heard(self, source: ServerId, time_ms: int) -> None:
        """Note the time that another server told: of no account unless it leads."""
        if source == self._raft.state.leader_id:
            self._heard_ms = max(self._heard_ms, time_ms)

    def on_turn(self, clock_ms: int, store: StateMachine) -> int:
        """Let time move on, if this server leads; return what to tell the others, or 0.

        ``clock_ms`` is the own monotonic clock.
        """
        if not self.is_kept_here(store):
            store.heard_ms = self._heard_ms
            return 0
        if self._clock_ms is not None and self._quorum_answers:
            self._time_ms += min(clock_ms - self._clock_ms, self._step_ms_max)
        self._clock_ms = clock_ms
        self._heard_ms = store.heard_ms = self._time_ms
        return self._time_ms

    def on_tick(self, store: StateMachine) -> None:
        """Look whether a quorum answers, and let go what is due where nobody writes."""
        if not self.is_kept_here(store):
            return
        state, timeout = self._raft.state, self._timeout_ticks
        self._quorum_answers = has_quorum(
            state.configuration,
            lambda voter: (
                voter == state.server_id
                or (voter in state.progress and state.progress[voter].ticks_since_contact < timeout)
            ),
        )
        self._rest_ticks = max(0, self._rest_ticks - 1)
        if self._must_let_go(store):
            self._asked = self._raft.propose(encode_commands([], self._time_ms))
            self._rest_ticks = self._heartbeat_ticks

    def is_kept_here(self, store: StateMachine) -> bool:
        """Tell whether this server leads; if it has only just begun to, let it take office.

        While a snapshot is put in force nobody here knows what time it was in it: until then a
        leader makes entries without a stamp.
        """
        state = self._raft.state
        if state.role is not Role.LEADER or state.apply_paused:
            self._term = 0
            self._log_version = 1
        elif self._term != state.current_term:
            self._take_office(store)
        return self._term != 0

    def _must_let_go(self, store: StateMachine) -> bool:
        """Tell whether keys are due and nothing is under way that would let them go.

        One entry per heartbeat, unless there was more to let go than fits in one; none before the
        last one is applied, none where the disk is full, and none while others' entries do it.
        """
        deadline_ms = store.next_deadline_ms
        if deadline_ms == NEVER or deadline_ms > self._time_ms or not self._raft.accepts_proposals:
            return False
        if self._asked > store.last_applied or not self._storage.has_room:
            return False
        has_backlog = deadline_ms <= store.time_ms
        return has_backlog or not self._rest_ticks

    def _take_office(self, store: StateMachine) -> None:
        """Begin at the last stamp in the log: no leader before has told a later one.

        Stamps rise along a log, so the last one there is the latest. What is not behind the state
        machine was applied.
        """
        state = self._raft.state
        self._term = state.current_term
        self._clock_ms = None
        self._quorum_answers = False
        self._time_ms, self._log_version = store.time_ms, store.command_version
        self._asked = self._rest_ticks = 0
        for index in range(state.log.last_index, store.last_applied, -1):
            entry = state.log.entry(index)
            stamp_ms = stamp_of(entry.data) if entry.kind is EntryKind.COMMANDS else None
            if stamp_ms is not None:
                self._time_ms = max(self._time_ms, stamp_ms)
                self._log_version = max(self._log_version, STAMPED_VERSION)
                return
