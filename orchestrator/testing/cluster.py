"""A cluster in the hands of a test: the verbs of the command line, clients, and a verdict.

What a test breaks, :meth:`RaftCluster.reset` mends, so that tests can share the processes, which
take a second to start, and nothing else.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from raftcache.client import Client, Delete, RequestError

from ..errors import CheckFailed, OrchestratorError, TryAgain
from ..failover import Failover
from ..logs import last_lines
from ..network import Struck
from ..throwaway import Throwaway
from ..view import ClusterView
from .recording import Recordable, Recording, RecordingClient, assert_linearizable

__tracebackhide__ = True
"""For pytest: a test that fails shows its own lines, not those of this file."""

T = TypeVar("T")
READY_SECONDS_MAX = 60.0
"""A bound for a host that has much else to do; it mostly takes well under a second."""
_RESET_CALL_SECONDS = 30.0
_WIPE_KEYS = 1_000
"""Keys that one batch deletes; a batch takes no more operations."""
_LOG_LINES = 8
_LEADERSHIP = ("leader", "followers", "one-follower")
"""Selectors that mean something only where somebody leads."""


class RaftCluster:
    """Nodes on free ports of this host, and what can be done to them.

    Nodes are chosen as on the command line: by name (``"n1"``), or ``"leader"``, ``"followers"``,
    ``"one-follower"``, ``"minority"``, ``"majority"``, ``"random(2)"``, ``"all"``, ``"down"``.
    """

    def __init__(self, site: Throwaway, evidence: Path) -> None:
        """Work with a cluster that is up; histories that fail are written to ``evidence``."""
        self.cluster = site.cluster
        """The same as a library object, for what is not offered here."""
        self.folder = site.folder
        """Where its cluster.yaml, logs and data are, while it lives."""
        self._site = site
        self._evidence = evidence
        self._endpoints = dict(site.endpoints)
        self._recording = Recording()
        self._recorders = 0
        self._clients: list[Client[bytes]] = []
        self._suspect = False
        """Whether a test has done something that may have to be mended."""
        self._deeds: list[str] = []
        self._end: Callable[[], None] = lambda: None

    def __repr__(self) -> str:
        """Tell which nodes there are, and where."""
        return f"<{type(self).__name__} of {', '.join(self._endpoints)} in {self.folder}>"

    # What there is

    @property
    def nodes(self) -> list[str]:
        """The nodes' names: ``n1``, ``n2``, ``n3``."""
        return list(self._endpoints)

    @property
    def endpoints(self) -> list[str]:
        """Where the nodes take clients, for ``Client(...)``: one for each, also for those down."""
        return list(self._endpoints.values())

    @property
    def environment(self) -> dict[str, str]:
        """This process's environment with ``RAFTCACHE_ENDPOINTS``, for a service to be started."""
        return {**os.environ, "RAFTCACHE_ENDPOINTS": ",".join(self.endpoints)}

    def endpoint(self, node: str) -> str:
        """Return where one node takes clients."""
        if node not in self._endpoints:
            raise KeyError(f"there is no node {node!r}; there are {', '.join(self._endpoints)}")
        return self._endpoints[node]

    @property
    def leader(self) -> str:
        """Who leads; while nobody does, it waits."""
        leader = self.cluster.wait("leader", seconds=READY_SECONDS_MAX).leader
        assert leader is not None, "a wait for a leader ends with one"
        return leader

    @property
    def followers(self) -> list[str]:
        """Those that do not lead, dead ones too."""
        leader = self.leader
        return [name for name in self.nodes if name != leader]

    def status(self) -> ClusterView:
        """Ask all nodes how they are, now."""
        return self.cluster.status()

    def wait_ready(self) -> None:
        """Wait until there is a leader and every node has caught up."""
        self.cluster.wait("ready", seconds=READY_SECONDS_MAX)

    # Clients, and the verdict

    def client(self, *, timeout: float = 5.0, exactly_once: bool = True) -> Client[bytes]:
        """Return a client of its own, that is closed after the test."""
        client = Client(self.endpoints, timeout=timeout, exactly_once=exactly_once)
        self._clients.append(client)
        return client

    def recording_client(
        self, *, timeout: float = 5.0, wrapping: Recordable | None = None
    ) -> RecordingClient:
        """Return a client whose operations :meth:`assert_linearizable` judges.

        With ``wrapping`` it is that one, of your service perhaps, that is recorded. Make one for
        each thread: a client does one thing at a time, and so should be recorded.
        """
        self._recorders += 1
        inner = self.client(timeout=timeout) if wrapping is None else wrapping
        return RecordingClient(f"c{self._recorders}", inner, self._recording)

    def assert_linearizable(self) -> None:
        """Read back all keys that were recorded, and judge what all recording clients saw.

        Raises:
            AssertionError: a write that was acknowledged is lost, a read was stale, something
                happened twice; or nothing was recorded, or not all of it could be judged.
        """
        self._recording.history()  # complains before anything else is done
        final = RecordingClient("final", self.client(timeout=READY_SECONDS_MAX), self._recording)
        for key in self._recording.keys:
            try:
                final.get(key)
            except RequestError as error:
                raise AssertionError(
                    f"{key!r} could not be read back ({error}): a majority of the nodes must be "
                    "up and connected for the verdict; heal(), resume() or start() first"
                ) from error
        place = self._evidence / f"history-{time.monotonic_ns()}.jsonl"
        assert_linearizable(self._recording.history(), place)

    # Processes

    def kill_leader(self) -> Failover:
        """SIGKILL the leader; return once another leads, where a majority is left."""
        return self.kill("leader")

    def kill(self, *nodes: str) -> Failover:
        """SIGKILL nodes, which stay down until :meth:`start`."""
        return self._strike("kill", nodes, self.cluster.kill)

    def stop(self, *nodes: str) -> Failover:
        """End nodes in order, as an upgrade would; they stay down until :meth:`start`."""
        return self._strike("stop", nodes, self.cluster.stop)

    def pause(self, *nodes: str) -> Failover:
        """SIGSTOP nodes (default: the leader): alive, connected, and silent."""
        return self._strike("pause", nodes or ("leader",), self.cluster.pause)

    def resume(self, *nodes: str) -> list[str]:
        """SIGCONT nodes (default: all that are paused); return those that were paused."""
        return self._do("resume", nodes, lambda: self.cluster.resume(*nodes))

    def start(self, *nodes: str) -> list[str]:
        """Start nodes (default: all that are down); return them once they have caught up."""
        return self._do(
            "start", nodes, lambda: self.cluster.start(*nodes, seconds=READY_SECONDS_MAX)
        )[0]

    def restart(self, *nodes: str, rolling: bool = False) -> list[str]:
        """Stop nodes in order (default: all) and start them again; ``rolling``: one by one."""
        self._await_leader(nodes)
        return self._do(
            "restart",
            nodes,
            lambda: self.cluster.restart(*nodes, rolling=rolling, seconds=READY_SECONDS_MAX),
        )[0]

    # Links

    def partition(self, *groups: str) -> Failover:
        """Cut the links between groups such as ``"n1|n2,n3"`` (default: the leader, alone)."""
        groups = groups or ("leader|followers",)
        return self._cut("partition", groups, self.cluster.partition)

    def isolate(self, *nodes: str) -> Failover:
        """Cut nodes off from all others."""
        return self._cut("isolate", nodes, self.cluster.isolate)

    def heal(self) -> None:
        """Make all links whole."""
        self._do("heal", (), self.cluster.heal)

    # Between tests

    def reset(self) -> None:
        """Mend everything, and delete all keys: for the next test it is as new.

        Raises:
            OrchestratorError, RequestError: it can't be mended.
        """
        self.close_clients()
        self._recording, self._recorders = Recording(), 0
        view = self.cluster.status()
        if self._suspect or not view.ready or view.faults:
            self.cluster.heal()
            self.cluster.resume()
            self.cluster.start(seconds=READY_SECONDS_MAX)
            self.wait_ready()
            self._suspect = False
        self._deeds.clear()
        with Client(self.endpoints, timeout=_RESET_CALL_SECONDS) as client:
            while keys := client.range("", keys_only=True, limit=_WIPE_KEYS).items:
                for outcome in client.batch([Delete(item.key) for item in keys]):
                    if isinstance(outcome, Exception):
                        raise outcome

    def close_clients(self) -> None:
        """Close the clients that :meth:`client` has made."""
        for client in self._clients:
            client.close()
        self._clients.clear()

    def closes_with(self, end: Callable[[], None]) -> None:
        """Say how :meth:`close` ends it."""
        self._end = end

    def close(self) -> None:
        """End the cluster, if it was made for you by ``raft_cluster_factory``."""
        self.close_clients()
        self._end()

    def __enter__(self) -> Self:
        """Return the cluster itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def report(self) -> str:
        """Return what was done to the cluster, and how it is now, for whoever reads a failure."""
        lines = [*self._deeds, ""] if self._deeds else []
        with suppress(OrchestratorError):
            view = self.cluster.status()
            states = ", ".join(f"{node.name} {node.state}" for node in view.nodes)
            leads = f"{view.leader} leads in term {view.term}" if view.leader else "nobody leads"
            lines.append(f"now: {states}; {leads}")
        for name in self.nodes:
            told = last_lines(self.cluster.paths.log(name), _LOG_LINES)
            lines += [f"{name}: {line}" for line in told]
        return "\n".join(lines)

    def _strike(self, verb: str, nodes: Sequence[str], strike: Callable[..., Failover]) -> Failover:
        _need(verb, nodes)
        self._await_leader(nodes)
        failover = self._do(verb, nodes, lambda: strike(*nodes))
        return self._settled(failover)

    def _cut(self, verb: str, groups: Sequence[str], cut: Callable[..., Struck]) -> Failover:
        _need(verb, groups)
        self._await_leader(groups)
        return self._settled(self._do(verb, groups, lambda: cut(*groups)).failover)

    def _settled(self, failover: Failover) -> Failover:
        """Wait for a new leader where there can be one: tests go on as if that took no time."""
        if failover.leader is None and failover.has_quorum:
            with suppress(TryAgain):  # no majority may be connected, which is what was asked for
                self.cluster.wait("leader")
        if failover.changed and failover.after_ms is not None:
            self._deeds.append(
                f"  {failover.leader} leads in term {failover.term} "
                f"after {failover.after_ms:.0f} ms: {failover.reason}"
            )
        return failover

    def _await_leader(self, selectors: Sequence[str]) -> None:
        if any(word in selector for selector in selectors for word in _LEADERSHIP):
            self.cluster.wait("leader", seconds=READY_SECONDS_MAX)

    def _do(self, verb: str, nodes: Sequence[str], deed: Callable[[], T]) -> T:
        self._suspect = True
        self._deeds.append(" ".join((verb, *nodes)))
        try:
            return deed()
        except OrchestratorError as error:
            # The hint would be lost: a test that fails shows the message only.
            hint = f": {error.hint}" if error.hint else ""
            raise type(error)(f"{error.message}{hint}") from None


def _need(verb: str, nodes: Sequence[Any]) -> None:
    if not nodes:
        raise CheckFailed(f"raft_cluster.{verb}(): which nodes? For example {verb}('leader')")
