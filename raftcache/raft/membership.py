"""Cluster membership by joint consensus (§6, thesis chapter 4).

A change of the voters takes two entries. The first holds both sets of voters; from the moment it is
in a server's log, that server needs a majority of each. Once it is committed, the leader appends
the second, with the new voters alone; so does a later leader that finds the first one committed.
Learners replicate the log and count for nothing; a change that leaves the voters as they are is a
single entry.

Rules of this file: one change at a time; none before an entry of the leader's own term is
committed; a leader that is no voter any more leads until the change is complete, without counting
itself, and then hands over.
"""

import msgspec

from . import replication, roles, transfer
from .configuration import Configuration, encode_configuration, incarnation_of
from .progress import CatchUp, Progress, ProgressState
from .state import RaftState
from .types import EntryKind, Index, Role, ServerId

CATCH_UP_ROUNDS_MAX = 10
"""Rounds after which a learner that is still behind is given up (thesis §4.2.1)."""


class ChangeRefused(Exception):  # noqa: N818 - named as the other refusals are, by what happened
    """A configuration change was not begun, and nothing was appended; ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def change(state: RaftState, target: Configuration) -> Index:
    """Append the entry that begins the change to ``target``.

    Raises:
        ChangeRefused: it can't be begun now, or ``target`` is no sound configuration.
    """
    assert not target.is_joint, "the joint configuration is made here"
    reason = _refusal(state, target)
    if reason:
        raise ChangeRefused(reason)
    present = state.configuration
    target = _in_order(target, incarnation_mark=present.incarnation_mark)
    if target.voters == present.voters:
        return _append(state, target)
    joint = msgspec.structs.replace(
        target,
        voters_outgoing=present.voters,
        # Until it is left, the voters that go are still talked to.
        members=(
            *target.members,
            *(member for member in present.members if target.member(member.server_id) is None),
        ),
    )
    return _append(state, _in_order(joint))


def is_in_progress(state: RaftState) -> bool:
    """Tell whether a change was begun and is not complete, as far as this server knows."""
    index, configuration = state.configurations[-1]
    return configuration.is_joint or index > state.commit_index


def is_caught_up(state: RaftState, peer: ServerId) -> bool:
    """Tell whether the other's last round was shorter than an election timeout (§4.2.1).

    It must be there still, and take entries as they come: once it votes, commits may wait for it.
    """
    progress = state.progress.get(peer)
    if progress is None or progress.catch_up is None:
        return False
    return (
        progress.state is ProgressState.REPLICATE
        and progress.ticks_since_contact < state.options.election_ticks_min
        and progress.catch_up.rounds > 0
        and progress.catch_up.slow_rounds == 0
        and progress.catch_up.ticks < state.options.election_ticks_min
    )


def is_too_slow(state: RaftState, learner: ServerId) -> bool:
    """Tell whether the learner's last ten rounds all took too long: there is no hope (§4.2.1).

    One that does not answer completes no round; how long to wait for it is the caller's to say.
    """
    progress = state.progress.get(learner)
    if progress is None or progress.catch_up is None:
        return False
    return progress.catch_up.slow_rounds >= CATCH_UP_ROUNDS_MAX


def may_take_part(state: RaftState, server_id: ServerId) -> bool:
    """Tell whether to listen to a server: it is a member, or may be one by now (§6, thesis §4.1).

    A server that lacks the newest entries must hear leaders and candidates that it does not know
    yet, or it might never get those entries. Incarnations are given out in rising order, each by a
    configuration entry: so whoever is newer than all that this server knows of is let in, and
    whoever is older and no member was removed, and stays out. A removed leader is heard until
    another one is.
    """
    if server_id == state.leader_id:
        return True
    for index, configuration in reversed(state.configurations):
        if configuration.takes_part(server_id):
            return True
        if index <= state.commit_index:
            # Without any configuration, this server has just joined, and can't tell.
            is_newer = incarnation_of(server_id) > configuration.highest_incarnation()
            return is_newer or not configuration.voters
    return False


def on_tick(state: RaftState) -> None:
    """Let one tick pass in the rounds of all others.

    A learner's decide when it may vote; a voter's tell whoever asks for the members.
    """
    if state.role is not Role.LEADER:
        return
    for progress in state.progress.values():
        _tick_round(progress, state.log.last_index, state.options.election_ticks_min)


def rule_complete_change(state: RaftState) -> None:
    """Leave a joint configuration that is committed; leave the office that the change took away.

    The leader that does so need not be the one that began the change.
    """
    if state.role is not Role.LEADER:
        return
    index, configuration = state.configurations[-1]
    if index > state.commit_index or state.commit_index < state.term_start_index:
        return
    # While it hands over, the leader appends nothing that its successor would have to catch up on.
    if configuration.voters_outgoing:
        if state.transfer_target is None:
            _append(state, _in_order(msgspec.structs.replace(configuration, voters_outgoing=())))
    elif not configuration.is_voter(state.server_id) and state.transfer_target is None:
        _leave_office(state)


def _refusal(state: RaftState, target: Configuration) -> str:
    """Say why this change can't begin now; "" if it can."""
    if state.role is not Role.LEADER:
        return "this server does not lead: ask the leader"
    if state.transfer_target is not None:
        return f"the leadership is being handed to {state.transfer_target}: ask the next leader"
    if state.commit_index < state.term_start_index:
        # Else two leaders could change the configuration side by side (Ongaro's note of 2015).
        return "no entry of this leader's term is committed yet: try again in a moment"
    if is_in_progress(state):
        return "another change is under way: wait until it is complete"
    if not target.voters:
        return "nobody would vote: keep at least one voter"
    both = sorted({*target.voters} & {*target.learners})
    if both:
        return f"{', '.join(both)} can't be voter and learner at once: choose one"
    return ""


