"""What a change of the membership does to the world: nodes asked, processes, directories."""

import shutil
import time
from contextlib import closing
from typing import Any

from . import gateway
from .administration import Administration, Members, administration
from .errors import OrchestratorError, TryAgain
from .node_settings import extend_settings
from .paths import Paths
from .probe import Prober
from .readiness import find_hopeless, last_log_lines
from .state import UP, ClusterState, save
from .supervisor import Supervisor
from .transfer import hand_over
from .view import endpoints, observe

HAND_OVER_SECONDS = 3.0
QUIET_POLL_SECONDS = 0.05


class RealHands:
    """The hands of :class:`membership.Work` on a real cluster, for whoever holds its lock."""

    def __init__(self, paths: Paths, state: ClusterState) -> None:
        self._paths = paths
        self._state = state
        self._supervisor = Supervisor(paths)
        self._administration: Administration = administration(paths, state, self._running)
        self._hopeless: dict[str, str] = {}

    def save(self) -> None:
        """Write the state down."""
        save(self._paths, self._state)

    def members(self) -> Members:
        """Return who takes part, as the leader says."""
        return self._administration.members()

    def ask(self, fields: dict[str, Any]) -> Members:
        """Have the cluster commit a change, or find that it has."""
        return self._administration.change(fields)

    def hand_over(self, leaving: list[str]) -> None:
        """See to it that none of these leads, as far as that can be helped.

        One that is removed while it leads hands over by itself; this only makes it quicker.
        """
        with closing(Prober(endpoints(self._state))) as prober:
            view = observe(self._paths, self._state, prober)
            if view.leader not in leaving:
                return
            staying = [
                node.name
                for node in view.nodes
                if node.state == "ready" and node.voter and node.name not in leaving
            ]
            for target in staying:
                try:
                    hand_over(self._paths, self._state, prober, view, target, HAND_OVER_SECONDS)
                except OrchestratorError:
                    continue
                return

    def start(self, names: list[str]) -> None:
        """Write the settings of all nodes, and have these started."""
        for name in names:
            self._state.node(name).wanted = UP
        self.save()
        extend_settings(self._paths, self._state)
        self._supervisor.keep([node.name for node in self._state.nodes])
        for name in names:
            self._supervisor.start_node(name)
        self._hopeless.clear()

    def stop(self, name: str) -> None:
        """End a node's process; it stays down."""
        if name in self._supervisor.children():
            self._supervisor.end_nodes([name])

    def forget(self, names: list[str]) -> None:
        """Have supervisord keep only the nodes of the state; delete the settings of these."""
        extend_settings(self._paths, self._state)
        self._supervisor.keep([node.name for node in self._state.nodes])
        for name in names:
            self._paths.settings(name).unlink(missing_ok=True)
            self._paths.admin_socket(name).unlink(missing_ok=True)

    def set_aside(self, name: str, where: str) -> None:
        """Move a node's directory to ``where``; nothing happens if that is there already.

        Of a name that was removed before, the older directory makes room: all that it holds, the
        others held when it went.
        """
        directory, kept = self._paths.data(name), self._paths.nodes / where
        if directory.is_dir() and not kept.exists():
            directory.rename(kept)
        if ".removed-" in where:
            for older in self._paths.nodes.glob(f"{name}.removed-*"):
                if older != kept:
                    shutil.rmtree(older, ignore_errors=True)

    def kept(self, where: str) -> str | None:
        """Return the path of a directory that was set aside; None if there was none to keep."""
        path = self._paths.nodes / where
        return str(path) if path.is_dir() else None

    def drop_data(self, name: str) -> None:
        """Delete a node's directory."""
        shutil.rmtree(self._paths.data(name), ignore_errors=True)

    def refresh(self) -> None:
        """Tell the gateway who there is; it looks at its settings now and then."""
        gateway.write_nodes(self._paths, self._state)

    def hopeless(self, names: list[str]) -> dict[str, str]:
        """Return which of these will not come up by waiting, and why."""
        find_hopeless(self._supervisor, names, self._hopeless)
        return {
            name: "\n  | ".join([why, *last_log_lines(self._paths, name, 1)])
            for name, why in self._hopeless.items()
        }

    def last_words(self, name: str) -> list[str]:
        """Return what a node printed last."""
        return last_log_lines(self._paths, name, 1)

    def up_to_date(self, names: list[str]) -> bool:
        """Tell whether these nodes themselves say that they have caught up."""
        with closing(Prober(endpoints(self._state))) as prober:
            statuses = prober.statuses(names, 0.2)
        return all(statuses.get(name, {}).get("caught_up") for name in names)

    def _running(self) -> list[str]:
        children = self._supervisor.children()
        known = {node.name for node in self._state.nodes}
        return [name for name, child in children.items() if child.has_process and name in known]


def await_quiet(paths: Paths, state: ClusterState, seconds: float) -> None:
    """Wait until no change of the membership is under way.

    A node that forgets what it knew has caught up before it votes again (durability ``memory``);
    until then no other may go.

    Raises:
        TryAgain: it was not so in time.
    """
    hands = RealHands(paths, state)
    deadline = time.monotonic() + seconds
    while not hands.members().quiet:
        if time.monotonic() > deadline:
            raise TryAgain(
                f"after {seconds:g} s a node that came back does not vote yet",
                hint="bin/cluster status   may tell why",
            )
        time.sleep(QUIET_POLL_SECONDS)
