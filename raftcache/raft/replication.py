"""Log replication and commitment (§5.3, §5.4.2).

The leader sends a window of entries ahead of the acknowledgements. Lost messages show as a gap:
the next message, or the next heartbeat, is rejected, and the leader looks for the point where the
logs agree. Heartbeats are AppendEntries without entries at the end of what was sent; they leave on
time even beside entries, since their answers do not wait for a disk.
"""

from collections.abc import Sequence

from . import roles, snapshot, vanguard
from .configuration import decode_configuration
from .messages import AppendEntries, AppendEntriesResponse, InstallSnapshot
from .progress import Progress, ProgressState
from .quorum import committed_index
from .state import RaftState
from .types import Entry, EntryKind, Index, Role, ServerId


def handle_append_entries(state: RaftState, message: AppendEntries) -> None:
    """Store a leader's entries, or say where the two logs part (Figure 2, AppendEntries).

    Assumes that ``core`` has settled the terms: the message is of the current one.
    """
    assert message.term == state.current_term, "terms are settled first"
    roles.follow_leader(state, message.source)
    state.leader_commit = max(state.leader_commit or 0, message.leader_commit)

    if message.prev_log_index < state.commit_index:
        # What is committed here equals the leader's log (Leader Completeness, §5.4.3), so the
        # leader may go on from there; entries up to it are never looked at, let alone replaced.
        _respond_success(state, message, state.commit_index, fresh=False)
        return

    # Equal index and term mean equal logs up to there (Log Matching, §5.3).
    if state.log.term_at(message.prev_log_index) != message.prev_log_term:
        _respond_rejection(state, message)
        return

    entries = message.entries if state.has_room else _without_commands(message.entries)
    fresh = bool(entries)
    if fresh:
        _store(state, entries)
    match_index = message.prev_log_index + len(entries)
    # Beyond the last entry known to match, the own log may hold what the leader is about to
    # replace: that is never committed (Figure 2, receiver rule 5).
    _advance_commit_to(state, min(message.leader_commit, match_index))
    _respond_success(state, message, match_index, fresh=fresh)


def handle_append_entries_response(state: RaftState, message: AppendEntriesResponse) -> None:
    """Learn how far a follower is (Figure 2, rules for leaders)."""
    if state.role is not Role.LEADER:
        return
    progress = state.progress.get(message.source)
    if progress is None:
        return
    progress.ticks_since_contact = 0
    progress.fit_to_lead = message.fit_to_lead
    # Even a rejection says that the follower still follows this leader in this term.
    progress.read_round = max(progress.read_round, message.read_round)
    progress.needs_snapshot = min(message.needs_snapshot, state.log.last_index)
    if message.success:
        if message.match_index <= state.log.last_index:  # Never trust a number from the wire.
            progress.on_success(message.match_index)
        return
    if message.prev_log_index <= progress.match_index:
        return  # A late answer: what it rejects has matched since.
    if progress.state is ProgressState.SNAPSHOT:
        return  # Known to be behind; the snapshot is on its way.
    if progress.state is ProgressState.PROBE and message.prev_log_index != progress.next_index - 1:
        return  # The answer to an earlier probe.
    progress.on_rejection(_next_guess(state, message))


def handle_install_snapshot(state: RaftState, message: InstallSnapshot) -> None:
    """Hear the leader in a chunk of its snapshot; the node keeps the bytes (Figure 13).

    Assumes that ``core`` has settled the terms: the message is of the current one.
    """
    assert message.term == state.current_term, "terms are settled first"
    roles.follow_leader(state, message.source)


def propose(state: RaftState, kind: EntryKind, data: bytes) -> Index:
    """Append an entry of the current term (§5.3); the rules send it.

    Assumes that this server leads and no transfer is under way.
    """
    assert state.role is Role.LEADER, "only a leader proposes"
    entry = Entry(state.log.last_index + 1, state.current_term, kind, data)
    state.log.append(entry)
    return entry.index


def on_tick(state: RaftState) -> None:
    """Let one tick pass for the leader's heartbeat."""
    if state.role is Role.LEADER:
        state.heartbeat_ticks += 1


def rule_advance_commit_index(state: RaftState) -> None:
    """Commit what a majority stores, if it is of the own term (§5.3, §5.4.2; Figure 2, leaders).

    The leader counts itself only up to what its own disk has (thesis §10.2.1).
    """
    if state.role is not Role.LEADER:
        return

    def match_index_of(voter: ServerId) -> Index:
        if voter == state.server_id:
            return state.persisted_index
        return state.progress[voter].match_index

    index = committed_index(state.configuration, match_index_of)
    # Never by counting copies of an older term's entry: those commit along with one of ours
    # (§5.4.2, Figure 8). Terms rise along the log, so comparing with the no-op is enough.
    if index >= state.term_start_index and index > state.commit_index:
        _advance_commit_to(state, index)
        vanguard.choose(state)


def waits_for_own_disk(state: RaftState) -> bool:
    """Tell whether a leader would commit more at once if its own disk had all of its log."""
    own_index, progress = state.log.last_index, state.progress
    index = committed_index(
        state.configuration,
        lambda voter: own_index if voter == state.server_id else progress[voter].match_index,
    )
    return index > state.commit_index


