"""One core with its disk, in a network of such: does what its core asks for, in that order."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from raftcache.raft.core import Raft, Ready, SnapshotPosition
from raftcache.raft.invariants import snapshot
from raftcache.raft.messages import InstallSnapshot
from raftcache.raft.types import Entry, Index, ServerId

from .disk import Disk, Stored, Unit

if TYPE_CHECKING:
    from .network import Network


class Server:
    """One core with its disk; what it applied; which reads it released."""

    def __init__(self, server_id: ServerId, network: "Network", disk: Disk) -> None:
        self.server_id = server_id
        self.network = network
        self.disk = disk
        self.applied: list[Entry] = disk.snapshot.entries[:] if disk.snapshot else []
        self.arrived: list[InstallSnapshot] = []
        self.reads: list[tuple[Index, object]] = []
        self.refused: list[object] = []
        self.raft = Raft(
            server_id,
            disk.began_with or network.configuration,
            options=network.options,
            random=network.random,
            hard_state=disk.hard_state,
            entries=tuple(disk.behind_snapshot()),
            snapshot=disk.snapshot.position if disk.snapshot else None,
            trace=network.on_trace,
        )

    def work(self, *actions: Callable[[Raft], object]) -> None:
        """Give the core its inputs of one turn; do what it asks for, in the order it asks for."""
        before = snapshot(self.raft.state)
        for action in actions:
            action(self.raft)
        in_force = self.raft.state.configuration
        ready = self.raft.ready()
        others = [other.raft.state for other in self.network.servers.values() if other is not self]
        self.network.checks.check_changed(before, self.raft.state, others)
        self._check_disk()
        if self.raft.is_leader and self.raft.state.commit_index > before.commit_index:
            self.network.check_committed_is_durable(self.raft, in_force)
        self._perform(ready)

    def read(self, context: object) -> None:
        """Ask for a linearizable read, and remember what was committed by then."""
        self.network.committed_at_read[context] = self.network.checks.last_committed
        self.work(lambda raft: raft.read_index(context))

    def persist_one(self) -> None:
        """Let the disk finish its oldest unit; only now may what depends on it leave."""
        unit = self.disk.write_one()
        mark = unit.mark
        self.network.send(unit.messages)
        if mark is not None:
            self.work(lambda raft: raft.advance(mark))

    def take_snapshot(self, *, keep: int = 0) -> None:
        """Write all that is applied to the disk as a snapshot, and forget the log up to there (§7).

        ``keep``: so many entries before its end stay in the log, for followers that lag a little.
        """
        index = self.raft.state.last_applied
        if index == 0:
            return
        term = self.applied[-1].term
        position = SnapshotPosition(index, term, self.raft.configuration_at(index))
        self.disk.snapshot = self.network.snapshots[index] = Stored(position, self.applied[:])
        self.work(lambda raft: raft.compact(index - keep))

    def send_snapshots(self) -> None:
        """As a leader, send its snapshot to all who need one; what is lost on the way is lost."""
        stored, raft = self.disk.snapshot, self.raft
        if stored is None or not raft.is_leader:
            return
        index, term = stored.position.last_included_index, stored.position.last_included_term
        self.network.send(
            [
                InstallSnapshot(self.server_id, peer, raft.current_term, index, term)
                for peer in raft.peers_in_need_of_snapshot
            ]
        )

    def install_arrived(self) -> None:
        """Put the oldest snapshot that came in on the disk, then in force (Figure 13)."""
        message = self.arrived.pop(0)
        raft, stored = self.raft, self.network.snapshots[message.last_included_index]
        if raft.current_term != message.term or raft.state.leader_id != message.source:
            return  # Its sender does not lead any more: the new leader knows better.
        assert stored.position.last_included_term == message.last_included_term
        held = self.disk.snapshot
        if held is None or held.position.last_included_index < message.last_included_index:
            self.disk.snapshot = stored

        def install(raft: Raft) -> None:
            if raft.install_snapshot(stored.position):
                self.applied = stored.entries[:]

        self.work(install)

    def whole_log(self) -> list[Entry]:
        """Return the log from its first entry on, what is compacted included."""
        log = self.raft.state.log
        return [*self.applied[: log.base_index], *log.entries]

    def _check_disk(self) -> None:
        """What the core believes to be durable is on the disk (failure A10)."""
        state, disk = self.raft.state, self.disk
        assert state.persisted_hard_state == disk.hard_state, "term and vote are on the disk"
        count = state.persisted_index
        assert disk.whole()[:count] == self.whole_log()[:count], "the entries are on the disk"

    def _perform(self, ready: Ready) -> None:
        if ready.mark is not None or (ready.after_persist and self.disk.queue):
            self.disk.queue.append(
                Unit(ready.base, ready.hard_state, ready.entries, ready.mark, ready.after_persist)
            )
        else:
            self.network.send(ready.after_persist)
        self.network.send(ready.messages)
        self.applied.extend(ready.committed)
        for index, contexts in ready.reads_released:
            assert index <= self.raft.state.commit_index, "a read sees committed entries only"
            for context in contexts:
                known = self.network.committed_at_read.get(context, 0)
                assert index >= known, "a read sees all that was committed before (thesis §6.4)"
                self.reads.append((index, context))
                self.network.reads_released += 1
        self.refused.extend(ready.reads_refused)
