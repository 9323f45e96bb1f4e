"""What must hold at every moment of a run, whatever goes wrong in it.

Promises are checked where they leave: a vote or an acknowledgement in a frame must be on its
sender's disk by then, and what is committed must be on a majority's (Figure 2, §5.3).
"""

from collections import defaultdict
from typing import TYPE_CHECKING

import msgspec

from raftcache.protocol.peer import decode_peer_frame
from raftcache.raft.configuration import Configuration
from raftcache.raft.invariants import ClusterChecks, Snapshot, check_step, snapshot
from raftcache.raft.messages import AppendEntriesResponse, RequestVoteResponse
from raftcache.raft.types import Entry, HardState, Index, Role, ServerId, Term
from raftcache.storage.wal import Batch

if TYPE_CHECKING:
    from .process import Process

FULL_CHECK_TURNS = 200
"""Turns between two looks at whole logs; the cheap checks run at each turn."""


class DurableLog:
    """What a node's disk certainly has: what was synced, and recovered since."""

    def __init__(self) -> None:
        self.hard_state = HardState()
        self.terms: list[Term] = []

    def reset(self, hard_state: HardState, entries: list[Entry]) -> None:
        """Begin again with what a start of the node has found."""
        self.hard_state = hard_state
        self.terms = [entry.term for entry in entries]

    def add(self, batches: list[Batch]) -> None:
        """Take in what was synced."""
        for batch in batches:
            if batch.hard_state is not None:
                self.hard_state = batch.hard_state
            if batch.entries:
                del self.terms[batch.entries[0].index - 1 :]
                self.terms += [entry.term for entry in batch.entries]

    def has(self, index: Index, term: Term) -> bool:
        """Tell whether the entry at ``index`` is there, with this term."""
        return index <= len(self.terms) and self.terms[index - 1] == term


class Checks:
    """Watches all nodes of one run."""

    def __init__(self, configuration: Configuration) -> None:
        self.durable: dict[str, DurableLog] = defaultdict(DurableLog)
        self.digests: dict[Index, int] = {}
        self.leaders: dict[Term, ServerId] = {}
        self.committed_index: Index = 0
        self.enabled = True
        self._configuration = configuration
        self._cluster = ClusterChecks()
        self._before: dict[str, tuple[Process, Snapshot]] = {}
        self._turns = 0

    def on_frame(self, source: "Process", frame: bytes) -> None:
        """Check that a frame promises nothing that its sender's disk lacks."""
        if not self.enabled:
            return
        durable, state = self.durable[source.name], source.server.raft.state
        for message in decode_peer_frame(frame).messages:
            if isinstance(message, RequestVoteResponse) and message.vote_granted:
                vote = HardState(message.term, message.target)
                # A later term on disk rules out any other vote in this one just as well.
                kept = durable.hard_state.current_term > message.term or durable.hard_state == vote
                assert kept, f"a vote is durable before it leaves: {message}"
            elif isinstance(message, AppendEntriesResponse) and message.success:
                if message.term != state.current_term or message.match_index == 0:
                    continue  # Within its term, what an acknowledgement speaks of stays.
                term = state.log.term_at(message.match_index)
                kept = term is not None and durable.has(message.match_index, term)
                assert kept, f"what is acknowledged is durable: {message}"

    def on_turn(self, process: "Process", processes: list["Process"]) -> None:
        """Check one node after its turn, and now and then all of them."""
        if not self.enabled:
            return
        state, store = process.server.raft.state, process.server.store
        if state.role is Role.LEADER:
            leader = self.leaders.setdefault(state.current_term, state.server_id)
            assert leader == state.server_id, "at most one leader per term (Election Safety, §5.2)"
        digest = self.digests.setdefault(store.last_applied, store.digest())
        assert digest == store.digest(), f"one state at index {store.last_applied} on all nodes"
        while self.committed_index < state.commit_index:
            self.committed_index += 1
            self._check_majority(self.committed_index, state.log.term_at(self.committed_index))
        self._turns += 1
        if self._turns % FULL_CHECK_TURNS == 0:
            self.check_all(processes)

    def check_all(self, processes: list["Process"]) -> None:
        """Compare whole logs (Figure 3), and each node with what it was at the last look."""
        self._cluster.check([process.server.raft.state for process in processes])
        for process in processes:
            life, before = self._before.get(process.name, (None, None))
            if life is process and before is not None:
                _check_since(before, process)
            self._before[process.name] = (process, snapshot(process.server.raft.state))

    def _check_majority(self, index: Index, term: Term | None) -> None:
        assert term is not None, "what is committed is in the log"
        voters = [voter.partition("#")[0] for voter in self._configuration.voters]
        holders = [voter for voter in voters if self.durable[voter].has(index, term)]
        assert len(holders) > len(voters) // 2, (
            f"entry {index}@{term} is committed and on the disks of {holders} only"
        )


def _check_since(before: Snapshot, process: "Process") -> None:
    state = process.server.raft.state
    if before.role is Role.LEADER and state.current_term != before.current_term:
        # It may have lost and won the office since: its log may have changed in between.
        before = msgspec.structs.replace(before, role=Role.FOLLOWER)
    check_step(before, state)
