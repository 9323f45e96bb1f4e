"""All that a node does about snapshots, behind one door: taking, sending, receiving, installing.

``snapshots``, ``sending`` and ``receiving`` do the work; this file only ties them to the server's
turns.
"""

from random import Random
from typing import TYPE_CHECKING

from ..protocol.peer import PeerFrame
from ..raft.core import SnapshotPosition
from .plausible import is_plausible_snapshot
from .receiving import SnapshotInstaller
from .sending import Bulk, SnapshotSender
from .snapshots import Snapshots, SnapshotSetup

if TYPE_CHECKING:
    from .server import Server


class SnapshotKeeper:
    """Keeps the log short and the followers supplied (§7)."""

    def __init__(self, server: "Server", setup: SnapshotSetup, random: Random) -> None:
        self._server = server
        self.snapshots = Snapshots(
            setup, server.raft, server.store, server.storage, server.events, random
        )
        self._sender = SnapshotSender(
            setup, server.raft, self.snapshots, server.events, source=server.server_id
        )
        self.snapshots.hold = self._sender.hold
        self._installer = SnapshotInstaller(
            setup,
            server.raft,
            server.outbox,
            self.snapshots,
            server.events,
            server.replace_store,
        )
        self.on_applied = self.snapshots.on_applied

    @property
    def has_work(self) -> bool:
        """Tell whether anything is under way; what begins does so at a tick, or with a frame."""
        return self.snapshots.has_work or self._sender.has_work or self._installer.has_work

    @property
    def has_more(self) -> bool:
        """Tell whether the next turn has work to do without any new input."""
        return self.snapshots.has_more or self._installer.has_more

    @property
    def is_restoring(self) -> bool:
        """Tell whether a leader's snapshot is being put in force, and nothing can be read here."""
        return self._installer.is_restoring

    def on_peer_frame(self, frame: PeerFrame) -> None:
        """Take chunks of a leader's snapshot, and followers' words on ours."""
        server = self._server
        for chunk in frame.chunks:
            head = chunk.head
            to_us = head.source == frame.source and head.target == server.server_id
            if to_us and is_plausible_snapshot(chunk):
                server.raft.step(head)
                self._installer.on_chunk(frame.source, chunk)
            else:
                server.dropped["malformed"] += 1
        for ack in frame.acks:
            self._sender.on_ack(frame.source, ack)

    def on_tick(self) -> None:
        """Let one tick pass."""
        self.snapshots.on_tick()
        self._sender.on_tick()
        self._installer.on_tick()

    def turn(self) -> list[Bulk]:
        """Do one slice of whatever is under way; return the chunks to be sent."""
        self.snapshots.on_turn()
        self._installer.on_turn()
        self._sender.on_turn()
        return self._sender.take()


def position_of(setup: SnapshotSetup | None) -> SnapshotPosition | None:
    """Return where the newest snapshot that is stored stands in the log, if there is one."""
    if setup is None or setup.newest is None:
        return None
    meta = setup.newest.meta
    return SnapshotPosition(meta.last_included_index, meta.last_included_term, meta.configuration)
