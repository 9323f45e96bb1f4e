"""What is remembered of a cluster between commands: ``.cluster/cluster.json``, and its lock.

The file is replaced whole (written beside, synced, renamed), and only under the lock. It holds
what a cluster *is* (identity, nodes, ports; only `add`, `remove`, `replace` and `scale` change
that), what was *wanted* of it last (which nodes were killed or stopped on purpose), and what is
under way.
"""

import fcntl
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from .errors import BadConfiguration, NoCluster, TryAgain
from .paths import Paths
from .processes import Process
from .spec_values import GATEWAY, PORT_BAND, Spec

FORMAT = 1
LOCK_SECONDS_MAX = 30.0

UP, KILLED, STOPPED, PAUSED = "up", "killed", "stopped", "paused"
"""What was last wanted of a node."""


class NodeRecord(msgspec.Struct):
    """One node of the cluster; its endpoints never change while it belongs to it."""

    name: str
    incarnation: int
    client: str
    peer: str
    events: str
    wanted: str = UP
    voter: bool = True
    """False for one that is being added and learns: it counts for nothing yet."""


PLANNED, ASKED, COMMITTED = "planned", "asked", "committed"
"""How far a change of the membership has come; it is written down before each step."""


class Change(msgspec.Struct, kw_only=True):
    """A change of the membership that is under way: a command that is killed leaves it here."""

    words: str
    """What was typed, as in ``scale 5``."""
    step: str = PLANNED
    """``planned``: the cluster knows nothing of it. ``asked``: it may. ``committed``: it does."""
    added: list[str] = []
    removed: list[str] = []
    replaced: list[str] = []
    former: dict[str, int] = {}
    """Which life of a node is replaced, by its name: asked again, the next one is left alone."""
    aside: dict[str, str] = {}
    """Where the directory of a node that goes is kept, by its name; written down before it is
    moved, so that an old one is never taken for a new one."""
    cleared: list[str] = []
    """Those of them whose process has ended and whose directory is out of the way."""


class Led(msgspec.Struct, frozen=True):
    """Who was seen leading, in which term."""

    node: str
    term: int


class ClusterState(msgspec.Struct, kw_only=True):
    """All that is remembered."""

    format: int = FORMAT
    cluster: str
    cluster_id: str
    """32 hexadecimal digits, drawn once, by the first `up`."""
    base_port: int
    base_port_auto: bool
    host: str
    nodes: list[NodeRecord]
    bootstrapped: bool = False
    """Whether all node directories were made. They are made once; one that is lost stays lost."""
    restoring: str = ""
    """The snapshot that the nodes' directories are being made from; empty once all of them are."""
    run_id: str = ""
    """Carried by every process of the run; empty once `down` has proved that none is left."""
    supervisor: Process | None = None
    leader: Led | None = None
    old_leader: str | None = None
    durability: str = "fsync"
    """As the last `up` had it; what was in ``memory`` is gone once no node runs."""
    slowness: float = 1.0
    """How many times longer than by default elections of this run may take; at least 1."""

    change: Change | None = None
    """What is under way, or was when a command was killed; the next one sees to it."""

    gateway: str = ""
    """Where the HTTP gateway listens, ``host:port``, as the last `up` had it; empty: nowhere."""

    def node(self, name: str) -> NodeRecord:
        """Return the record of a node by its name."""
        return next(record for record in self.nodes if record.name == name)

    def quorum(self) -> int:
        """Return how many nodes must be up for anything to be decided."""
        return len(self.voters()) // 2 + 1

    def voters(self) -> list[str]:
        """Return the nodes that vote, as far as is known here."""
        return [record.name for record in self.nodes if record.voter]

    def ports(self) -> list[tuple[str, str, int]]:
        """Return every port of the cluster: (node or gateway, what for, port)."""
        nodes = [
            (record.name, what, int(endpoint.rpartition(":")[2]))
            for record in self.nodes
            for what, endpoint in (
                ("clients", record.client),
                ("peers", record.peer),
                ("events", record.events),
            )
        ]
        return [*nodes, (GATEWAY, "HTTP", self.gateway_port)] if self.gateway else nodes

    @property
    def gateway_port(self) -> int:
        """The port of the gateway; assumes that there is one."""
        return int(self.gateway.rpartition(":")[2])

    def saw_leader(self, node: str, term: int) -> bool:
        """Remember who leads; tell whether that is news."""
        if self.leader is not None and self.leader.term >= term:
            return False
        if self.leader is not None and self.leader.node != node:
            self.old_leader = self.leader.node
        self.leader = Led(node, term)
        return True


