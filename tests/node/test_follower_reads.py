"""Linearizable reads at followers: answered from their own state, once that is new enough."""

import pytest

from raftcache.node import requests
from raftcache.protocol.peer import PeerFrame
from raftcache.raft.messages import AppendEntries, PreVote, ReadIndex, ReadIndexResponse

from .builders import elected, keep_copies, lose


def asks(_source: str, _target: str, frame: PeerFrame) -> bool:
    return any(isinstance(message, ReadIndex) for message in frame.messages)


def answers(_source: str, _target: str, frame: PeerFrame) -> bool:
    return any(isinstance(message, ReadIndexResponse) for message in frame.messages)


def test_a_follower_answers_what_it_is_asked() -> None:
    """It names itself; the leader's state is never looked at."""
    cluster, leader, followers = elected()
    cluster.ask(leader, "set", key=b"a", value=b"1")

    replies = [cluster.ask(name, "get", key=b"a") for name in followers]

    assert [(reply["node"], reply["value"]) for reply in replies] == [
        (name, b"1") for name in followers
    ]
    assert {reply["leader"]["id"] for reply in replies} == {leader}


def test_a_follower_waits_until_it_has_applied_what_a_read_must_see() -> None:
    """An acknowledged write is on the way to it still (PROTOCOL promise 1)."""
    cluster, leader, (follower, _) = elected()
    lose(
        cluster,
        lambda _source, target, frame: (
            target == follower
            and any(isinstance(one, AppendEntries) and one.entries for one in frame.messages)
        ),
    )
    assert cluster.ask(leader, "set", key=b"a", value=b"1")["ok"]
    call = cluster.request(follower, "get", key=b"a")
    cluster.run_ms(100)
    assert not call.done
    cluster.network.blocks = None

    cluster.run_until(lambda: call.done)

    assert (call.reply["node"], call.reply["value"]) == (follower, b"1")


def test_one_question_is_about_all_that_came_in_together() -> None:
    cluster, _, (follower, _) = elected()
    copies = keep_copies(cluster, asks)

    calls = [cluster.request(follower, "get", key=b"a") for _ in range(200)]
    cluster.run_until(lambda: all(call.done for call in calls))

    assert {call.outcome for call in calls} == {"ok"}
    assert len(copies) <= 20


def test_an_answer_that_comes_after_the_leader_was_deposed_is_not_used() -> None:
    """It is of an earlier term: a newer leader may have committed since (failures B1, B3)."""
    cluster, leader, (follower, other) = elected()
    cluster.ask(leader, "set", key=b"a", value=b"old")
    copies = keep_copies(
        cluster,
        lambda source, target, frame: (
            answers(source, target, frame)
            or (source == follower and any(isinstance(one, PreVote) for one in frame.messages))
        ),
        lost=True,
    )
    call = cluster.request(follower, "get", key=b"a", timeout_ms=60_000)
    cluster.run_until(lambda: bool(copies))
    of_the_deposed = copies[:1]
    cluster.isolate(leader)
    cluster.run_until(lambda: cluster.leader() == other)
    assert cluster.ask(other, "set", key=b"a", value=b"new")["ok"]

    for _, target, frame in of_the_deposed * 3:
        cluster.process(target).on_peer_frame(frame)
    cluster.run_ms(20)

    assert not call.done
    cluster.network.blocks = None
    cluster.run_until(lambda: call.done)
    assert call.reply["value"] == b"new"


def test_an_answer_to_a_former_life_is_not_used() -> None:
    """The term, the names and the leader are the same after a restart (failure B3)."""
    cluster, leader, (follower, _) = elected()
    cluster.ask(leader, "set", key=b"a", value=b"old")
    copies = keep_copies(cluster, answers, lost=True)
    cluster.request(follower, "get", key=b"a")
    cluster.run_until(lambda: bool(copies))
    cluster.kill(follower)
    cluster.ask(leader, "set", key=b"a", value=b"new")
    cluster.start(follower)
    cluster.run_until(lambda: cluster.process(follower).server.raft.state.leader_id is not None)
    cluster.network.cut(leader, follower)
    call = cluster.request(follower, "get", key=b"a", timeout_ms=60_000)
    cluster.run_ms(20)

    for _, target, frame in copies * 3:
        cluster.process(target).on_peer_frame(frame)
    cluster.run_ms(20)

    assert not call.done
    cluster.heal()
    cluster.run_until(lambda: call.done)
    assert call.reply["value"] == b"new"


@pytest.mark.parametrize("test", [asks, answers])
def test_what_is_lost_on_the_way_is_asked_again(test: object) -> None:
    """Within a heartbeat's time, not at the deadline."""
    cluster, leader, (follower, _) = elected()
    cluster.ask(leader, "set", key=b"a", value=b"1")
    lost: list[str] = []

    def lose_some(source: str, target: str, frame: PeerFrame) -> bool:
        if len(lost) < 2 and test(source, target, frame):  # type: ignore[operator]
            lost.append(source)
            return True
        return False

    lose(cluster, lose_some)
    call = cluster.request(follower, "get", key=b"a")

    assert cluster.run_until(lambda: call.done) <= 250
    assert call.reply["value"] == b"1"
    assert len(lost) == 2


def test_a_read_outlives_the_leader_that_was_asked() -> None:
    """It had no effect, so it is asked of the next one, within its time."""
    cluster, leader, (follower, _) = elected()
    cluster.ask(leader, "set", key=b"a", value=b"1")
    lose(cluster, answers)
    call = cluster.request(follower, "get", key=b"a", timeout_ms=60_000)
    cluster.run_ms(20)
    cluster.kill(leader)
    cluster.network.blocks = None

    waited_ms = cluster.run_until(lambda: call.done)

    assert call.outcome == "ok"
    assert call.reply["node"] == follower
    assert waited_ms < 2_000


def test_without_a_leader_a_read_ends_with_its_time_and_was_nothing() -> None:
    cluster, leader, (follower, other) = elected()
    cluster.kill(leader)
    cluster.kill(other)
    cluster.run_ms(500)

    call = cluster.request(follower, "get", key=b"a", timeout_ms=300)
    cluster.run_until(lambda: call.done)

    assert call.outcome == "no_leader/no"


def test_a_read_that_is_not_to_go_elsewhere_is_refused_by_a_follower() -> None:
    """``forward: false`` means: answer only if you lead."""
    cluster, leader, (follower, _) = elected()

    reply = cluster.ask(follower, "get", key=b"a", forward=False)

    assert (reply["error"], reply["applied"]) == ("not_leader", "no")
    assert cluster.ask(leader, "get", key=b"a", forward=False)["ok"]


def test_a_follower_that_is_far_behind_hands_reads_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would make the client wait for what the leader knows already."""
    monkeypatch.setattr(requests, "BEHIND_ENTRIES_MAX", 3)
    cluster, leader, (follower, _) = elected()
    cluster.process(follower).writer.held = True
    for number in range(10):
        cluster.ask(leader, "set", key=b"a", value=b"%d" % number)
    # Heartbeats tell it how far the others are.
    cluster.run_until(lambda: (cluster.process(follower).server.raft.state.leader_commit or 0) > 8)
    cluster.process(follower).server.raft.pause_apply(paused=True)
    for number in range(10):
        cluster.ask(leader, "set", key=b"a", value=b"%d" % number)
    cluster.run_ms(100)

    reply = cluster.ask(follower, "get", key=b"a")

    assert (reply["node"], reply["value"]) == (leader, b"9")
