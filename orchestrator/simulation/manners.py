"""What nodes owe to those who ask once there is peace, and can't be held to while there is none.

A key that slides lives on while it is read, from whichever node; a session ends when its time is
up, though nobody writes; and a watch on a revision that is yet to come is told of that very one.
"""

from raftcache.store.machine import StateDiverged

from .calls import Call
from .cluster import SimulatedCluster
from .profile import Profile

SLIDING_MS = 400
READS = 25
READ_EVERY_MS = 40
"""More than a tenth of its time: any sooner, a read would not prolong it."""
SESSION_MS = 200
ENDED_MS = 3_000
"""Within so long a session is gone, by the slowest clock there is."""
TOLD_MS = 100
"""Within so long a node answers what it has an answer to."""
WATCH_MS = 5_000
MAJORITY_OF_OTHERS = 2
STRAY_MS = 15_000
STRAY_STEP_MS = 15
"""So often there is a write while a node is astray: digests are told once per many."""
CROWD = 12
CROWD_EVERY_MS = 1
QUICK_DISK_US = 5_000
QUICK_LINK_US = 3_000


def check_manners(cluster: SimulatedCluster) -> None:
    """Ask for all of that, where the world is one in which it can be had.

    Raises:
        AssertionError: it was not given.
    """
    profile = cluster.profile
    if profile.watchers and not profile.is_full:
        _check_awaited(cluster)
    if profile.is_full:
        _check_room(cluster)
    if profile.sessions:
        _check_session(cluster)
        if _is_quick(profile) and not profile.is_full and "passing" in profile.deeds:
            _check_sliding(cluster)
    if profile.sessions or profile.watchers:
        cluster.elect()


def check_astray(cluster: SimulatedCluster) -> None:
    """Let a node's state go astray, and check that it stops before it does any harm.

    This is the end of the run: the cluster is no longer what it should be.
    """
    leader = cluster.elect()
    others = [process for process in cluster.running if process.name != leader]
    if len(others) < MAJORITY_OF_OTHERS or not cluster.profile.astray:
        return
    cluster.checks.enabled = False
    stray = others[0]
    keyspace = stray.server.store._keyspace  # noqa: SLF001 - nobody has asked for this
    keyspace.put(b"astray", b"", keyspace.get(b"astray"))
    end_ms = cluster.scheduler.now_ms + STRAY_MS
    ends: list[tuple[str, Exception]] = []
    cluster.on_defect = lambda name, defect: ends.append((name, defect))
    while not ends and cluster.scheduler.now_ms < end_ms:
        cluster.request(leader, "set", key="astray", value="not yet")
        cluster.run_ms(STRAY_STEP_MS)
    assert ends, f"{stray.name} goes on, though its state is not what most have"
    name, defect = ends[0]
    assert name == stray.name, f"{stray.name} is astray, and {name} ends by {defect!r}"
    assert isinstance(defect, StateDiverged), f"{name} is astray, and ends by {defect!r}"


def _is_quick(profile: Profile) -> bool:
    """Tell whether what nodes say arrives, and soon."""
    lossless = profile.loss == profile.reorder == profile.slow_disk == 0
    quick = profile.disk_us[1] <= QUICK_DISK_US and profile.delay_us[1] <= QUICK_LINK_US
    return lossless and quick


def _check_session(cluster: SimulatedCluster) -> None:
    """Check that a session ends in its time, with nobody writing."""
    opened = cluster.ask(cluster.elect(), "session_open", ttl_ms=SESSION_MS)
    if not opened["ok"]:
        return  # There are too many, or the cluster was never raised to where there are any.

    def is_gone() -> bool:
        store = cluster.process(cluster.elect()).server.store
        return opened["session"] not in store._keyspace.sessions  # noqa: SLF001 - to ask is to write

    end_ms = cluster.scheduler.now_ms + ENDED_MS
    while not is_gone() and cluster.scheduler.now_ms < end_ms:
        cluster.run_ms(TOLD_MS)
    assert is_gone(), f"a session of {SESSION_MS} ms ends within {ENDED_MS} ms though nobody writes"


def _check_sliding(cluster: SimulatedCluster) -> None:
    """Check that a key slides on that is read from another node than the leader."""
    leader = cluster.elect()
    others = [process.name for process in cluster.running if process.name != leader]
    made = cluster.ask(leader, "set", key="sliding", value="on", ttl_ms=SLIDING_MS, sliding=True)
    if not (made["ok"] and others):
        return
    for _ in range(READS):
        cluster.run_ms(READ_EVERY_MS)
        seen = cluster.ask(others[0], "get", key="sliding")
        if not seen["ok"] or cluster.leader() != leader:
            return
        assert seen["found"], (
            f"a key of {SLIDING_MS} ms that slides is read from {others[0]} every "
            f"{READ_EVERY_MS} ms, and is gone"
        )


def _check_room(cluster: SimulatedCluster) -> None:
    """Check that many writes, one upon the other, do not take more room than there is."""
    profile, leader = cluster.profile, cluster.elect()
    store = cluster.process(leader).server.store
    # With less than half of it in use, nobody looks what is on its way.
    looks = store.data_bytes * 2 > profile.cache_bytes
    most = max(profile.cache_bytes, store.data_bytes)
    for number in range(CROWD):
        cluster.request(leader, "set", key=f"crowd-{number}", value="here")
        cluster.run_ms(CROWD_EVERY_MS)
    cluster.elect()
    assert store.data_bytes <= most or not looks, (
        f"keys weigh {store.data_bytes} bytes where {profile.cache_bytes} are allowed"
    )
    gone = [told for told in cluster.checks.plain.told if told[0] == "evict"]
    assert not gone or profile.eviction != "none", f"nothing may go, and this went: {gone}"


def _check_awaited(cluster: SimulatedCluster) -> None:
    """Check that a watch on a revision to come is told once there is that one."""
    leader = cluster.elect()
    process = cluster.running[0]
    wanted = process.server.store.store_rev + 2
    call: Call = cluster.request(
        process.name, "watch", key="progress", from_rev=wanted, wait_ms=WATCH_MS
    )
    cluster.run_ms(TOLD_MS)
    for value in ("one", "two"):
        if not cluster.ask(leader, "set", key="progress", value=value)["ok"]:
            return
    cluster.elect()
    cluster.run_ms(TOLD_MS)
    written = process.server.store.store_rev
    assert call.done or written < wanted, (
        f"{process.name} is at revision {written}, and has not told whoever waits for {wanted}"
    )