def port_offsets(nodes: int) -> list[int]:
    """Return the distance from ``base_port`` of every port that so many nodes use."""
    return [band * PORT_BAND + k for band in range(3) for k in range(1, nodes + 1)]


def new_state(spec: Spec, nodes: int, base_port: int) -> ClusterState:
    """Return the state of a cluster that is about to exist, with an identity of its own."""
    return ClusterState(
        cluster=spec.cluster,
        cluster_id=secrets.token_hex(16),
        base_port=base_port,
        base_port_auto=spec.base_port is None,
        host=spec.host,
        durability=spec.durability,
        nodes=[
            new_record(f"n{k}", spec.host, base_port + k, incarnation=1)
            for k in range(1, nodes + 1)
        ],
    )


def new_record(name: str, host: str, port: int, *, incarnation: int = 0) -> NodeRecord:
    """Return a node whose clients come to ``port``, its peers and events one and two bands above.

    An incarnation of 0 is one that the cluster has not given yet.
    """
    client, peer, events = (f"tcp://{host}:{port + band * PORT_BAND}" for band in range(3))
    return NodeRecord(name, incarnation, client, peer, events)


def load(paths: Paths) -> ClusterState | None:
    """Read the state; None when there was never an `up` here.

    Raises:
        BadConfiguration: the file is damaged or of another version.
    """
    try:
        data = paths.cluster_json.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise BadConfiguration(f"{paths.cluster_json}: {error.strerror}") from error
    try:
        state = msgspec.json.decode(data, type=ClusterState)
    except msgspec.DecodeError as error:
        raise BadConfiguration(
            f"{paths.cluster_json} is damaged: {error}",
            hint="bin/cluster up --wipe   begins anew, without the data",
        ) from error
    if state.format != FORMAT:
        raise BadConfiguration(
            f"{paths.cluster_json} is of format {state.format}; this version knows {FORMAT}"
        )
    return state


def load_existing(paths: Paths) -> ClusterState:
    """Read the state of a cluster that must exist.

    Raises:
        NoCluster: it does not.
    """
    state = load(paths)
    if state is None or not state.bootstrapped:
        raise NoCluster("there is no cluster here yet", hint="bin/cluster up   makes one")
    return state


def save(paths: Paths, state: ClusterState) -> None:
    """Replace the state file: after a crash it is the old one or the new one, whole."""
    data = msgspec.json.format(msgspec.json.encode(state), indent=2) + b"\n"
    beside = paths.cluster_json.with_suffix(".tmp")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(paths.cluster_json)
    folder = os.open(paths.state, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def locked(paths: Paths, verb: str, *, seconds: float | None = None) -> Iterator[None]:
    """Hold the cluster's lock: one command at a time changes it.

    ``seconds`` is how long to wait for it (default: 30).

    Raises:
        TryAgain: another command held it for so long; the message names it.
    """
    with paths.lock.open("a+b") as file:
        patience = LOCK_SECONDS_MAX if seconds is None else seconds
        deadline = time.monotonic() + patience
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    file.seek(0)
                    holder = file.read(200).decode("utf-8", "replace").strip()
                    raise TryAgain(f"another command is at work here ({holder})") from None
                time.sleep(0.02)
        file.truncate(0)
        file.write(f"pid {os.getpid()}: {verb}".encode())
        file.flush()
        yield


@contextmanager
def changing(paths: Paths, verb: str) -> Iterator[ClusterState]:
    """Change the state of an existing cluster under its lock; saved when the block ends well."""
    load_existing(paths)  # before the lock, whose file needs the folder
    with locked(paths, verb):
        state = load_existing(paths)
        yield state
        save(paths, state)
