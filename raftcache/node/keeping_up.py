"""Whether this node has what its leader had committed, which is when it is called ready."""

from typing import TYPE_CHECKING

from ..raft.types import Index, Role

if TYPE_CHECKING:
    from .server import Server


class KeepingUp:
    """Judges by rounds, as a leader judges a learner (thesis §4.2.1, Figure 4.5).

    While clients write, something is always on its way: to who is outside the vanguard, all that
    the last tick has committed. Who says at each look that it lacks that is ready now and behind
    the next moment, though nothing is the matter. So a round begins with what the leader had
    committed when last heard, and ends when this node has applied it; who ended the last one in
    less than an election timeout, and has been in this one for less, has caught up. What it lacks,
    it heard of less than two election timeouts ago.
    """

    def __init__(self, server: "Server") -> None:
        self._server = server
        self._term = server.raft.current_term
        self._goal: Index = 0
        self._ticks = 0
        self._reached: Index = 0
        """The goal of the last round, if that ended in time; else 0."""

    def on_tick(self) -> None:
        """Count the round's ticks, and begin the next one when it is over."""
        state = self._server.raft.state
        if self._term != state.current_term:
            self._term, self._goal, self._ticks, self._reached = state.current_term, 0, 0, 0
        self._ticks += 1
        is_over = self._has_applied(self._goal)
        if is_over:
            self._reached = self._goal if self._is_in_time else 0
        if is_over or self._goal == 0:
            self._goal, self._ticks = state.leader_commit or 0, 0

    @property
    def has_caught_up(self) -> bool:
        """Whether this node has applied what its leader committed, up to what is on its way."""
        state = self._server.raft.state
        if state.role is Role.LEADER:
            return state.term_start_index <= state.commit_index == self._server.store.last_applied
        if state.leader_id is None:
            return False
        if self._has_applied(state.leader_commit or 0):
            return True
        # One that restores a snapshot has none of what it had.
        is_of_this_term = self._term == state.current_term
        return is_of_this_term and self._is_in_time and self._has_applied(self._reached)

    @property
    def _is_in_time(self) -> bool:
        return self._ticks < self._server.raft.state.options.election_ticks_min

    def _has_applied(self, index: Index) -> bool:
        """Tell whether ``index`` is applied, and the leader is known to have what was committed.

        It is once it has committed an entry of its own term (§5.4.2).
        """
        state, applied = self._server.raft.state, self._server.store.last_applied
        return applied >= index > 0 and state.log.term_at(state.commit_index) == state.current_term
