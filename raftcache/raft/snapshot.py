"""Log compaction and snapshots (§7, Figure 13): what they do to the log, not what is in them.

A snapshot is known here by its position alone. The node takes it, stores it and sends it, in
slices; this file decides who needs one, and what becomes of the log when one is taken or installed.
"""

from .configuration import Configuration
from .messages import InstallSnapshot, InstallSnapshotResponse
from .progress import Progress, ProgressState
from .quorum import has_quorum
from .state import RaftState
from .types import Index, Role, ServerId, Term


def require(state: RaftState, progress: Progress) -> None:
    """Note that a follower needs a snapshot: the entry it should get next is gone (§7)."""
    if progress.state is not ProgressState.SNAPSHOT:
        progress.become_snapshot(state.log.base_index)


def peers_in_need(state: RaftState) -> list[ServerId]:
    """Return the followers that wait for a snapshot, in a fixed order."""
    return [
        peer
        for peer, progress in sorted(state.progress.items())
        if progress.state is ProgressState.SNAPSHOT or progress.needs_snapshot
    ]


def holds_up_commits(state: RaftState) -> bool:
    """Tell whether this leader is no majority with those whom it hears and can send entries."""

    def stores(voter: ServerId) -> bool:
        if voter == state.server_id:
            return True
        progress = state.progress[voter]
        is_heard = progress.ticks_since_contact < state.options.election_ticks_min
        return is_heard and progress.state is not ProgressState.SNAPSHOT

    return not has_quorum(state.configuration, stores)


def lose(state: RaftState) -> None:
    """Begin without the state that the log begins behind: every snapshot of it is damaged.

    Term, vote and log are whole, so the server votes and stores entries as ever: what it
    acknowledged up to there was committed, and its log still ends where it ended (§5.4.1). It
    neither stands for election nor applies anything until a leader's snapshot of that index or
    later is in force (failure E10).
    """
    assert state.log.base_index, "a log from its beginning needs no snapshot"
    state.needs_snapshot = state.log.base_index
    state.apply_paused = True


def is_of_use(state: RaftState, index: Index) -> bool:
    """Tell whether a snapshot that ends there holds something that this server lacks."""
    if state.needs_snapshot:
        return index >= state.needs_snapshot
    return index > state.commit_index


def compact(state: RaftState, index: Index) -> None:
    """Forget the log up to ``index``, at most: a durable snapshot holds it (§7).

    Unlike the paper, also what no snapshot holds may be forgotten here, as the disk still has it:
    a follower that turns out to lack it gets a snapshot that is taken for it. Only what is
    applied, and what is on the own disk, is ever forgotten.
    """
    index = min(index, state.last_applied, state.persisted_index)
    if index <= state.log.base_index:
        return
    state.log.compact(index)
    _keep_configurations(state, index, state.configurations)
    state.emit_trace("compacted", index=index)


def install(state: RaftState, index: Index, term: Term, configuration: Configuration) -> bool:
    """Put a snapshot in the place of the log up to ``index`` (Figure 13, rules 6 to 8).

    Assumes that the snapshot is durable and checked, and that it came from the leader whom this
    server follows now.

    Returns:
        False when the log was further already: then nothing has changed, and the state machine
        must not be touched. The leader is told either way.
    """
    assert state.role is not Role.LEADER, "a leader installs nothing"
    fresh = is_of_use(state, index)
    if not fresh and state.needs_snapshot:
        return False  # Older than what is lost: the leader must not take this for the end of it.
    if fresh:
        if state.log.term_at(index) == term:
            # Rule 6: the log leads up to the snapshot; what follows it stays.
            unsaved = state.log.first_unsaved <= index
            state.log.compact(index)
            if unsaved:  # The disk never gets what was compacted: it must begin anew as well.
                state.log.first_unsaved = index + 1
                state.new_base = (index, term)
            later = [held for held in state.configurations if held[0] > index]
        else:
            # Rule 7: whatever the log holds, none of it is committed beyond what we knew.
            state.log.reset(index, term)
            state.new_base = (index, term)
            later = []
        state.configurations = [(index, configuration), *later]
        state.needs_snapshot = 0
        state.commit_index = max(state.commit_index, index)
        state.last_applied = index
        state.persisted_index = max(min(state.persisted_index, state.log.last_index), index)
        state.emit_trace("installed", index=index)
    if state.leader_id is not None:
        state.after_persist.append(
            InstallSnapshotResponse(
                state.server_id,
                state.leader_id,
                state.current_term,
                min(state.commit_index, state.persisted_index),
            )
        )
    return fresh


def handle_install_snapshot_response(state: RaftState, message: InstallSnapshotResponse) -> None:
    """Go on with entries behind the snapshot that a follower has now (§7)."""
    progress = state.progress.get(message.source)
    if state.role is not Role.LEADER or progress is None:
        return
    progress.ticks_since_contact = 0
    if message.match_index <= state.log.last_index:  # Never trust a number from the wire.
        progress.on_success(message.match_index)
        if message.match_index >= progress.needs_snapshot:
            progress.needs_snapshot = 0


def refuse_stale(state: RaftState, message: InstallSnapshot) -> None:
    """Tell a leader of an older term that its time is over (Figure 13, rule 1)."""
    state.after_persist.append(
        InstallSnapshotResponse(state.server_id, message.source, state.current_term, 0)
    )


def _keep_configurations(
    state: RaftState, index: Index, held: list[tuple[Index, Configuration]]
) -> None:
    """Keep the configuration in force at ``index``, and all later ones."""
    in_force = [item for item in held if item[0] <= index][-1:]
    state.configurations = [*in_force, *(item for item in held if item[0] > index)]
