"""What must hold at every moment of a run, whatever goes wrong in it.

Promises are checked where they leave: a vote or an acknowledgement in a frame must be on its
sender's disk by then, and what is committed must be on a majority's (Figure 2, §5.3).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec

from raftcache.raft.configuration import Configuration, decode_configuration, server_id_of
from raftcache.raft.invariants import (
    ClusterChecks,
    Marks,
    Snapshot,
    check,
    check_movement,
    check_step,
    marks,
    snapshot,
)
from raftcache.raft.messages import (
    AppendEntriesResponse,
    InstallSnapshotResponse,
    RequestVoteResponse,
)
from raftcache.raft.types import Entry, EntryKind, HardState, Index, Role, ServerId, Term
from raftcache.storage.recovery import Recovered
from raftcache.storage.wal import Batch

from .calls import Call, peer_frame
from .elections import Elections
from .majorities import have_majority
from .matches import Matches
from .plain import PlainStore

if TYPE_CHECKING:
    from .process import Process

LOOK_BACK_ENTRIES = 50
"""So many of the entries committed last are looked for in a new leader's log."""
FULL_CHECK_TURNS = 200
"""Turns between two looks at whole logs; the cheap checks run at each turn."""


class DurableLog:
    """What a node's disk certainly has: what was synced, and recovered since.

    Args:
        newest_snapshot: tells up to which entry a snapshot on that disk reaches.
    """

    def __init__(self, newest_snapshot: Callable[[], Index]) -> None:
        self.hard_state = HardState()
        self.votes: dict[Term, ServerId] = {}
        """Every vote that was ever on it."""
        self.base: Index = 0
        """What comes after it was written entry by entry; for the rest a snapshot stands."""
        self.terms: list[Term] = []
        self.restarted: Index = 0
        """Behind which entry the log last restarted: older snapshots are worth nothing to it."""
        self.newest_snapshot = newest_snapshot

    @property
    def last_index(self) -> Index:
        """The last entry that the log itself has."""
        return self.base + len(self.terms)

    def reset(self, recovered: Recovered) -> None:
        """Begin again with what a start of the node has found."""
        self._set_hard_state(recovered.hard_state)
        base, term = recovered.base
        # Another term: what was synced there was of another history, and had to go.
        if base > self.base and self.term_at(base) != term:
            self.restarted = base  # Or not, if that much was written and nobody was told.
        self.base = base
        self.terms = [entry.term for entry in recovered.entries]

    def add(self, batches: list[Batch]) -> None:
        """Take in what was synced."""
        for batch in batches:
            if batch.hard_state is not None:
                _check_hard_state(self.hard_state, batch.hard_state)
                self._set_hard_state(batch.hard_state)
            if batch.base is not None:
                self.base, self.terms = batch.base[0], []
                self.restarted = self.base
                reached = self.newest_snapshot()
                assert reached >= self.base, (
                    f"a log begins behind entry {self.base}, and snapshots reach {reached}"
                )
            if batch.entries:
                del self.terms[batch.entries[0].index - self.base - 1 :]
                self.terms += [entry.term for entry in batch.entries]

    def _set_hard_state(self, hard_state: HardState) -> None:
        self.hard_state = hard_state
        if hard_state.voted_for is not None:
            self.votes[hard_state.current_term] = hard_state.voted_for

    def reaches(self, index: Index) -> bool:
        """Tell whether something stands for everything up to ``index``, log or snapshot."""
        return index <= self.last_index or index <= self.newest_snapshot()

    def term_at(self, index: Index) -> Term | None:
        """Return the term of an entry that was written; None for others."""
        position = index - self.base - 1
        return self.terms[position] if 0 <= position < len(self.terms) else None

    def has(self, index: Index, term: Term) -> bool:
        """Tell whether the entry at ``index`` is there, with this term, or a snapshot of it."""
        return index <= self.base or self.term_at(index) == term or index <= self.newest_snapshot()


