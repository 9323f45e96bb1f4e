"""The door of the consensus core: inputs in, :class:`Ready` out; no clock, no I/O, no randomness.

Handlers *react*: they change the state. Rules *emit*: :meth:`Raft.ready` runs them in one order and
collects what is to be done. So the concern modules never call each other's handlers, and whatever
came in together (one turn of the loop) is answered together.

The caller's duties, in this order, for each ``Ready``:

1. hand ``hard_state`` and ``entries`` to the disk, as one unit, in order;
2. send ``messages``: they may leave before the disk is done;
3. send ``after_persist`` once the disk has that unit and every earlier one; then ``advance``;
4. apply ``committed``, in order, and answer whoever waits for them;
5. answer ``reads_released`` once their index is applied, and ``reads_refused`` at once.
"""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from . import (
    detection,
    election,
    membership,
    read_index,
    replication,
    roles,
    terms,
    transfer,
    vanguard,
)
from . import follower_reads as asked_reads
from . import snapshot as snapshots
from .configuration import Configuration, decode_configuration
from .log import Log
from .messages import (
    AppendEntries,
    AppendEntriesResponse,
    InstallSnapshot,
    InstallSnapshotResponse,
    Message,
    PreVote,
    PreVoteResponse,
    ReadIndex,
    ReadIndexResponse,
    RequestVote,
    RequestVoteResponse,
    TimeoutNow,
)
from .options import Options
from .ready import PersistMark, Ready, SnapshotPosition
from .state import RaftState
from .trace import Trace
from .types import Entry, EntryKind, HardState, Index, Role, ServerId, Term

__all__ = [
    "APPLY_BYTES_MAX",
    "APPLY_ENTRIES_MAX",
    "PersistMark",
    "Raft",
    "Ready",
    "SnapshotPosition",
]

APPLY_ENTRIES_MAX = 64
"""Entries handed out for applying per ``Ready``: catching up must not stall the loop."""
APPLY_BYTES_MAX = 64 * 1024
"""Data in them, unless it is a single entry: an entry may hold a thousand commands."""


