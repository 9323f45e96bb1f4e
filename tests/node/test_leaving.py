"""Handing over, stopping, failing: nobody is left without an answer."""

import errno
from typing import Any

import pytest

from orchestrator.simulation.cluster import SimulatedCluster
from orchestrator.simulation.process import EXIT_DEFECT, EXIT_DISK_FAILED, EXIT_STOPPED
from raftcache.store.machine import StateMachine

from .builders import counter, elected, lose


def test_a_transfer_leaves_no_request_without_its_answer() -> None:
    """Those that come in during it wait for the next leader (failure C14)."""
    cluster, leader, followers = elected()
    calls = []
    for number in range(60):
        if number == 20:
            cluster.request(leader, "leader_transfer", admin=True, to=followers[0])
        calls.append(cluster.request(cluster.names[number % 3], "incr", key=b"hits"))
        cluster.run_ms(1)
    cluster.run_until(lambda: all(call.done for call in calls))

    assert cluster.elect() == followers[0]
    outcomes = [call.outcome for call in calls]
    assert set(outcomes) <= {"ok", "timeout/unknown", "no_leader/no"}
    acknowledged, unknown = outcomes.count("ok"), outcomes.count("timeout/unknown")
    assert acknowledged >= 50
    assert acknowledged <= int(counter(cluster, leader) or 0) <= acknowledged + unknown


def test_a_transfer_to_a_node_that_does_not_answer_ends_and_proposals_go_on() -> None:
    """After an election timeout the leader takes proposals again (thesis §3.10; failure C14)."""
    cluster, leader, (dead, _) = elected()
    cluster.kill(dead)
    transfer = cluster.request(leader, "leader_transfer", admin=True, to=dead)
    cluster.run_ms(5)
    calls = [cluster.request(leader, "incr", key=b"hits") for _ in range(10)]
    cluster.run_ms(50)
    assert not any(call.done for call in calls)

    waited_ms = cluster.run_until(lambda: all(call.done for call in calls))

    assert [call.outcome for call in calls] == ["ok"] * 10
    assert waited_ms <= 200
    assert cluster.leader() == leader
    assert transfer.outcome == "timeout/unknown", "the word to campaign has left"
    assert "leads on" in transfer.reply["message"]


def test_a_deadline_during_a_transfer_is_a_definite_no() -> None:
    """What waits for a transfer to end is in no log (failure C14)."""
    cluster, leader, (dead, _) = elected()
    cluster.kill(dead)
    transfer = cluster.request(leader, "leader_transfer", admin=True, to=dead)
    cluster.run_ms(5)

    call = cluster.request(leader, "incr", key=b"hits", timeout_ms=30)
    cluster.run_until(lambda: call.done)

    assert call.outcome == "no_leader/no"
    cluster.run_ms(300)
    assert counter(cluster, leader) is None
    assert transfer.outcome == "timeout/unknown"


@pytest.mark.parametrize(
    ("to", "error"),
    [("n9", "bad_request"), ("itself", "bad_request"), ("not handed on", "not_leader")],
)
def test_a_transfer_that_makes_no_sense_is_refused(to: str, error: str) -> None:
    cluster, leader, followers = elected()
    target = {"itself": leader, "not handed on": followers[1]}.get(to, to)
    forward = to != "not handed on"

    for node in cluster.names if forward else followers:
        reply = cluster.ask(node, "leader_transfer", admin=True, to=target, forward=forward)

        assert (reply["ok"], reply["error"], reply["applied"]) == (False, error, "no")
        assert cluster.ask(node, "leader_transfer", to=followers[0])["error"] == "forbidden"
    assert cluster.leader() == leader


def test_a_leader_that_is_told_to_stop_hands_over_first() -> None:
    """Nobody has to notice a silence: the successor leads within milliseconds (thesis §3.10)."""
    cluster, leader, followers = elected()

    cluster.stop(leader)
    waited_ms = cluster.run_until(lambda: cluster.leader() in followers)

    assert waited_ms < 100, "less than any election timeout"
    cluster.run_until(lambda: len(cluster.running) == 2)
    assert cluster.hosts[leader].last_exit == EXIT_STOPPED


@pytest.mark.parametrize("stopped", ["leader", "follower"])
def test_a_node_that_stops_answers_everyone(stopped: str) -> None:
    """Writes, reads, hand-ons, and those who wait for an index or a leader."""
    cluster, leader, followers = elected()
    node = leader if stopped == "leader" else followers[0]
    calls = [
        cluster.request(node, op, key=b"hits") for _ in range(20) for op in ("incr", "get")
    ] + [cluster.request(node, "hash", at=10**6, timeout_ms=60_000)]
    cluster.run_ms(2)

    cluster.stop(node)
    cluster.run_until(lambda: cluster.hosts[node].last_exit == EXIT_STOPPED)
    cluster.run_ms(10)

    assert cluster.silent_calls() == []
    assert calls[-1].outcome == "timeout/no"
    outcomes = [call.outcome for call in calls[:-1]]
    assert set(outcomes) <= {"ok", "timeout/unknown", "no_leader/no"}


