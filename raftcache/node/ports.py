"""What the server asks of the world around it; a process and a simulation each provide it."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from ..errors import DiskFailed
from ..raft.types import Index, ServerId
from ..storage.wal import Batch

if TYPE_CHECKING:
    from .outbox import Outgoing
    from .values import Effects

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


class Driven(Protocol):
    """What the loop drives: a ``Server``, or a ``Joiner`` before there can be one."""

    now_ms: int
    tick_ms: int
    client_count: int
    longest_turn_ms: float

    @property
    def has_more(self) -> bool:
        """Tell whether another turn has work to do without any new input."""

    @property
    def is_finished(self) -> bool:
        """Tell whether something else is to be driven from now on."""

    @property
    def may_stop(self) -> bool:
        """Tell whether nothing keeps a stopping node any longer."""

    @property
    def due_ms(self) -> int | None:
        """When :meth:`on_time` has something to do; None: never."""

    def start(self, now_ms: int) -> None:
        """Note when the node began."""

    def on_peer_gone(self, peer: ServerId, now_ms: int) -> None:
        """Note that a peer's process is gone."""

    def on_time(self, now_ms: int) -> None:
        """Do what is due."""

    def on_client(self, socket: int, frames: list[bytes]) -> None:
        """Take in one message from a client's or an administrator's socket."""

    def on_client_gone(self, socket: int, client: bytes) -> None:
        """Note that a client is gone."""

    def on_peer_frame(self, data: bytes) -> None:
        """Take in one frame from the peers' socket."""

    def on_persisted(self) -> None:
        """Note that the storage's ``persisted`` ticket has risen."""

    def on_tick(self) -> None:
        """Let one tick pass."""

    def on_not_sent(self, outgoing: "Outgoing") -> None:
        """Note that a frame could not be sent."""

    def on_long_turn(self, turn_ms: float, cpu_ms: float) -> None:
        """Note a turn that was the longest so far, or slow."""

    def turn(self) -> "Effects":
        """Answer everything that came in since the last turn."""

    def begin_stop(self) -> None:
        """Hand over what others should take."""

    def finish_stop(self) -> "Effects":
        """Answer all that still waits."""


class Disk(Protocol):
    """What the loop must know of whatever writes the log."""

    @property
    def failure(self) -> DiskFailed | None:
        """Why nothing is written any more; the process must end."""

    @property
    def persisted(self) -> int:
        """The highest ticket that is durable."""

    wanted: bool
    """Whether to wake the loop when that rises."""

    def begin(self) -> None:
        """Start on what a turn has handed over."""
