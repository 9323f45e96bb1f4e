"""A leader whose process is gone is not waited for: an election before the timeout.

An extension of the paper. The caller knows that a process has ended, and only that: its host says
that nobody listens at its port any more. Who is merely silent, slow or cut off is left to the
timeouts. What it may cost when that is wrong is one election that the leader loses or wins; what
votes promise (§5.2, §5.4.1) is untouched, as nothing here gives or counts any.

Rules: a server that knows its leader gone sticks to it no longer. It may ask around, once for each
leader and term, and go on asking those who still hear the leader, tick by tick, until its election
timeout. A voter that has just been promised a vote is let go first.
"""

from . import election, roles
from .messages import PreVote
from .state import RaftState
from .types import Role, ServerId

GIVE_WAY_TICKS = 3
"""How long a server lets another go first: its own question, its disk and its call for votes."""


def on_disconnected(state: RaftState, server_id: ServerId) -> bool:
    """Stop sticking to ``server_id`` if it leads the current term; who else is gone is no matter.

    Returns:
        Whether :func:`campaign` would do anything, now or after a pause.
    """
    if state.role is Role.FOLLOWER and state.leader_id == server_id:
        roles.lose_leader(state)
        state.early.leader_id = server_id
    return _may_campaign(state)


def campaign(state: RaftState) -> None:
    """Ask around now, or when another has had its chance."""
    if not _may_campaign(state):
        return
    if state.early.pause_ticks:
        state.early.waiting = True
        return
    leader = state.early.leader_id
    assert leader is not None, "_may_campaign looked"
    roles.become_pre_candidate(state, f"connection refused: {leader} is gone")
    state.early.under_way = True
    state.early.last = (leader, state.current_term)
    election.ask_around(state)


def handle_pre_vote(state: RaftState, message: PreVote) -> None:
    """Answer; and let one who may win go first, so that the two do not split the votes.

    Of two that ask each other at the same time, the one with the larger log wins, or the lesser
    name. Both see it alike.
    """
    granted = election.handle_pre_vote(state, message)
    early = state.early
    if not granted or early.leader_id is None:
        return
    if not state.configuration.is_voter(message.source):
        return  # As far as is known here, it can't win; and votes are split between voters only.
    if early.under_way:
        own = (state.log.last_index, state.log.last_term)
        equal = own == (message.last_log_index, message.last_log_term)
        if equal and state.server_id < message.source:
            return
        roles.become_follower(state, state.current_term, None)
        early.last, early.waiting = None, True
    early.pause_ticks = GIVE_WAY_TICKS


def on_tick(state: RaftState) -> None:
    """Ask again who still heard the leader; or begin, when the pause is over."""
    early = state.early
    if early.under_way:
        assert state.role is Role.PRE_CANDIDATE, "only a pre-candidate asks around"
        election.emit_pre_votes(state)
    elif early.pause_ticks:
        early.pause_ticks -= 1
        if early.waiting and not early.pause_ticks:
            early.waiting = False
            campaign(state)


def _may_campaign(state: RaftState) -> bool:
    leader = state.early.leader_id
    return (
        leader is not None
        and state.role is Role.FOLLOWER
        and state.is_electable()
        and not state.early.waiting
        and state.early.last != (leader, state.current_term)
    )
