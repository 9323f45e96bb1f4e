"""The verbs on processes: kill, stop, start, restart, pause, resume.

Each first writes down what is wanted of the nodes, then makes it so; what a node *is* afterwards is
never taken for granted, but looked at.
"""

import random
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress

from .errors import BadConfiguration, OrchestratorError, UsageError
from .failover import Failover, await_new_leader
from .hands import await_quiet
from .links import picture_of, rules_from
from .memory import refuse_to_forget
from .paths import Paths
from .ports import is_free, owner_of
from .probe import Prober
from .processes import Process, identify, send, wait_gone
from .readiness import await_ready
from .selectors import resolve
from .state import KILLED, PAUSED, STOPPED, UP, ClusterState, changing
from .supervisor import Supervisor
from .transfer import hand_over
from .view import ClusterView, endpoints, observe, require_running

START_SECONDS = 60.0


class _Site:
    """What a verb works with while it holds the lock."""

    def __init__(self, paths: Paths, state: ClusterState, prober: Prober) -> None:
        self.paths = paths
        self.state = state
        self.prober = prober
        self.supervisor = Supervisor(paths)
        self.view: ClusterView = observe(paths, state, prober)

    def choose(self, texts: Sequence[str], chance: random.Random | None) -> list[str]:
        return resolve(texts, self.view.candidates(self.state), chance)

    def want(self, names: list[str], wanted: str) -> None:
        for name in names:
            self.state.node(name).wanted = wanted

    def process(self, name: str) -> Process | None:
        pid = self.view.node(name).pid
        return None if pid is None else identify(pid)


@contextmanager
def _site(paths: Paths, verb: str) -> Iterator[_Site]:
    with changing(paths, verb) as state, closing(Prober(endpoints(state))) as prober:
        site = _Site(paths, state, prober)
        require_running(site.view)
        if site.view.leader is not None and site.view.term is not None:
            state.saw_leader(site.view.leader, site.view.term)
        yield site


def choose(paths: Paths, texts: Sequence[str], chance: random.Random | None = None) -> list[str]:
    """Return the nodes that selectors mean now, of those that have a process.

    For whoever must know before it strikes how to undo it.

    Raises:
        UsageError: none of them runs.
    """
    with _site(paths, "choose") as site:
        return _running(site, texts, chance)


def kill(
    paths: Paths, texts: Sequence[str], *, wait: bool = True, chance: random.Random | None = None
) -> Failover:
    """SIGKILL nodes, which stay down until `start`; say who leads now.

    Waits up to two seconds for a new leader when the leader was among them and ``wait`` is set.

    Raises:
        UsageError: none of them runs.
    """
    with _site(paths, "kill") as site:
        names = _running(site, texts, chance)
        site.want(names, KILLED)
        processes = [process for name in names if (process := site.process(name)) is not None]
        began_ms = time.monotonic() * 1000
        for name in names:
            site.supervisor.kill_node(name)
        wait_gone(processes, 2.0)
        return _report(site, names, began_ms, wait=wait)


def pause(
    paths: Paths, texts: Sequence[str], *, wait: bool = True, chance: random.Random | None = None
) -> Failover:
    """SIGSTOP nodes: alive, connected and silent, as on an overloaded machine."""
    with _site(paths, "pause") as site:
        names = _running(site, texts, chance)
        site.want(names, PAUSED)
        began_ms = time.monotonic() * 1000
        for name in names:
            process = site.process(name)
            if process is not None:
                send(process, signal.SIGSTOP)
        return _report(site, names, began_ms, wait=wait)


def resume(paths: Paths, texts: Sequence[str]) -> list[str]:
    """SIGCONT nodes; return those that were paused."""
    with _site(paths, "resume") as site:
        names = [
            name for name in site.choose(texts, None) if site.view.node(name).state == "paused"
        ]
        site.want(names, UP)
        for name in names:
            process = site.process(name)
            if process is not None:
                send(process, signal.SIGCONT)
        return names


