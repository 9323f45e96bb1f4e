"""Linearizable reads at followers: the leader is asked for a read index (thesis §6.4).

A follower may answer from its own state machine once that has applied what the leader had committed
when the question came in, confirmed by a majority as for the leader's own reads. One question per
turn is about all reads that came in since the last; the leader keeps the newest question of each
follower only, for its answer holds for the older ones as well: their reads came in before it.

Rules: numbers of questions rise within a life of a server, and begin at random, so that a late
answer to a former life is an answer to nothing (failure B3). Questions end with the term.
"""

from typing import Any

from .messages import ReadIndex, ReadIndexResponse
from .state import RaftState
from .types import Role

NUMBER_BITS = 31
"""A life's first number is drawn from the upper half of 62 bits: no two lives meet."""


def request(state: RaftState, context: Any) -> None:
    """Let a read wait for the next question. ``context`` comes back from ``ready``."""
    assert state.role is not Role.LEADER, "a leader asks itself: read_index"
    state.questions.waiting.append(context)


def handle_read_index(state: RaftState, message: ReadIndex) -> None:
    """Let a follower's question wait for the next round; refuse it where nobody leads.

    Assumes that ``core`` has settled the terms: the message is of the current one.
    """
    assert message.term == state.current_term, "terms are settled first"
    if state.role is Role.LEADER:
        newest = state.read_askers.get(message.source, message.number)
        state.read_askers[message.source] = max(newest, message.number)
    else:
        # In this term it led, or never will again.
        state.after_persist.append(
            ReadIndexResponse(
                state.server_id, message.source, state.current_term, message.number, read_index=0
            )
        )


def handle_read_index_response(state: RaftState, message: ReadIndexResponse) -> None:
    """Release the reads that the answer is about, or let them look for another leader.

    Assumes that ``core`` has settled the terms: what was asked in an older one was let go.
    """
    if message.number > state.questions.last:
        return  # It was asked by a former life of this server.
    asked = state.questions.asked
    answered = [number for number in asked if number <= message.number]
    contexts = [context for number in answered for context in asked.pop(number)]
    if not contexts:
        return
    if message.read_index:
        state.reads_released.append((message.read_index, contexts))
    else:
        state.reads_refused.extend(contexts)


def on_tick(state: RaftState) -> None:
    """Ask once more after a heartbeat's time: question or answer may be lost."""
    questions = state.questions
    if questions.asked:
        questions.ticks += 1
        questions.is_due = questions.ticks >= state.options.heartbeat_ticks


def rule_ask(state: RaftState) -> None:
    """Ask the leader about all that waits.

    Not before the own term is durable: the question tells it.
    """
    questions = state.questions
    if (
        not (questions.waiting or questions.is_due)
        or state.role is not Role.FOLLOWER
        or state.leader_id is None
        or state.hard_state != state.persisted_hard_state
    ):
        return
    if not questions.last:
        questions.last = (1 << NUMBER_BITS | state.random.getrandbits(NUMBER_BITS)) << NUMBER_BITS
    questions.last += 1
    questions.asked[questions.last] = questions.waiting
    questions.waiting = []
    questions.ticks, questions.is_due = 0, False
    state.messages.append(
        ReadIndex(state.server_id, state.leader_id, state.current_term, questions.last)
    )
