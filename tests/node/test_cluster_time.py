"""Cluster time in whole clusters: keys go on time or late, never early, and everywhere alike."""

from random import Random

import msgspec
import pytest

from orchestrator.simulation.cluster import SimulatedCluster
from orchestrator.simulation.profile import CALM, Profile
from raftcache.node.cluster_time import ClusterTime
from raftcache.store.machine import EXPIRED_MAX

from .builders import elected


def ready(seed: int = 1, profile: Profile = CALM) -> tuple[SimulatedCluster, str, list[str]]:
    """Return a cluster that knows the time, its leader, and the others."""
    cluster, leader, others = elected(seed, profile)
    wait_for_version(cluster)
    return cluster, leader, others


def wait_for_version(cluster: SimulatedCluster) -> None:
    """Let all nodes learn that entries may be stamped."""
    cluster.run_until(lambda: all(p.server.store.command_version > 1 for p in cluster.running))


def put(cluster: SimulatedCluster, node: str, key: bytes, ttl_ms: int) -> None:
    """Set a key that expires."""
    reply = cluster.ask(node, "set", key=key, value=b"x", ttl_ms=ttl_ms)
    assert reply["ok"], reply


def is_there(cluster: SimulatedCluster, node: str, key: bytes) -> bool:
    found = cluster.ask(node, "get", key=key)["found"]
    assert isinstance(found, bool)
    return found


def time_of(cluster: SimulatedCluster, name: str) -> int:
    return cluster.process(name).server.upkeep.time.now_ms


def test_a_key_goes_by_itself_when_nobody_writes() -> None:
    cluster, leader, others = ready()
    put(cluster, leader, b"a", 500)
    begun_ms = cluster.scheduler.now_ms

    cluster.run_ms(450)
    assert is_there(cluster, others[0], b"a")
    cluster.run_until(lambda: cluster.process(others[0]).server.store.key_count == 0)

    # The entry was made a little before its answer; and then one tick, one round, two disks.
    assert 490 <= cluster.scheduler.now_ms - begun_ms <= 600
    cluster.run_until(cluster.is_settled)
    assert set(cluster.digests().values()) == {cluster.process(leader).server.store.digest()}


def test_what_is_left_is_told_by_every_node_alike() -> None:
    """Though only the leader has a clock to look at."""
    cluster, leader, others = ready()
    put(cluster, leader, b"a", 10_000)

    cluster.run_ms(3_000)

    for node in (leader, *others):
        left_ms = cluster.ask(node, "get", key=b"a", read="local")["ttl_ms"]
        assert 6_800 <= left_ms <= 7_100


def test_a_crowd_of_keys_goes_in_few_entries() -> None:
    """Batched, and never more at once than a turn can bear."""
    cluster, leader, _ = ready()
    for part in range(3):
        ops = [
            {"op": "set", "key": b"%d-%d" % (part, n), "value": b"", "ttl_ms": 1_000}
            for n in range(900)
        ]
        assert cluster.ask(leader, "batch", ops=ops)["ok"]
    cluster.run_until(cluster.is_settled)
    store = cluster.process(leader).server.store
    before = store.last_applied

    cluster.run_until(lambda: store.key_count == 0)

    entries = store.last_applied - before
    assert 2_700 // EXPIRED_MAX < entries <= 8


def test_time_stands_still_while_nobody_leads() -> None:
    """Whoever could not renew in that time loses nothing (failure B12)."""
    cluster, leader, others = ready()
    put(cluster, leader, b"a", 1_000)
    for name in others:
        cluster.kill(name)

    cluster.run_ms(5_000)
    cluster.up()
    leader = cluster.elect()

    assert is_there(cluster, leader, b"a")
    cluster.run_until(lambda: cluster.process(leader).server.store.key_count == 0)


def test_time_stands_still_for_a_leader_that_nobody_answers() -> None:
    """Well before it steps down."""
    cluster, leader, _ = ready()
    cluster.run_ms(100)
    cluster.isolate(leader)
    cut_ms = time_of(cluster, leader)

    cluster.run_ms(2_000)

    assert time_of(cluster, leader) - cut_ms <= 10 * CALM.election_ticks_min + 20


