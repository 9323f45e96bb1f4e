"""A cluster on this host as a Python object: the verbs of the command line, as methods.

    cluster = Cluster.at("cluster.yaml")
    cluster.up()
    print(cluster.kill("leader").after_ms)
    cluster.down()

Every method raises the errors of ``errors``; nothing is printed.
"""

import random
import time
from contextlib import closing
from pathlib import Path

from raftcache.protocol.faults import FaultRule

from . import actions, network
from .bringup import READY_SECONDS_MAX, Brought, bring_up
from .errors import TryAgain
from .failover import Failover
from .network import Healed, Struck
from .paths import Paths, locate
from .probe import Prober
from .state import ClusterState, load_existing
from .teardown import Ended, take_down
from .view import ClusterView, endpoints, observe, observe_once

WAIT_POLL_SECONDS = 0.02


class Cluster:
    """One cluster, known by its state folder."""

    def __init__(self, paths: Paths, *, chance: random.Random | None = None) -> None:
        """Work with the cluster at ``paths``; ``chance`` decides what selectors leave open."""
        self.paths = paths
        self._chance = chance

    @classmethod
    def at(
        cls,
        file: str | Path | None = None,
        state: str | Path | None = None,
        *,
        chance: random.Random | None = None,
    ) -> "Cluster":
        """Find a cluster by its cluster.yaml (default: the nearest upward) and state folder."""
        paths = locate(None if file is None else str(file), None if state is None else str(state))
        return cls(paths, chance=chance)

    @property
    def state(self) -> ClusterState:
        """What is remembered of it, read anew."""
        return load_existing(self.paths)

    @property
    def client_endpoints(self) -> list[str]:
        """Where its nodes take clients."""
        return [node.client for node in self.state.nodes]

    def up(
        self,
        *,
        nodes: int | None = None,
        wipe: bool = False,
        seconds: float = READY_SECONDS_MAX,
    ) -> Brought:
        """Start what is down; return when there is a leader and every node has caught up."""
        return bring_up(self.paths, nodes=nodes, wipe=wipe, seconds=seconds)

    def down(self, *, wipe: bool = False) -> Ended:
        """End it; the proof in the answer says whether anything is left."""
        return take_down(self.paths, wipe=wipe)

    def status(self) -> ClusterView:
        """Ask all nodes how they are."""
        return observe_once(self.paths, self.state)

    def wait(self, condition: str, *, seconds: float = READY_SECONDS_MAX) -> ClusterView:
        """Wait for ``leader`` (somebody leads) or ``ready`` (and every node has caught up).

        ``caught-up`` asks it only of the nodes that run: neither down nor paused.

        Raises:
            TryAgain: it did not become so in time.
        """
        state = self.state
        deadline = time.monotonic() + seconds
        with closing(Prober(endpoints(state))) as prober:
            while True:
                view = observe(self.paths, state, prober, 0.1)
                if _holds(condition, view):
                    return view
                if time.monotonic() > deadline:
                    states = ", ".join(f"{node.name} {node.state}" for node in view.nodes)
                    leader = f"{view.leader} leads" if view.leader else "nobody leads"
                    raise TryAgain(f"not {condition} after {seconds:g} s: {leader}; {states}")
                time.sleep(WAIT_POLL_SECONDS)

    def kill(self, *selectors: str, wait: bool = True) -> Failover:
        """SIGKILL nodes; they stay down until :meth:`start`."""
        return actions.kill(self.paths, selectors, wait=wait, chance=self._chance)

    def stop(self, *selectors: str, wait: bool = True) -> Failover:
        """End nodes in order; they stay down until :meth:`start`."""
        return actions.stop(self.paths, selectors, wait=wait, chance=self._chance)

    def pause(self, *selectors: str, wait: bool = True) -> Failover:
        """SIGSTOP nodes."""
        return actions.pause(self.paths, selectors, wait=wait, chance=self._chance)

    def partition(self, *groups: str, wait: bool = True) -> Struck:
        """Cut the links between groups such as ``n1|n2,n3``, instead of what was cut before."""
        seen = network.look(self.paths, "partition")
        change = network.plan_partition(seen.view, seen.state, groups, self._chance)
        return network.carry_out(self.paths, change, "partition", wait=wait)

    def isolate(
        self, *selectors: str, inward: bool = True, outward: bool = True, wait: bool = True
    ) -> Struck:
        """Cut nodes off from all others, or in one direction only."""
        seen = network.look(self.paths, "isolate")
        change = network.plan_isolation(
            seen.view, seen.state, selectors, inward=inward, outward=outward, chance=self._chance
        )
        return network.carry_out(self.paths, change, "isolate", wait=wait)

    def link(
        self, first: str, second: str, harm: FaultRule, *, one_way: bool = False, wait: bool = True
    ) -> Struck:
        """Disturb the links between two sets of nodes; the peer that ``harm`` names is ignored."""
        seen = network.look(self.paths, "link")
        change = network.plan_link(
            seen.view, seen.state, ([first], [second]), harm, one_way=one_way, chance=self._chance
        )
        return network.carry_out(self.paths, change, "link", wait=wait)

    def heal(self, *selectors: str) -> Healed:
        """Make all links whole, or those of some nodes."""
        return network.heal(self.paths, selectors)

    def resume(self, *selectors: str) -> list[str]:
        """SIGCONT nodes (default: all that are paused); return those that were paused."""
        return actions.resume(self.paths, selectors or ("paused",))

    def start(
        self, *selectors: str, seconds: float = READY_SECONDS_MAX
    ) -> tuple[list[str], ClusterView]:
        """Start nodes (default: all that are down) and wait until they have caught up."""
        return actions.start(self.paths, selectors or ("down",), seconds=seconds)

    def restart(
        self, *selectors: str, rolling: bool = False, seconds: float = READY_SECONDS_MAX
    ) -> tuple[list[str], ClusterView]:
        """Stop nodes in order (default: all) and start them again."""
        return actions.restart(
            self.paths, selectors or ("all",), rolling=rolling, seconds=seconds, chance=self._chance
        )


def _holds(condition: str, view: ClusterView) -> bool:
    if condition == "leader":
        return view.leader is not None
    if condition == "ready":
        return view.ready
    assert condition == "caught-up", "a condition is leader, ready or caught-up"
    alive = [node for node in view.nodes if node.has_process and node.state != "paused"]
    return view.leader is not None and all(node.state == "ready" for node in alive)
