"""What the process of a node needs of what is around it; the cluster provides it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from raftcache.node.opening import Opened
from raftcache.storage.wal import Batch

from .record import Record
from .scheduler import Scheduler

if TYPE_CHECKING:
    from .process import Process


class World(Protocol):
    """What a process needs of what is around it."""

    scheduler: Scheduler
    record: Record

    @property
    def watched(self) -> Mapping[str, object]:
        """The places at which something may be forced."""

    def on_place(self, process: "Process", place: str, detail: Any) -> None:
        """Look at a process that has come to a place where something may be forced."""

    def on_open(self, process: "Process", opened: Opened) -> None:
        """Note what a process has begun with."""

    def on_event(self, name: str, kind: str, fields: dict[str, Any]) -> None:
        """Take a published event."""

    def on_durable(self, name: str, batches: list[Batch]) -> None:
        """Note what has just become durable."""

    def send_to_peer(self, name: str, peer: str, frame: bytes) -> bool:
        """Carry a frame; False when there is no connection."""

    def send_bulk(self, name: str, peer: str, frame: bytes) -> None:
        """Carry a piece of a snapshot, by a connection of its own."""

    def send_to_client(self, name: str, socket: int, envelope: list[bytes], reply: bytes) -> None:
        """Carry a reply."""

    def on_turn(self, process: "Process") -> None:
        """Look at the state after a turn."""

    def on_exit(self, process: "Process", defect: Exception | None) -> None:
        """Note that the process is gone."""
