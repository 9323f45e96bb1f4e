"""Transactions, fences and whole ranges, asked for at any node."""

import json
from typing import Any

import pytest

from orchestrator.simulation.calls import routing_id
from orchestrator.simulation.cluster import SimulatedCluster
from raftcache.store.commands import COMMAND_VERSION

from .builders import elected

FENCE = {"key": "lock", "create_rev": 1}
TXN: dict[str, Any] = {
    "op": "txn",
    "compare": [{"key": "lock", "field": "create_rev", "cmp": "=", "to": 1}],
    "then": [{"op": "incr", "key": "n"}, {"op": "set", "key": "a", "value": "1"}],
    "else": [{"op": "incr", "key": "m"}],
}
NEWER: list[dict[str, Any]] = [
    TXN,
    {"op": "delete_range", "prefix": "x"},
    {"op": "set", "key": "k", "value": "v", "ttl_ms": 50, "sliding": True},
    {"op": "incr", "key": "k", "fence": FENCE},
    {"op": "batch", "ops": [{"op": "incr", "key": "k"}, {"op": "delete_range", "prefix": "x"}]},
    {"op": "compact"},
]


def ready() -> tuple[SimulatedCluster, str, list[str]]:
    """Return a cluster at the newest version, its leader and the others."""
    cluster, leader, others = elected()
    newest = {COMMAND_VERSION}
    cluster.run_until(lambda: {p.server.store.command_version for p in cluster.running} == newest)
    return cluster, leader, others


def ask_in_json(cluster: SimulatedCluster, node: str, request: dict[str, Any]) -> Any:
    """Ask in JSON."""
    frames = [routing_id(len(cluster.calls) + 1), b"", json.dumps(request).encode()]
    call = cluster.send(node, frames)
    cluster.run_until(lambda: call.done)
    return call.reply


@pytest.mark.parametrize("who", ["leader", "follower"])
def test_any_node_takes_them_in_either_encoding(who: str) -> None:
    """One that does not lead hands them on, once (failure B20)."""
    cluster, leader, others = ready()
    node = leader if who == "leader" else others[0]
    cluster.ask(node, "set", key=b"lock", value=b"me")

    done = ask_in_json(cluster, node, TXN)
    again = cluster.ask(node, **TXN)
    fenced = cluster.ask(node, "delete", key=b"a", fence=FENCE)
    other = ask_in_json(cluster, node, TXN | {"fence": FENCE | {"create_rev": 3}})
    batch = ask_in_json(
        cluster,
        node,
        {"op": "batch", "ops": [{"op": "set", "key": "z", "value": "", "fence": FENCE}]},
    )
    gone = cluster.ask(node, "delete_range", start="a", end="m")

    assert (done["succeeded"], [one["mod_rev"] for one in done["results"]]) == (True, [2, 2])
    assert [one.get("value") for one in again["results"]] == [2, None]
    assert (fenced["ok"], fenced["deleted"], fenced["store_rev"]) == (True, 1, 4)
    assert (other["error"], other["applied"], other["store_rev"]) == ("fenced", "no", 4)
    assert [one["ok"] for one in batch["results"]] == [True]
    assert (gone["deleted"], gone["store_rev"]) == (1, 6)
    left = cluster.ask(node, "range", prefix="", keys_only=True)
    assert [item["key"] for item in left["items"]] == [b"n", b"z"]


def test_a_fence_is_looked_at_where_the_write_is_done() -> None:
    """And not where it is proposed: what comes just before it in the log may take the lock away."""
    cluster, leader, _ = ready()
    cluster.ask(leader, "set", key=b"lock", value=b"me")
    log = cluster.process(leader).server.raft.state.log
    end = log.last_index

    lost = cluster.request(leader, "delete", key=b"lock")
    cluster.run_until(lambda: log.last_index > end)
    guarded = cluster.request(leader, "set", key=b"guarded", value=b"mine", fence=FENCE)
    cluster.run_until(lambda: lost.done and guarded.done)

    assert lost.reply["deleted"] == 1
    assert (guarded.reply["error"], guarded.reply["applied"]) == ("fenced", "no")
    assert not cluster.ask(leader, "get", key=b"guarded")["found"]


@pytest.mark.parametrize("newer", NEWER, ids=[str(number) for number in range(len(NEWER))])
def test_a_member_that_does_not_know_them_holds_them_back(newer: dict[str, Any]) -> None:
    """They are refused by name, and what is older goes on (failure E15)."""
    cluster = SimulatedCluster(1).up()
    cluster.process("n1").server.upkeep.versions.own = 2
    leader = cluster.elect()
    cluster.run_until(lambda: {p.server.store.command_version for p in cluster.running} == {2})

    admin = newer["op"] == "compact"
    for node in cluster.names:
        reply = cluster.ask(node, admin=admin, **newer)
        assert (reply["error"], reply["applied"]) == ("unsupported", "no")
        assert "n1" in reply["message"]
    assert cluster.ask(leader, "set", key=b"k", value=b"v", ttl_ms=500)["ok"]

    cluster.process("n1").server.upkeep.versions.own = COMMAND_VERSION
    cluster.run_until(
        lambda: {p.server.store.command_version for p in cluster.running} == {COMMAND_VERSION}
    )
    assert cluster.ask("n1", admin=admin, **newer).get("error") != "unsupported"
