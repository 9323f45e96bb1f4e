"""The snapshots in a node's directory: which there are, which one counts, which may go.

Rules: a damaged snapshot is renamed and never deleted (failure E10); the newest ones stay, as many
as are wanted, and the log is needed from the oldest of them on, so that a damaged newest one costs
nothing but time.
"""

from dataclasses import dataclass, field
from typing import Final

from ..errors import CorruptRecord
from ..raft.types import Index, Term
from .files import Files, join
from .snapshot_receiver import INCOMING_PREFIX
from .snapshots import (
    NEXT_SNAPSHOT_NAME,
    SnapshotReader,
    StoredSnapshot,
    snapshot_failed,
    snapshot_name,
    snapshot_position,
)

DAMAGED_PREFIX: Final = "damaged-"


@dataclass(slots=True)
class ShelfFinding:
    """What a search for a sound snapshot met; nothing was changed."""

    newest: StoredSnapshot | None = None
    """The newest one that is sound, read to its last byte."""
    damaged: list[CorruptRecord] = field(default_factory=list)
    """Those that are newer and damaged, newest first."""


class SnapshotShelf:
    """The snapshots of one directory; what it knows it reads from there each time.

    Args:
        files: the file system.
        directory: the node's directory, locked.
        cluster_id: whose snapshots they must be.
    """

    def __init__(self, files: Files, directory: str, cluster_id: str) -> None:
        self._files = files
        self._directory = directory
        self._cluster_id = cluster_id

    def positions(self) -> list[tuple[Index, Term]]:
        """Return index and term of each snapshot, newest first; sound or not.

        Raises:
            SnapshotFailed: the directory can't be read.
        """
        try:
            names = self._files.names(self._directory)
        except OSError as error:
            raise snapshot_failed("read", self._directory, error) from error
        found = (snapshot_position(name) for name in names)
        return sorted((position for position in found if position), reverse=True)

    def open(self, position: tuple[Index, Term]) -> SnapshotReader:
        """Open one of :meth:`positions` for reading.

        Raises:
            CorruptRecord, WrongDirectory, SnapshotFailed: see :class:`SnapshotReader`.
        """
        path = join(self._directory, snapshot_name(*position))
        reader = SnapshotReader(self._files, path, self._cluster_id)
        meta = reader.meta
        if (meta.last_included_index, meta.last_included_term) != position:
            reader.close()
            why = f"it is {snapshot_name(meta.last_included_index, meta.last_included_term)}"
            raise CorruptRecord(f"{path} has a wrong name: {why}", path=path, offset=0)
        return reader

    def find(self) -> ShelfFinding:
        """Find the newest snapshot that is sound, by reading it; changes nothing.

        Raises:
            WrongDirectory: one is another cluster's, or of a newer format.
            SnapshotFailed: one can't be read.
        """
        finding = ShelfFinding()
        for position in self.positions():
            try:
                reader = self.open(position)
                try:
                    finding.newest = reader.verify()
                finally:
                    reader.close()
            except CorruptRecord as error:
                finding.damaged.append(error)
            else:
                break
        return finding

    def newest(self) -> StoredSnapshot | None:
        """Return the newest snapshot that is sound; damaged ones are set aside on the way.

        Raises:
            WrongDirectory, SnapshotFailed: see :meth:`find`.
        """
        finding = self.find()
        for error in finding.damaged:
            self.set_aside(error.path)
        return finding.newest

    def set_aside(self, path: str) -> str:
        """Rename a damaged snapshot, so that it is kept and nobody takes it for one again.

        Returns:
            Its new path.

        Raises:
            SnapshotFailed: the file system refused.
        """
        try:
            names = set(self._files.names(self._directory))
            kept = base = DAMAGED_PREFIX + path.rpartition("/")[2]
            number = 1
            while kept in names:
                number += 1
                kept = f"{base}.{number}"
            self._files.rename(path, join(self._directory, kept))
            self._files.sync_directory(self._directory)
        except OSError as error:
            raise snapshot_failed("set aside", path, error) from error
        return join(self._directory, kept)

    def retain(self, kept: int) -> Index:
        """Remove all but the newest ``kept`` snapshots, and return how much log may go.

        Returns:
            The index up to which ``Wal.release`` may free the log: the oldest kept snapshot's; 0
            while there are fewer, since then the log is what stands behind a damaged one.

        Raises:
            SnapshotFailed: the file system refused.
        """
        assert kept >= 1, "a log that was freed needs a snapshot in its place"
        positions = self.positions()
        for position in reversed(positions[kept:]):
            self._remove(snapshot_name(*position))
        return positions[kept - 1][0] if len(positions) >= kept else 0

    def remove_unfinished(self) -> list[str]:
        """Remove what a process that ended was writing or receiving; return the names.

        Raises:
            SnapshotFailed: the file system refused.
        """
        try:
            names = self._files.names(self._directory)
        except OSError as error:
            raise snapshot_failed("read", self._directory, error) from error
        unfinished = [n for n in names if n == NEXT_SNAPSHOT_NAME or n.startswith(INCOMING_PREFIX)]
        for name in unfinished:
            self._remove(name)
        return unfinished

    def _remove(self, name: str) -> None:
        path = join(self._directory, name)
        try:
            self._files.remove(path)
        except OSError as error:
            raise snapshot_failed("remove", path, error) from error
