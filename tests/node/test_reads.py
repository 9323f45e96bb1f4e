"""Linearizable reads (thesis §6.4): never stale, whoever answers and whatever it slept through."""

import pytest

from orchestrator.simulation.cluster import SimulatedCluster

from .builders import elected


def test_a_deposed_leader_never_answers_with_what_it_has() -> None:
    """Its clients still reach it, and the others have gone on (failure B1)."""
    cluster, leader, followers = elected()
    cluster.ask(leader, "set", key=b"a", value=b"old")
    cluster.isolate(leader)
    early = [cluster.request(leader, "get", key=b"a") for _ in range(3)]
    cluster.run_until(lambda: cluster.leader() in followers)
    assert cluster.ask(followers[0], "set", key=b"a", value=b"new")["ok"]
    cluster.run_until(lambda: all(call.done for call in early))  # It knows by now.

    late = [cluster.request(leader, "get", key=b"a", timeout_ms=500) for _ in range(3)]
    cluster.run_until(lambda: all(call.done for call in [*early, *late]))

    assert {call.outcome for call in early} == {"no_leader/no"}, "a read has no effect"
    assert {call.outcome for call in late} == {"no_leader/no"}
    cluster.heal()
    cluster.elect()
    assert cluster.ask(leader, "get", key=b"a")["value"] == b"new"


def test_a_read_waits_until_the_new_leader_has_committed_its_no_op() -> None:
    """Before that it does not know what its predecessors committed (§8; failure B2)."""
    cluster, leader, followers = elected()
    cluster.ask(leader, "set", key=b"a", value=b"1")
    cluster.kill(leader)
    cluster.run_until(lambda: cluster.leader() in followers)
    successor = cluster.leader()
    assert successor is not None
    # The only other node that is left gets the no-op, and takes its time to store it.
    (other,) = (name for name in followers if name != successor)
    cluster.process(other).writer.held = True
    call = cluster.request(successor, "get", key=b"a")

    cluster.run_ms(1_000)
    assert not call.done
    assert cluster.leader() == successor
    cluster.process(other).writer.go_on()
    cluster.run_until(lambda: call.done)

    assert call.reply["value"] == b"1"


def test_reads_alone_get_their_answers_after_an_election() -> None:
    """The no-op commits without any write of a client (failures B22, B2)."""
    cluster, leader, followers = elected()
    cluster.ask(leader, "set", key=b"a", value=b"1")
    cluster.kill(leader)
    cluster.run_until(lambda: cluster.leader() in followers)

    replies = [cluster.ask(followers[number % 2], "get", key=b"a") for number in range(10)]

    assert [reply["value"] for reply in replies] == [b"1"] * 10


def test_a_read_right_after_all_nodes_restarted_sees_what_was_acknowledged() -> None:
    """Asked before anything is replayed or a leader known (failure B19)."""
    cluster, leader, _ = elected()
    cluster.ask(leader, "set", key=b"a", value=b"1")
    for name in cluster.names:
        cluster.kill(name, power=True)
    cluster.up()

    calls = [cluster.request(name, "get", key=b"a") for name in cluster.names]
    cluster.run_until(lambda: all(call.done for call in calls))

    assert [call.reply["value"] for call in calls] == [b"1"] * 3


@pytest.mark.parametrize("pause_ms", [100, 1_000, 5_000, 30_000])
def test_a_leader_that_slept_wakes_up_to_find_out_and_not_to_answer(pause_ms: int) -> None:
    """What it was asked before and during its sleep gets no stale answer (failure F13)."""
    cluster, leader, followers = elected()
    cluster.ask(leader, "set", key=b"a", value=b"old")
    before = cluster.request(leader, "get", key=b"a", timeout_ms=60_000)
    cluster.run_ms(1)
    cluster.pause(leader)
    cluster.run_ms(pause_ms)
    deposed = cluster.leader() != leader or len(leaders(cluster)) > 1
    if deposed:
        assert cluster.ask(followers[0], "set", key=b"a", value=b"new")["ok"]
    during = cluster.request(leader, "get", key=b"a", timeout_ms=60_000)
    cluster.run_ms(20)

    cluster.resume(leader)
    cluster.run_until(lambda: before.done and during.done)

    assert deposed == (pause_ms >= 1_000)
    if during.outcome == "ok":
        assert during.reply["value"] == (b"new" if deposed else b"old")
    assert before.outcome == "timeout/unknown" or before.reply["value"] in (b"old", b"new")
    cluster.elect()
    assert cluster.ask(leader, "get", key=b"a")["value"] == (b"new" if deposed else b"old")


