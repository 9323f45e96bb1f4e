"""``leader_transfer``: refused where it can't end well, answered when it has ended."""

from typing import Any

import pytest

from raftcache.node import transfers
from raftcache.protocol.peer import PeerFrame
from raftcache.raft.messages import TimeoutNow

from .builders import elected, left_behind, lose


@pytest.mark.parametrize("chosen", [True, False])
def test_the_answer_comes_when_the_successor_leads(*, chosen: bool) -> None:
    """Who leads, and in which term, is in it (thesis §3.10)."""
    cluster, leader, followers = elected()
    term = cluster.process(leader).server.raft.current_term
    to: dict[str, Any] = {"to": followers[1]} if chosen else {}

    reply = cluster.ask(leader, "leader_transfer", admin=True, **to)

    assert reply["ok"], reply
    assert reply["leader_id"] == reply["leader"]["id"] == cluster.leader()
    assert reply["leader_id"] in (followers[1:] if chosen else followers)
    assert reply["term"] == term + 1


def test_a_target_that_has_been_silent_is_refused_at_once() -> None:
    """No proposal waits for a dead node (failure C13)."""
    cluster, leader, (dead, _) = elected()
    cluster.kill(dead)
    cluster.run_ms(200)

    reply = cluster.ask(leader, "leader_transfer", admin=True, to=dead, within_ms=5)

    assert (reply["error"], reply["applied"]) == ("conflict", "no")
    assert f"{dead} has not answered for" in reply["message"]
    assert cluster.process(leader).server.raft.accepts_proposals


def test_a_target_that_lags_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would cost two elections, or leave nobody leading (failure C13)."""
    monkeypatch.setattr(transfers, "LAG_ENTRIES_MAX", 3)
    cluster, leader, (lagging, _) = elected()
    cluster.process(lagging).writer.held = True
    for number in range(5):
        cluster.ask(leader, "set", key=b"a", value=b"%d" % number)

    reply = cluster.ask(leader, "leader_transfer", admin=True, to=lagging, within_ms=5)

    assert (reply["error"], reply["applied"]) == ("conflict", "no")
    assert "lacks the last 5 entries" in reply["message"]


def test_a_target_that_needs_a_snapshot_is_refused() -> None:
    """All of the log is behind it (failure C13)."""
    cluster, leader, _, behind = left_behind()
    lose(cluster, lambda _source, target, frame: target == behind and bool(frame.chunks))
    cluster.start(behind)
    cluster.run_ms(300)

    reply = cluster.ask(leader, "leader_transfer", admin=True, to=behind)

    assert reply["error"] == "conflict"
    assert "lacks the last" in reply["message"]


def test_without_anybody_to_take_over_it_is_refused() -> None:
    cluster, leader, followers = elected()
    for name in followers:
        cluster.kill(name)
    cluster.run_ms(170)

    reply = cluster.ask(leader, "leader_transfer", admin=True)

    assert reply["error"] == "conflict"
    assert "no other voter is connected" in reply["message"]


def test_a_second_transfer_is_refused_while_one_is_under_way() -> None:
    cluster, leader, (dead, other) = elected()
    cluster.kill(dead)
    first = cluster.request(leader, "leader_transfer", admin=True, to=dead)
    cluster.run_ms(10)

    reply = cluster.ask(leader, "leader_transfer", admin=True, to=other)

    assert (reply["error"], reply["applied"]) == ("conflict", "no")
    cluster.run_until(lambda: first.done)
    assert cluster.ask(leader, "leader_transfer", admin=True, to=other)["ok"]


def test_whether_a_target_that_was_told_to_campaign_does_is_unknown() -> None:
    """The word may be lost, or only late; who asked must not take it for a no (failure C13)."""
    cluster, leader, (target, _) = elected()
    call = cluster.request(leader, "leader_transfer", admin=True, to=target)
    lose(cluster, lambda source, _to, frame: source == leader and says_timeout_now(frame))

    cluster.run_until(lambda: call.done)

    assert call.outcome == "timeout/unknown"
    assert cluster.leader() == leader
    assert cluster.process(leader).server.raft.accepts_proposals


def says_timeout_now(frame: PeerFrame) -> bool:
    return any(isinstance(one, TimeoutNow) for one in frame.messages)


def test_a_leader_that_loses_its_office_during_a_transfer_says_what_it_knows() -> None:
    """Cut off, it can't tell who leads; its time is up, and the outcome unknown (failure C15)."""
    cluster, leader, (target, _) = elected()
    call = cluster.request(leader, "leader_transfer", admin=True, to=target, timeout_ms=700)
    cluster.run_ms(1)
    lose(cluster, lambda source, to, _frame: to == leader and source != leader)

    cluster.run_until(lambda: call.done)

    assert call.outcome in ("timeout/unknown", "conflict/no")


def test_another_successor_than_the_chosen_one_is_told_as_such() -> None:
    """The office has changed hands, and not as was asked: `applied` says yes (failure C14)."""
    cluster, leader, (target, other) = elected()
    cluster.process(target).writer.held = True
    cluster.ask(leader, "set", key=b"a", value=b"1")
    call = cluster.request(leader, "leader_transfer", admin=True, to=target)
    cluster.run_until(lambda: cluster.process(leader).server.raft.is_handing_over)
    old, new = cluster.process(leader).server, cluster.process(other).server
    cluster.run_until(lambda: new.raft.state.persisted_index == old.raft.state.log.last_index)

    # A word that only a mistaken leader would say, yet one that could have been meant.
    order = TimeoutNow(old.server_id, new.server_id, new.raft.current_term)
    old.outbox.add_messages([order])
    cluster.run_until(lambda: new.raft.is_leader)
    cluster.process(target).writer.held = False
    cluster.run_until(lambda: call.done)

    assert (call.reply["error"], call.reply["applied"]) == ("conflict", "yes")
    assert f"{other} leads term" in call.reply["message"]
    assert f"instead of {target}" in call.reply["message"]


@pytest.mark.parametrize("asked", ["the successor", "a bystander"])
@pytest.mark.parametrize("json", [True, False])
def test_any_node_hands_it_on_and_tells_how_it_has_ended(asked: str, *, json: bool) -> None:
    """The one who led says so, though it leads no more (failure B20)."""
    cluster, leader, (successor, bystander) = elected()
    node = successor if asked == "the successor" else bystander
    term = cluster.process(leader).server.raft.current_term

    reply = cluster.ask(node, "leader_transfer", admin=True, json=json, to=successor)

    assert (reply["ok"], reply["to"], reply["leader_id"]) == (True, successor, successor)
    assert (reply["node"], reply["term"]) == (leader, term + 1)
    back = cluster.ask(node, "leader_transfer", admin=True, json=json, to=leader)
    assert back["leader_id"] == cluster.leader() == leader
    assert cluster.process(node).server.desk.is_idle


def test_if_the_leader_dies_meanwhile_nobody_knows_whether_it_was_its_doing() -> None:
    """Whoever handed it on has the leader's answer to give, or none (failure C15)."""
    cluster, leader, (target, other) = elected()
    lose(cluster, lambda source, _to, frame: source == leader and says_timeout_now(frame))
    call = cluster.request(other, "leader_transfer", admin=True, to=target, timeout_ms=2_000)
    cluster.run_until(lambda: cluster.process(leader).server.raft.is_handing_over)

    cluster.kill(leader)
    cluster.run_until(lambda: call.done)

    assert call.outcome == "timeout/unknown"
    assert cluster.leader() in (target, other)
    assert cluster.process(other).server.desk.is_idle
