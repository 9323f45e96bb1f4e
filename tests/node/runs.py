"""Seeded runs: a workload under faults, then peace, then judgement."""

from random import Random
from typing import NamedTuple

from orchestrator.simulation.cluster import SimulatedCluster
from orchestrator.simulation.faults import KINDS, Faults
from orchestrator.simulation.profile import Profile, draw_busy_profile, draw_profile
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
    return run_world(seed, profile or drawn, faulty_ms=faulty_ms)


def run_busy_seed(seed: int, *, faulty_ms: int = FAULTY_MS) -> Run:
    """Run a seed in a world in which snapshots come and go all the time."""
    drawn = draw_busy_profile(Random(f"{seed}/busy"), tuple(sorted(KINDS)))
    return run_world(seed, drawn, faulty_ms=faulty_ms)


def run_world(seed: int, profile: Profile, *, faulty_ms: int = FAULTY_MS) -> Run:
    """Run a seed in a given world, and raise AssertionError when a promise was broken."""
    cluster = SimulatedCluster(seed, profile).up()
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
    check_past(cluster)
    found = judge(workload.history)
    assert not found, cluster.explain("\n".join(found[:10]))
    return Run(cluster, workload, faults)


def check_past(cluster: SimulatedCluster) -> None:
    """Check that all nodes remember the same: revisions gone by, and digests of earlier indexes."""
    newest = cluster.process(cluster.names[0]).server.store
    for back in (0, 1, 5, 30):
        at_rev, at = max(0, newest.store_rev - back), max(0, newest.last_applied - back)
        pages, digests = [], []
        for name in cluster.names:
            page = cluster.ask(name, "range", prefix=b"", at_rev=at_rev, read="local")
            pages.append((page["ok"], page.get("items")))
            digest = cluster.ask(name, "hash", at=at)
            digests.append((digest["ok"], digest.get("digest")))
        assert pages.count(pages[0]) == len(pages), cluster.explain(f"revision {at_rev}: {pages}")
        assert digests.count(digests[0]) == len(digests), cluster.explain(f"index {at}: {digests}")


def make_peace(cluster: SimulatedCluster) -> None:
    """Let a healthy world settle: somebody leads, and every node has everything."""
    cluster.run_ms(5)
    # Those told to stop before may still be at it; an operator starts them again.
    for _ in range(3):
        cluster.run_ms(1_500)
        cluster.up()
    cluster.elect(within_ms=SETTLE_MS)