class Raft:
    """One server's consensus core.

    Args:
        server_id: this server, as the configuration names it.
        configuration: the one the cluster began with; later ones are in ``entries``.
        hard_state: term and vote, as the disk had them.
        entries: the log, as the disk had it, behind ``snapshot`` if there is one.
        snapshot: the newest snapshot on disk; the state machine has been restored from it.
        options: timings and bounds.
        random: draws election timeouts; the caller seeds it.
        trace: receives every transition; None costs nothing.
    """

    def __init__(
        self,
        server_id: ServerId,
        configuration: Configuration,
        *,
        options: Options,
        random: Random,
        hard_state: HardState | None = None,
        entries: Sequence[Entry] = (),
        snapshot: SnapshotPosition | None = None,
        trace: Trace | None = None,
    ) -> None:
        base = snapshot or SnapshotPosition(0, 0, configuration)
        log = Log(entries, base=(base.last_included_index, base.last_included_term))
        persisted = hard_state or HardState()
        self.state = RaftState(
            server_id=server_id,
            options=options,
            random=random,
            configurations=[
                (base.last_included_index, base.configuration),
                *_configurations_in(entries),
            ],
            commit_index=base.last_included_index,
            last_applied=base.last_included_index,
            trace=trace,
            current_term=persisted.current_term,
            voted_for=persisted.voted_for,
            log=log,
            persisted_index=log.last_index,
            persisted_hard_state=persisted,
        )
        self._handed_hard_state = persisted
        assert log.last_term <= persisted.current_term, "no entry is from a term not yet begun"
        if base.is_lost:
            snapshots.lose(self.state)
        roles.reset_election_timer(self.state)

    def step(self, message: Message) -> None:
        """Take in one message from another server."""
        state = self.state
        if message.term > state.current_term:
            if terms.must_ignore(state, message):
                return
            # A larger term is adopted, whatever the message (Figure 2, rules for all servers).
            roles.become_follower(state, message.term, None)
        elif message.term < state.current_term:
            terms.answer_stale(state, message)
            return
        _HANDLERS[type(message)](state, message)

    def tick(self) -> None:
        """Let one tick of time pass."""
        election.on_tick(self.state)
        detection.on_tick(self.state)
        asked_reads.on_tick(self.state)
        replication.on_tick(self.state)
        vanguard.on_tick(self.state)
        read_index.on_tick(self.state)
        transfer.on_tick(self.state)
        membership.on_tick(self.state)

    def peer_disconnected(self, server_id: ServerId) -> bool:
        """Take in that another server's process is known to be gone.

        Returns:
            Whether to call :meth:`campaign_early` after a random delay: not all at once.
        """
        vanguard.on_disconnected(self.state, server_id)
        return detection.on_disconnected(self.state, server_id)

    def campaign_early(self) -> None:
        """Stand for election without waiting for a timeout, if the leader is still gone."""
        detection.campaign(self.state)

    def retire(self) -> None:
        """Take in that this server was removed for good: it stands for no election (§4.2.3).

        Its own log may not tell, as nobody sends it the entry that removed it. Nor does anybody
        answer it about reads: they are refused.
        """
        state = self.state
        state.is_retired = True
        if state.role is not Role.LEADER:
            roles.become_follower(state, self.current_term, None)
            state.reads_refused.extend(state.questions.take_all())

    def propose(self, data: bytes) -> Index:
        """Append a batch of commands as one entry.

        Assumes :attr:`accepts_proposals`.

        Returns:
            The entry's index. It is committed only if it comes back in ``Ready.committed`` at
            this index *and* in the present term.
        """
        assert self.accepts_proposals, "the caller asked accepts_proposals first"
        return replication.propose(self.state, EntryKind.COMMANDS, data)

    def read_index(self, context: Any) -> None:
        """Ask for a linearizable read; ``context`` comes back released or refused."""
        if self.is_leader:
            read_index.request(self.state, context)
        else:
            asked_reads.request(self.state, context)

    def transfer_leadership(self, target: ServerId) -> None:
        """Begin to hand the leadership to ``target``, another voter."""
        transfer.begin(self.state, target)

    def change_configuration(self, target: Configuration) -> Index:
        """Begin to go over to ``target``, which is not joint (§6, thesis chapter 4).

        Other voters go through a joint configuration, which is left without further asking.

        Returns:
            The index of the entry that begins the change. The whole change is done once
            :attr:`change_in_progress` is False again.

        Raises:
            ChangeRefused: nothing was appended; its ``reason`` says why.
        """
        return membership.change(self.state, target)

    def is_caught_up(self, peer: ServerId) -> bool:
        """Tell whether another server's vote would not hold commits up (thesis §4.2.1)."""
        return membership.is_caught_up(self.state, peer)

    def is_too_slow(self, learner: ServerId) -> bool:
        """Tell whether a learner is still behind after ten rounds: give up (thesis §4.2.1)."""
        return membership.is_too_slow(self.state, learner)

    def compact(self, index: Index) -> None:
        """Forget the log up to ``index``: a durable snapshot holds it, or nobody lacks it (§7)."""
        snapshots.compact(self.state, index)

    def install_snapshot(self, position: SnapshotPosition) -> bool:
        """Put a snapshot that is durable in the place of the log (Figure 13).

        Returns:
            True when the state machine must be restored from it; ``pause_apply`` until that is
            done. False when the log was further already.
        """
        return snapshots.install(
            self.state,
            position.last_included_index,
            position.last_included_term,
            position.configuration,
        )

    def configuration_at(self, index: Index) -> Configuration:
        """Return the configuration in force at ``index``, which is not behind the log's base."""
        return [item for held, item in self.state.configurations if held <= index][-1]

    def pause_apply(self, *, paused: bool) -> None:
        """Hand out no committed entries while the state machine is restored."""
        self.state.apply_paused = paused

    @property
    def peers_in_need_of_snapshot(self) -> list[ServerId]:
        """The followers whose next entry is gone; empty unless leading."""
        return snapshots.peers_in_need(self.state)

    @property
    def commits_wait_for_snapshot(self) -> bool:
        """Tell whether a leader can commit nothing until a follower has its snapshot."""
        return snapshots.holds_up_commits(self.state)

    @property
    def change_in_progress(self) -> bool:
        """Tell whether the newest configuration is joint, or not known to be committed."""
        return membership.is_in_progress(self.state)

    @property
    def is_leader(self) -> bool:
        """Tell whether this server believes that it leads."""
        return self.state.role is Role.LEADER

    @property
    def accepts_proposals(self) -> bool:
        """Tell whether ``propose`` may be called: leading, and not about to hand over."""
        return self.state.role is Role.LEADER and self.state.transfer_target is None

    @property
    def is_handing_over(self) -> bool:
        """Tell whether this server leads and waits for its successor's election."""
        return self.state.role is Role.LEADER and self.state.transfer_target is not None

    @property
    def current_term(self) -> Term:
        """The latest term this server has seen."""
        return self.state.current_term

    @property
    def has_more(self) -> bool:
        """Tell whether committed entries still wait for the next ``Ready``."""
        return self.state.last_applied < self.state.commit_index and not self.state.apply_paused

    def ready(self) -> Ready:
        """Run the rules, in their order, and hand out what is to be done."""
        state = self.state
        if state.role is Role.FOLLOWER:
            asked_reads.rule_ask(state)  # The only one that has anything to do with it.
        else:
            for rule in RULES:
                rule(state)
        return self._collect()

    def advance(self, mark: PersistMark) -> None:
        """Note that the disk has what the ``Ready`` with this mark asked for, and all before it.

        An entry that was replaced meanwhile at the same index has another term: the old write
        must not count for the new entry (failure A10). Nor may a write from an earlier term: its
        entry may have been replaced and put back since, and then a later write removes it again
        for a while. Every change of term is written too, behind all of those, and its mark covers
        what was kept; within one term an entry that was removed never comes back.
        """
        state = self.state
        state.persisted_hard_state = mark.hard_state
        if mark.hard_state.current_term != state.current_term:
            return
        if state.log.term_at(mark.last_index) == mark.last_term:
            state.persisted_index = max(state.persisted_index, mark.last_index)

    def _collect(self) -> Ready:
        state = self.state
        entries = state.log.take_unsaved()
        hard_state = state.hard_state
        changed = hard_state != self._handed_hard_state
        self._handed_hard_state = hard_state
        mark = None
        if entries or changed or state.new_base is not None:
            mark = PersistMark(hard_state, state.log.last_index, state.log.last_term)
        ready = Ready(
            base=state.new_base,
            hard_state=hard_state if changed else None,
            entries=entries,
            mark=mark,
            messages=state.messages,
            after_persist=state.after_persist,
            committed=self._take_committed(),
            reads_released=state.reads_released,
            reads_refused=state.reads_refused,
        )
        state.messages, state.after_persist = [], []
        state.reads_released, state.reads_refused = [], []
        state.new_base = None
        return ready

    def _take_committed(self) -> Sequence[Entry]:
        state = self.state
        if state.apply_paused:
            return ()
        entries: list[Entry] = []
        size_bytes = 0
        while state.last_applied < state.commit_index and len(entries) < APPLY_ENTRIES_MAX:
            entry = state.log.entry(state.last_applied + 1)
            size_bytes += len(entry.data)
            if entries and size_bytes > APPLY_BYTES_MAX:
                break
            entries.append(entry)
            state.last_applied = entry.index
        return entries


