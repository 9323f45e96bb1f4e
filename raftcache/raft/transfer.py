"""Leadership transfer (thesis §3.10): hand over without waiting for a timeout."""

from . import election, roles
from .messages import TimeoutNow
from .state import RaftState
from .types import Role, ServerId


def begin(state: RaftState, target: ServerId) -> None:
    """Stop taking proposals and bring ``target`` up to date; ``rule_hand_over`` does the rest.

    Assumes that this server leads and ``target`` is another voter.
    """
    assert state.role is Role.LEADER, "only a leader hands over"
    assert target in state.progress, "the target is another member"
    assert state.configuration.is_voter(target), "only a voter can lead"
    state.transfer_target = target
    state.transfer_ticks = 0
    state.transfer_sent = False
    state.emit_trace("transfer", target=target)


def best_target(state: RaftState) -> ServerId | None:
    """Return the voter that is furthest along, heard within an election timeout; None if none.

    Those whose disks are slow or full come last, and behind them those that a change under way
    takes out of office: they would soon have to hand over themselves.
    """
    voters = state.configuration.voters
    candidates = [
        (peer in voters, progress.fit_to_lead, progress.match_index, peer)
        for peer, progress in state.progress.items()
        if state.configuration.is_voter(peer)
        and not progress.needs_snapshot
        and progress.ticks_since_contact < state.options.election_ticks_min
    ]
    return max(candidates)[3] if candidates else None


def handle_timeout_now(state: RaftState, message: TimeoutNow) -> None:
    """Campaign at once, without PreVote: the leader itself wants it (thesis §3.10)."""
    assert message.term == state.current_term, "terms are settled first"
    if state.role is Role.FOLLOWER and state.is_electable():
        election.campaign(state, reason=f"transfer from {message.source}", transfer=True)


def on_tick(state: RaftState) -> None:
    """Give up after an election timeout, and take proposals again (thesis §3.10).

    A leader that was removed has nothing to go back to: it gives up its office as well.
    """
    if state.role is Role.LEADER and state.transfer_target is not None:
        state.transfer_ticks += 1
        if state.transfer_ticks >= state.options.election_ticks_min:
            state.transfer_target = None
            if state.is_dismissed():
                roles.become_follower(state, state.current_term, None)


def rule_hand_over(state: RaftState) -> None:
    """Tell the target to campaign, once it has everything (thesis §3.10).

    TimeoutNow may be lost; then the transfer ends unsuccessfully, and the leader goes on.
    """
    target = state.transfer_target
    if state.role is not Role.LEADER or target is None:
        return
    last_index = state.log.last_index
    if state.transfer_sent or state.progress[target].match_index != last_index:
        return
    is_dismissed = state.is_dismissed()
    if is_dismissed and state.commit_index != last_index:
        return  # It answers for what it took on, as long as it can.
    state.messages.append(TimeoutNow(state.server_id, target, state.current_term))
    state.transfer_sent = True
    if is_dismissed:
        # Its successor's campaign does not even reach it: it is asked for no vote any more.
        roles.become_follower(state, state.current_term, None)
