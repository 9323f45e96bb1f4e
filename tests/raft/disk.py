"""One server's disk, in memory: term and vote, the log, a snapshot, and what is not written yet."""

from collections import deque
from dataclasses import dataclass, field
from typing import NamedTuple

from raftcache.raft.configuration import Configuration
from raftcache.raft.core import PersistMark, SnapshotPosition
from raftcache.raft.messages import Message
from raftcache.raft.types import Entry, HardState, Index, Term


class Stored(NamedTuple):
    """A snapshot: where it stands, and all the entries that it stands for."""

    position: SnapshotPosition
    entries: list[Entry]


class Unit(NamedTuple):
    """What the disk writes in one piece, and what may leave once it has."""

    base: tuple[Index, Term] | None
    hard_state: HardState | None
    entries: list[Entry]
    mark: PersistMark | None
    messages: list[Message]


@dataclass
class Disk:
    """What one server's disk holds, and what it was handed but has not written yet.

    ``began_with``: the configuration of its identity; None: the one that the cluster began with.
    ``entries``: the log from its first entry on; a real one begins behind a snapshot, and nothing
    here relies on what is older. ``snapshot``: the newest.
    """

    began_with: Configuration | None = None
    hard_state: HardState = field(default_factory=HardState)
    entries: list[Entry] = field(default_factory=list)
    snapshot: Stored | None = None
    queue: deque[Unit] = field(default_factory=deque)

    def write_one(self) -> Unit:
        """Make the oldest unit durable: term and vote, and entries that replace what they overlap.

        A unit with a base begins the log anew behind the snapshot there.
        """
        unit = self.queue.popleft()
        if unit.base is not None:
            assert self.snapshot is not None, "the snapshot is on the disk before the log ends"
            self.entries = self.snapshot.entries[: unit.base[0]]
        if unit.hard_state is not None:
            self.hard_state = unit.hard_state
        if unit.entries:
            del self.entries[unit.entries[0].index - 1 :]
            self.entries.extend(unit.entries)
        return unit

    def behind_snapshot(self) -> list[Entry]:
        """Return the log as a start finds it: what follows the snapshot, if it does follow it.

        A log that does not lead up to the snapshot is older than it: the server died between the
        two writes of installing it (failure D3).
        """
        if self.snapshot is None:
            return self.entries
        position = self.snapshot.position
        index = position.last_included_index
        before = self.entries[index - 1 : index]
        leads_up = [entry.term for entry in before] == [position.last_included_term]
        return self.entries[index:] if leads_up else []

    def recover(self) -> None:
        """Begin the log behind the snapshot, as a start does, where it does not lead up to it."""
        self.entries = self.whole()

    def whole(self) -> list[Entry]:
        """Return the log as a start would know it, what the snapshot stands for included."""
        if self.snapshot is None:
            return self.entries
        return [*self.snapshot.entries, *self.behind_snapshot()]
