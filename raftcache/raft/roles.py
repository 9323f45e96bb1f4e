"""The role machine (Figure 4 of the paper): who may be what, and what changes with it.

Only this file writes ``role``, ``current_term``, ``voted_for`` and ``leader_id``. Term and vote
change together, so that the disk can take them as one record.
"""

from .progress import Progress
from .state import RaftState, Vanguard
from .types import Entry, EntryKind, Role, ServerId, Term


def become_follower(state: RaftState, term: Term, leader_id: ServerId | None) -> None:
    """Follow ``leader_id`` in ``term``; None while the term's leader is not known (§5.1, §5.2)."""
    assert term >= state.current_term, "terms never fall"
    was = state.role
    if term > state.current_term:
        state.current_term = term
        # A new term, a new vote (§5.2); within a term a vote is never taken back.
        state.voted_for = None
        state.early.clear()
        state.reads_refused.extend(state.questions.take_all())
    if was is not Role.FOLLOWER:
        # A follower that merely adopts a term keeps its timer: a candidate with a log too short
        # to win must not put off the election of one that can.
        reset_election_timer(state)
    state.role = Role.FOLLOWER
    state.leader_id = leader_id
    state.leader_commit = None
    state.votes.clear()
    state.early.under_way = False
    _leave_office(state)
    state.emit_trace("became", role="follower", was=was.value, leader=leader_id)


def become_pre_candidate(state: RaftState, reason: str) -> None:
    """Ask around whether an election could be won, changing no term (thesis §9.6)."""
    assert state.role is not Role.LEADER, "a leader does not stand for election"
    assert state.is_electable(), "only voters stand for election"
    state.role = Role.PRE_CANDIDATE
    state.leader_id = None
    state.election_reason = reason
    state.transfer_election = False
    state.votes = {state.server_id: True}
    state.early.under_way = False
    reset_election_timer(state)
    state.emit_trace("became", role="pre_candidate", reason=reason)


def become_candidate(state: RaftState) -> None:
    """Begin a new term and vote for oneself (§5.2)."""
    assert state.role is not Role.LEADER, "a leader does not stand for election"
    assert state.is_electable(), "only voters stand for election"
    state.current_term += 1
    state.voted_for = state.server_id
    state.early.clear()
    state.reads_refused.extend(state.questions.take_all())
    state.role = Role.CANDIDATE
    state.leader_id = None
    state.votes = {state.server_id: True}
    state.votes_requested = False
    reset_election_timer(state)
    state.emit_trace("became", role="candidate", reason=state.election_reason)


def become_leader(state: RaftState) -> None:
    """Take office: forget what the last leader knew, and open the term with a no-op (§5.3, §8)."""
    assert state.role is Role.CANDIDATE, "only a candidate wins an election"
    state.role = Role.LEADER
    state.leader_id = state.server_id
    next_index = state.log.last_index + 1
    state.progress = {peer: Progress(next_index=next_index) for peer in state.peers()}
    state.heartbeat_ticks = state.options.heartbeat_ticks  # the first heartbeat leaves at once
    # The leader learns which entries are committed by committing one of its own term (§8).
    state.log.append(Entry(next_index, state.current_term, EntryKind.NOOP))
    state.term_start_index = next_index
    state.vanguard = Vanguard()
    # Reads that came to the candidate wait for the leader's own round.
    state.read_waiting = state.questions.take_all()
    is_voter = state.configuration.is_voter
    votes = sorted(voter for voter, granted in state.votes.items() if granted and is_voter(voter))
    state.emit_trace("became", role="leader", votes=votes, reason=state.election_reason)


def follow_leader(state: RaftState, leader_id: ServerId) -> None:
    """Note that the leader of the current term was heard (§5.2)."""
    assert state.role is not Role.LEADER, "two leaders in one term (Election Safety, §5.2)"
    if state.role is not Role.FOLLOWER or state.leader_id != leader_id:
        become_follower(state, state.current_term, leader_id)
        state.emit_trace("leader", leader=leader_id)
    state.election_ticks = 0
    state.leader_ticks = 0
    if state.early.leader_id is not None:
        state.early.clear()  # It was no death after all, or this was sent before.


def lose_leader(state: RaftState) -> None:
    """Note that the leader of the current term, heard or not, is gone: none is known now."""
    assert state.role is Role.FOLLOWER, "only followers know a leader other than themselves"
    state.emit_trace("leader_gone", leader=state.leader_id)
    state.leader_id = None


def grant_vote(state: RaftState, candidate: ServerId) -> None:
    """Give this term's vote away, for good (§5.2)."""
    assert state.voted_for in (None, candidate), "a vote never changes within a term"
    state.voted_for = candidate
    state.election_ticks = 0


def reset_election_timer(state: RaftState) -> None:
    """Start the election timer with a new random timeout, so that votes seldom split (§5.2)."""
    state.election_ticks = 0
    state.election_timeout_ticks = state.random.randint(
        state.options.election_ticks_min, state.options.election_ticks_max
    )


def _leave_office(state: RaftState) -> None:
    """Drop what only a leader has, and let the reads go that only it could have confirmed."""
    state.progress = {}
    state.term_start_index = 0
    state.transfer_target = None
    state.reads_refused.extend(state.read_waiting)
    state.read_waiting = []
    if state.read_under_way is not None:
        state.reads_refused.extend(state.read_under_way[2])
        state.read_under_way = None
    # Their servers learn of the end by the next term, and ask its leader.
    state.read_askers, state.read_askers_under_way = {}, {}
    # Rounds are numbered within a term; acknowledgements of older terms are dropped before.
    state.read_round = 0
    state.read_witnesses, state.read_is_due = (), False
