"""Messages of another term than the own one (Figure 2, rules for all servers).

``core`` adopts a larger term, unless :func:`must_ignore` says not to; a smaller one is answered by
:func:`answer_stale`. Handlers only ever see messages of the current term.
"""

from . import election
from . import snapshot as snapshots
from .messages import (
    AppendEntries,
    AppendEntriesResponse,
    InstallSnapshot,
    Message,
    PreVote,
    RequestVote,
    RequestVoteResponse,
)
from .state import RaftState


def must_ignore(state: RaftState, message: Message) -> bool:
    """Keep a server that hears no leader from disturbing those that do (thesis §4.2.3).

    Its term is not even adopted. A transfer is what the leader itself wants, and passes.
    """
    if not election.sticks_to_leader(state):
        return False
    if isinstance(message, PreVote):
        election.handle_pre_vote(state, message)
        return True
    if isinstance(message, RequestVote) and not message.leadership_transfer:
        state.emit_trace(
            "refused",
            candidate=message.source,
            candidate_term=message.term,
            pre_vote=False,
            reason=f"hears leader {state.leader_id}",
        )
        return True
    return False


def answer_stale(state: RaftState, message: Message) -> None:
    """Tell a server that is behind which term it is (Figure 2, receiver rules 1); drop answers.

    The term told may not be on the own disk yet, so even this waits for it.
    """
    if isinstance(message, PreVote):
        election.handle_pre_vote(state, message)
    elif isinstance(message, RequestVote):
        state.after_persist.append(
            RequestVoteResponse(
                state.server_id,
                message.source,
                state.current_term,
                vote_granted=False,
                reason=f"term {state.current_term} has begun already",
            )
        )
    elif isinstance(message, InstallSnapshot):
        snapshots.refuse_stale(state, message)
    elif isinstance(message, AppendEntries):
        state.after_persist.append(
            AppendEntriesResponse(
                state.server_id,
                message.source,
                state.current_term,
                success=False,
                prev_log_index=message.prev_log_index,
                match_index=0,
            )
        )
