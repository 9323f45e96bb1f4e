"""Seeded runs: a workload under faults, then peace, then judgement."""

from random import Random
from typing import NamedTuple

from orchestrator.simulation.cluster import SimulatedCluster
from orchestrator.simulation.faults import KINDS, Faults
from orchestrator.simulation.profile import Profile, draw_profile
from orchestrator.simulation.workload import Workload

from .checker import judge

FAULTY_MS = 3_000
SETTLE_MS = 20_000


class Run(NamedTuple):
    """What a run leaves for those who want to look closer."""

    cluster: SimulatedCluster
    workload: Workload
    faults: Faults

    def count(self, outcome: str) -> int:
        """Return how many operations ended so."""
        return sum(operation.outcome == outcome for operation in self.workload.history)


def run_seed(seed: int, *, faulty_ms: int = FAULTY_MS, profile: Profile | None = None) -> Run:
    """Run a seed and raise AssertionError when a promise was broken."""
    drawn = draw_profile(Random(f"{seed}/profile"), tuple(sorted(KINDS)))
    cluster = SimulatedCluster(seed, profile or drawn).up()
    workload = Workload(cluster, seed)
    faults = Faults(cluster, Random(f"{seed}/faults"))
    cluster.run_ms(faulty_ms)
    faults.stop()
    workload.stop()
    make_peace(cluster)
    workload.read_all()
    cluster.elect(within_ms=SETTLE_MS)

    cluster.checks.check_all(cluster.running)
    assert len(set(cluster.digests().values())) == 1, cluster.explain("states differ")
    found = judge(workload.history)
    assert not found, cluster.explain("\n".join(found[:10]))
    return Run(cluster, workload, faults)


def make_peace(cluster: SimulatedCluster) -> None:
    """Let a healthy world settle: somebody leads, and every node has everything."""
    cluster.run_ms(5)
    # Those told to stop before may still be at it; an operator starts them again.
    for _ in range(3):
        cluster.run_ms(1_500)
        cluster.up()
    cluster.elect(within_ms=SETTLE_MS)
