"""Room for what is new: who goes, who never goes, and what is said when nobody may go."""

from collections import Counter
from random import Random
from typing import Any

import msgspec
import pytest

from orchestrator.simulation.cluster import SimulatedCluster
from raftcache.protocol.limits import Eviction
from raftcache.raft.types import EntryKind
from raftcache.store.commands import Evict, Set, decode_commands

from .test_transactions import ready

CACHE_BYTES = 80_000
VALUE = b"v" * 100


def limit(cluster: SimulatedCluster, eviction: Eviction, cache_bytes: int = CACHE_BYTES) -> None:
    """Give each node that runs so much room."""
    for process in cluster.running:
        server = process.server
        server.limits = msgspec.structs.replace(
            server.limits, cache_bytes=cache_bytes, eviction=eviction
        )


def full(eviction: Eviction, *, ttl_ms: int | None = 10**9) -> tuple[SimulatedCluster, str, str]:
    """Return a cluster with more keys than fit, its leader and another node."""
    cluster, leader, others = ready()
    limit(cluster, eviction)
    for number in range(300):
        put(cluster, leader, b"%04d" % number, ttl_ms)
    return cluster, leader, others[0]


def put(
    cluster: SimulatedCluster, node: str, key: bytes, ttl_ms: int | None = None, **more: Any
) -> dict[str, Any]:
    """Set a key."""
    if ttl_ms is not None:
        more["ttl_ms"] = ttl_ms
    reply: dict[str, Any] = cluster.ask(node, "set", key=key, value=VALUE, **more)
    return reply


def keys(cluster: SimulatedCluster, node: str) -> list[bytes]:
    page = cluster.ask(node, "range", prefix=b"", keys_only=True, limit=10_000)
    return [item["key"] for item in page["items"]]


def weight(cluster: SimulatedCluster, node: str) -> int:
    return cluster.process(node).server.store.data_bytes


