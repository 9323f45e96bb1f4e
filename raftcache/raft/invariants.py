"""What must hold in every state and across every step (Figure 3), as checks that raise.

Tests and the simulator run them after every step; the product does not pay for them.
"""

from collections.abc import Sequence
from itertools import combinations, pairwise

import msgspec

from .configuration import Configuration
from .state import RaftState
from .types import Entry, EntryKind, Index, Role, ServerId, Term


class Marks(msgspec.Struct, frozen=True):
    """The few values whose movement :func:`check_movement` judges, cheaply."""

    current_term: Term
    voted_for: ServerId | None
    commit_index: Index
    last_applied: Index
    role: Role
    base_index: Index
    last_index: Index
    transfer: tuple[ServerId | None, int]
    """To whom the leadership is being handed, and for how long it has been."""


class Snapshot(Marks, frozen=True):
    """What :func:`check_step` compares: the marks, and the whole log."""

    entries: tuple[Entry, ...]
    """Those behind ``base_index``."""


def marks(state: RaftState) -> Marks:
    """Take what :func:`check_movement` compares."""
    return Marks(
        state.current_term,
        state.voted_for,
        state.commit_index,
        state.last_applied,
        state.role,
        state.log.base_index,
        state.log.last_index,
        (state.transfer_target, state.transfer_ticks),
    )