def test_a_leader_that_was_paused_does_not_jump() -> None:
    """Its clock went on, and perhaps nobody could have renewed (failures B11, F13)."""
    cluster, leader, _ = ready(profile=msgspec.structs.replace(CALM, nodes=1))
    put(cluster, leader, b"a", 2_000)
    cluster.pause(leader)

    cluster.run_ms(60_000)
    cluster.resume(leader)

    assert is_there(cluster, leader, b"a")
    cluster.run_ms(1_700)
    assert is_there(cluster, leader, b"a")
    cluster.run_until(lambda: cluster.process(leader).server.store.key_count == 0)


def test_a_deposed_leader_lets_nothing_go_when_it_wakes_up() -> None:
    """The key was given more time meanwhile, elsewhere (failures B11, F13)."""
    cluster, leader, others = ready()
    put(cluster, leader, b"a", 1_000)
    cluster.pause(leader)
    cluster.run_until(lambda: any(cluster.process(n).server.raft.is_leader for n in others))
    assert cluster.ask(others[0], "expire", key=b"a", ttl_ms=60_000)["found"]

    cluster.run_ms(3_000)
    cluster.resume(leader)
    cluster.run_ms(1_000)

    assert is_there(cluster, leader, b"a")


def test_a_new_leader_goes_on_where_the_log_ends() -> None:
    """However slow or fast its own clock is, and wherever that stands."""
    profile = msgspec.structs.replace(CALM, clock_rates=(500, 1_000, 2_000))
    cluster, leader, _ = ready(profile=profile)
    last_ms = 0
    for _ in range(4):
        assert cluster.ask(leader, "incr", key=b"n")["ok"]
        stamped_ms = cluster.process(leader).server.store.time_ms
        assert stamped_ms >= last_ms
        cluster.kill(leader)
        cluster.run_until(lambda: cluster.leader() is not None)
        leader = cluster.leader() or ""
        cluster.run_until(lambda: time_of(cluster, leader) >= stamped_ms)  # noqa: B023 - now
        last_ms = stamped_ms
        cluster.up()
        cluster.elect()


@pytest.mark.parametrize("seed", range(1, 4))
def test_replicas_agree_on_what_has_gone_whatever_their_clocks_say(seed: int) -> None:
    """Rates from a half to twice; leaders come and go (failures B8, B9)."""
    profile = msgspec.structs.replace(CALM, clock_rates=(500, 1_000, 2_000))
    cluster, _, _ = ready(seed, profile)
    draw = Random(f"{seed}/keys")
    for round_number in range(30):
        node = draw.choice(cluster.names)
        ttl_ms = draw.randint(1, 300)
        cluster.ask(node, "set", key=b"%d" % draw.randrange(8), value=b"", ttl_ms=ttl_ms)
        if round_number % 10 == 9:
            leader = cluster.leader()
            if leader is not None:
                cluster.kill(leader)
                cluster.run_ms(400)
                cluster.up()
        cluster.run_ms(draw.randint(0, 120))
    cluster.elect()

    # At each index along the way the run's own checks have compared the digests.
    cluster.checks.check_all(cluster.running)
    assert len(set(cluster.digests().values())) == 1
    store = cluster.process(cluster.names[0]).server.store
    cluster.run_until(lambda: store.key_count == 0)


def test_a_stalled_turn_moves_time_by_one_election_timeout_at_most() -> None:
    cluster, leader, _ = ready()
    server = cluster.process(leader).server
    time = ClusterTime(server.raft, server.storage, tick_ms=10)
    time.on_turn(1_000, server.store)
    time.on_tick(server.store)
    begun_ms = time.now_ms

    time.on_turn(1_100, server.store)
    assert time.now_ms == begun_ms + 100
    time.on_turn(9_000, server.store)
    assert time.now_ms == begun_ms + 100 + 10 * CALM.election_ticks_min


def test_a_restart_of_all_loses_no_time_to_live_and_gains_none() -> None:
    cluster, leader, _ = ready()
    put(cluster, leader, b"a", 5_000)
    cluster.run_ms(200)
    for name in cluster.names:
        cluster.kill(name)

    cluster.run_ms(30_000)
    cluster.up()
    leader = cluster.elect()

    left_ms = cluster.ask(leader, "get", key=b"a")["ttl_ms"]
    assert 4_000 <= left_ms <= 5_000
