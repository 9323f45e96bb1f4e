"""Linearizable reads without a log entry: ReadIndex (thesis §6.4).

A read may be answered from the state machine once (1) the leader has committed an entry of its
own term, (2) a majority confirmed *after the read arrived* that it still leads, and (3) everything
committed when the round began is applied. All reads that wait share one round; the next round
starts when it is decided.

No more servers are asked than a majority takes: those who were the first to answer when all were
asked, once in a heartbeat's time. If they have not confirmed a round by the next tick, all are.
"""

from collections.abc import Sequence
from typing import Any

from . import replication, vanguard
from .messages import ReadIndexResponse
from .quorum import has_quorum
from .state import RaftState
from .types import Index, Role, ServerId


def request(state: RaftState, context: Any) -> None:
    """Let a read wait for the next round. ``context`` comes back from ``ready``.

    Assumes that this server leads.
    """
    assert state.role is Role.LEADER, "only a leader confirms reads"
    state.read_waiting.append(context)


def on_tick(state: RaftState) -> None:
    """Let one tick pass: a round that is under way still is for everybody now."""
    state.read_ticks += 1
    state.read_is_due = state.read_under_way is not None and not state.read_asks_all


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
        if state.read_asks_all:
            state.read_witnesses = _first_majority(state, number)
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
    members = state.progress  # Of those, some may have been removed since.
    witnesses = [peer for peer in state.read_witnesses if peer in members]
    askers = [peer for peer in state.read_askers_under_way if peer in members]
    vanguard.bring_up(state, askers)
    is_time = state.read_ticks >= state.options.heartbeat_ticks
    if is_time or not _are_majority(state, witnesses):
        _ask_all(state)
    else:
        state.read_asks_all = False
        # Who asked hears of what is committed before it hears the answer, and need not wait for it.
        for peer in sorted({*witnesses, *askers}):
            replication.emit_append_entries(state, peer, members[peer], ())


def rule_ask_all(state: RaftState) -> None:
    """Ask the others too, where those who were asked have not answered in time."""
    if state.read_is_due and state.read_under_way is not None:
        _ask_all(state)


def _ask_all(state: RaftState) -> None:
    state.read_asks_all, state.read_is_due = True, False
    state.read_ticks = 0
    for peer in state.peers():
        # Lost ones are repeated by the heartbeats, which carry the round as well.
        replication.emit_append_entries(state, peer, state.progress[peer], ())


def _first_majority(state: RaftState, number: int) -> tuple[ServerId, ...]:
    """Return the fewest of those who have confirmed a round that are enough for it."""
    chosen: list[ServerId] = []
    for peer in state.peers():
        if state.progress[peer].read_round >= number and not _are_majority(state, chosen):
            chosen.append(peer)
    return tuple(chosen)


def _are_majority(state: RaftState, others: Sequence[ServerId]) -> bool:
    """Tell whether this server and the others are a majority."""
    return has_quorum(
        state.configuration, lambda voter: voter == state.server_id or voter in others
    )


def _answer_followers(state: RaftState, read_index: Index) -> None:
    """Tell those who asked before the round began what it has confirmed."""
    for peer, number in sorted(state.read_askers_under_way.items()):
        state.messages.append(
            ReadIndexResponse(state.server_id, peer, state.current_term, number, read_index)
        )
    state.read_askers_under_way = {}