def test_acknowledgements_of_an_older_round_do_not_release_a_newer_read() -> None:
    """Copies of old answers confirm nothing about now (failure B3)."""
    cluster, leader, followers = elected()
    copies: list[tuple[str, bytes]] = []

    def copy_answers(_source: str, target: str, data: bytes) -> bool:
        if target == leader:
            copies.append((target, data))
        return False

    cluster.network.blocks = copy_answers
    cluster.ask(leader, "get", key=b"a")
    cluster.network.blocks = None
    cluster.isolate(leader)
    call = cluster.request(leader, "get", key=b"a", timeout_ms=60_000)
    cluster.run_ms(5)

    for target, frame in copies * 5:
        cluster.process(target).on_peer_frame(frame)
    cluster.run_until(lambda: cluster.leader() in followers, within_ms=2_000)
    cluster.ask(followers[0], "set", key=b"a", value=b"new")

    assert not call.done
    cluster.heal()
    cluster.run_until(lambda: call.done)
    assert call.reply["value"] == b"new"


def test_a_local_read_needs_nobody_and_tells_its_age() -> None:
    """``read: local`` is answered at once, without any leader."""
    cluster, leader, (follower, other) = elected()
    cluster.ask(leader, "set", key=b"a", value=b"1")
    cluster.elect()
    cluster.kill(leader)
    cluster.kill(other)
    cluster.run_ms(1_000)

    reply = cluster.ask(follower, "get", key=b"a", read="local", within_ms=20)

    assert reply["value"] == b"1"
    assert reply["leader"] is None
    assert 900 <= reply["age_ms"] <= 1_200


def test_a_hash_waits_for_the_index_that_it_is_asked_for() -> None:
    """Now, as it was, or as it will be; equal on every node."""
    cluster, leader, followers = elected()
    cluster.ask(leader, "set", key=b"a", value=b"1")
    cluster.elect()
    now = cluster.ask(leader, "hash")
    ahead = cluster.request(followers[0], "hash", at=now["at"] + 1)
    too_far = cluster.request(followers[0], "hash", at=now["at"] + 1_000, timeout_ms=300)
    cluster.run_ms(50)
    assert not ahead.done

    cluster.ask(leader, "set", key=b"a", value=b"2")
    cluster.run_until(lambda: ahead.done and too_far.done)

    assert ahead.reply["at"] == now["at"] + 1
    assert ahead.reply["digest"] != now["digest"]
    assert too_far.outcome == "timeout/no"
    for name in cluster.names:
        assert cluster.ask(name, "hash", at=now["at"])["digest"] == now["digest"]
        assert cluster.ask(name, "hash")["digest"] == ahead.reply["digest"]


@pytest.mark.parametrize("seed", range(1, 21))
def test_every_node_of_a_fresh_cluster_answers_soon(seed: int) -> None:
    """No node is left without a leader (failures B21, A12)."""
    cluster = SimulatedCluster(seed).up()

    calls = [cluster.request(name, "get", key=b"a") for name in cluster.names]
    cluster.run_until(lambda: all(call.done for call in calls), within_ms=5_000)

    assert {call.outcome for call in calls} == {"ok"}


def leaders(cluster: SimulatedCluster) -> list[str]:
    return [process.name for process in cluster.running if process.server.raft.is_leader]
