"""A deadline is an answer, and frees what waited; every request gets one answer, never two.

The requests are those of docs/protocol.md, so that an operation that is new there is asked here.
"""

import json
import random

import pytest

from orchestrator.simulation.calls import Call, routing_id
from orchestrator.simulation.cluster import SimulatedCluster

from ..protocol.page import examples
from .builders import elected

TIMEOUT_MS = 200
SLACK_MS = 50
"""Some ticks, and the way of the answer."""


def ask_everything(cluster: SimulatedCluster, node: str) -> list[Call]:
    """Send every request of the page that may be sent to the clients' socket, all at once."""
    calls = []
    for example in examples():
        if not example.admin:
            bound = "wait_ms" if example.op == "watch" else "timeout_ms"
            body = json.dumps({**example.request, bound: TIMEOUT_MS}).encode()
            calls.append(cluster.send(node, [routing_id(len(cluster.calls) + 1), b"", body]))
    assert len(calls) >= 20, "the page has examples"
    return calls


def waiting(cluster: SimulatedCluster, node: str) -> int:
    """Return how many requests a node holds for whom it has no answer yet."""
    server = cluster.process(node).server
    desk = server.desk
    proposed = [group.requests for group in desk._proposed._by_index.values()]
    return (
        len([*desk.waiting, *desk.proposals, *desk._reads, *server.hash_waiting])
        + sum(len(requests) for requests in proposed)
        + sum(len(group.requests) for group in desk._reading)
        + len(desk._handed_on)
    )


@pytest.mark.parametrize("asked", ["the leader", "a follower", "all, and nobody leads"])
def test_a_deadline_answers_and_frees_what_waited(asked: str) -> None:
    """Whoever is cut off holds nothing for longer than its clients wait (failures A9, C14)."""
    cluster, leader, (follower, other) = elected()
    cluster.run_ms(3_000)
    nodes = {
        "the leader": [leader],
        "a follower": [follower],
        "all, and nobody leads": [follower, other],
    }[asked]
    if len(nodes) > 1:
        cluster.kill(leader)
    for node in nodes:
        cluster.isolate(node)
    if len(nodes) > 1:
        cluster.run_ms(1_000)

    calls = [call for node in nodes for call in ask_everything(cluster, node)]
    cluster.run_ms(5)
    held = sum(waiting(cluster, node) for node in nodes)
    cluster.run_ms(TIMEOUT_MS + SLACK_MS)

    assert held >= 10, "they did wait for something"
    assert [call.frames for call in calls if not call.done] == []
    assert [waiting(cluster, node) for node in nodes] == [0] * len(nodes)
    assert all(len(call.replies) == 1 for call in calls)


@pytest.mark.parametrize("seed", range(5))
def test_every_request_gets_one_answer_whatever_happens_meanwhile(seed: int) -> None:
    """Leaders are cut off, paused and healed while everything is asked of everybody."""
    cluster, _, _ = elected(seed)
    chance = random.Random(seed)
    calls: list[Call] = []
    for _ in range(12):
        for node in cluster.names:
            calls += ask_everything(cluster, node)
        cluster.run_ms(chance.randrange(5, 150))
        leader = cluster.leader() or chance.choice(cluster.names)
        if chance.random() < 0.5:
            cluster.isolate(leader)
            cluster.run_ms(chance.randrange(10, 400))
            cluster.heal()
        else:
            cluster.pause(leader)
            cluster.run_ms(chance.randrange(10, 400))
            cluster.resume(leader)
    cluster.elect()
    cluster.run_ms(TIMEOUT_MS + SLACK_MS)

    assert [len(call.replies) for call in calls] == [1] * len(calls)
    assert [waiting(cluster, node) for node in cluster.names] == [0, 0, 0]