@pytest.mark.parametrize("eviction", ["volatile-lru", "allkeys-lru"])
def test_what_is_new_fits_and_what_is_old_goes(eviction: Eviction) -> None:
    """No write is refused, no node holds more than it may, and all hold the same."""
    cluster, leader, other = full(eviction)

    cluster.run_until(cluster.is_settled)

    assert CACHE_BYTES * 0.9 <= weight(cluster, leader) <= CACHE_BYTES
    assert len(set(cluster.digests().values())) == 1
    left = keys(cluster, other)
    assert b"0299" in left
    ages = Counter(int(key) // 100 for key in left)
    assert ages[2] > 80, "the last ones stay"
    assert ages[0] < 60, "and the first ones go"
    status = cluster.ask(other, "status")
    assert status["counts"]["evictions"] == 300 - len(left)
    assert status["sizes"]["bytes_max"] == CACHE_BYTES


def test_a_key_goes_in_the_entry_of_the_write_that_needs_its_room() -> None:
    """Ahead of it: at no index is there more than may be, and none too few."""
    cluster, leader, _ = full("allkeys-lru")
    log = cluster.process(leader).server.raft.state.log.entries
    entries = [decode_commands(e.data) for e in log if e.kind is EntryKind.COMMANDS]
    evicting = [entry for entry in entries if any(isinstance(one, Evict) for one in entry)]

    assert len(evicting) > 80
    for entry in evicting:
        *evicted, last = entry
        assert all(isinstance(one, Evict) for one in evicted)
        assert not isinstance(last, Evict)


def test_only_keys_with_a_deadline_are_volatile() -> None:
    cluster, leader, _ = full("volatile-lru")
    for number in range(100):
        assert put(cluster, leader, b"stays%03d" % number)["ok"]

    left = keys(cluster, leader)

    assert sum(key.startswith(b"stays") for key in left) == 100


@pytest.mark.parametrize("eviction", ["volatile-lru", "none"])
def test_a_write_for_which_nothing_may_go_is_refused(eviction: Eviction) -> None:
    """It says why, and what needs no room goes on."""
    cluster, leader, other = full(eviction, ttl_ms=None)

    refused = put(cluster, other, b"new")
    batch = cluster.ask(other, "batch", ops=[{"op": "set", "key": b"x", "value": VALUE}])

    for reply in (refused, batch):
        assert (reply["error"], reply["applied"]) == ("over_quota", "no")
        assert "cache.max_bytes" in reply["message"]
    assert weight(cluster, leader) <= CACHE_BYTES
    assert cluster.ask(other, "get", key=b"0000")["found"]
    assert cluster.ask(other, "set", key=b"0000", value=b"shorter")["ok"]
    assert cluster.ask(other, "expire", key=b"0001", ttl_ms=10**6)["ok"]
    assert cluster.ask(other, "delete_range", start=b"0002", end=b"0004")["deleted"] == 2
    assert put(cluster, other, b"new")["ok"]


@pytest.mark.parametrize("who", ["leader", "follower"])
def test_what_is_read_stays(who: str) -> None:
    """Wherever it is read: a node that does not lead tells the leader some of it."""
    cluster, leader, others = ready()
    limit(cluster, "allkeys-lru")
    node = leader if who == "leader" else others[0]
    hot = [b"hot%02d" % number for number in range(20)]
    for key in hot:
        put(cluster, leader, key)
    draw = Random(1)
    for number in range(600):
        put(cluster, leader, b"%04d" % number)
        cluster.ask(node, "get", key=draw.choice(hot))

    left = keys(cluster, leader)

    assert sum(key in left for key in hot) >= 18
    assert len(left) > 200


def test_without_reads_hot_keys_would_have_gone() -> None:
    """So the test above can fail."""
    cluster, leader, _ = ready()
    limit(cluster, "allkeys-lru")
    for number in range(20):
        put(cluster, leader, b"hot%02d" % number)
    for number in range(600):
        put(cluster, leader, b"%04d" % number)

    assert sum(key.startswith(b"hot") for key in keys(cluster, leader)) <= 4


def test_bound_keys_never_go() -> None:
    """A lock that went for want of room would be a lock no more."""
    cluster, leader, _ = ready()
    limit(cluster, "allkeys-lru")
    session = cluster.ask(leader, "session_open", ttl_ms=3_600_000)["session"]
    for number in range(100):
        put(cluster, leader, b"bound%03d" % number, 10**8, session=session, bind=True)
    for number in range(400):
        assert put(cluster, leader, b"%04d" % number)["ok"]

    assert sum(key.startswith(b"bound") for key in keys(cluster, leader)) == 100

    replies = [
        put(cluster, leader, b"bound%03d" % number, session=session, bind=True)
        for number in range(100, 300)
    ]
    assert replies[0]["ok"]
    assert replies[-1]["error"] == "over_quota"
    assert all(key.startswith(b"bound") for key in keys(cluster, leader))
    assert weight(cluster, leader) <= CACHE_BYTES


def test_a_write_never_lets_go_what_it_has_a_condition_on() -> None:
    """Else a compare-and-set would fail for no reason that a client could see."""
    cluster, leader, _ = ready()
    limit(cluster, "allkeys-lru", 2_000)
    revs = [put(cluster, leader, b"%d" % number)["mod_rev"] for number in range(4)]
    assert revs == [1, 2, 3, 4]

    for size in range(200, 1_200, 100):
        [record] = [cluster.ask(leader, "get", key=b"3")]
        reply = cluster.ask(
            leader, "set", key=b"3", value=b"v" * size, if_mod_rev=record["mod_rev"]
        )
        assert reply["ok"], reply
    assert len(keys(cluster, leader)) < 4


def test_a_key_does_not_go_to_make_room_for_its_own_write() -> None:
    """Not even where there is nothing else: its write is refused, and not told of a conflict."""
    cluster, leader, _ = ready()
    put(cluster, leader, b"only")
    limit(cluster, "allkeys-lru", weight(cluster, leader) + 10)

    reply = cluster.ask(leader, "set", key=b"only", value=VALUE + VALUE, if_mod_rev=1)

    assert reply["error"] == "over_quota"
    assert keys(cluster, leader) == [b"only"]


def test_a_limit_that_was_lowered_is_reached_by_and_by() -> None:
    """Not in one entry that would stall everybody, and without refusing what comes."""
    cluster, leader, other = full("allkeys-lru")
    limit(cluster, "allkeys-lru", CACHE_BYTES // 4)

    for number in range(10):
        assert put(cluster, leader, b"new%d" % number)["ok"]

    assert weight(cluster, other) <= CACHE_BYTES // 4


def test_a_new_leader_knows_from_the_records_what_was_written_late() -> None:
    """Recency of writes is part of the state; only that of reads is lost (failure B7)."""
    cluster, leader, other = full("allkeys-lru")
    cluster.kill(leader)
    cluster.elect()
    limit(cluster, "allkeys-lru")
    before = keys(cluster, other)

    for number in range(50):
        assert put(cluster, other, b"new%03d" % number)["ok"]

    gone = sorted(set(before) - set(keys(cluster, other)))
    assert len(gone) >= 35
    assert sum(key in before[: len(before) // 2] for key in gone) > len(gone) * 0.8


def test_many_writes_of_one_turn_find_room_together() -> None:
    cluster, leader, _ = full("allkeys-lru")
    ops = [{"op": "set", "key": b"b%03d" % number, "value": VALUE} for number in range(150)]

    calls = [cluster.ask(leader, "batch", ops=ops[i::3]) for i in range(3)]

    assert all(call["ok"] for call in calls)
    assert weight(cluster, leader) <= CACHE_BYTES
    left = keys(cluster, leader)
    assert sum(key.startswith(b"b") for key in left) >= 140


def test_what_is_on_its_way_takes_room_too() -> None:
    """Two writes that follow each other closely do not both get the room of one."""
    cluster, leader, _ = ready()
    for number in range(10):
        put(cluster, leader, b"old%d" % number)
    room = weight(cluster, leader) // 10 * 3 // 2
    limit(cluster, "none", weight(cluster, leader) + room)
    log = cluster.process(leader).server.raft.state.log
    end = log.last_index

    first = cluster.request(leader, "set", key=b"new0", value=VALUE)
    cluster.run_until(lambda: log.last_index > end)
    second = cluster.request(leader, "set", key=b"new1", value=VALUE)
    cluster.run_until(lambda: first.done and second.done)

    assert first.reply["ok"]
    assert second.reply["error"] == "over_quota"


def test_a_cluster_that_can_not_evict_yet_has_no_limit() -> None:
    """While a member has an older release, nothing is refused that it would have taken."""
    cluster = SimulatedCluster(1).up()
    cluster.process("n1").server.upkeep.versions.own = 2
    leader = cluster.elect()
    cluster.run_until(lambda: {p.server.store.command_version for p in cluster.running} == {2})
    limit(cluster, "allkeys-lru", 1_000)

    for number in range(20):
        assert put(cluster, leader, b"%d" % number)["ok"]
    assert len(keys(cluster, leader)) == 20
    log = cluster.process(leader).server.raft.state.log.entries
    commands = [one for e in log if e.kind is EntryKind.COMMANDS for one in decode_commands(e.data)]
    assert sum(isinstance(one, Set) for one in commands) == 20


def test_reads_are_counted_by_the_node_that_answers() -> None:
    cluster, leader, others = ready()
    put(cluster, leader, b"a", 50)

    for key in (b"a", b"a", b"b"):
        cluster.ask(others[0], "get", key=key)
    cluster.run_ms(200)

    counts = {node: cluster.ask(node, "status")["counts"] for node in (leader, *others)}
    assert counts[others[0]] == {"hits": 2, "misses": 1, "expiries": 1, "evictions": 0}
    assert counts[leader] == {"hits": 0, "misses": 0, "expiries": 1, "evictions": 0}
