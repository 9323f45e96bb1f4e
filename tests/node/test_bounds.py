"""No queue of a node grows without bound; beyond it the answer is a definite ``overloaded``."""

from typing import Any

import pytest

from orchestrator.simulation.calls import Call
from orchestrator.simulation.cluster import SimulatedCluster
from raftcache.node import admin, requests

from .builders import elected

BOUND = 10


@pytest.fixture(autouse=True)
def _small_queues(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "WAITING_MAX", BOUND)
    monkeypatch.setattr(admin, "WAITING_MAX", BOUND)


def crowd(cluster: SimulatedCluster, node: str, op: str, **fields: Any) -> list[Call]:
    """Send many requests one after the other; return them when the node has seen them all."""
    calls = []
    for _ in range(3 * BOUND):
        calls.append(cluster.request(node, op, **fields))
        cluster.run_ms(2)
    cluster.run_ms(20)
    return calls


def outcomes(calls: list[Call]) -> list[str]:
    """Return what came of each; whoever is turned away is told when to come back."""
    for call in calls:
        if call.outcome == "overloaded/no":
            assert call.reply["retry_after_ms"] > 0
    return [call.outcome for call in calls]


def test_proposals_beyond_the_bound_are_overloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A definite no with the time to come back; what was taken is done (failure F11)."""
    monkeypatch.setattr(requests, "PROPOSED_BYTES_MAX", 2_000)
    cluster, leader, followers = elected()
    for name in followers:
        cluster.process(name).writer.held = True

    calls = [cluster.request(leader, "set", key=b"k", value=b"v" * 500) for _ in range(10)]
    cluster.run_ms(50)
    refused = [call for call in calls if call.done]

    assert {call.outcome for call in refused} == {"overloaded/no"}
    assert refused[0].reply["retry_after_ms"] > 0
    assert 5 <= len(refused) <= 9
    cluster.process(followers[0]).writer.go_on()
    cluster.run_until(lambda: all(call.done for call in calls))
    taken = [call for call in calls if call not in refused]
    assert {call.outcome for call in taken} == {"ok"}
    assert cluster.ask(leader, "set", key=b"k", value=b"v" * 500)["ok"], "there is room again"


def test_reads_that_wait_for_a_majority_are_bounded() -> None:
    """However many turns of the loop they came in over (failure F12)."""
    cluster, leader, followers = elected()
    for name in followers:
        cluster.network.cut(name, leader)

    calls = crowd(cluster, leader, "get", key=b"k")

    assert outcomes(calls).count("overloaded/no") == 2 * BOUND
    cluster.run_ms(500)
    assert not cluster.process(leader).server.raft.is_leader
    cluster.heal()
    cluster.elect()
    cluster.run_until(lambda: all(call.done for call in calls))
    assert outcomes(calls).count("ok") == BOUND, "they went to the next leader"
    assert outcomes(crowd(cluster, leader, "get", key=b"k")) == ["ok"] * 3 * BOUND


def test_requests_that_wait_for_a_leader_are_bounded() -> None:
    cluster, leader, (follower, other) = elected()
    cluster.kill(leader)
    cluster.kill(other)
    cluster.run_ms(500)

    calls = crowd(cluster, follower, "incr", key=b"k", timeout_ms=300)

    assert outcomes(calls).count("overloaded/no") == 2 * BOUND
    cluster.run_ms(500)
    assert outcomes(calls).count("no_leader/no") == BOUND


def test_requests_that_were_handed_on_are_bounded() -> None:
    cluster, leader, (follower, _) = elected()
    cluster.network.cut(leader, follower)

    calls = crowd(cluster, follower, "incr", key=b"k", timeout_ms=5_000)

    assert outcomes(calls).count("overloaded/no") == 2 * BOUND


def test_hashes_that_wait_for_their_index_are_bounded() -> None:
    """Anyone may ask for an index far ahead, with all the time in the world."""
    cluster, leader, _ = elected()

    calls = crowd(cluster, leader, "hash", at=10**9, timeout_ms=1_000)

    assert outcomes(calls).count("overloaded/no") == 2 * BOUND
    cluster.run_ms(1_100)
    assert outcomes(calls).count("timeout/no") == BOUND
    assert cluster.silent_calls() == []
