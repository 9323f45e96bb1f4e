"""What must hold in every state and across every step (Figure 3), as checks that raise.

Tests and the simulator run them after every step; the product does not pay for them.
"""

from itertools import pairwise

import msgspec

from .state import RaftState
from .types import Index, Role, ServerId, Term


class Snapshot(msgspec.Struct, frozen=True):
    """The few values whose movement :func:`check_step` judges."""

    current_term: Term
    voted_for: ServerId | None
    commit_index: Index
    last_applied: Index
    role: Role
    log_terms: tuple[Term, ...]


def snapshot(state: RaftState) -> Snapshot:
    """Take what :func:`check_step` compares."""
    return Snapshot(
        state.current_term,
        state.voted_for,
        state.commit_index,
        state.last_applied,
        state.role,
        tuple(entry.term for entry in state.log.entries),
    )


def check(state: RaftState) -> None:
    """Check one server at one moment."""
    log = state.log
    terms = [log.base_term, *(entry.term for entry in log.entries)]
    assert terms == sorted(terms), "terms never fall along the log"
    assert log.last_term <= state.current_term, "no entry is from a term not yet begun"
    assert state.last_applied <= state.commit_index, "only committed entries are applied"
    assert state.commit_index <= log.last_index, "commit_index never passes last_index"
    assert state.persisted_index <= log.last_index, "the disk does not know more than the log"
    if state.role is Role.LEADER:
        assert state.leader_id == state.server_id, "a leader knows who leads"
        assert state.voted_for == state.server_id, "a leader voted for itself"
        assert log.term_at(state.term_start_index) == state.current_term, "the no-op is there"
        for progress in state.progress.values():
            assert progress.match_index < progress.next_index, "next_index is beyond match_index"
            assert progress.match_index <= log.last_index, "nobody matches what is not there"
            assert progress.inflight_bytes == sum(size for _, size in progress.inflight)
    else:
        assert not state.progress, "only leaders keep progress"
        assert not state.read_waiting, "only leaders let reads wait"
    if state.role is Role.CANDIDATE:
        assert state.voted_for == state.server_id, "a candidate voted for itself"


def check_step(before: Snapshot, state: RaftState) -> None:
    """Check one server across one step (Figure 3; Figure 2's durable state)."""
    assert state.current_term >= before.current_term, "terms never fall"
    if state.current_term == before.current_term and before.voted_for is not None:
        assert state.voted_for == before.voted_for, "a vote never changes within a term"
    assert state.commit_index >= before.commit_index, "commit_index never falls"
    assert state.last_applied >= before.last_applied, "last_applied never falls"
    after = tuple(entry.term for entry in state.log.entries)
    kept = before.commit_index - state.log.base_index
    assert after[:kept] == before.log_terms[:kept], "a committed entry is never replaced (§5.4)"
    if before.role is Role.LEADER and state.role is Role.LEADER:
        assert after[: len(before.log_terms)] == before.log_terms, "Leader Append-Only (§5.3)"


class ClusterChecks:
    """Checks across servers and time: Election Safety, Log Matching, State Machine Safety."""

    def __init__(self) -> None:
        self.leaders: dict[Term, ServerId] = {}
        self.committed: dict[Index, tuple[Term, bytes]] = {}

    def check(self, states: list[RaftState]) -> None:
        """Look at all servers that run now."""
        for state in states:
            check(state)
            if state.role is Role.LEADER:
                leader = self.leaders.setdefault(state.current_term, state.server_id)
                assert leader == state.server_id, "at most one leader per term (Election Safety)"
        self._check_committed(states)
        for one, other in pairwise(states):
            _check_log_matching(one, other)

    def _check_committed(self, states: list[RaftState]) -> None:
        for state in states:
            for index in range(state.log.base_index + 1, state.commit_index + 1):
                entry = state.log.entry(index)
                known = self.committed.setdefault(index, (entry.term, entry.data))
                assert known == (entry.term, entry.data), "State Machine Safety (§5.4.3)"
            if state.role is Role.LEADER and all(
                state.current_term >= other.current_term for other in states
            ):
                for index, (term, _) in self.committed.items():
                    if index > state.log.base_index:
                        assert state.log.term_at(index) == term, "Leader Completeness (§5.4)"


def _check_log_matching(one: RaftState, other: RaftState) -> None:
    """Equal index and term mean equal logs up to there (§5.3)."""
    last = min(one.log.last_index, other.log.last_index)
    first = max(one.log.base_index, other.log.base_index) + 1
    matched = False
    for index in range(last, first - 1, -1):
        left, right = one.log.entry(index), other.log.entry(index)
        matched = matched or left.term == right.term
        if matched:
            assert left == right, f"Log Matching (§5.3) at index {index}"
