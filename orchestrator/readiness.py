"""Waits until a cluster is ready, and says which node is not, and what its log says."""

import time
from collections.abc import Iterable

from .errors import BadConfiguration, OrchestratorError, TryAgain
from .paths import Paths
from .probe import Prober
from .state import ClusterState
from .supervisor import NEVER_RESTARTED, Child, Supervisor
from .view import ClusterView, observe

POLL_SECONDS = 0.02
LOG_LINES_SHOWN = 10
_LOG_BYTES_READ = 65_536


def await_ready(
    paths: Paths,
    state: ClusterState,
    prober: Prober,
    *,
    seconds: float,
    names: Iterable[str] | None = None,
) -> ClusterView:
    """Wait until a leader leads and the named nodes (default: all) have caught up with it.

    A node that can't start is found out at once, not at the deadline; the others are still waited
    for, so that what is left running works.

    Raises:
        TryAgain: some node was not ready in time.
        BadConfiguration: a node refused to start; its last words are in the message.
    """
    deadline = time.monotonic() + seconds
    wanted = {node.name for node in state.nodes} if names is None else set(names)
    supervisor = Supervisor(paths)
    hopeless: dict[str, str] = {}
    while True:
        view = observe(paths, state, prober, 0.1)
        not_ready = [
            node.name for node in view.nodes if node.name in wanted and node.state != "ready"
        ]
        if view.leader is not None and not not_ready:
            return view
        find_hopeless(supervisor, not_ready, hopeless)
        quorum_is_lost = len(set(state.voters()) - set(hopeless)) < state.quorum()
        only_hopeless = view.leader is not None and set(not_ready) <= set(hopeless)
        out_of_time = time.monotonic() > deadline
        if out_of_time or only_hopeless or quorum_is_lost or not view.supervisor_running:
            raise _explain(paths, view, not_ready, hopeless, seconds)
        time.sleep(POLL_SECONDS)


def last_log_lines(paths: Paths, name: str, count: int = LOG_LINES_SHOWN) -> list[str]:
    """Return the last lines that a node printed."""
    try:
        with paths.log(name).open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _LOG_BYTES_READ))
            text = file.read().decode("utf-8", "replace")
    except OSError:
        return []
    return text.splitlines()[-count:]


def asks_for_replacement(paths: Paths, name: str) -> bool:
    """Tell whether a node's last word was that it must be replaced: its directory is damaged."""
    return any(f"bin/cluster replace {name}" in line for line in last_log_lines(paths, name, 1))


def find_hopeless(supervisor: Supervisor, names: list[str], hopeless: dict[str, str]) -> None:
    """Note the nodes that ended and will not come up by being tried again."""
    children = supervisor.children()
    for name in names:
        child = children.get(name)
        if child is None or name in hopeless:
            continue
        reason = _reason(supervisor, child)
        if reason:
            hopeless[name] = reason
            supervisor.kill_node(name)  # no use in trying it again and again


def _reason(supervisor: Supervisor, child: Child) -> str:
    if child.state not in {"BACKOFF", "EXITED", "FATAL"}:
        return ""
    code = supervisor.last_exit(child.name) if child.state != "EXITED" else child.exit_status
    if code in NEVER_RESTARTED:
        why = {
            0: "it was stopped",
            65: "its state went astray",
            74: "its disk failed",
            78: "it refused to start",
        }
        return f"{why[code]} (exit code {code})"
    return "it crashed again and again" if child.state == "FATAL" else ""


def _explain(
    paths: Paths,
    view: ClusterView,
    not_ready: list[str],
    hopeless: dict[str, str],
    seconds: float,
) -> OrchestratorError:
    if not view.supervisor_running:
        return TryAgain("the cluster was taken down meanwhile", hint="bin/cluster up")
    lines = []
    for name in not_ready or [node.name for node in view.nodes]:
        why = hopeless.get(name) or f"{view.node(name).state} after {seconds:.0f} s"
        lines.append(f"{name} is not ready: {why}")
        # One that refused to start has said why in one line; of another, more may tell.
        count = 1 if name in hopeless else LOG_LINES_SHOWN
        lines += [f"  | {line}" for line in last_log_lines(paths, name, count)]
    if view.faults:
        lines.append("faults between the nodes are in force:  bin/cluster heal   ends them")
    if view.leader is not None:
        lines.append(f"{view.leader} leads, and what runs is left running")
    refused = any("exit code 78" in reason for reason in hopeless.values())
    kind = BadConfiguration if refused else TryAgain
    hints = [f"bin/cluster logs {','.join(not_ready)} -n 100   shows more"] if not_ready else []
    damaged = [name for name in hopeless if asks_for_replacement(paths, name)]
    if damaged and view.leader is not None:
        names = ",".join(damaged)
        hints.insert(0, f"bin/cluster replace {names}   gives it a new life, from the others")
    return kind("\n".join(lines), hint="\n".join(hints))