def snapshot(state: RaftState) -> Snapshot:
    """Take what :func:`check_step` compares."""
    return Snapshot(
        state.current_term,
        state.voted_for,
        state.commit_index,
        state.last_applied,
        state.role,
        state.log.base_index,
        state.log.last_index,
        (state.transfer_target, state.transfer_ticks),
        tuple(state.log.entries),
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
    check_configurations(state)
    if state.role is Role.LEADER:
        assert state.leader_id == state.server_id, "a leader knows who leads"
        assert not state.questions.waiting, "a leader asks nobody"
        assert not state.questions.asked, "a leader asks nobody"
        assert state.voted_for == state.server_id, "a leader voted for itself"
        if state.term_start_index > log.base_index:
            assert log.term_at(state.term_start_index) == state.current_term, "the no-op is there"
        for progress in state.progress.values():
            assert progress.match_index < progress.next_index, "next_index is beyond match_index"
            assert progress.match_index <= log.last_index, "nobody matches what is not there"
            assert progress.inflight_bytes == sum(size for _, size in progress.inflight)
    else:
        assert not state.progress, "only leaders keep progress"
        assert not state.read_waiting, "only leaders let reads wait"
        assert not state.read_askers, "only leaders are asked"
    if state.role in (Role.PRE_CANDIDATE, Role.CANDIDATE):
        assert any(held.is_voter(state.server_id) for _, held in state.configurations), (
            "only voters stand for election (thesis §4.2.1)"
        )
    if state.role is Role.CANDIDATE:
        assert state.voted_for == state.server_id, "a candidate voted for itself"


def check_configurations(state: RaftState) -> None:
    """Check who takes part, by this server's log (§6, thesis chapter 4)."""
    (base, first), *later = state.configurations
    assert base <= state.log.base_index, "the first configuration is in force at the base"
    in_log = [entry for entry in state.log.entries if entry.kind is EntryKind.CONFIGURATION]
    assert [index for index, _ in later] == [entry.index for entry in in_log], (
        "the configuration in force is the newest in the log, committed or not (§6)"
    )
    # A server that joins is told of a configuration, while its log begins with the cluster's.
    # One whose snapshots are all gone goes by what it began with until it is sent one.
    joined = base == 0 and not first.is_voter(state.server_id)
    unknown = joined or state.needs_snapshot > 0
    for (_, before), (_, after) in pairwise(later if unknown else state.configurations):
        _check_change(before, after)
    if state.role is Role.LEADER:
        assert tuple(sorted(state.progress)) == state.peers(), "progress is kept of all members"
        begun = [index for index, _ in later if index > state.term_start_index]
        uncommitted = [index for index in begun if index > state.commit_index]
        assert len(uncommitted) <= 1, "one configuration change at a time (thesis §4.1)"
        assert not begun or state.commit_index >= state.term_start_index, (
            "no change before an entry of the leader's own term is committed (Ongaro, 2015)"
        )


def _check_change(before: Configuration, after: Configuration) -> None:
    """Check that majorities of two configurations that follow each other overlap (§6)."""
    same = (before.voters, before.voters_outgoing) == (after.voters, after.voters_outgoing)
    entered = not before.is_joint and after.voters_outgoing == before.voters
    left = before.is_joint and not after.is_joint and after.voters == before.voters
    assert same or entered or left, "two configurations in a row share their majorities (§6)"
    assert not {*after.voters} & {*after.learners}, "nobody is voter and learner at once"
    assert after.incarnation_mark >= before.incarnation_mark, "incarnations are never given twice"


def check_movement(before: Marks, state: RaftState) -> None:
    """Check what only ever moves forward, and what a leader may commit (Figures 2 and 3)."""
    assert state.current_term >= before.current_term, "terms never fall"
    if state.current_term == before.current_term and before.voted_for is not None:
        assert state.voted_for == before.voted_for, "a vote never changes within a term"
    assert state.commit_index >= before.commit_index, "commit_index never falls"
    assert state.last_applied >= before.last_applied, "last_applied never falls"
    assert state.log.base_index >= before.base_index, "what is compacted never comes back"
    led_on = before.role is state.role is Role.LEADER and before.current_term == state.current_term
    if led_on and state.commit_index > max(before.commit_index, state.log.base_index):
        term = state.log.term_at(state.commit_index)
        assert term == state.current_term, "a leader commits by an entry of its own term (§5.4.2)"
    target, ticks = before.transfer
    goes_on = target == state.transfer_target and state.transfer_ticks >= ticks
    if led_on and target is not None and goes_on:
        assert state.log.last_index == before.last_index, (
            "nothing is proposed while the leadership is handed over (thesis §3.10)"
        )
    if state.early.leader_id is not None:
        assert state.leader_id is None, "whoever knows its leader gone follows nobody"


def check_step(before: Snapshot, state: RaftState) -> None:
    """Check one server across one step (Figure 3; Figure 2's durable state)."""
    check_movement(before, state)
    # What a snapshot stands for on either side can't be compared any more.
    base = max(before.base_index, state.log.base_index)
    known = before.entries[base - before.base_index :]
    after = tuple(state.log.entries[base - state.log.base_index :])
    kept = max(0, before.commit_index - base)
    assert after[:kept] == known[:kept], "a committed entry is never replaced (§5.4)"
    if before.role is Role.LEADER and state.role is Role.LEADER:
        assert after[: len(known)] == known, "Leader Append-Only (§5.3)"


class Commitment(msgspec.Struct, frozen=True):
    """What was first seen committed at an index, and in which term that was."""

    term: Term
    data: bytes
    committed_in: Term


class ClusterChecks:
    """Checks across servers and time: Election Safety, Log Matching, State Machine Safety.

    Attributes:
        leaders: who led in each term.
        committed: what was ever committed, by index.
        last_committed: the highest index of those.
    """

    def __init__(self) -> None:
        self.leaders: dict[Term, ServerId] = {}
        self.committed: dict[Index, Commitment] = {}
        self.last_committed: Index = 0

    def check(self, states: Sequence[RaftState]) -> None:
        """Look at all servers that run now, and at all they hold."""
        for state in states:
            check(state)
            self._check_committed(state, 1)
            self._check_leader(state)
        for one, other in combinations(states, 2):
            _check_log_matching(one, other)

    def check_changed(
        self, before: Snapshot, state: RaftState, others: Sequence[RaftState]
    ) -> None:
        """Look at what one step of one server changed; all else was looked at before."""
        check(state)
        check_step(before, state)
        self._check_committed(state, before.commit_index + 1)
        if state.role is Role.LEADER and before.role is not Role.LEADER:
            self._check_leader(state)
        if before.entries != tuple(state.log.entries):
            for other in others:
                _check_log_matching(state, other)

    def _check_committed(self, state: RaftState, first: Index) -> None:
        for index in range(max(first, state.log.base_index + 1), state.commit_index + 1):
            entry = state.log.entry(index)
            known = self.committed.get(index)
            if known is None:
                known = Commitment(entry.term, entry.data, state.current_term)
                self.committed[index] = known
                self.last_committed = max(self.last_committed, index)
            assert (known.term, known.data) == (entry.term, entry.data), (
                f"State Machine Safety (§5.4.3) at index {index}"
            )

    def _check_leader(self, state: RaftState) -> None:
        if state.role is not Role.LEADER:
            return
        leader = self.leaders.setdefault(state.current_term, state.server_id)
        assert leader == state.server_id, "at most one leader per term (Election Safety)"
        for index, known in self.committed.items():
            # A leader of an older term may come late to its office, and not know what came since.
            if known.committed_in < state.current_term and index > state.log.base_index:
                assert state.log.term_at(index) == known.term, "Leader Completeness (§5.4)"


def _check_log_matching(one: RaftState, other: RaftState) -> None:
    """Equal index and term mean equal logs up to there (§5.3)."""
    base = max(one.log.base_index, other.log.base_index)
    left = one.log.entries[base - one.log.base_index :]
    right = other.log.entries[base - other.log.base_index :]
    count = min(len(left), len(right))
    while count and left[count - 1].term != right[count - 1].term:
        count -= 1
    assert left[:count] == right[:count], "Log Matching (§5.3)"
