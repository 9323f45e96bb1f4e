"""Leader election (§5.2, §5.4.1), PreVote (thesis §9.6), CheckQuorum and stickiness (§4.2.3, §6.2).

Handlers react to messages and ticks; the rules look at the state and emit.
"""

from . import roles
from .messages import (
    PreVote,
    PreVoteResponse,
    RequestVote,
    RequestVoteResponse,
)
from .quorum import Outcome, has_quorum, vote_outcome
from .state import RaftState
from .types import Index, Role, Term


def sticks_to_leader(state: RaftState) -> bool:
    """Tell whether a leader was heard so lately that no other may be elected (thesis §4.2.3)."""
    if state.role is Role.LEADER:
        return True
    return state.leader_id is not None and state.leader_ticks < state.options.election_ticks_min


def handle_pre_vote(state: RaftState, message: PreVote) -> bool:
    """Answer whether this server would vote so; nothing durable changes (thesis §9.6).

    Returns:
        The answer.
    """
    reason = _refusal(state, message.last_log_index, message.last_log_term)
    if message.candidate_term <= state.current_term:
        reason = f"term {state.current_term} has begun already"
    hears_leader = sticks_to_leader(state)
    if hears_leader:
        reason = f"hears leader {state.leader_id}"
    state.messages.append(
        PreVoteResponse(
            source=state.server_id,
            target=message.source,
            term=state.current_term,
            candidate_term=message.candidate_term,
            vote_granted=not reason,
            reason=reason,
            hears_leader=hears_leader,
        )
    )
    _trace_vote(state, message.source, message.candidate_term, reason, pre_vote=True)
    return not reason


def handle_request_vote(state: RaftState, message: RequestVote) -> None:
    """Vote for the first candidate of the term whose log is good enough (§5.2, §5.4.1).

    Assumes that ``core`` has settled the terms: the message is of the current one.
    """
    assert message.term == state.current_term, "terms are settled first"
    reason = _refusal(state, message.last_log_index, message.last_log_term)
    if state.voted_for not in (None, message.source):
        reason = f"voted for {state.voted_for} in term {state.current_term}"
    if not reason:
        if state.role is Role.PRE_CANDIDATE:
            # It has not voted in this term; the candidate that is ahead of it gets its chance.
            roles.become_follower(state, state.current_term, None)
        assert state.role is Role.FOLLOWER, "whoever campaigns has voted for itself"
        roles.grant_vote(state, message.source)
    # Figure 2: the vote is on disk before the candidate may count it.
    state.after_persist.append(
        RequestVoteResponse(
            source=state.server_id,
            target=message.source,
            term=state.current_term,
            vote_granted=not reason,
            reason=reason,
        )
    )
    _trace_vote(state, message.source, message.term, reason, pre_vote=False)


def handle_pre_vote_response(state: RaftState, message: PreVoteResponse) -> None:
    """Count an answer to the question asked now; late ones are of another term."""
    if state.role is Role.PRE_CANDIDATE and message.candidate_term == state.current_term + 1:
        if message.hears_leader and state.early.under_way:
            return  # It does not know yet; it is asked again.
        state.votes[message.source] = message.vote_granted


def handle_request_vote_response(state: RaftState, message: RequestVoteResponse) -> None:
    """Count a vote (§5.2)."""
    if state.role is Role.CANDIDATE:
        state.votes[message.source] = message.vote_granted


def on_tick(state: RaftState) -> None:
    """Let one tick pass for the election timer, or for the leader's check of its quorum."""
    state.leader_ticks += 1
    if state.role is Role.LEADER:
        _check_quorum(state)
        return
    state.election_ticks += 1
    if state.election_ticks >= state.election_timeout_ticks and state.is_electable():
        silent = "no leader known" if state.leader_id is None else f"{state.leader_id} is silent"
        roles.become_pre_candidate(state, f"timeout: {silent}")
        ask_around(state)


