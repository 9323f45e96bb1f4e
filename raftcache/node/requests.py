"""What becomes of a request: answered here, proposed, read, handed on, or left to wait (§8).

A request goes one way only. What needs the leader is handed on once and never again; after that
this node can only pass on the leader's answer, or say that the outcome is unknown.
"""

from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from ..protocol.peer import HandedOn
from ..raft.core import Raft
from ..raft.types import Entry, Index, ServerId
from ..store.events import Watch
from ..store.machine import StateMachine
from .answers import UNKNOWN, Answers
from .events import name_of
from .outbox import Outbox
from .pending import (
    Group,
    HandedOnTable,
    PeerOrigin,
    Pending,
    ProposedGroup,
    ProposedTable,
)
from .ports import Storage
from .repeats import COUNT_BITS
from .upkeep import Upkeep
from .watches import Watches

ENTRY_COMMANDS_MAX = 1_000
ENTRY_BYTES_MAX = 1024 * 1024
"""One entry holds so much; a larger request goes alone."""
PROPOSED_BYTES_MAX = 64 * 1024 * 1024
"""Bytes proposed and not yet applied; beyond it writes are ``overloaded``."""
WAITING_MAX = 20_000
"""Requests that may wait in any one place."""
CROWD = 16
"""So many requests that wait for a majority are a crowd (``is_crowded``)."""
RETRY_AFTER_MS = 50
BEHIND_ENTRIES_MAX = 1_000
"""A follower that has more than this to apply hands reads on, as one that takes over a snapshot.

So does one whose disk is full: what it lacks does not come before there is room."""


