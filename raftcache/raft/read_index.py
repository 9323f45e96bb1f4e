"""Linearizable reads without a log entry: ReadIndex (thesis §6.4).

A read may be answered from the state machine once (1) the leader has committed an entry of its
own term, (2) a majority confirmed *after the read arrived* that it still leads, and (3) everything
committed when the round began is applied. All reads that wait share one round; the next round
starts when it is decided.
"""

from typing import Any

from . import replication
from .messages import ReadIndexResponse
from .quorum import has_quorum
from .state import RaftState
from .types import Index, Role


def request(state: RaftState, context: Any) -> None:
    """Let a read wait for the next round. ``context`` comes back from ``ready``.

    Assumes that this server leads.
    """
    assert state.role is Role.LEADER, "only a leader confirms reads"
    state.read_waiting.append(context)


def rule_release_reads(state: RaftState) -> None:
    """Release the reads whose round a majority confirmed, each acknowledgement in its own round."""
    if state.role is not Role.LEADER or state.read_under_way is None:
        return
    number, read_index, contexts = state.read_under_way
    if has_quorum(
        state.configuration,
        lambda voter: voter == state.server_id or state.progress[voter].read_round >= number,
    ):
        state.read_under_way = None
        if contexts:
            state.reads_released.append((read_index, contexts))
        _answer_followers(state, read_index)


def rule_start_round(state: RaftState) -> None:
    """Start one round for all reads that wait.

    Not before an entry of the own term is committed: until then the leader does not know what
    its predecessors committed (thesis §6.4, step 1).
    """
    if (
        state.role is not Role.LEADER
        or not (state.read_waiting or state.read_askers)
        or state.read_under_way is not None
        or state.commit_index < state.term_start_index
    ):
        return
    state.read_round += 1
    state.read_under_way = (state.read_round, state.commit_index, state.read_waiting)
    state.read_waiting = []
    state.read_askers_under_way, state.read_askers = state.read_askers, {}
    for peer in state.peers():
        # Lost ones are repeated by the heartbeats, which carry the round as well.
        replication.emit_append_entries(state, peer, state.progress[peer], ())


def _answer_followers(state: RaftState, read_index: Index) -> None:
    """Tell those who asked before the round began what it has confirmed."""
    for peer, number in sorted(state.read_askers_under_way.items()):
        state.messages.append(
            ReadIndexResponse(state.server_id, peer, state.current_term, number, read_index)
        )
    state.read_askers_under_way = {}
