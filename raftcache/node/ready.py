"""The one order in which a ``Ready`` is carried out: persist, send, apply, reply.

Nothing that promises durability leaves before the disk has it: a vote, an acknowledgement, a
leader's own count towards the quorum (Figure 2; thesis §3.8, §10.2.1). Only this file knows it.
"""

from collections import deque
from collections.abc import Callable

from ..raft.core import PersistMark, Raft, Ready
from ..raft.messages import Message
from ..raft.replication import waits_for_own_disk
from ..raft.types import EntryKind
from ..storage.wal import Batch
from ..store.machine import StateMachine
from .outbox import Outbox
from .ports import Storage
from .requests import RequestDesk


class ReadyCycle:
    """Carries out what the core asks for.

    ``store`` is replaced when a snapshot is put in force. ``on_applied`` gets the size of each
    entry, in bytes.
    """

    def __init__(
        self,
        raft: Raft,
        store: StateMachine,
        storage: Storage,
        outbox: Outbox,
        desk: RequestDesk,
        on_applied: Callable[[int], None],
    ) -> None:
        self._raft = raft
        self.store = store
        self._on_applied = on_applied
        self._storage = storage
        self._outbox = outbox
        self._desk = desk
        self._last_ticket = 0
        self._must_look_again = False
        """What the next turn has to know became durable in this one."""
        self._behind_disk: deque[tuple[int, PersistMark | None, list[Message]]] = deque()

    @property
    def awaits_disk(self) -> bool:
        """Tell whether something was handed to the disk that is not durable yet."""
        return self._last_ticket > self._storage.persisted

    @property
    def has_more(self) -> bool:
        """Tell whether the next turn has work to do without any new input."""
        return self._must_look_again or self._raft.has_more

    @property
    def wants_disk(self) -> bool:
        """Tell whether what becomes durable next lets anything happen at once.

        A leader's own copy does not while too few of the others have theirs: their word will do.
        """
        behind_disk, state = self._behind_disk, self._raft.state
        if not behind_disk or not self._raft.is_leader:
            return bool(behind_disk)
        if state.hard_state != state.persisted_hard_state:
            return True
        return any(messages for _, _, messages in behind_disk) or waits_for_own_disk(state)

    def run(self) -> None:
        """Carry out one ``Ready``."""
        ready = self._raft.ready()
        # (1) To the disk. It begins once the turn's messages have left (``Disk.begin``): a leader
        # sends in parallel with its own write (§10.2.1). All or nothing of a batch survives.
        if ready.mark is not None:
            batch = Batch(ready.hard_state, ready.entries, ready.base)
            self._last_ticket = self._storage.submit(batch)
        # (2) A leader's entries wait for no disk of its own.
        if ready.messages:
            self._outbox.add_messages(ready.messages)
        # (3) Votes and acknowledgements stay here until the disk has spoken: see on_persisted.
        self._hold_back(ready)
        # What a log in memory has is as durable as it will ever be: it waits for no other turn.
        # One follows all the same where that settles something here: a vote, or a lone commit.
        self._must_look_again = False
        if ready.mark is not None and not self.awaits_disk:
            self.on_persisted()
            self._must_look_again = ready.hard_state is not None or self._leads_alone
        # (4) and (5): what a majority has on disk is applied, then answered.
        for entry in ready.committed:
            self._on_applied(len(entry.data))
            if entry.kind is EntryKind.COMMANDS:
                self._desk.on_applied(entry, self.store.apply(entry.index, entry.data))
            else:
                begins_term = entry.kind is EntryKind.NOOP
                self.store.apply_empty(entry.index, begins_term=begins_term)
        for index, groups in ready.reads_released:
            self._desk.on_reads_released(index, groups)
        self._desk.answer_reads()
        if ready.reads_refused:
            self._desk.on_reads_refused(ready.reads_refused)

    def on_persisted(self) -> None:
        """Release what waited for the disk, in the order in which it was handed over."""
        persisted = self._storage.persisted
        behind_disk = self._behind_disk
        while behind_disk and behind_disk[0][0] <= persisted:
            _, mark, messages = behind_disk.popleft()
            self._outbox.add_messages(messages)
            if mark is not None:
                self._raft.advance(mark)

    @property
    def _leads_alone(self) -> bool:
        state, configuration = self._raft.state, self._raft.state.configuration
        only_voter = configuration.voters == (state.server_id,) and not configuration.is_joint
        return only_voter and self._raft.is_leader

    def _hold_back(self, ready: Ready) -> None:
        if ready.mark is not None or ready.after_persist:
            if self.awaits_disk or ready.mark is not None:
                self._behind_disk.append((self._last_ticket, ready.mark, ready.after_persist))
            else:
                self._outbox.add_messages(ready.after_persist)
