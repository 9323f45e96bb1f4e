"""The verdict at the end of a run: what all nodes hold, what clients saw, what nobody answered."""

from collections.abc import Iterable

from raftcache.node.watches import GRACE_MS

from .calls import Call
from .cluster import SimulatedCluster
from .histories import contradictions
from .judge import judge
from .moments import judge_moments
from .workload import Operation
from .writer import SLOW_FACTOR

FOUND_MAX = 10
REST_MS = 2_500  # A watch of a second may have another one of grace (seed 5100020).
"""How long a node may hold what no request has a longer time for; see ``_patience_end_us``."""
REST_STEP_MS = 20
LATE_TICKS = 5
"""How late, in ticks, a node may find that the time of a request is up."""
BACK = (0, 1, 5, 30)
"""How far back all nodes must remember the same: revisions, and indexes of the log."""


def pass_verdict(cluster: SimulatedCluster, history: Iterable[Operation]) -> None:
    """Judge a run that has come to rest, with all nodes up and agreed.

    Raises:
        AssertionError: a promise was broken; says which.
    """
    operations = list(history)
    cluster.checks.check_all(cluster.running)
    profile = cluster.profile
    cluster.checks.elections.on_end(profile.election_ticks_max - profile.election_ticks_min)
    _check_digests(cluster)
    _check_past(cluster)
    check_answered(cluster)
    check_rest(cluster)
    found = judge(operations)
    assert not found, "\n".join(found[:FOUND_MAX])
    found = judge_moments(operations, profile)
    assert not found, "\n".join(found[:FOUND_MAX])
    found = contradictions(operations, profile)
    assert not found, "\n".join(found[:FOUND_MAX])


def _check_digests(cluster: SimulatedCluster) -> None:
    digests = cluster.digests()
    assert len(set(digests.values())) == 1, f"all nodes hold the same state: {digests}"


def _check_past(cluster: SimulatedCluster) -> None:
    """Check that all nodes remember the same: revisions gone by, and digests of earlier indexes.

    All have applied the same by now, so each must answer for that moment and those before. What a
    client's late request adds meanwhile may be known to one node and not yet to another, which then
    says so (seed 7003834): the newest moment is the one at which the looking begins.
    """
    store = cluster.process(cluster.names[0]).server.store
    newest_rev, newest = store.store_rev, store.last_applied
    for back in BACK:
        at_rev, at = max(0, newest_rev - back), max(0, newest - back)
        pages, digests = [], []
        for name in cluster.names:
            page = cluster.ask(name, "range", prefix=b"", at_rev=at_rev, read="local")
            pages.append((page["ok"], page.get("items")))
            digest = cluster.ask(name, "hash", at=at)
            digests.append((digest["ok"], digest.get("digest")))
        assert pages.count(pages[0]) == len(pages), f"one state at revision {at_rev}: {pages}"
        assert digests.count(digests[0]) == len(digests), f"one state at index {at}: {digests}"


def check_rest(cluster: SimulatedCluster) -> None:
    """Check that nobody goes on waiting, or holds what nobody will ask for."""
    profile = cluster.profile
    # One write, of them all, may be the slowest that this world's disks know.
    slowest_us = profile.disk_us[1] * (SLOW_FACTOR if profile.slow_disk else 1)
    late_us = LATE_TICKS * profile.tick_ms * 1_000
    rest_us = max(cluster.scheduler.now_us + REST_MS * 1_000, _patience_end_us(cluster) + late_us)
    end_ms = (rest_us + 2 * slowest_us) // 1_000
    while (waiting := _waiting(cluster)) and cluster.scheduler.now_ms < end_ms:
        cluster.run_ms(REST_STEP_MS)
    assert not waiting, f"whoever is not asked is at rest: {', '.join(waiting)}"


def _patience_end_us(cluster: SimulatedCluster) -> int:
    """Return until when living nodes may hold requests: for as long as their clients have said.

    A node counts from when it takes a request in, after a pause at the latest, and when it has
    handed it on and the frame was lost it has nothing else to wait for: a change of the members,
    which has three seconds, outlasted any other rest (seed 7002054).
    """
    return max((end_us(cluster, call) for call in _unanswered(cluster)), default=0)


def end_us(cluster: SimulatedCluster, call: Call) -> int:
    """Return when a request's time is up, taken in at once or after the last pause."""
    return max(call.sent_us, cluster.peace_us) + call.timeout_ms * 1_000


def _unanswered(cluster: SimulatedCluster) -> list[Call]:
    """Return the requests without an answer that nodes took in which live on."""
    hosts = cluster.hosts
    return [
        call
        for call in cluster.silent_calls()
        if (process := hosts[call.node].process) is not None
        and process.alive
        and call.life == hosts[call.node].lives
    ]


def _waiting(cluster: SimulatedCluster) -> list[str]:
    found = []
    for process in cluster.running:
        server = process.server
        waiting = {
            "requests": not server.desk.is_idle,
            "watches": bool(len(server.desk.watches)),
            "digests": bool(server.hash_waiting),
            "bytes for the disk": bool(process.queued_bytes),
            "reads": bool(server.raft.state.read_waiting),
        }
        found += [f"{what} wait in {process.name}" for what, is_left in waiting.items() if is_left]
    return found


def check_answered(cluster: SimulatedCluster) -> None:
    """Check that whoever took in a request and lives has answered it in its time (failure C14)."""
    late_us = LATE_TICKS * cluster.profile.tick_ms * 1_000 + GRACE_MS * 1_000
    for call in _unanswered(cluster):
        in_time = end_us(cluster, call) + late_us > cluster.scheduler.now_us
        assert in_time, f"every request is answered: {call}"
