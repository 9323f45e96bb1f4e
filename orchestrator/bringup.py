"""`up`: from cluster.yaml to a cluster that works, or to a sentence that says why not.

In this order: check everything (nothing has happened yet), make what is made once, start what is
down, ask the nodes until all have caught up with a leader. Killed at any point and repeated, it
goes on where it was, with the same identity.
"""

import secrets
import signal
import time
import zlib
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

import msgspec

from . import gateway
from .bootstrap import bootstrap_nodes
from .errors import BadConfiguration, OrchestratorError
from .gateway import GatewayView
from .memory import forget_memory
from .node_settings import write_settings
from .paths import FILE_NAME, Paths
from .ports import claim_base, is_free, owner_of
from .probe import Prober
from .processes import identify, sample, send
from .readiness import await_ready
from .resize import drop_unasked, settle_unfinished
from .spec import read_spec
from .spec_values import GATEWAY, GATEWAY_OFFSET, Spec
from .state import UP, ClusterState, load, load_existing, locked, new_state, port_offsets, save
from .supervisor import DESCRIPTORS_BESIDE_CLIENTS, Child, Supervisor, raise_descriptor_limit
from .teardown import delete_data, end_run, kill_leftovers
from .view import ClusterView, endpoints, observe_once

READY_SECONDS_MAX = 60.0


def _at_once(release: Callable[[], None]) -> None:
    """Hold nothing."""
    release()


class Plan(msgspec.Struct, frozen=True):
    """What an `up` would do."""

    state: ClusterState
    spec: Spec
    warnings: list[str]
    first: bool
    """Whether the cluster is made by it."""
    running: list[str]
    to_start: list[str]


class Brought(msgspec.Struct, frozen=True):
    """What an `up` did."""

    plan: Plan
    view: ClusterView
    gateway: GatewayView | None
    started: list[str]
    outdated: list[str]
    """Nodes that run on with the settings of before."""
    seconds: float


def bring_up(
    paths: Paths,
    *,
    nodes: int | None = None,
    wipe: bool = False,
    slow: int = 1,
    seconds: float = READY_SECONDS_MAX,
    tell: Callable[[str], None] = lambda _: None,
) -> Brought:
    """Start what is down and wait until a leader leads and every node has caught up.

    ``slow`` makes Raft so many times slower; ``tell`` gets a line for each thing worth knowing
    while it happens. The slower Raft is, the longer than ``seconds`` is waited.

    Raises:
        BadConfiguration: something must be changed first; nothing was started.
        TryAgain: some node was not ready in time; what runs is left running.
    """
    began = time.monotonic()
    reading = read_spec(file_of(paths))  # before a folder is made for it
    paths.make()
    with ExitStack() as held:  # a row of ports is ours from its choice until nodes listen there
        with locked(paths, "up"):
            if wipe:
                wipe_data(paths, tell)
                paths.make()
            drop_unasked(paths, tell)
            forget_memory(paths, reading.spec, tell)
            plan = make_plan(paths, nodes=nodes, slow=slow, tell=tell, hold=held.callback)
            outdated, started = _carry_out(paths, plan, tell)
        view = _await_ready(paths, plan, seconds)
    _remember_leader(paths, view)
    if plan.state.change is not None:
        settle_unfinished(paths, tell, seconds=seconds)
        plan = msgspec.structs.replace(plan, state=load_existing(paths))
        view = observe_once(paths, plan.state)
    return Brought(
        plan=plan,
        view=view,
        gateway=_bring_up_gateway(paths, plan),
        started=started,
        outdated=outdated,
        seconds=time.monotonic() - began,
    )


def _await_ready(paths: Paths, plan: Plan, seconds: float) -> ClusterView:
    state = plan.state
    seconds *= state.slowness
    with closing(Prober(endpoints(state))) as prober:
        try:
            return await_ready(paths, state, prober, seconds=seconds, names=_lasting(state))
        except OrchestratorError:
            gateway.adjust(paths, state, plan.spec)  # in front of what is left running
            raise


def _bring_up_gateway(paths: Paths, plan: Plan) -> GatewayView | None:
    """Start the HTTP gateway, or end it, as cluster.yaml says; the nodes came first."""
    with locked(paths, "up"):
        gateway.adjust(paths, plan.state, plan.spec)
    return gateway.await_ready(paths, plan.state) if plan.state.gateway else None


def _lasting(state: ClusterState) -> list[str]:
    """Return the nodes that no unfinished change brings or takes away."""
    change = state.change
    moving = {*change.added, *change.removed, *change.replaced} if change is not None else set()
    return [node.name for node in state.nodes if node.name not in moving]


