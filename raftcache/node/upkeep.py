"""What a node does for the cluster's sake and no client's, behind one door.

``cluster_time``, ``versions``, ``digests``, ``touches`` and ``room`` do the work; this file only
ties them to the server's turns.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..protocol.peer import KeysRead, PeerFrame
from ..store.commands import Command, encode_commands, version_of
from ..store.reading import Uses
from ..store.records import Record
from .cluster_time import STAMPED_VERSION, ClusterTime
from .digests import DigestWatch
from .pending import Pending
from .recency import Recency
from .room import Room
from .touches import Touches
from .versions import VersionGate

if TYPE_CHECKING:
    from .server import Server


SAMPLE_MAX = 32
"""Of how many keys that were read a server tells its leader, per tick."""


class Upkeep:
    """Keeps time and the versions, and watches over the states."""

    def __init__(self, server: "Server") -> None:
        self._server = server
        raft, storage = server.raft, server.storage
        self.time = ClusterTime(raft, storage, tick_ms=server.tick_ms)
        self.versions = VersionGate(raft, storage, self.time)
        self.digests = DigestWatch(raft, storage, server.outbox, self.time, self.versions)
        self.touches = Touches(raft, storage, server.outbox, self.time)
        self._recency = Recency()
        self.room = Room(server, self._recency)
        self._uses = Uses(on_read=self._on_read)
        self._estimates_use = False
        self._sample: dict[bytes, None] = {}
        """Some of the keys that were read here since the last tick."""

    def on_peer_frame(self, frame: PeerFrame) -> None:
        """Take what a frame says beside its messages; its sender may take part."""
        self._server.admission.on_heard(frame.source, frame.reply_to)
        self.versions.on_told(frame.source, frame.version)
        self.time.on_heard(frame.source, frame.time_ms)
        for told in frame.digests:
            self.digests.on_told(frame.source, told)
        for read in frame.keys_read:
            self._on_read_elsewhere(read.keys)

    def on_tick(self) -> None:
        """Let one tick pass."""
        store = self._server.store
        self.time.on_tick(store)
        self.versions.on_tick(store)
        self.digests.on_tick(store)
        self._tell_of_reads()

    def on_turn(self) -> None:
        """Let time move on before what came in is proposed."""
        server = self._server
        outbox = server.outbox
        server.store.uses = self._uses  # It may be another store than before.
        if self.touches.waiting:
            self.touches.on_turn(server.store)
        outbox.time_ms = self.time.on_turn(server.now_ms, server.store)
        outbox.version = self.versions.own
        self.digests.on_turn(server.store)

    def encode(self, commands: Sequence[Command]) -> bytes:
        """Encode an entry of clients' commands in the version that all members can read."""
        store = self._server.store
        if self.time.is_kept_here(store) and self.versions.version(store) >= STAMPED_VERSION:
            return encode_commands(commands, self.time.now_ms)
        return encode_commands(commands)

    def _on_read(self, key: bytes, record: Record) -> None:
        """Note that a key that may go was read here, or where somebody told of it."""
        store = self._server.store
        if record.ttl_ms:
            self.touches.on_read(key, record, max(store.time_ms, store.heard_ms))
        if self._estimates_use:
            self._recency.on_read(key, store.store_rev)
            if len(self._sample) < SAMPLE_MAX:
                self._sample[key] = None

    def _tell_of_reads(self) -> None:
        """Tell the leader some of the keys that are in use, if it may have to let others go."""
        server, keys = self._server, [*self._sample]
        self._sample = {}
        leader = server.raft.state.leader_id
        if keys and leader is not None and not server.raft.is_leader:
            server.outbox.add_keys_read(leader, KeysRead(keys))
        eviction = server.limits.eviction
        self._estimates_use = eviction != "none" and self.room.is_wanted
        self._uses.tells_all = self._estimates_use and eviction == "allkeys-lru"

    def _on_read_elsewhere(self, keys: list[bytes]) -> None:
        """Note what was read at another server, as far as the keys are still there."""
        find = self._server.store.find
        for key in keys:
            record = find(key)
            if record is not None:
                self._on_read(key, record)

    def refuses(self, pending: Pending) -> bool:
        """Answer a mutation that this leader can't propose yet; False: it can."""
        server, command = self._server, pending.request.command
        if command is None or version_of(command) == 1:
            return False
        if self.time.is_kept_here(server.store) and self.versions.version(
            server.store
        ) >= version_of(command):
            return False
        if behind := self.versions.members_behind(command):
            server.answers.refuse(
                pending,
                "unsupported",
                f"this needs a release that has it on every node, and {', '.join(behind)} has not "
                "said yet that it runs one: start it, or upgrade it",
            )
        else:
            server.desk.refuse_overloaded(pending, "is getting ready for this")
        return True
