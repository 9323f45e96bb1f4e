"""How nodes find out that another's process is gone: as their hosts' network would tell them.

Rules: only the dead are told of, only while they are dead and the link to them works, and only to
those who are connected to them; somebody may miss it.
"""

from random import Random
from typing import TYPE_CHECKING

from .process import Process

if TYPE_CHECKING:
    from .cluster import SimulatedCluster

ASK_TIMES = 3
"""How often a node asks whether the process at the end of a lost connection is gone."""


class Detection:
    """Tells the processes of a cluster when one of them has ended."""

    def __init__(self, cluster: "SimulatedCluster") -> None:
        self._cluster = cluster
        self._random = Random(f"{cluster.seed}/detection")

    def on_exit(self, gone: Process) -> None:
        """Let each of the others notice, perhaps; nobody is connected to one that only joins."""
        if not gone.is_open:
            return
        for witness in self._cluster.running:
            if self._random.randrange(1000) < self._cluster.profile.detect:
                self._let_notice(witness, gone)

    def _let_notice(self, witness: Process, gone: Process) -> None:
        cluster = self._cluster
        link, peer = (witness.name, gone.name), gone.server.server_id

        def ask() -> None:
            # A process that is back listens again; a link that is cut tells nothing.
            is_cut = link in cluster.network.cuts or peer not in witness.endpoints
            if cluster.hosts[gone.name].process is gone and not is_cut:
                witness.on_peer_gone(peer)

        delay_us = self._random.randint(*cluster.profile.detect_us)
        for again in range(ASK_TIMES):
            cluster.scheduler.after(delay_us + again * cluster.profile.tick_ms * 1_000, ask)
