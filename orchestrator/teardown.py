"""`down`: ends every node in order, then supervisord, and proves that nothing is left."""

import contextlib
import shutil
import signal
import time

import msgspec

from .gateway import stop as stop_gateway
from .paths import Paths
from .processes import Process, find_run, identify, send, wait_gone
from .proof import Proof, prove
from .state import ClusterState, load_existing, locked, save
from .supervisor import Supervisor

GRACE_SECONDS = 5.0
"""How long a node may take to hand over, sync and end, before it is killed."""
DYING_SECONDS = 10.0
"""How long what was killed may take to let go of its ports, on a host that has much to do."""
_POLL_SECONDS = 0.05


class Ended(msgspec.Struct, frozen=True):
    """What `down` did."""

    stopped: int
    """Nodes that ended by themselves when asked."""
    killed: int
    """Nodes that had to be killed."""
    proof: Proof
    seconds: float
    wiped: bool


def take_down(paths: Paths, *, wipe: bool = False) -> Ended:
    """End the cluster, prove it, and with ``wipe`` delete its data.

    It works as well when supervisord was killed, or a former `down` was.

    Raises:
        NoCluster: there never was one here.
    """
    load_existing(paths)
    with locked(paths, "down"):
        state = load_existing(paths)
        return end_run(paths, state, wipe=wipe)


def end_run(paths: Paths, state: ClusterState, *, wipe: bool) -> Ended:
    """Do what `down` does, for a caller that holds the lock."""
    started = time.monotonic()
    supervisor = Supervisor(paths)
    stop_gateway(supervisor)  # before the nodes, so that it can bring to an end what it has taken
    keeper = supervisor.process()
    nodes = _node_processes(supervisor) if keeper else []
    for node in nodes:
        send(node, signal.SIGCONT)  # a paused one hears nothing else
        send(node, signal.SIGTERM)
    stubborn = wait_gone(nodes, GRACE_SECONDS)
    for node in stubborn:
        send(node, signal.SIGKILL)
    supervisor.shutdown()
    if keeper is not None:
        for process in wait_gone([keeper], GRACE_SECONDS):
            send(process, signal.SIGKILL)
    kill_leftovers(state.run_id)
    _remove_sockets(paths)
    proof = _prove_patiently(paths, state)
    if proof.holds:
        state.run_id = ""
        state.supervisor = None
        save(paths, state)
        if wipe:
            delete_data(paths)
    return Ended(
        stopped=len(nodes) - len(stubborn),
        killed=len(stubborn),
        proof=proof,
        seconds=time.monotonic() - started,
        wiped=wipe and proof.holds,
    )


def kill_leftovers(run_id: str) -> int:
    """Kill whatever still carries the run's id; return how many there were."""
    if not run_id:
        return 0
    count = 0
    for _ in range(3):  # one that was about to be forked shows up at the second look
        left = find_run(run_id)
        if not left:
            break
        count += len(left)
        for process in left:
            send(process, signal.SIGKILL)
        wait_gone(left, 2.0)
    return count


def delete_data(paths: Paths) -> None:
    """Delete the data, the logs and the identity; the lock stays, for it is held."""
    # The identity goes first: without it, half a deletion can't be taken for a cluster.
    paths.cluster_json.unlink(missing_ok=True)
    paths.token.unlink(missing_ok=True)
    for folder in (paths.nodes, paths.logs, paths.run, paths.sockets):
        shutil.rmtree(folder, ignore_errors=True)


def _prove_patiently(paths: Paths, state: ClusterState) -> Proof:
    """Prove it; what is on its way out gets the time to be gone.

    A process that dies loses its environment, by which it is known as ours, before its ports.
    """
    deadline = time.monotonic() + DYING_SECONDS
    while not (proof := prove(paths, state)).holds and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
        kill_leftovers(state.run_id)
        _remove_sockets(paths)
    return proof


def _remove_sockets(paths: Paths) -> None:
    for path in paths.socket_files():
        path.unlink(missing_ok=True)
    if paths.sockets != paths.run:
        with contextlib.suppress(OSError):  # not empty: then the proof will say why
            paths.sockets.rmdir()


def _node_processes(supervisor: Supervisor) -> list[Process]:
    pids = [child.pid for child in supervisor.children().values() if child.has_process]
    return [process for pid in pids if (process := identify(pid)) is not None]
