"""Do all nodes have one state? Told at intervals, judged by most, and written in the log.

Every node tells its leader which digest its state had at the last index that is a multiple of
``GRID``. What most voters have told, the leader puts into the log, at a bounded rate; and whoever
had another, be it the leader itself, stops when it comes to apply that entry. So no single node
decides what is right, and one that went astray does not go on answering.
"""

from ..protocol.peer import StateDigest
from ..raft.core import Raft
from ..raft.quorum import has_quorum
from ..raft.types import Index, ServerId
from ..store.commands import CheckDigest, encode_commands
from ..store.machine import StateMachine
from .cluster_time import STAMPED_VERSION, ClusterTime
from .events import name_of
from .outbox import Outbox
from .ports import Storage
from .versions import VersionGate

GRID = 64
"""Entries between two indexes whose digests are compared; the store keeps those of 1,024."""
CHECK_TICKS = 100
"""Ticks between two entries that state a digest."""
KEPT = 8
"""How many indexes are remembered for members that have not spoken yet."""


class DigestWatch:
    """Tells digests to the leader; as leader, collects them and states what most have told."""

    def __init__(
        self,
        raft: Raft,
        storage: Storage,
        outbox: Outbox,
        time: ClusterTime,
        versions: VersionGate,
    ) -> None:
        self._raft = raft
        self._storage = storage
        self._outbox = outbox
        self._time = time
        self._versions = versions
        self._told: tuple[Index, ServerId] | None = None
        """Of which index this node has told, and to whom."""
        self._heard: dict[Index, dict[ServerId, int]] = {}
        self._stated: Index = 0
        self._rest_ticks = CHECK_TICKS
        self.alarms: list[str] = []
        """What is wrong, as a leader has seen it at the last comparison."""

    def on_told(self, source: ServerId, told: StateDigest) -> None:
        """Note which digest another node had."""
        if told.index % GRID == 0:
            self._note(source, told.index, told.digest)

    def on_turn(self, store: StateMachine) -> None:
        """Tell the leader of the own state, once per index."""
        state = self._raft.state
        leader, index = state.leader_id, store.last_applied - store.last_applied % GRID
        if leader is None or index == 0 or self._told == (index, leader):
            return
        self._told = (index, leader)
        digest = store.digest_at(index)
        if digest is None:
            return
        if leader == state.server_id:
            self._note(leader, index, digest)
        else:
            self._outbox.add_digest(leader, StateDigest(index, digest))

    def on_tick(self, store: StateMachine) -> None:
        """As leader, state a digest if it is time, and one that most nodes share is known."""
        raft = self._raft
        if not self._time.is_kept_here(store) or not raft.accepts_proposals:
            self.alarms = []
            return
        self._rest_ticks = max(0, self._rest_ticks - 1)
        if self._rest_ticks or not self._storage.has_room:
            return
        if self._versions.version(store) < STAMPED_VERSION:
            return
        for index in sorted(self._heard, reverse=True):
            if index > self._stated and self._compare(index):
                self._rest_ticks = CHECK_TICKS
                return

    def _note(self, source: ServerId, index: Index, digest: int) -> None:
        heard = self._heard
        heard.setdefault(index, {})[source] = digest
        while len(heard) > KEPT:
            del heard[min(heard)]

    def _compare(self, index: Index) -> bool:
        """State what most voters had at ``index``; False: too few have told, or they differ."""
        configuration, heard = self._raft.state.configuration, self._heard[index]
        for digest in sorted(set(heard.values())):
            shared = {member for member in heard if heard[member] == digest}
            if has_quorum(configuration, shared.__contains__):
                self._stated = index
                self.alarms = [
                    f"diverged: {name_of(member)} has another state than most after entry {index}: "
                    f"bin/cluster replace {name_of(member)}"
                    for member in sorted(heard)
                    if member not in shared
                ]
                stated = CheckDigest(index, digest)
                self._raft.propose(encode_commands([stated], self._time.now_ms))
                return True
        if len(heard) == len(configuration.everyone()):
            alarm = (
                f"diverged: after entry {index} the nodes' states differ, and no majority agrees"
            )
            self.alarms = [f"{alarm}: stop writing, and restore a snapshot"]
        return False