class Checks:
    """Watches all nodes of one run."""

    def __init__(self, configuration: Configuration) -> None:
        self.durable: dict[str, DurableLog] = {}
        self.digests: dict[Index, int] = {}
        self.incarnations: dict[str, int] = {}
        """Whose log ``durable`` holds, by the node's name."""
        self.former: dict[ServerId, DurableLog] = {}
        """What incarnations that are no more had: what they promised was true then."""
        self.configuration = configuration
        """The newest one that is committed."""
        self.leaders: dict[Term, ServerId] = {}
        self.committed_index: Index = 0
        self.committed_terms: dict[Index, Term] = {}
        """Of every entry that was committed anywhere."""
        self.given = {member.server_id: 0 for member in configuration.members}
        """Who ever was a member by a committed configuration, and the index of the first one."""
        self.time_ms = 0
        """The latest cluster time that any leader has told."""
        self.enabled = True
        self.committed_in: dict[Index, Term] = {}
        """The term of whoever first knew of it."""
        self.newest_rev = 0
        """The newest revision that any node has applied: whatever is read from now on has it."""
        self.elections = Elections(self.log_of)
        self._matches = Matches(self.log_of)
        self.plain = PlainStore()
        """The state as the committed entries make it, by another reading of them."""
        self.on_committed: Callable[[Entry], None] = lambda _: None
        """Told of each entry once, in order, when the first node knows that it is committed."""
        self._cluster = ClusterChecks()
        self._before: dict[str, tuple[Process, Snapshot]] = {}
        self._marks: dict[str, tuple[Process, Marks]] = {}
        self._told: dict[str, tuple[Process, Term, int]] = {}
        self._bases: dict[str, Index] = {}
        self._configured: dict[str, Index] = {}
        self._turns = 0

    def on_start(
        self, name: str, recovered: Recovered, newest_snapshot: Callable[[], Index]
    ) -> None:
        """Check that a start has found what was durable, and begin again with what it found.

        An incarnation that never was before begins with nothing.
        """
        incarnation = recovered.identity.incarnation
        granted = server_id_of(name, incarnation) in self.given
        assert granted, f"{name}#{incarnation} has a place that was committed"
        if self.incarnations.setdefault(name, incarnation) != incarnation:
            assert incarnation > self.incarnations[name], "incarnations only rise"
            self.former[server_id_of(name, self.incarnations[name])] = self.durable.pop(name)
            self.incarnations[name] = incarnation
        durable = self.durable.setdefault(name, DurableLog(newest_snapshot))
        durable.newest_snapshot = newest_snapshot
        if self.enabled:
            known, found = durable.hard_state, recovered.hard_state
            assert found.current_term >= known.current_term, "a term that was written is read back"
            if found.current_term == known.current_term and known.voted_for is not None:
                assert found.voted_for == known.voted_for, "a vote that was written is read back"
            base = recovered.base[0]
            assert base <= self.committed_index, "a snapshot holds committed entries only"
            last = min(self.committed_index, durable.last_index)
            for index in range(max(base, durable.base) + 1, last + 1):
                if durable.term_at(index) != self.committed_terms[index]:
                    break  # It had to give way, and may have done so in a write never synced.
                position = index - base - 1
                assert position < len(recovered.entries), f"entry {index} was durable, and is gone"
                term = recovered.entries[position].term
                assert term == durable.term_at(index), f"entry {index} was durable in another term"
        durable.reset(recovered)

    def on_frame(self, source: "Process", frame: bytes) -> None:
        """Check that a frame promises nothing that its sender's disk lacks."""
        if not self.enabled:
            return
        durable, state = self.durable[source.name], source.server.raft.state
        decoded = peer_frame(frame)
        for request in decoded.handed_on:
            assert request.frame in source.requests_taken, (
                f"{source.name} hands on what a client gave it, and nothing a second time (B20)"
            )
        for message in decoded.messages:
            self.elections.on_message(source, message)
            if isinstance(message, RequestVoteResponse) and message.vote_granted:
                vote = HardState(message.term, message.target)
                # A later term on disk rules out any other vote in this one just as well.
                kept = durable.hard_state.current_term > message.term or durable.hard_state == vote
                assert kept, f"a vote is durable before it leaves: {message}"
            elif isinstance(message, AppendEntriesResponse) and message.success:
                if message.term != state.current_term or message.match_index == 0:
                    continue  # Within its term, what an acknowledgement speaks of stays.
                term = state.log.term_at(message.match_index)
                if term is None:  # It is behind the log's base.
                    kept = durable.reaches(message.match_index)
                else:
                    kept = durable.has(message.match_index, term)
                assert kept, f"what is acknowledged is durable: {message}"
            elif isinstance(message, InstallSnapshotResponse):
                kept = durable.reaches(message.match_index)
                assert kept, f"a snapshot is durable before it is acknowledged: {message}"

    def on_reply(self, source: "Process", reply: dict[str, Any], call: Call) -> None:
        """Check that no read is stale, and that what a node tells of itself never falls.

        Whatever was applied anywhere when a read came was committed by then, and the index to read
        at is asked for after that (thesis §6.4).
        """
        if not self.enabled:
            return
        self.elections.words.on_reply(source, reply)
        if call.is_fresh_read and reply["ok"]:
            assert reply["store_rev"] >= call.floor_rev, (
                f"a read tells of all that was applied when it came, up to revision "
                f"{call.floor_rev}: {reply}"
            )
        if reply["node"] != source.name:
            return  # Another's answer, handed on.
        term, revision = reply["term"], reply["store_rev"]
        life, last_term, last_revision = self._told.get(source.name, (source, 0, 0))
        if life is source:
            assert term >= last_term, "the term that a node tells never falls"
            assert revision >= last_revision, "the revision that a node tells never falls"
        self._told[source.name] = (source, term, revision)

    def on_turn(self, process: "Process", processes: Callable[[], list["Process"]]) -> None:
        """Check one node after its turn, and now and then all of them."""
        if not self.enabled:
            return
        state, store = process.server.raft.state, process.server.store
        if state.role is Role.LEADER:
            leader = self.leaders.setdefault(state.current_term, state.server_id)
            assert leader == state.server_id, "at most one leader per term (Election Safety, §5.2)"
            self._check_leader(process)
        gone = state.early.leader_id
        # A leader that died in its first turn is in no list here.
        assert gone is None or self.leaders.get(state.current_term, gone) == gone, (
            f"{gone} is gone, and did not lead: nobody stands for election because of it"
        )
        digest = store.digest()
        known = self.digests.setdefault(store.last_applied, digest)
        assert digest == known, f"one state at index {store.last_applied} on all nodes"
        life, before = self._marks.get(process.name, (None, None))
        if life is process and before is not None:
            check_movement(before, state)
        self._marks[process.name] = (process, marks(state))
        self.newest_rev = max(self.newest_rev, store.store_rev)
        self._check_persisted(process)
        self._note_committed(process)
        self.plain.compare(process.name, store)
        self.elections.on_turn(process, self._committed_before)
        self._matches.on_turn(process)
        if self._bases.get(process.name) != state.log.base_index:
            self._bases[process.name] = state.log.base_index
            check(state)
        self._turns += 1
        if self._turns % FULL_CHECK_TURNS == 0:
            self.check_all(processes())

    def on_death(self, process: "Process") -> None:
        """Note what a node decided in a turn that it did not end: its word may have left."""
        if self.enabled and process.is_open:
            self._note_committed(process)

    def check_all(self, processes: list["Process"]) -> None:
        """Compare whole logs (Figure 3), and each node with what it was at the last look."""
        self._cluster.check([process.server.raft.state for process in processes])
        for process in processes:
            life, before = self._before.get(process.name, (None, None))
            if life is process and before is not None:
                _check_since(before, process)
            self._before[process.name] = (process, snapshot(process.server.raft.state))

    def _note_committed(self, process: "Process") -> None:
        """Take note of what a node knows to be committed, and see that it is."""
        state = process.server.raft.state
        while self.committed_index < state.commit_index:
            self.committed_index += 1
            term = state.log.term_at(self.committed_index)
            assert term is not None, "what is committed is in the log"
            self.committed_terms[self.committed_index] = term
            self.committed_in[self.committed_index] = state.current_term
            entry = state.log.entry(self.committed_index)
            self.plain.apply(entry)
            self.on_committed(entry)
            if entry.kind is EntryKind.CONFIGURATION:
                self._note_configuration(decode_configuration(entry.data))
            in_force = [one for _, one in state.configurations]
            if state.needs_snapshot:
                in_force.append(self.configuration)  # Who takes part went with its snapshots.
            self._check_majority(self.committed_index, term, in_force)

    def _note_configuration(self, configuration: Configuration) -> None:
        """Take note of one that is committed; incarnations are given once (failures C9, C10)."""
        self.configuration = configuration
        newest = max(int(known.rpartition("#")[2]) for known in self.given)
        fresh = [one for one in configuration.members if one.server_id not in self.given]
        for member in sorted(fresh, key=lambda member: member.incarnation):
            assert member.incarnation > newest, f"{member.server_id} is newer than all before"
            newest = member.incarnation
            self.given[member.server_id] = self.committed_index

    def _check_leader(self, process: "Process") -> None:
        """Check what only a leader decides: who gets a vote, and what time it is."""
        server = process.server
        state, told_ms = server.raft.state, server.outbox.time_ms
        assert self.durable[process.name].hard_state == state.hard_state, (
            f"{process.name} leads by its own vote too, and that is durable (Figure 2)"
        )
        step_ms = state.options.election_ticks_min * server.tick_ms
        # No stop, no other clock, no other leader makes it jump: nothing ends early for that.
        assert told_ms <= self.time_ms + step_ms, (
            f"cluster time goes on by {step_ms} ms a turn at most: from {self.time_ms} to {told_ms}"
        )
        self.time_ms = max(self.time_ms, told_ms)
        index, newest = state.configurations[-1]
        if index > state.term_start_index and self._configured.get(process.name) != index:
            self._configured[process.name] = index
            for _, before in state.configurations[-2:-1]:
                for voter in sorted({*newest.voters} - {*before.voters, *before.voters_outgoing}):
                    name = voter.partition("#")[0]
                    assert self.durable[name].reaches(state.term_start_index), (
                        f"{voter} has the log up to this term when it gets its vote (§4.2.1)"
                    )

    def log_of(self, server_id: ServerId) -> DurableLog | None:
        """Return what an incarnation has on its disk, or had on it at its end."""
        name = server_id.partition("#")[0]
        if server_id == server_id_of(name, self.incarnations.get(name, 0)):
            return self.durable[name]
        return self.former.get(server_id)

    def _committed_before(self, term: Term) -> dict[Index, Term]:
        """Return some entries that were committed in earlier terms, the last ones of all."""
        first = max(1, self.committed_index - LOOK_BACK_ENTRIES)
        return {
            index: self.committed_terms[index]
            for index in range(first, self.committed_index + 1)
            if self.committed_in[index] < term
        }

    def _check_persisted(self, process: "Process") -> None:
        """Check that what a node takes for durable is, and in this very term (failure A10)."""
        state = process.server.raft.state
        index = state.persisted_index
        if index > state.log.base_index:
            term = state.log.term_at(index)
            assert term is not None, "what is persisted is in the log"
            assert self.durable[process.name].has(index, term), (
                f"entry {index}@{term} is on the disk of {process.name}, as it believes"
            )

    def _check_majority(
        self, index: Index, term: Term, configurations: list[Configuration]
    ) -> None:
        """Check that some configuration that is in force, or was just now, has a majority."""

        def has(server_id: ServerId) -> bool:
            disk = self.log_of(server_id)
            return disk is not None and disk.has(index, term)

        holders = sorted(
            {voter for one in configurations for voter in one.everyone() if has(voter)}
        )
        assert any(have_majority(one, has) for one in configurations), (
            f"entry {index}@{term} is committed and on the disks of {holders} only"
        )


def _check_hard_state(before: HardState, after: HardState) -> None:
    assert after.current_term >= before.current_term, "the term on a disk never falls"
    if after.current_term == before.current_term and before.voted_for is not None:
        assert after.voted_for == before.voted_for, "the vote on a disk never changes in a term"


def _check_since(before: Snapshot, process: "Process") -> None:
    state = process.server.raft.state
    # Another transfer to the same target may have begun since (seed 8200271): turns tell of those.
    before = msgspec.structs.replace(before, transfer=(None, 0))
    if before.role is Role.LEADER and state.current_term != before.current_term:
        # It may have lost and won the office since: its log may have changed in between.
        before = msgspec.structs.replace(before, role=Role.FOLLOWER)
    check_step(before, state)
