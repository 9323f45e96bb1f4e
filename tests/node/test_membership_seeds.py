"""Members come, go, die and lose their disks at random, under load; then peace, then judgement."""

from random import Random
from typing import Any

import msgspec
import pytest

from orchestrator.simulation.cluster import SimulatedCluster
from orchestrator.simulation.judge import judge
from orchestrator.simulation.members import let_join, new_host, wipe
from orchestrator.simulation.profile import Profile
from orchestrator.simulation.workload import Workload

from .membership import endpoints, settle

STEPS = 25
MEMBERS_MAX = 6


@pytest.mark.parametrize("seed", range(1, 9))
def test_whatever_happens_to_the_members_no_promise_is_broken(seed: int) -> None:
    """Rows C1 to C5, C9, C10 and C16 of the catalogue, in worlds of all kinds."""
    run(seed)


def run(seed: int) -> None:
    """Run one world and raise AssertionError when a promise was broken."""
    random = Random(f"{seed}/members")
    cluster = let_join(SimulatedCluster(seed, draw(random)).up())
    cluster.elect()
    workload = Workload(cluster, seed)
    for _ in range(STEPS):
        cluster.run_ms(random.randint(5, 700))
        disturb(cluster, random)
    workload.stop()
    cluster.heal()
    for name in cluster.names:
        if cluster.hosts[name].process is None or name not in alive(cluster):
            cluster.start(name)
    cluster.run_ms(3_000)
    found = settle(cluster, within_ms=60_000)
    for name in cluster.names:
        if f"{name}#" not in " ".join(found):
            cluster.kill(name)
    cluster.elect(within_ms=20_000)
    cluster.checks.check_all(cluster.running)
    assert len(set(cluster.digests().values())) == 1, cluster.explain("states differ")
    wrong = judge(workload.history)
    assert not wrong, cluster.explain("\n".join(wrong[:10]))
    assert any(one.outcome == "ok" for one in workload.history)


def draw(random: Random) -> Profile:
    """Draw a world in which work gets done."""
    return msgspec.structs.replace(
        Profile(),
        durability=random.choice(("fsync", "fsync", "memory")),
        loss=random.choice((0, 0, 20)),
        duplicate=random.choice((0, 50)),
        reorder=random.choice((0, 50)),
        delay_us=random.choice(((50, 500), (200, 5_000))),
        disk_us=random.choice(((50, 500), (500, 5_000))),
        detect=random.choice((0, 1000)),
        snapshot_log_bytes=random.choice((64 * 1024 * 1024, 1_000)),
        tail_bytes=random.choice((0, 4 * 1024 * 1024)),
        think_us=(0, 20_000),
    )


def alive(cluster: SimulatedCluster) -> list[str]:
    return [process.name for process in cluster.alive]


def disturb(cluster: SimulatedCluster, random: Random) -> None:
    """Do one thing to a node, a disk, a link, or the members; no majority loses its state."""
    names = cluster.names
    up = alive(cluster)
    for name in names:
        if name not in up and random.random() < 0.7:
            cluster.start(name)
    up = [process.name for process in cluster.running]
    if not up:
        return
    random.choice((strike, strike, change))(cluster, random, random.choice(up))


def strike(cluster: SimulatedCluster, random: Random, name: str) -> None:
    """Do something to a node, its disk or its links."""
    forgets = cluster.profile.durability == "memory"
    match random.choice(("kill", "power", "lose", "cut", "heal")):
        case "kill" if not forgets or is_whole(cluster):
            cluster.kill(name)
        case "power" if not forgets:
            cluster.kill(name, power=True)
        case "lose" if is_whole(cluster):
            cluster.kill(name)
            wipe(cluster, name)
        case "cut":
            cluster.isolate(name)
        case "heal":
            cluster.heal()
        case _:
            pass


def change(cluster: SimulatedCluster, random: Random, name: str) -> None:
    """Ask some node for a change of the members; nobody waits for what comes of it."""
    names = cluster.names
    asked = random.choice([process.name for process in cluster.running])
    fields: dict[str, Any] = {"id": name}
    op = random.choice(("member_add", "member_remove", "member_replace"))
    if op == "member_remove":
        if len(names) <= 3:
            return
    elif len(names) >= MEMBERS_MAX:
        return
    else:
        member = new_host(cluster)
        fields |= endpoints(member)
        fields |= {"id": member.node_id} if op == "member_add" else {"to": member.node_id}
    cluster.request(asked, op, admin=True, timeout_ms=1_000, **fields)


def is_whole(cluster: SimulatedCluster) -> bool:
    """Tell whether all voters are there and agree, so that one may lose all it has."""
    leader = cluster.leader()
    if leader is None or not cluster.is_settled():
        return False
    configuration = cluster.process(leader).server.raft.state.configuration
    running = {process.server.server_id for process in cluster.running}
    return not configuration.is_joint and {*configuration.voters} <= running
