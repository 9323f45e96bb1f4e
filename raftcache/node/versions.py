"""Which version of commands a leader may propose: what every member can read, and no newer.

Every node tells its own version with each frame. Once all members have told that they know a newer
one, the leader proposes an entry that raises the cluster's; from there on entries of that version
may follow, where a command needs it. A member that did not know it would have to stop.
"""

from ..raft.core import Raft
from ..raft.types import Index, ServerId
from ..store.commands import COMMAND_VERSION, Command, RaiseVersion, encode_commands, version_of
from ..store.machine import StateMachine
from .cluster_time import ClusterTime
from .events import name_of
from .ports import Storage


class VersionGate:
    """Knows what the members have told, and raises the cluster's version."""

    def __init__(self, raft: Raft, storage: Storage, time: ClusterTime) -> None:
        self._raft = raft
        self._storage = storage
        self._time = time
        self._told: dict[ServerId, int] = {}
        self._raising: Index = 0
        """The entry that raises the version, in this leader's log; 0: there is none."""
        self.own = COMMAND_VERSION
        """What this node tells the others that it can read."""

    def on_told(self, source: ServerId, version: int) -> None:
        """Note what another node can read now; a node may come back with an older release."""
        self._told[source] = version

    def version(self, store: StateMachine) -> int:
        """Return the version of the entries that this leader proposes."""
        return max(store.command_version, self._time.log_version)

    def members_behind(self, command: Command) -> list[str]:
        """Return the names of the members that have not told that they can read ``command``."""
        return [name_of(member) for member in self._members_below(version_of(command))]

    def on_tick(self, store: StateMachine) -> None:
        """Raise the cluster's version when all members can read more than it allows."""
        raft = self._raft
        if not self._time.is_kept_here(store) or not raft.accepts_proposals:
            return
        version = self._known_to_all()
        if self.version(store) >= version:
            return
        log = raft.state.log
        if store.last_applied < self._raising <= log.last_index:
            return  # It is on its way, or what another leader has put in its place.
        if self._storage.has_room:
            data = encode_commands([RaiseVersion(version)], self._time.now_ms)
            self._raising = raft.propose(data)

    def _known_to_all(self) -> int:
        """Return the newest version that this node and all members can read."""
        version = COMMAND_VERSION
        while version > 1 and self._members_below(version):
            version -= 1
        return version

    def _members_below(self, version: int) -> list[ServerId]:
        """Return the members that have not told that they can read ``version``."""
        state = self._raft.state
        return [
            member
            for member in state.configuration.everyone()
            if member != state.server_id and self._told.get(member, 1) < version
        ]