def test_a_node_that_stops_alone_answers_everyone_in_time() -> None:
    """No majority, no successor: it waits for a second and then says what it knows."""
    cluster, leader, followers = elected()
    for name in followers:
        cluster.kill(name)
    calls = [cluster.request(leader, "incr", key=b"hits", timeout_ms=60_000) for _ in range(5)]
    cluster.run_ms(10)

    cluster.stop(leader)
    waited_ms = cluster.run_until(lambda: not cluster.running)
    cluster.run_ms(10)

    assert waited_ms <= 1_100
    assert [call.outcome for call in calls] == ["timeout/unknown"] * 5


def test_a_clean_stop_and_start_of_all_keeps_all() -> None:
    cluster, leader, _ = elected()
    for number in range(20):
        cluster.ask(leader, "set", key=b"k%d" % number, value=b"v")
    digest = cluster.ask(leader, "hash")["digest"]
    for name in cluster.names:
        cluster.stop(name)
    cluster.run_until(lambda: not cluster.running)

    cluster.up()
    cluster.elect()

    assert cluster.ask("n1", "hash")["digest"] == digest


def test_a_defect_in_apply_ends_the_node_before_any_reply(monkeypatch: pytest.MonkeyPatch) -> None:
    """It can't know what it would be saying; the log still has the command."""
    cluster, leader, followers = elected()
    apply = StateMachine.apply
    broken = cluster.process(leader).server.store

    def apply_or_break(store: StateMachine, index: int, data: bytes) -> list[Any]:
        if store is broken:
            raise ZeroDivisionError
        return apply(store, index, data)

    monkeypatch.setattr(StateMachine, "apply", apply_or_break)
    defects: list[tuple[str, str]] = []
    cluster.on_defect = lambda name, defect: defects.append((name, type(defect).__name__))
    call = cluster.request(leader, "incr", key=b"hits", timeout_ms=100)
    good = cluster.request(leader, "ping")

    cluster.run_until(lambda: bool(defects))
    cluster.run_ms(100)

    assert defects == [(leader, "ZeroDivisionError")]
    assert cluster.hosts[leader].last_exit == EXIT_DEFECT
    assert not call.done
    assert good.outcome in ("ok", "silence")
    cluster.run_until(lambda: cluster.leader() in followers)
    assert counter(cluster, followers[0]) == b"1", "the others applied it"


@pytest.mark.parametrize("failing", ["write", "sync"])
def test_a_disk_that_fails_ends_the_node_and_nothing_is_promised(failing: str) -> None:
    """EIO is never tried again (failure E6): exit 74, and the others go on."""
    cluster, leader, followers = elected()
    cluster.hosts[leader].disk.fail(failing, errno.EIO)
    lose(cluster, lambda source, _target, _frame: source == leader)
    call = cluster.request(leader, "set", key=b"a", value=b"1", timeout_ms=200)

    cluster.run_until(lambda: len(cluster.running) == 2)
    cluster.run_ms(300)

    assert cluster.hosts[leader].last_exit == EXIT_DISK_FAILED
    assert not call.done
    cluster.network.heal()
    cluster.run_until(lambda: cluster.leader() in followers)
    assert cluster.ask(followers[0], "set", key=b"b", value=b"2")["ok"]


def full_disk() -> tuple[SimulatedCluster, str, list[str]]:
    """Return a cluster whose disks have no room for another segment."""
    cluster, leader, _ = elected(capacity_bytes=10**6)
    for name in cluster.names:
        cluster.hosts[name].disk.capacity_bytes = 1
    number = 0
    while any(cluster.process(name).writer.has_room for name in cluster.names):
        number += 1
        assert number < 50, "a segment is soon full"
        cluster.ask(cluster.leader() or leader, "set", key=b"a", value=b"x" * 500)
    # Who had room for longest may have been handed the leadership.
    leader = cluster.elect()
    return cluster, leader, [name for name in cluster.names if name != leader]


def test_a_full_disk_refuses_writes_and_goes_on_reading_and_voting() -> None:
    """``no_space`` is definite; reads, heartbeats and elections need no room (failure E9)."""
    cluster, leader, followers = full_disk()

    refused = cluster.ask(leader, "incr", key=b"hits")
    handed_on = cluster.ask(followers[0], "incr", key=b"hits")
    read = cluster.ask(followers[0], "get", key=b"a")
    status = cluster.ask(leader, "status")
    cluster.run_ms(1_000)

    assert (refused["error"], refused["applied"]) == ("no_space", "no")
    assert (handed_on["error"], handed_on["applied"]) == ("no_space", "no")
    assert read["found"]
    assert status["alarms"]
    assert cluster.leader() == leader


def test_writes_are_taken_again_once_the_disk_has_room() -> None:
    """Each node looks by itself every second; a majority needs room (failure E9)."""
    cluster, leader, _ = full_disk()

    for name in cluster.names:
        cluster.hosts[name].disk.capacity_bytes = None
    cluster.run_ms(1_100)

    assert cluster.ask(leader, "incr", key=b"hits")["value"] == 1
    assert cluster.ask(leader, "status")["alarms"] == []


def test_a_node_without_room_still_votes() -> None:
    """A majority may depend on it (failure E9)."""
    cluster, leader, (voter, other) = full_disk()
    cluster.kill(other)
    cluster.kill(leader)
    cluster.start(leader)

    successor = cluster.elect()

    assert successor in (leader, voter)
    assert cluster.process(voter).alive