def stop(
    paths: Paths, texts: Sequence[str], *, wait: bool = True, chance: random.Random | None = None
) -> Failover:
    """End nodes in order: a leader hands over first. They stay down until `start`."""
    with _site(paths, "stop") as site:
        names = _running(site, texts, chance)
        began_ms = time.monotonic() * 1000
        _stop(site, names)
        return _report(site, names, began_ms, wait=wait)


def start(
    paths: Paths,
    texts: Sequence[str] = ("down",),
    *,
    seconds: float = START_SECONDS,
    wait: bool = True,
) -> tuple[list[str], ClusterView]:
    """Start nodes and, with ``wait``, see that they catch up; those that run are left alone.

    Raises:
        BadConfiguration: a port is taken, or a node refused to start.
        TryAgain: a node was not ready after ``seconds``.
    """
    with _site(paths, "start") as site:
        names = [n for n in site.choose(texts, None) if not site.view.node(n).has_process]
        _start(site, names)
    return names, _wait(paths, site.state, names, seconds) if wait else site.view


def restart(
    paths: Paths,
    texts: Sequence[str],
    *,
    rolling: bool = False,
    seconds: float = START_SECONDS,
    chance: random.Random | None = None,
) -> tuple[list[str], ClusterView]:
    """Stop nodes in order and start them again; ``rolling``: one at a time, the leader last."""
    with _site(paths, "restart") as site:
        names = site.choose(texts, chance)
        leader = site.view.leader
        if not rolling:
            refuse_to_forget(site.state, names, "restart")
    names.sort(key=lambda name: (name == leader, name))
    steps = [[name] for name in names] if rolling else [names]
    view = site.view
    for step in steps:
        with _site(paths, "restart") as site:
            if rolling:
                _hand_over(site, step)
            _stop(site, [name for name in step if site.view.node(name).has_process])
            _start(site, step)
        view = _wait(paths, site.state, step, seconds)
        if rolling:
            await_quiet(paths, site.state, seconds)
    return names, view


def _hand_over(site: _Site, leaving: list[str]) -> None:
    """Have another node lead before this one is stopped: nobody notices."""
    if site.view.leader in leaving and site.view.size > 1:
        with suppress(OrchestratorError):  # then it hands over when it is told to stop
            hand_over(site.paths, site.state, site.prober, site.view, None)


def _running(site: _Site, texts: Sequence[str], chance: random.Random | None) -> list[str]:
    names = [name for name in site.choose(texts, chance) if site.view.node(name).has_process]
    if not names:
        raise UsageError("none of these nodes is running", hint="bin/cluster status")
    return names


def _stop(site: _Site, names: list[str]) -> None:
    site.want(names, STOPPED)
    site.supervisor.end_nodes(names)


def _start(site: _Site, names: list[str]) -> None:
    taken = [
        f"port {port} ({node}, {what}) is in use by {owner_of(port)}"
        for node, what, port in site.state.ports()
        if node in names and not is_free(site.state.host, port)
    ]
    if taken:
        raise BadConfiguration("\n".join(taken), hint="end that process first")
    site.want(names, UP)
    for name in names:
        site.supervisor.start_node(name)


def _wait(paths: Paths, state: ClusterState, names: list[str], seconds: float) -> ClusterView:
    with closing(Prober(endpoints(state))) as prober:
        if not names:
            return observe(paths, state, prober)
        return await_ready(paths, state, prober, seconds=seconds, names=names)


def _report(site: _Site, names: list[str], began_ms: float, *, wait: bool) -> Failover:
    before = site.view
    rules = {name: rules_from(held) for name, held in before.faults.items() if name not in names}
    failover = await_new_leader(
        site.state,
        site.prober,
        before=before,
        lost=names,
        began_ms=began_ms,
        wait=wait,
        picture=picture_of(rules),
    )
    if failover.leader is not None and failover.term is not None:
        site.state.saw_leader(failover.leader, failover.term)
    return failover
