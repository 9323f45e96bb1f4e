"""Keys whose time begins anew when they are read, at any node."""

from typing import Any

import pytest

from orchestrator.simulation.cluster import SimulatedCluster
from raftcache.node.touches import TOUCHES_MAX
from raftcache.raft.types import EntryKind
from raftcache.store.commands import Touch, decode_commands

from .builders import lose
from .test_transactions import ready

TTL_MS = 2_000


def put(cluster: SimulatedCluster, node: str, *keys: bytes, ttl_ms: int = TTL_MS) -> None:
    """Set keys that slide."""
    ops = [
        {"op": "set", "key": key, "value": b"v", "ttl_ms": ttl_ms, "sliding": True} for key in keys
    ]
    reply = cluster.ask(node, "batch", ops=ops)
    assert all(result["ok"] for result in reply["results"]), reply


def touches(cluster: SimulatedCluster, node: str) -> list[list[Touch]]:
    """Return what each entry of a node's log touches, where one does."""
    found = [
        [one for one in decode_commands(entry.data) if isinstance(one, Touch)]
        for entry in cluster.process(node).server.raft.state.log.entries
        if entry.kind is EntryKind.COMMANDS
    ]
    return [one for one in found if one]


@pytest.mark.parametrize("who", ["leader", "follower"])
@pytest.mark.parametrize("how", ["get", "local", "batch", "txn"])
def test_a_key_that_is_read_lives_on_and_one_that_is_not_goes(who: str, how: str) -> None:
    """Wherever it is read, and in whichever way."""
    cluster, leader, others = ready()
    node = leader if who == "leader" else others[0]
    put(cluster, leader, b"read", b"idle")

    for _ in range(8):
        cluster.run_ms(TTL_MS // 2)
        get: dict[str, Any] = {"op": "get", "key": b"read"}
        if how == "batch":
            found = cluster.ask(node, "batch", ops=[get])["results"][0]
        elif how == "txn":
            found = cluster.ask(node, "txn", then=[get])["results"][0]
        else:
            read = "local" if how == "local" else "linearizable"
            found = cluster.ask(node, **get, read=read)
        assert found["found"], "it was read in time"
    cluster.run_ms(100)
    page = cluster.ask(node, "range", prefix=b"", keys_only=True)
    assert [item["key"] for item in page["items"]] == [b"read"]

    cluster.run_ms(TTL_MS + 200)
    assert cluster.ask(node, "get", key=b"read")["found"] is False


def test_it_goes_at_most_a_tenth_early_counted_from_the_last_read() -> None:
    """However reads and touches fall: with each read, nine tenths of its time are its own."""
    cluster, leader, _ = ready()
    put(cluster, leader, b"a")
    for pause_ms in (190, 205, 1_990, 150, 1_840, 1_790, 10, 195):
        cluster.run_ms(pause_ms)
        assert cluster.ask(leader, "get", key=b"a")["found"]

    cluster.run_ms(TTL_MS - TTL_MS // 10 - 20)
    page = cluster.ask(leader, "range", prefix=b"")
    assert page["count"] == 1
    cluster.run_until(lambda: cluster.process(leader).server.store.key_count == 0)


@pytest.mark.parametrize("who", ["leader", "follower"])
def test_a_key_that_is_read_all_the_time_costs_ten_entries_in_its_time(who: str) -> None:
    """Reads must stay reads, not become writes."""
    cluster, leader, others = ready()
    node = leader if who == "leader" else others[0]
    put(cluster, leader, b"a")
    begun_ms = cluster.scheduler.now_ms

    while cluster.scheduler.now_ms < begun_ms + 2 * TTL_MS:
        cluster.ask(node, "get", key=b"a")

    assert 10 <= len(touches(cluster, leader)) <= 21


def test_many_keys_that_are_read_together_share_their_entries() -> None:
    cluster, leader, _ = ready()
    keys = [b"%04d" % number for number in range(900)]
    put(cluster, leader, *keys)
    put(cluster, leader, *[b"x" + key for key in keys])
    cluster.run_ms(TTL_MS // 4)

    for prefix in (b"", b"x"):
        cluster.ask(leader, "batch", ops=[{"op": "get", "key": prefix + key} for key in keys])
    cluster.run_ms(300)

    sizes = [len(entry) for entry in touches(cluster, leader)]
    assert sum(sizes) == 1_800
    assert max(sizes) <= TOUCHES_MAX
    assert len(sizes) <= 4


def test_a_new_leader_goes_on_with_what_followers_tell() -> None:
    """No node has to remember anything for that (failure B12)."""
    cluster, leader, others = ready()
    put(cluster, leader, b"a")
    cluster.kill(leader)
    cluster.elect()

    for _ in range(5):
        cluster.run_ms(TTL_MS // 2)
        assert cluster.ask(others[1], "get", key=b"a")["found"]


def test_what_is_told_and_lost_is_told_again() -> None:
    """A frame may get lost; the next tenth of the time has the next one (failure F2)."""
    cluster, leader, others = ready()
    put(cluster, leader, b"a")
    lose(cluster, lambda _source, _target, frame: bool(frame.keys_read))
    for _ in range(5):
        cluster.run_ms(TTL_MS // 8)
        cluster.ask(others[0], "get", key=b"a")
    lose(cluster, lambda *_: False)

    for _ in range(6):
        cluster.run_ms(TTL_MS // 4)
        assert cluster.ask(others[0], "get", key=b"a")["found"]