class RequestDesk:
    """Takes requests in, finds out where each has to go, and knows who waits for what.

    ``life`` is a number that no other life of this node has; ``now_ms`` tells the loop's time;
    ``upkeep`` makes entries, and knows which commands all members can read.
    """

    def __init__(
        self,
        raft: Raft,
        store: StateMachine,
        storage: Storage,
        outbox: Outbox,
        answers: Answers,
        *,
        life: int,
        now_ms: Callable[[], int],
        upkeep: Upkeep,
    ) -> None:
        self._raft = raft
        self.store = store
        self._storage = storage
        self._outbox = outbox
        self._answers = answers
        self._now_ms = now_ms
        self._upkeep = upkeep
        self._node = answers.header.node
        self.administer: Callable[[Pending], None]
        """Takes what a leader is asked about the cluster itself."""
        self.waiting: list[Pending] = []
        self.proposals: list[Pending] = []
        self._proposal_bytes = 0
        self._reads: list[Pending] = []
        self._read_count = 0
        """How many reads wait: in ``_reads`` for a turn, in ``_reading`` for a majority."""
        self._reading: list[Group] = []
        self._released: list[tuple[Index, Group]] = []
        self._proposed = ProposedTable()
        self._handed_on = HandedOnTable(life << COUNT_BITS)
        self.watches = Watches(raft, answers, lambda: self.store, self._refresh_header)

    def take(self, pending: Pending) -> None:
        """Send a data request on its way to the log, to a read round, or to the leader."""
        raft = self._raft
        request = pending.request
        if request.watch is not None:
            self._take_watch(pending, request.watch)
            return
        if raft.is_leader:
            if request.command is not None:
                self._take_mutation(pending)
            elif request.is_own:
                self.administer(pending)
            else:
                self._take_read(pending)
            return
        leader = raft.state.leader_id
        if not request.forward:
            self._refuse_not_leader(pending, leader)
        elif isinstance(pending.origin, PeerOrigin):
            # Handed on once already; a second time could go round in circles (failure B20).
            self._answers.refuse(
                pending, "no_leader", f"{self._node} does not lead any more: ask again"
            )
        elif leader is not None and request.query is not None and not self._is_far_behind:
            self._take_read(pending)
        elif leader is not None:
            self._hand_on(pending, leader)
        else:
            self._let_wait(pending)

    def start_turn(self) -> None:
        """Give Raft what came in: entries of many commands, and one read round for all reads."""
        if self.proposals and self._raft.accepts_proposals:
            self._propose_all()
        if self._reads:
            group = Group(self._reads, self._raft.current_term)
            self._reads = []
            self._reading.append(group)
            self._raft.read_index(group)

    def on_applied(self, entry: Entry, results: list[Any]) -> None:
        """Answer those whose commands were in this entry: only now are they done (§5.3)."""
        group = self._proposed.take(entry.index, entry.term)
        if group is None:
            return
        self._refresh_header()
        answer = self._answers.result
        for pending, result in zip(group.slots, results, strict=True):
            if pending is not None:
                answer(pending, result)

    def on_reads_released(self, index: Index, groups: list[Group]) -> None:
        """Note that these reads may be answered once ``index`` is applied (thesis §6.4)."""
        self._released.extend((index, group) for group in groups)

    def on_reads_refused(self, groups: list[Group]) -> None:
        """Let these reads look for another leader, for as long as they may: they had no effect."""
        for group in groups:
            self._reading.remove(group)
            self._read_count -= len(group.requests)
            for pending in group.requests:
                if isinstance(pending.origin, PeerOrigin):
                    self.take(pending)
                else:
                    self._let_wait(pending)  # For a tick: whom it asked may not know yet.

    def answer_reads(self) -> None:
        """Answer the released reads whose index is applied, and tell who watches."""
        if self._released:
            self._answer_released()
        if self.watches.is_awake:
            self.watches.on_turn()

    def _answer_released(self) -> None:
        self._refresh_header()
        applied = self.store.last_applied
        still = []
        for index, group in self._released:
            if index > applied:
                still.append((index, group))
                continue
            self._reading.remove(group)
            self._read_count -= len(group.requests)
            for pending in group.requests:
                query, watch = pending.request.query, pending.request.watch
                if watch is not None:
                    self.watches.take(pending, watch, self.store.store_rev + 1)
                    continue
                assert query is not None, "only reads wait for a read round"
                self._answers.result(pending, self.store.read(query))
        self._released = still

    def on_handed_on_answer(self, number: int, frame: bytes) -> None:
        """Pass the leader's answer on to the client."""
        pending = self._handed_on.take(number)
        if pending is not None:
            self._answers.raw(pending.origin, frame)

    def on_leadership_lost(self) -> None:
        """Tell all that wait for this leader's log at once: nobody can say what becomes of it."""
        self._give_up(self._proposed.take_all(), f"{self._node} does not lead any more")
        # These never reached the log, so they may go another way.
        again, self.proposals, self._proposal_bytes = self.proposals, [], 0
        for pending in again:
            self.take(pending)

    def on_leader(self, leader: ServerId) -> None:
        """Send off who waited for a leader; give up on who was handed on to another one."""
        self._give_up(
            self._handed_on.take_other_than(leader, self._raft.current_term),
            f"{self._node} had handed this on when the leader changed",
        )
        self.retry_waiting()

    def on_not_sent(self, numbers: list[int]) -> None:
        """Let requests wait that could not be handed on after all: the leader is not connected."""
        for number in numbers:
            pending = self._handed_on.take(number)
            if pending is not None:
                self.waiting.append(pending)

    def retry_waiting(self) -> None:
        """Try again with what waits for a leader, if there is one."""
        if self.waiting and self._raft.state.leader_id is not None:
            waiting, self.waiting = self.waiting, []
            for pending in waiting:
                self.take(pending)

    def expire(self, now_ms: int) -> None:
        """Answer who has waited for long enough; say ``unknown`` where it may still happen."""
        expired = [pending for pending in self.waiting if pending.deadline_ms <= now_ms]
        if expired:
            self.waiting = [pending for pending in self.waiting if pending.deadline_ms > now_ms]
        for pending in expired:
            self._answers.refuse(
                pending,
                "no_leader",
                f"{self._node} knows no leader: a majority of the nodes must run and be connected",
            )
        self._expire_queued(now_ms)
        self.watches.expire(now_ms)
        unknown = [*self._handed_on.take_expired(now_ms), *self._proposed.take_expired(now_ms)]
        for group in self._reading:
            expired_reads = group.take_expired(now_ms)
            self._read_count -= len(expired_reads)
            unknown += expired_reads
        self._give_up(unknown, "the time for it is up")

    def close(self) -> None:
        """Answer everyone before the node goes."""
        for pending in [*self.waiting, *self.proposals, *self._reads]:
            self._answers.refuse(pending, "no_leader", f"{self._node} is stopping: ask another")
        self.waiting, self.proposals, self._reads = [], [], []
        groups, self._reading, self._released = self._reading, [], []
        for group in groups:
            self._give_up(group.requests, f"{self._node} is stopping")
        self.on_leadership_lost()
        self._give_up(self._handed_on.take_all(), f"{self._node} is stopping")
        self.watches.close(f"{self._node} is stopping: ask another")

    def refuse_overloaded(self, pending: Pending, why: str = "has a full queue") -> None:
        """Say that it can't be taken now, and when to come back."""
        self._answers.refuse(
            pending,
            "overloaded",
            f"{self._node} {why}: try again in {RETRY_AFTER_MS} ms",
            retry_after_ms=RETRY_AFTER_MS,
        )

    @property
    def is_crowded(self) -> bool:
        """Tell whether so many wait for a majority that others had better gather behind them."""
        return self._read_count + self._proposed.request_count >= CROWD

    @property
    def is_idle(self) -> bool:
        """Tell whether nobody waits."""
        return not (self.waiting or self.proposals or self._reads or self._reading) and not (
            len(self._proposed) or len(self._handed_on)
        )

    def _give_up(self, requests: Iterable[Pending], why: str) -> None:
        """Say that nobody can know: a write may be committed yet; a read had no effect."""
        for pending in requests:
            if pending.request.is_mutation:
                message = f"{why}: this may be applied or not; read to find out"
            else:
                message = f"{why}: ask again"
            self._answers.refuse(pending, "timeout", message, applied=UNKNOWN)

    def _refresh_header(self) -> None:
        """Let replies tell the revision that the store has now."""
        header = self._answers.header
        if header.store_rev < self.store.store_rev:
            self._answers.header = msgspec.structs.replace(header, store_rev=self.store.store_rev)

    @property
    def _is_far_behind(self) -> bool:
        """Tell whether the leader would answer a read much sooner than this node's own state."""
        state = self._raft.state
        behind = (state.leader_commit or 0) - self.store.last_applied
        return state.apply_paused or not state.has_room or behind > BEHIND_ENTRIES_MAX

    def _let_wait(self, pending: Pending) -> None:
        if len(self.waiting) >= WAITING_MAX:
            self.refuse_overloaded(pending)
        else:
            self.waiting.append(pending)

    def _take_watch(self, pending: Pending, watch: Watch) -> None:
        """Serve it here, whoever leads; where it begins now, a read round tells what that is."""
        if watch.from_rev is not None or pending.request.local:
            self.watches.take(pending, watch, watch.from_rev)
        elif self._raft.state.leader_id is None:
            self._let_wait(pending)
        else:
            self._take_read(pending)

    def _take_read(self, pending: Pending) -> None:
        if self._read_count >= WAITING_MAX:
            self.refuse_overloaded(pending)
        else:
            self._reads.append(pending)
            self._read_count += 1

    def _take_mutation(self, pending: Pending) -> None:
        size = len(pending.frame)
        if not self._storage.has_room:
            self._answers.refuse(
                pending, "no_space", f"the disk of {self._node} is full: free some space on it"
            )
        elif self._upkeep.refuses(pending):
            pass  # It has its answer.
        elif self._proposed.bytes + self._proposal_bytes + size > PROPOSED_BYTES_MAX:
            self.refuse_overloaded(pending)
        else:
            self.proposals.append(pending)
            self._proposal_bytes += size

    def _propose_all(self) -> None:
        proposals, self.proposals = self.proposals, []
        size, self._proposal_bytes = self._proposal_bytes, 0
        if size <= ENTRY_BYTES_MAX and len(proposals) <= ENTRY_COMMANDS_MAX:
            self._propose(proposals)
            return
        first = size = 0
        for position, pending in enumerate(proposals):
            frame_bytes = len(pending.frame)
            if position > first and (
                size + frame_bytes > ENTRY_BYTES_MAX or position - first >= ENTRY_COMMANDS_MAX
            ):
                self._propose(proposals[first:position])
                first, size = position, 0
            size += frame_bytes
        self._propose(proposals[first:])

    def _propose(self, requests: list[Pending]) -> None:
        room = self._upkeep.room
        commands, kept, slots = room.make(requests)
        if not kept:
            return
        data = self._upkeep.encode(commands)
        index = self._raft.propose(data)
        room.on_proposed(index)
        group = ProposedGroup(kept, self._raft.current_term, slots)
        self._proposed.add(index, group, len(data))

    def _hand_on(self, pending: Pending, leader: ServerId) -> None:
        if len(self._handed_on) >= WAITING_MAX:
            self.refuse_overloaded(pending)
            return
        term = self._raft.current_term
        number = self._handed_on.add(pending, leader, term)
        left_ms = max(1, pending.deadline_ms - self._now_ms())
        request = HandedOn(number, term, left_ms, pending.frame)
        self._outbox.add_handed_on(leader, request)

    def _expire_queued(self, now_ms: int) -> None:
        """Answer what waits for a transfer of the leadership to end; it is in no log."""
        if not any(pending.deadline_ms <= now_ms for pending in self.proposals):
            return
        expired = [pending for pending in self.proposals if pending.deadline_ms <= now_ms]
        self.proposals = [pending for pending in self.proposals if pending.deadline_ms > now_ms]
        for pending in expired:
            self._proposal_bytes -= len(pending.frame)
            self._answers.refuse(
                pending, "no_leader", f"{self._node} was handing its leadership over: ask again"
            )

    def _refuse_not_leader(self, pending: Pending, leader: ServerId | None) -> None:
        who = "no leader is known" if leader is None else f"{name_of(leader)} leads"
        self._answers.refuse(
            pending, "not_leader", f"{self._node} does not lead and was asked not to forward: {who}"
        )