def campaign(state: RaftState, *, reason: str, transfer: bool) -> None:
    """Begin a real election now: a majority would vote for us, or the leader asked for it."""
    state.election_reason = reason
    roles.become_candidate(state)
    state.transfer_election = transfer
    state.emit_trace("campaigned", stage="request_vote", reason=reason)


def rule_count_votes(state: RaftState) -> None:
    """Move on when the answers so far decide the (pre-)election (§5.2)."""
    if state.role is Role.PRE_CANDIDATE:
        outcome = vote_outcome(state.configuration, state.votes)
        if outcome is Outcome.WON and state.is_electable():
            campaign(state, reason=state.election_reason, transfer=False)
        elif outcome is not Outcome.PENDING:
            # Lost; or won, and since it asked its disk has come to hang, or it was removed.
            roles.become_follower(state, state.current_term, None)
    # The own vote counts once it is durable, like any other (Figure 2): a lone voter that led
    # before could lead the same term again after a crash, with other entries.
    if state.role is Role.CANDIDATE and state.persisted_hard_state == state.hard_state:
        if not state.votes_requested:
            _emit_request_votes(state)
        outcome = vote_outcome(state.configuration, state.votes)
        if outcome is Outcome.WON:
            roles.become_leader(state)
        elif outcome is Outcome.LOST:
            roles.become_follower(state, state.current_term, None)


def _refusal(state: RaftState, last_log_index: Index, last_log_term: Term) -> str:
    """Say why a log that ends there gets no vote from this one; "" if it may (§5.4.1)."""
    if state.log.is_up_to_date(last_log_index, last_log_term):
        return ""
    own = f"{state.log.last_index}@{state.log.last_term}"
    return f"log ends at {last_log_index}@{last_log_term}, behind {own}"


def _check_quorum(state: RaftState) -> None:
    """Step down when no majority answered within an election timeout (thesis §6.2).

    The longest one: no read rests on this clock, so to step down before the others could have
    elected someone would only cost availability when a busy host stalls its processes.
    """
    for progress in state.progress.values():
        progress.ticks_since_contact += 1
    timeout = state.options.election_ticks_max
    if not has_quorum(
        state.configuration,
        lambda voter: (
            voter == state.server_id or state.progress[voter].ticks_since_contact < timeout
        ),
    ):
        roles.become_follower(state, state.current_term, None)


def ask_around(state: RaftState) -> None:
    """Ask whether this server, a pre-candidate now, could win an election (thesis §9.6)."""
    emit_pre_votes(state)
    state.emit_trace("campaigned", stage="pre_vote", reason=state.election_reason)


def emit_pre_votes(state: RaftState) -> None:
    """Ask all who have not answered yet whether they would vote for this server (thesis §9.6)."""
    for peer in state.peers():
        if state.configuration.is_voter(peer) and peer not in state.votes:
            state.messages.append(
                PreVote(
                    source=state.server_id,
                    target=peer,
                    term=state.current_term,
                    candidate_term=state.current_term + 1,
                    last_log_index=state.log.last_index,
                    last_log_term=state.log.last_term,
                )
            )


def _emit_request_votes(state: RaftState) -> None:
    # The candidate counts its own vote, so that vote must be durable before the votes that
    # complete the majority can come in (Figure 2). The requests are made only then: an election
    # that ends while a disk hangs, as its server learns that it was removed, asks nobody.
    state.votes_requested = True
    for peer in state.peers():
        if state.configuration.is_voter(peer):
            state.messages.append(
                RequestVote(
                    source=state.server_id,
                    target=peer,
                    term=state.current_term,
                    last_log_index=state.log.last_index,
                    last_log_term=state.log.last_term,
                    leadership_transfer=state.transfer_election,
                )
            )


def _trace_vote(
    state: RaftState, candidate: str, candidate_term: Term, reason: str, *, pre_vote: bool
) -> None:
    kind = "refused" if reason else "voted"
    fields = {"candidate": candidate, "candidate_term": candidate_term, "pre_vote": pre_vote}
    state.emit_trace(kind, **fields, **({"reason": reason} if reason else {}))