def _append(state: RaftState, configuration: Configuration) -> Index:
    """Append a configuration, which is in force from this moment on (§6)."""
    data = encode_configuration(configuration)
    index = replication.propose(state, EntryKind.CONFIGURATION, data)
    state.configurations.append((index, configuration))
    present = state.progress
    # Who is new is sent this very entry at once, and answers where its log really ends.
    state.progress = {
        peer: present.get(peer) or Progress(next_index=index) for peer in state.peers()
    }
    state.emit_trace("configured", index=index, **configuration.describe())
    return index


def _leave_office(state: RaftState) -> None:
    """Hand over to a voter, once the configuration that removed this leader is committed (§4.2.2).

    All servers are told that it is, for no later message of this leader will say so.
    """
    for peer, progress in state.progress.items():
        replication.emit_append_entries(state, peer, progress, ())
    target = transfer.best_target(state)
    if target is None:
        roles.become_follower(state, state.current_term, None)
    else:
        transfer.begin(state, target)


def _tick_round(progress: Progress, last_index: Index, slow_ticks: int) -> None:
    catch_up = progress.catch_up
    if catch_up is None:
        progress.catch_up = CatchUp(last_index)
        return
    catch_up.ticks += 1
    if progress.match_index >= catch_up.goal:
        slow_rounds = catch_up.slow_rounds + 1 if catch_up.ticks >= slow_ticks else 0
        rounds = catch_up.rounds + 1
        progress.catch_up = CatchUp(last_index, rounds=rounds, slow_rounds=slow_rounds)


def _in_order(configuration: Configuration, *, incarnation_mark: int = 0) -> Configuration:
    """Return the configuration sorted, with the members that take part and no others."""
    everyone = configuration.everyone()
    members = [member for member in configuration.members if member.server_id in everyone]
    return msgspec.structs.replace(
        configuration,
        voters=tuple(sorted({*configuration.voters})),
        learners=tuple(sorted({*configuration.learners})),
        members=tuple(sorted(members, key=lambda member: member.server_id)),
        incarnation_mark=max(configuration.incarnation_mark, incarnation_mark),
    )