def _configurations_in(entries: Sequence[Entry]) -> list[tuple[Index, Configuration]]:
    return [
        (entry.index, decode_configuration(entry.data))
        for entry in entries
        if entry.kind is EntryKind.CONFIGURATION
    ]


RULES: tuple[Callable[[RaftState], None], ...] = (
    election.rule_count_votes,
    replication.rule_advance_commit_index,
    membership.rule_complete_change,
    read_index.rule_release_reads,
    read_index.rule_start_round,
    read_index.rule_release_reads,  # A lone voter confirms its own round.
    read_index.rule_ask_all,
    asked_reads.rule_ask,
    replication.rule_send_entries,
    transfer.rule_hand_over,
)

_HANDLERS: dict[type, Callable[[RaftState, Any], None]] = {
    PreVote: detection.handle_pre_vote,
    PreVoteResponse: election.handle_pre_vote_response,
    RequestVote: election.handle_request_vote,
    RequestVoteResponse: election.handle_request_vote_response,
    AppendEntries: replication.handle_append_entries,
    AppendEntriesResponse: replication.handle_append_entries_response,
    TimeoutNow: transfer.handle_timeout_now,
    InstallSnapshot: replication.handle_install_snapshot,
    ReadIndex: asked_reads.handle_read_index,
    ReadIndexResponse: asked_reads.handle_read_index_response,
    InstallSnapshotResponse: snapshots.handle_install_snapshot_response,
}
"""Which handler reacts to which message: the index of this package."""
