"""Members that come and go, on whole nodes (§6, thesis chapter 4)."""

from typing import Any

from orchestrator.simulation.members import new_host

from .builders import counter, fill
from .membership import add, administer, configuration, joinable, settle, voters


def test_a_node_that_was_added_joins_catches_up_and_votes() -> None:
    """It is told its incarnation, learns, and is promoted by the leader (thesis §4.2.1)."""
    cluster, leader, _ = joinable()
    fill(cluster, leader, 20)

    name = add(cluster, leader)

    assert settle(cluster) == ["n1#1", "n2#1", "n3#1", "n4#2"]
    cluster.elect()
    assert len(set(cluster.digests().values())) == 1
    assert cluster.process(name).server.server_id == "n4#2"


def test_a_follower_hands_an_operation_to_the_leader() -> None:
    cluster, _, (follower, _) = joinable()

    add(cluster, follower)

    assert len(settle(cluster)) == 4


def test_a_learner_that_is_to_stay_one_is_not_promoted() -> None:
    cluster, leader, _ = joinable()

    name = add(cluster, leader, learner=True)
    cluster.run_until(lambda: cluster.process(name).is_open)
    cluster.run_ms(3_000)

    assert settle(cluster) == ["n1#1", "n2#1", "n3#1"]
    assert configuration(cluster, leader).learners == ("n4#2",)


def test_a_follower_is_removed_and_keeps_quiet() -> None:
    cluster, leader, (gone, other) = joinable()

    reply = administer(cluster, leader, "member_remove", id=gone)

    assert reply["ok"], reply
    assert reply["changed"] is True
    assert [member["id"] for member in reply["members"]] == sorted([leader, other])
    term = cluster.process(leader).server.raft.current_term
    cluster.run_ms(5_000)
    assert cluster.ask(gone, "status")["role"] == "removed"
    assert cluster.process(leader).server.raft.current_term == term
    assert cluster.ask(gone, "get", key=b"k")["error"] == "no_leader"


def test_a_leader_is_removed_and_another_takes_over() -> None:
    cluster, leader, others = joinable()
    fill(cluster, leader, 5)

    reply = administer(cluster, leader, "member_remove", id=leader)

    assert reply["ok"], reply
    cluster.run_until(lambda: cluster.leader() in others)
    cluster.run_until(lambda: cluster.ask(leader, "status")["role"] == "removed")
    assert sorted(one.partition("#")[0] for one in voters(cluster)) == sorted(others)
    assert cluster.ask(others[0], "set", key=b"k", value=b"v")["ok"]


def test_what_is_asked_twice_is_done_once() -> None:
    """A tool that was killed repeats what it had begun."""
    cluster, leader, (gone, _) = joinable()
    member = new_host(cluster)
    fields: dict[str, Any] = {
        "id": member.node_id,
        "peer": member.peer_endpoint,
        "client": member.client_endpoint,
    }

    changed = [
        administer(cluster, leader, "member_add", **fields)["changed"],
        administer(cluster, leader, "member_add", **fields)["changed"],
        administer(cluster, leader, "member_remove", id=gone)["changed"],
        administer(cluster, leader, "member_remove", id=gone)["changed"],
    ]

    assert changed == [True, False, True, False]
    assert counter(cluster, leader) is None