def rule_send_entries(state: RaftState) -> None:
    """Send each follower what its window allows (§5.3), and heartbeats when they are due (§5.2).

    The quickest are sent entries at once, the others somewhat later: see ``vanguard``.
    """
    if state.role is not Role.LEADER:
        return
    heartbeat = state.heartbeat_ticks >= state.options.heartbeat_ticks
    if heartbeat:
        state.heartbeat_ticks = 0
    vanguard.review(state)
    base_index = state.log.base_index
    for peer, progress in state.progress.items():  # in the servers' order
        if progress.next_index <= base_index:
            snapshot.require(state, progress)
        last_index = vanguard.last_index_for(state, peer)
        is_behind = progress.next_index <= last_index
        # A probe is answered like a heartbeat. One that was lost is repeated by heartbeats, without
        # its entries: those are not queued again and again for a server that may be dead.
        probes = is_behind and progress.state is ProgressState.PROBE and not progress.probe_sent
        if heartbeat and not probes:
            emit_append_entries(state, peer, progress, ())
        while progress.next_index <= last_index and progress.may_send(state.options):
            bytes_max = state.options.append_bytes_max
            entries = state.log.slice(progress.next_index, last_index, bytes_max)
            emit_append_entries(state, peer, progress, entries)


def emit_append_entries(
    state: RaftState, peer: ServerId, progress: Progress, entries: tuple[Entry, ...]
) -> None:
    """Put one AppendEntries into the outbox; without entries it is a heartbeat.

    It leaves at once, in parallel with the leader's own write to disk (thesis §10.2.1).
    """
    # To a follower that waits for a snapshot, heartbeats speak of the log's base.
    prev_log_index = max(progress.next_index - 1, state.log.base_index)
    prev_log_term = state.log.term_at(prev_log_index)
    assert prev_log_term is not None, "the entry before the next one is in the log"
    if entries:
        progress.on_sent(entries[-1].index, sum(len(entry.data) for entry in entries))
    state.messages.append(
        AppendEntries(
            source=state.server_id,
            target=peer,
            term=state.current_term,
            prev_log_index=prev_log_index,
            prev_log_term=prev_log_term,
            entries=entries,
            leader_commit=state.commit_index,
            read_round=state.read_round,
        )
    )


def _without_commands(entries: Sequence[Entry]) -> Sequence[Entry]:
    """Return what a server without room still stores: what elections need, up to a command.

    The rest is as good as lost on its way, and is sent again until there is room (failure E9).
    """
    for position, entry in enumerate(entries):
        if entry.kind is EntryKind.COMMANDS:
            return entries[:position]
    return entries


def _store(state: RaftState, entries: Sequence[Entry]) -> None:
    known = state.configurations[-1][0]
    removed = state.log.splice(entries)
    if removed is not None:
        assert removed > state.commit_index, "a committed entry is never removed (§5.4)"
        # What the disk holds from here on belongs to entries that are gone; a late word of the
        # disk about them must not count for those that took their place (failure A10).
        state.persisted_index = min(state.persisted_index, removed - 1)
        while state.configurations[-1][0] >= removed:
            # A configuration that was never committed goes with its entry (thesis §4.1).
            state.configurations.pop()
        state.emit_trace("truncated", first=removed)
        if state.configurations[-1][0] != known:
            known = state.configurations[-1][0]
            state.emit_trace("configured", index=known, **state.configuration.describe())
    for entry in entries:
        if entry.kind is EntryKind.CONFIGURATION and entry.index > known:
            # In force from now on, long before it is committed (§6).
            configuration = decode_configuration(entry.data)
            state.configurations.append((entry.index, configuration))
            state.emit_trace("configured", index=entry.index, **configuration.describe())


def _advance_commit_to(state: RaftState, index: Index) -> None:
    if index > state.commit_index:
        assert index <= state.log.last_index, "commit_index never passes last_index"
        state.commit_index = index
        state.emit_trace("committed", index=index)


def _respond_success(
    state: RaftState, message: AppendEntries, match_index: Index, *, fresh: bool
) -> None:
    """Acknowledge; what is claimed is durable when it leaves (Figure 2, thesis §3.8).

    A message with entries is acknowledged behind the disk's word. One without claims only what
    is durable already, so it need not queue behind writes: reads confirm quickly under load.
    """
    behind_disk = fresh or state.hard_state != state.persisted_hard_state
    if not behind_disk:
        match_index = min(match_index, state.persisted_index)
    outbox = state.after_persist if behind_disk else state.messages
    outbox.append(
        AppendEntriesResponse(
            source=state.server_id,
            target=message.source,
            term=state.current_term,
            success=True,
            prev_log_index=message.prev_log_index,
            match_index=match_index,
            read_round=message.read_round,
            needs_snapshot=state.needs_snapshot,
            fit_to_lead=state.fit_to_lead,
        )
    )


def _respond_rejection(state: RaftState, message: AppendEntries) -> None:
    """Say where to look on (§5.3, the optimisation at its end)."""
    conflict_term = state.log.term_at(message.prev_log_index)
    if conflict_term is None:
        conflict_term, conflict_index = 0, state.log.last_index + 1
    else:
        conflict_index = state.log.first_index_of_term(conflict_term)
    state.after_persist.append(
        AppendEntriesResponse(
            source=state.server_id,
            target=message.source,
            term=state.current_term,
            success=False,
            prev_log_index=message.prev_log_index,
            match_index=0,
            conflict_term=conflict_term,
            conflict_index=max(conflict_index, state.commit_index + 1),
            read_round=message.read_round,
            needs_snapshot=state.needs_snapshot,
            fit_to_lead=state.fit_to_lead,
        )
    )


def _next_guess(state: RaftState, message: AppendEntriesResponse) -> Index:
    """Return where the logs may agree, skipping a whole term at a time (§5.3)."""
    guess = message.conflict_index
    if message.conflict_term:
        last = state.log.last_index_of_term(message.conflict_term)
        if last is not None and last < message.prev_log_index:
            guess = max(guess, last + 1)
    # Each rejection must bring the guess down, whatever the follower says.
    return max(1, min(guess, message.prev_log_index))
