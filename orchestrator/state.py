"""What is remembered of a cluster between commands: ``.cluster/cluster.json``, and its lock.

The file is replaced whole (written beside, synced, renamed), and only under the lock. It holds
what a cluster *is* (identity, nodes, ports, never changed after the first `up`) and what was
*wanted* of it last (which nodes were killed or stopped on purpose).
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
    """One node of the cluster; names and endpoints never change while the data lives."""

    name: str
    incarnation: int
    client: str
    peer: str
    events: str
    wanted: str = UP


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
    file_nodes: int
    """``nodes`` as cluster.yaml had it at the first `up`; ``--nodes`` may have said otherwise."""
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
    slowness: float = 1.0
    """How many times longer than by default elections of this run may take; at least 1."""

    gateway: str = ""
    """Where the HTTP gateway listens, ``host:port``, as the last `up` had it; empty: nowhere."""

    def node(self, name: str) -> NodeRecord:
        """Return the record of a node by its name."""
        return next(record for record in self.nodes if record.name == name)

    def quorum(self) -> int:
        """Return how many nodes must be up for anything to be decided."""
        return len(self.nodes) // 2 + 1

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

    def endpoint(band: int, k: int) -> str:
        return f"tcp://{spec.host}:{base_port + band * PORT_BAND + k}"

    return ClusterState(
        cluster=spec.cluster,
        cluster_id=secrets.token_hex(16),
        base_port=base_port,
        base_port_auto=spec.base_port is None,
        host=spec.host,
        file_nodes=spec.nodes,
        nodes=[
            NodeRecord(f"n{k}", 1, endpoint(0, k), endpoint(1, k), endpoint(2, k))
            for k in range(1, nodes + 1)
        ],
    )


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
def locked(paths: Paths, verb: str) -> Iterator[None]:
    """Hold the cluster's lock: one command at a time changes it.

    Raises:
        TryAgain: another command held it for 30 seconds; the message names it.
    """
    with paths.lock.open("a+b") as file:
        deadline = time.monotonic() + LOCK_SECONDS_MAX
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
