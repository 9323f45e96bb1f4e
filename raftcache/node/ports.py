"""What the server asks of the world around it; a process and a simulation each provide it."""

from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

from ..raft.types import Index
from ..storage.wal import Batch

EventSink: TypeAlias = Callable[[str, dict[str, Any]], None]
"""Takes an event's kind and fields; ``events`` names the kinds."""


class Storage(Protocol):
    """The disk, as a queue of batches: ``raftcache.storage.writer.WalWriter`` in a process."""

    @property
    def persisted(self) -> int:
        """The highest ticket that is durable; tickets count from 1."""

    @property
    def queued_bytes(self) -> int:
        """Bytes handed over and not yet durable."""

    @property
    def has_room(self) -> bool:
        """False when the disk is about to be full: no more than votes and no-ops go in."""

    @property
    def size_bytes(self) -> int:
        """Bytes of log on disk."""

    def release(self, index: Index) -> None:
        """Free what the log holds only up to ``index``: snapshots stand for it."""

    def submit(self, batch: Batch) -> int:
        """Hand a batch over, without waiting; return its ticket."""