def make_plan(
    paths: Paths,
    *,
    nodes: int | None = None,
    slow: int = 1,
    look_only: bool = False,
    tell: Callable[[str], None] = lambda _: None,
    hold: Callable[[Callable[[], None]], object] = _at_once,
) -> Plan:
    """Decide what `up` would do, and check that it can; start and write nothing.

    What a killed supervisord left behind is ended on the way, unless ``look_only``. ``hold`` is
    given what lets go of a row of ports that was chosen.

    Raises:
        BadConfiguration: cluster.yaml, the existing state or this host does not allow it.
    """
    reading = read_spec(file_of(paths))
    spec = _slowed(reading.spec, slow)
    raise_descriptor_limit(spec.clients + DESCRIPTORS_BESIDE_CLIENTS)
    known = load(paths)
    if known is None:
        state = fresh_state(paths, spec, nodes or spec.nodes, hold)
    else:
        state = known
        _refuse_half_restored(state)
        _refuse_another_cluster(state, spec, nodes)
    before, state.gateway = state.gateway, gateway.address_of(spec, state.base_port)
    supervisor = Supervisor(paths)
    children = supervisor.children()
    if not children and not look_only and kill_leftovers(state.run_id):
        tell("supervisord was gone without its nodes: what it left behind was ended")
    warnings = [*reading.warnings, *_another_size(state, spec, nodes)]
    running = [name for name, child in children.items() if child.has_process]
    to_start = [node.name for node in state.nodes if node.name not in running]
    child = supervisor.gateway()
    keeps_port = state.gateway == before and child is not None and child.has_process
    _refuse_taken_ports(state, to_start if keeps_port else [*to_start, GATEWAY])
    return Plan(
        state=state,
        spec=spec,
        warnings=warnings,
        first=known is None or not known.bootstrapped,
        running=running,
        to_start=to_start,
    )


def file_of(paths: Paths) -> Path:
    """Return cluster.yaml, which is needed to make or start anything.

    Raises:
        BadConfiguration: there is none.
    """
    if paths.file is None:
        raise BadConfiguration(
            f"there is no {FILE_NAME}", hint="name it: bin/cluster --file PATH up"
        )
    return paths.file


def _slowed(spec: Spec, times: int) -> Spec:
    return msgspec.structs.replace(
        spec,
        heartbeat_ms=spec.heartbeat_ms * times,
        election_timeout_min_ms=spec.election_timeout_min_ms * times,
        election_timeout_max_ms=spec.election_timeout_max_ms * times,
    )


def wipe_data(paths: Paths, tell: Callable[[str], None]) -> None:
    """End the cluster and delete its data, for a caller that holds the lock.

    Raises:
        BadConfiguration: something of it is still there, so nothing was deleted.
    """
    try:
        state = load(paths)
    except BadConfiguration:
        state = None  # damaged beyond reading: that is what the wipe is for
    if state is not None:
        ended = end_run(paths, state, wipe=False)
        if not ended.proof.holds:
            raise BadConfiguration(
                "not wiped, for something of the old cluster is still there: "
                + "; ".join(ended.proof.leftovers)
            )
    had_data = paths.nodes.is_dir() and any(paths.nodes.iterdir())
    delete_data(paths)
    if had_data:
        tell("the old cluster and its data are deleted")


def fresh_state(
    paths: Paths,
    spec: Spec,
    nodes: int,
    hold: Callable[[Callable[[], None]], object] = _at_once,
) -> ClusterState:
    """Return the state of a new cluster, with an identity and ports of its own; write nothing.

    ``hold``: see :func:`make_plan`.

    Raises:
        BadConfiguration: there is data of which nobody knows whose it is, or no port is free.
    """
    if paths.nodes.is_dir() and any(paths.nodes.iterdir()):
        raise BadConfiguration(
            f"{paths.nodes} holds data, but {paths.cluster_json.name}, which says whose, is gone",
            hint="put it back, or begin anew without the data: bin/cluster up --wipe",
        )
    base_port = spec.base_port
    if base_port is None:
        start = zlib.crc32(str(paths.state).encode()) + time.monotonic_ns()
        offsets = [*port_offsets(nodes), *([GATEWAY_OFFSET] if spec.gateway_host else [])]
        claim = claim_base(spec.host, offsets, start=start)
        if claim is None:
            raise BadConfiguration("base_port: auto found no free row of ports on this host")
        hold(claim.close)
        base_port = claim.base
    return new_state(spec, nodes, base_port)


