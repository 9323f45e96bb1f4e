"""What must hold of votes, candidates and leaders, by what is on disks and was sent (§5.2, §5.4).

Rules: a check knows the paper and the facts (disks, frames, ticks), and nothing of how the product
counts; it speaks up where a rule is broken, and does not wait until that has done harm.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from raftcache.raft.messages import (
    Message,
    PreVoteResponse,
    RequestVote,
    RequestVoteResponse,
    TimeoutNow,
)
from raftcache.raft.types import Index, Role, ServerId, Term

from .majorities import have_majority
from .words import Words

if TYPE_CHECKING:
    from .checks import DurableLog
    from .process import Process

STRANGE_TERM = 1_000_000
"""The terms of another cluster; no run gets so far."""
LATE_TICKS = 2
"""By so much what a turn decided may be older than what is seen after it."""
TIMEOUTS_MAX = 2
"""After so many of its longest election timeouts without a majority nobody leads any more."""
TRANSFER_TIMEOUTS_MAX = 3
DRAWS_MIN = 16
SPREAD_MIN = 5
"""So many timeouts from so large a range are not all the same by chance (6 to the power of 15)."""
STANDS = (Role.PRE_CANDIDATE, Role.CANDIDATE)


class Elections:
    """Watches who votes for whom, and who leads.

    Args:
        log_of: the disk of a server; None: nothing is known of that one.
    """

    def __init__(self, log_of: Callable[[ServerId], "DurableLog | None"]) -> None:
        self._log_of = log_of
        self.words = Words()
        self._asked: dict[tuple[ServerId, Term], tuple[Term, Index]] = {}
        """How the logs of candidates ended, as they said (last term, last index)."""
        self._offices: dict[str, tuple[Process, Term, int]] = {}
        """Who led at its last turn, in which term, and since which of its ticks."""
        self._transfers: dict[str, tuple[Process, ServerId, int]] = {}
        self._settled: dict[str, tuple[Process, Term, Role]] = {}
        """What each was after its last turn of which everything has left.

        Who is stopped in the middle of that sends the rest later (seed 2000025).
        """
        self._timeouts: set[int] = set()
        self._stands: dict[str, tuple[Process, Term, Role]] = {}
        self._draws = 0
        """How many timeouts were drawn for certain: a timer also begins anew without a draw."""

    def on_message(self, source: "Process", message: Message) -> None:
        """Check a message that leaves."""
        self.words.on_message(source, message)
        if isinstance(message, RequestVote):
            self._on_candidate(message)
        elif isinstance(message, RequestVoteResponse):
            if message.vote_granted:
                self._on_vote(source, message)
        elif isinstance(message, PreVoteResponse):
            life, term, role = self._settled.get(source.name, (None, 0, Role.FOLLOWER))
            if life is source and not message.vote_granted:
                _check_refusal(source, message, term, role)
        elif isinstance(message, TimeoutNow):
            self._on_order(source, message)

    def on_turn(self, process: "Process", committed: Callable[[Term], dict[Index, Term]]) -> None:
        """Check a node after its turn; ``committed``: the last entries committed before a term."""
        self.words.on_turn(process)
        state = process.server.raft.state
        if not process.outputs.waiting:
            self._settled[process.name] = (process, state.current_term, state.role)
        assert state.current_term < STRANGE_TERM, f"{process.name} heard another cluster (C12)"
        self._timeouts.add(state.election_timeout_ticks)
        stand = (process, state.current_term, state.role)
        before = self._stands.get(process.name)
        if before is None or before[0] is not process or (stand != before and stand[2] in STANDS):
            self._draws += 1
        self._stands[process.name] = stand
        if state.role is not Role.LEADER:
            self._offices.pop(process.name, None)
            self._transfers.pop(process.name, None)
            return
        known = self._offices.get(process.name)
        if known is None or known[:2] != (process, state.current_term):
            known = (process, state.current_term, process.ticks)
            self._offices[process.name] = known
            self._check_elected(process)
            for index, term in committed(state.current_term).items():
                assert index <= state.log.base_index or state.log.term_at(index) == term, (
                    f"a leader has all that was committed: {index}@{term} (Leader Completeness)"
                )
        self._check_contact(process, known[2])
        self._check_transfer(process)

    def on_end(self, spread: int) -> None:
        """Check that timeouts differ that were drawn from ``spread`` values or more."""
        drawn = self._draws < DRAWS_MIN or spread < SPREAD_MIN or len(self._timeouts) > 1
        assert drawn, f"election timeouts are random, not always {self._timeouts} ticks (§5.2)"

    def _on_candidate(self, message: RequestVote) -> None:
        last = (message.last_log_term, message.last_log_index)
        self._asked[message.source, message.term] = last
        kept = self._voted(message.source, message.source, message.term)
        assert kept, f"a candidate's own vote is durable before it asks for others: {message}"

    def _on_vote(self, source: "Process", message: RequestVoteResponse) -> None:
        state = source.server.raft.state
        asked = self._asked.get((message.target, message.term))
        led = state.leader_id is not None or state.log.last_term >= message.term
        if asked is None or state.current_term != message.term or led:
            return  # Its log may have changed since it gave its vote.
        own = (state.log.last_term, state.log.last_index)
        assert asked >= own, f"nobody votes for a log behind its own, {own}: {asked} (§5.4.1)"

    def _on_order(self, source: "Process", message: TimeoutNow) -> None:
        log, disk = source.server.raft.state.log, self._log_of(message.target)
        if disk is not None and disk.hard_state.current_term > message.term:
            return  # Its order comes too late, and what it knew of that log may be replaced.
        whole = disk is None or disk.has(log.last_index, log.last_term)
        assert whole, f"only who has the whole log is told to campaign: {message} (thesis §3.10)"

    def _check_elected(self, process: "Process") -> None:
        """Check that a majority has voted so, on disk: counted anew, from the disks."""
        state = process.server.raft.state
        leader, term = state.server_id, state.current_term
        assert self._voted(leader, leader, term), f"{leader} leads before its vote is durable"
        elected = have_majority(state.configuration, lambda voter: self._voted(voter, leader, term))
        assert elected, f"{leader} leads in term {term} without the votes of a majority (§5.2)"

    def _voted(self, voter: ServerId, candidate: ServerId, term: Term) -> bool:
        disk = self._log_of(voter)
        return disk is not None and disk.votes.get(term) == candidate

    def _check_contact(self, process: "Process", since: int) -> None:
        """Check that no leader stays in office that no majority speaks to (thesis §6.2)."""
        state = process.server.raft.state
        oldest = process.ticks - TIMEOUTS_MAX * state.options.election_ticks_max
        if since > oldest:
            return

        def speaks(voter: ServerId) -> bool:
            name = voter.partition("#")[0]
            return name == process.name or process.heard.get(name, since) > oldest

        assert have_majority(state.configuration, speaks), (
            f"{process.name} leads though no majority spoke to it for {TIMEOUTS_MAX} election "
            "timeouts (thesis §6.2)"
        )

    def _check_transfer(self, process: "Process") -> None:
        """Check that a transfer ends, whatever becomes of its target (thesis §3.10)."""
        state = process.server.raft.state
        target = state.transfer_target
        if target is None:
            self._transfers.pop(process.name, None)
            return
        known = self._transfers.get(process.name)
        if known is None or known[:2] != (process, target):
            known = self._transfers[process.name] = (process, target, process.ticks)
        ticks_max = TRANSFER_TIMEOUTS_MAX * state.options.election_ticks_min
        assert process.ticks - known[2] <= ticks_max, (
            f"{process.name} gives up to hand over to {target} after an election timeout "
            "(thesis §3.10)"
        )


def _check_refusal(source: "Process", message: PreVoteResponse, term: Term, role: Role) -> None:
    """Check one by the term and role that its sender had when it began to decide."""
    state = source.server.raft.state
    assert message.term >= term, f"every answer tells its sender's term, {term}: {message} (§5.1)"
    followed = {role, state.role} <= {Role.FOLLOWER, Role.PRE_CANDIDATE}
    if message.hears_leader and followed and state.current_term == term:
        assert state.leader_ticks < state.options.election_ticks_min + LATE_TICKS, (
            f"nobody sticks to a leader for longer than an election timeout: {message} "
            "(thesis §4.2.3)"
        )
