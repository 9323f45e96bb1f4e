"""After the faults: a healed majority must get to work in time, then everybody must agree.

The bound is the liveness that Raft promises: with a majority that can talk, a leader is there and
a write goes through within ten election timeouts. It is later only where a majority lacks what the
leader's log begins behind, until it has been sent a snapshot. Then what was begun with the members
must come to its end; hosts without a part in the cluster are taken away.
"""

from random import Random

from .calls import Call
from .cluster import SimulatedCluster
from .faults import Faults
from .kinds_of_link import isolated
from .members import is_quiet
from .process import Process
from .verdict import LATE_TICKS, end_us

TIMEOUTS_MAX = 10
SNAPSHOTS_MAX = 5
"""So many times as long it may take where a majority must be sent a snapshot first."""
SETTLE_MS = 20_000
STOPS_MS = 2_500
"""How long nodes that were told to stop may still be at it."""


def make_peace(faults: Faults) -> None:
    """Heal a majority and see it make progress; then all, and see them agree.

    Raises:
        AssertionError: it took too long.
    """
    cluster = faults.cluster
    _let_ends_come(cluster)
    random = Random(f"{cluster.seed}/peace")
    left_out = _draw_left_out(cluster, random)
    _set_aside(cluster, left_out, random)
    for name in cluster.names:
        if name not in left_out:
            _start(faults, name)
    _expect_progress(cluster, left_out)
    cluster.heal()
    for name in cluster.names:
        _start(faults, name)
    settle_members(faults)
    cluster.elect(within_ms=SETTLE_MS)


def _let_ends_come(cluster: SimulatedCluster) -> None:
    """Wait for whoever was told to stop, or has a disk that failed and will be told so."""
    cluster.run_until(
        lambda: not any(process.stopping or _is_doomed(process) for process in cluster.alive),
        within_ms=STOPS_MS,
    )


def _is_doomed(process: Process) -> bool:
    """Tell whether a node ends at its next turn, by a fault of before the peace (seed 3000053)."""
    return process.storage is not None and process.storage.failure is not None


def _draw_left_out(cluster: SimulatedCluster, random: Random) -> list[str]:
    """Draw a minority to leave out at first; nobody where members have changed."""
    names = list(cluster.names)
    random.shuffle(names)
    present = cluster.checks.configuration
    whole = [server_id.partition("#")[0] for server_id in present.voters] == cluster.names
    if random.random() < 0.5 or not whole or cluster.members_changed:
        return []
    return sorted(names[len(names) // 2 + 1 :])


def _set_aside(cluster: SimulatedCluster, names: list[str], random: Random) -> None:
    """Keep some nodes out of it: dead, or alive and cut off."""
    for name in names:
        process = cluster.hosts[name].process
        keeps = cluster.profile.durability != "memory"
        if process is not None and process.alive and random.random() < 0.5 and keeps:
            cluster.kill(name)
        others = [other for other in cluster.names if other != name]
        cluster.network.cuts |= isolated([name, *others])


def _start(faults: Faults, name: str) -> None:
    """Start a node; the second attempt is for one whose damaged file is restored after the first.

    It has what its disk has, and that is sound.
    """
    started = faults.start(name) or faults.start(name)
    assert started, f"{name} does not start, though its disk is in order"


def _waits_for_snapshot(cluster: SimulatedCluster) -> bool:
    """Tell whether a leader must first take and send a snapshot, as slowly as this world does."""
    cores = [process.server.raft for process in cluster.running]
    return any(
        raft.is_leader and raft.commits_wait_for_snapshot and bool(raft.peers_in_need_of_snapshot)
        for raft in cores
    )


def _expect_progress(cluster: SimulatedCluster, left_out: list[str]) -> None:
    """Write again and again, at all nodes: one of them gets it done."""
    profile = cluster.profile
    timeout_ms = profile.election_ticks_max * profile.tick_ms
    within_ms = TIMEOUTS_MAX * timeout_ms
    end_ms = cluster.scheduler.now_ms + within_ms
    last_ms = cluster.scheduler.now_ms + SNAPSHOTS_MAX * within_ms
    names = [name for name in cluster.names if name not in left_out]
    while cluster.scheduler.now_ms < end_ms:
        if _waits_for_snapshot(cluster):
            end_ms = min(last_ms, cluster.scheduler.now_ms + within_ms)
        calls = [
            cluster.request(name, "set", key="progress", value="made", timeout_ms=timeout_ms)
            for name in names
        ]
        round_end_ms = min(end_ms, cluster.scheduler.now_ms + timeout_ms + profile.tick_ms)
        while cluster.scheduler.now_ms < round_end_ms and not _any_ok(calls):
            cluster.scheduler.step()
        if _any_ok(calls):
            return
    raise AssertionError(
        f"a healed majority makes progress within {TIMEOUTS_MAX} election timeouts "
        f"({within_ms} ms), with {', '.join(left_out) or 'nobody'} left out"
    )


def _any_ok(calls: list[Call]) -> bool:
    # Whoever says that there is no room has made sure of its office.
    return any(call.done and call.outcome in {"ok", "over_quota/no"} for call in calls)


def settle_members(faults: Faults) -> None:
    """Let changes of the members end, and take away the hosts that have no part any more.

    A change may still be asked for when all seems quiet: the request is on its way, or lies with a
    leader that has yet to commit an entry of its term (seed 7002390). So whoever asked gets an
    answer first; or nobody has one to give, since the node that was asked is gone and the time is
    up, with what it may have handed on.
    """
    cluster = faults.cluster
    if not cluster.members_changed:
        return
    checks, asked = cluster.checks, faults.member_call
    if asked is not None:
        cluster.run_until(lambda: _is_over(cluster, asked), within_ms=SETTLE_MS)

    def present() -> set[str]:
        return {process.server.server_id for process in cluster.running}

    cluster.run_until(
        lambda: is_quiet(cluster) and present() >= set(checks.configuration.everyone()),
        within_ms=SETTLE_MS,
    )
    members = {server_id.partition("#")[0] for server_id in checks.configuration.everyone()}
    for name in cluster.names:
        if name not in members:
            cluster.retire(name)


def _is_over(cluster: SimulatedCluster, asked: Call) -> bool:
    """Tell whether a request can change nothing any more that it has not begun."""
    late_us = LATE_TICKS * cluster.profile.tick_ms * 1_000
    return asked.done or cluster.scheduler.now_us > end_us(cluster, asked) + late_us