def _refuse_half_restored(state: ClusterState) -> None:
    if state.restoring:
        raise BadConfiguration(
            "restoring a snapshot was interrupted here: some nodes have its data, others none",
            hint=f"bin/cluster snapshot restore {state.restoring}   does it again\n"
            "bin/cluster up --wipe   begins an empty cluster instead",
        )


def _refuse_another_cluster(state: ClusterState, spec: Spec, nodes: int | None) -> None:
    size = len(state.nodes)
    if nodes is not None and nodes != size:
        raise BadConfiguration(
            f"the cluster here has {size} nodes, not {nodes}; who takes part is agreed upon by the "
            "nodes themselves, once they run",
            hint=f"change it:   bin/cluster up && bin/cluster scale {nodes}\n"
            f"begin anew:  bin/cluster up --nodes {nodes} --wipe   (deletes the data)",
        )
    if spec.cluster != state.cluster:
        raise BadConfiguration(
            f"the cluster here is called '{state.cluster}', not '{spec.cluster}'",
            hint=f"write cluster: {state.cluster}   in {FILE_NAME}, or begin anew: "
            "bin/cluster up --wipe",
        )
    moved = spec.base_port is not None and spec.base_port != state.base_port
    if moved or spec.host != state.host:
        raise BadConfiguration(
            f"the cluster here lives at {state.host}, base_port {state.base_port}; its nodes know "
            "each other by these addresses",
            hint=f"write base_port: {state.base_port}   in {FILE_NAME}, or begin anew: "
            "bin/cluster up --wipe",
        )


def _another_size(state: ClusterState, spec: Spec, nodes: int | None) -> list[str]:
    """Return what is to be said where cluster.yaml and the cluster have different sizes."""
    size = len(state.nodes)
    if nodes is not None or spec.nodes == size or state.change is not None:
        return []
    told = f"{FILE_NAME} says nodes: {spec.nodes}, and the cluster has {size}, which it remembers"
    return [f"{told};\n  bin/cluster scale {spec.nodes}   changes that"]


def _refuse_taken_ports(state: ClusterState, to_start: list[str]) -> None:
    taken = [
        f"port {port} ({node}, {what}) is in use by {owner_of(port)}"
        for node, what, port in state.ports()
        if node in to_start and not is_free(state.host, port)
    ]
    if taken:
        raise BadConfiguration(
            "\n".join(taken[:6]) + ("\nand more" if len(taken) > 6 else ""),
            hint=f"end that process, or choose another base_port in {FILE_NAME} (auto finds one)",
        )


def _carry_out(
    paths: Paths, plan: Plan, tell: Callable[[str], None]
) -> tuple[list[str], list[str]]:
    """Make, write and start; return who runs with old settings, and who was started."""
    state, spec = plan.state, plan.spec
    supervisor = Supervisor(paths)
    alive = bool(plan.running) or supervisor.is_running()
    if not alive:
        state.run_id = secrets.token_hex(8)
    for node in state.nodes:
        node.wanted = UP
    slowness = max(1.0, spec.election_timeout_max_ms / Spec().election_timeout_max_ms)
    # What runs goes on at its own pace.
    state.slowness = max(state.slowness, slowness) if alive else slowness
    # What is about to be made is written down first: whoever goes on after a crash must find it.
    save(paths, state)
    if not state.bootstrapped:
        bootstrap_nodes(paths, state, spec)
        state.bootstrapped = True
        save(paths, state)
    state.durability = spec.durability
    changed = write_settings(paths, state, spec)
    if alive:
        names = [node.name for node in state.nodes]
        if {*names} != {*supervisor.children()}:
            supervisor.keep(names)  # an `add` was killed before it came to this
        for name in plan.to_start:
            supervisor.start_node(name)
        _resume_paused(supervisor.children(), tell)
        return [name for name in changed if name in plan.running], plan.to_start
    state.supervisor = supervisor.launch(
        state.run_id,
        [node.name for node in state.nodes],
        restart=spec.restart,
        descriptors=spec.clients + DESCRIPTORS_BESIDE_CLIENTS,
    )
    save(paths, state)
    return [], plan.to_start


def _resume_paused(children: dict[str, Child], tell: Callable[[str], None]) -> None:
    for name, child in children.items():
        seen = sample(child.pid) if child.has_process else None
        process = identify(child.pid) if seen is not None and seen.paused else None
        if process is not None and send(process, signal.SIGCONT):
            tell(f"{name} was paused, and goes on")


def _remember_leader(paths: Paths, view: ClusterView) -> None:
    if view.leader is None or view.term is None:
        return
    with locked(paths, "up"):
        state = load(paths)
        if state is not None and state.saw_leader(view.leader, view.term):
            save(paths, state)
