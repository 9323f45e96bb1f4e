"""``durability: memory``: what that means for a cluster as a whole.

A node that ends has forgotten everything, its votes among it; it comes back with a new life, and
learns from the others. Once no node runs, the data is gone, and the next `up` begins a new cluster.
"""

import secrets
import shutil
from collections.abc import Callable

from .errors import BadConfiguration, UsageError
from .paths import Paths
from .spec_values import Spec
from .state import ClusterState, load, save
from .supervisor import Supervisor
from .teardown import kill_leftovers

MEMORY = "memory"


def forget_memory(paths: Paths, spec: Spec, tell: Callable[[str], None]) -> None:
    """Make a new cluster of one whose data is gone, for an `up` that holds the lock.

    Who takes part is remembered; the cluster's id is new, so that nothing of the old one fits.

    Raises:
        BadConfiguration: the data is on disk and would be forgotten, or in memory and would not
            come to the disk.
    """
    state = load(paths)
    if state is None or not state.bootstrapped:
        return
    alive = any(child.has_process for child in Supervisor(paths).children().values())
    _refuse_another_promise(state, spec, alive=alive)
    if state.durability != MEMORY or alive:
        return
    kill_leftovers(state.run_id)
    shutil.rmtree(paths.nodes, ignore_errors=True)
    paths.nodes.mkdir(mode=0o700)
    state.nodes = [node for node in state.nodes if node.voter]
    for node in state.nodes:
        node.incarnation = 1
    state.cluster_id = secrets.token_hex(16)
    state.bootstrapped = False
    state.change = state.leader = state.old_leader = None
    save(paths, state)
    tell("no node was running, and what was in memory is gone: a new, empty cluster begins")


def refuse_to_forget(state: ClusterState, names: list[str], verb: str) -> None:
    """Refuse to end so many nodes at once that what is in memory would be gone.

    Raises:
        UsageError: with the way that keeps the data.
    """
    voters = set(state.voters())
    if state.durability == MEMORY and len(voters - set(names)) < state.quorum():
        raise UsageError(
            f"{verb} of {len(names)} nodes at once would forget all data (durability: memory)",
            hint=f"bin/cluster {verb} --rolling   keeps it: one at a time",
        )


def will_forget(paths: Paths) -> bool:
    """Tell whether a `down` now would lose data."""
    state = load(paths)
    return (
        state is not None
        and state.durability == MEMORY
        and any(child.has_process for child in Supervisor(paths).children().values())
    )


def _refuse_another_promise(state: ClusterState, spec: Spec, *, alive: bool) -> None:
    if (state.durability == MEMORY) == (spec.durability == MEMORY):
        return
    if spec.durability == MEMORY:
        raise BadConfiguration(
            "storage.durability: memory would forget what the nodes here have on disk",
            hint=f"durability: {state.durability}   goes on with it\n"
            "bin/cluster up --wipe   begins a new cluster, without the data",
        )
    if alive:
        raise BadConfiguration(
            f"storage.durability: {spec.durability} can't save what these nodes have in memory",
            hint="bin/cluster snapshot save FILE   keeps the data\n"
            "bin/cluster up --wipe   begins a new cluster, without it",
        )
