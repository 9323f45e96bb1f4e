"""Sessions in whole clusters: done once over failovers, and ended alike and never early."""

from random import Random
from typing import Any

import msgspec
import pytest

from orchestrator.simulation.cluster import SimulatedCluster
from orchestrator.simulation.profile import CALM, Profile

from .builders import SNAPPY, base_index, counter, elected, fill

VERSION = 3
"""The version of commands that sessions came with."""


def ready(seed: int = 1, profile: Profile = CALM) -> tuple[SimulatedCluster, str, list[str]]:
    """Return a cluster whose nodes all know sessions, its leader, and the others."""
    cluster, leader, others = elected(seed, profile)
    cluster.run_until(
        lambda: all(p.server.store.command_version >= VERSION for p in cluster.running)
    )
    return cluster, leader, others


def open_session(cluster: SimulatedCluster, node: str, ttl_ms: int = 60_000) -> int:
    """Open a session at any node."""
    session = settled(cluster, node, {"op": "session_open", "ttl_ms": ttl_ms})["session"]
    assert isinstance(session, int)
    return session


def is_alive(cluster: SimulatedCluster, node: str, session: int) -> bool:
    """Tell whether a session lives; this keeps it alive."""
    reply = settled(cluster, node, {"op": "session_keepalive", "session": session})
    assert reply["ok"] or (reply["error"], reply["applied"]) == ("session_expired", "unknown")
    return bool(reply["ok"])


def settled(cluster: SimulatedCluster, node: str, request: dict[str, Any]) -> dict[str, Any]:
    """Ask until there is an answer that says something: leaders may be changing."""
    for _ in range(20):
        reply = cluster.ask(node, **request)
        if reply.get("error") not in {"timeout", "no_leader"}:
            return reply
    pytest.fail(f"no answer: {reply}")


def incr(session: int, seq: int, ack: int = 0, key: bytes = b"hits") -> dict[str, Any]:
    """Return a numbered increment."""
    return {"op": "incr", "key": key, "session": session, "seq": seq, "ack": ack}


def test_a_write_whose_answer_was_lost_is_done_once() -> None:
    """The leader commits it and dies before it answers (failure B6)."""
    cluster, leader, others = ready()
    session = open_session(cluster, others[0])
    call = cluster.request(leader, **incr(session, 1))
    follower = cluster.process(others[0]).server
    cluster.run_until(lambda: follower.raft.state.log.last_index > follower.store.last_applied)
    assert not call.done
    cluster.kill(leader)
    cluster.run_until(lambda: cluster.leader() is not None)

    replies = [cluster.ask(node, **incr(session, 1)) for node in (*others, *others)]

    assert [reply["value"] for reply in replies] == [1] * 4
    assert len({reply["mod_rev"] for reply in replies}) == 1
    assert counter(cluster, others[0]) == b"1"


def test_a_retry_that_overtakes_is_done_once() -> None:
    """Two sends through two nodes, both under way at once (failure B6)."""
    cluster, leader, others = ready()
    session = open_session(cluster, leader)

    calls = [cluster.request(node, **incr(session, 1)) for node in (*others, leader, *others)]
    cluster.run_until(lambda: all(call.done for call in calls))

    assert {call.reply["value"] for call in calls} == {1}
    assert counter(cluster, leader) == b"1"


@pytest.mark.parametrize("power", [False, True], ids=["killed", "without power"])
def test_answers_outlive_a_restart_of_all_nodes(*, power: bool) -> None:
    """What is answered stands in the log, or in the snapshot that it gave way to (failure B7)."""
    cluster, leader, _ = ready(profile=SNAPPY)
    session = open_session(cluster, leader)
    first = cluster.ask(leader, **incr(session, 1))
    refused: dict[str, Any] = {"op": "set", "key": b"hits", "value": b"x", "if_mod_rev": 0}
    numbered = {**refused, "session": session, "seq": 2, "ack": 0}
    assert cluster.ask(leader, **numbered)["error"] == "conflict"
    fill(cluster, leader, 40)
    cluster.run_until(
        lambda: all(base_index(cluster, name) > 10 for name in cluster.names), within_ms=20_000
    )
    for name in cluster.names:
        cluster.kill(name, power=power)

    cluster.up()
    leader = cluster.elect()

    assert cluster.ask(leader, **incr(session, 1))["mod_rev"] == first["mod_rev"]
    assert cluster.ask(leader, "delete", key=b"hits")["deleted"] == 1
    assert cluster.ask(leader, **numbered)["error"] == "conflict"
    assert counter(cluster, leader) is None


def test_a_node_that_was_sent_a_snapshot_answers_as_the_others() -> None:
    """It comes back from far behind, leads, and is asked again (failure B7)."""
    cluster, leader, (other, behind) = ready(profile=SNAPPY)
    session = open_session(cluster, leader)
    cluster.kill(behind)
    first = cluster.ask(leader, **incr(session, 1))
    fill(cluster, leader, 40)
    cluster.run_until(lambda: base_index(cluster, leader) > 10, within_ms=20_000)
    cluster.start(behind)
    cluster.run_until(cluster.is_settled, within_ms=30_000)
    assert cluster.told[behind, "snapshot_installed"]
    cluster.kill(other)
    assert cluster.ask(leader, "leader_transfer", admin=True, to=behind)["ok"]
    assert cluster.elect() == behind

    assert cluster.ask(behind, **incr(session, 1))["mod_rev"] == first["mod_rev"]
    assert counter(cluster, behind) == b"1"


def test_a_window_of_requests_is_answered_after_a_failover() -> None:
    """All that was under way is sent again to whoever leads then (failures B6, B23)."""
    cluster, leader, others = ready()
    session = open_session(cluster, leader)
    calls = [cluster.request(leader, **incr(session, seq)) for seq in range(1, 201)]
    cluster.run_until(lambda: sum(call.done for call in calls) > 0)
    cluster.kill(leader)
    cluster.run_until(lambda: cluster.leader() is not None)

    again = [cluster.request(others[seq % 2], **incr(session, seq)) for seq in range(1, 201)]
    cluster.run_until(lambda: all(call.done for call in again))

    assert sorted(call.reply["value"] for call in again) == list(range(1, 201))
    assert counter(cluster, others[0]) == b"200"
    for first, second in zip(calls, again, strict=True):
        if first.done and first.reply["ok"]:
            assert first.reply["mod_rev"] == second.reply["mod_rev"]


def test_a_session_ends_by_itself_when_nobody_writes() -> None:
    """At the same entry everywhere, and not before its time."""
    cluster, leader, others = ready()
    begun_ms = cluster.scheduler.now_ms
    session = open_session(cluster, others[0], 500)
    cluster.run_ms(400)
    assert is_alive(cluster, others[1], session)
    kept_ms = cluster.scheduler.now_ms

    store = cluster.process(others[0]).server.store
    cluster.run_until(lambda: store.session_count == 0)

    assert kept_ms - begun_ms >= 400
    assert 480 <= cluster.scheduler.now_ms - kept_ms <= 620
    assert not is_alive(cluster, leader, session)
    cluster.run_until(cluster.is_settled)
    assert len(set(cluster.digests().values())) == 1


def test_a_session_that_is_kept_alive_outlives_a_paused_leader() -> None:
    """What the old one believes when it wakes up counts for nothing (failure B11)."""
    cluster, leader, others = ready()
    session = open_session(cluster, leader, 1_000)
    cluster.pause(leader)
    cluster.run_until(lambda: any(cluster.process(n).server.raft.is_leader for n in others))
    for _ in range(8):
        assert is_alive(cluster, others[0], session)
        cluster.run_ms(500)

    cluster.resume(leader)
    cluster.run_ms(300)

    assert is_alive(cluster, leader, session)


def test_a_session_has_its_whole_time_from_a_new_leader() -> None:
    """Nobody led for longer than it lives, and little was left of it before (failure B12)."""
    cluster, leader, others = ready()
    session = open_session(cluster, leader, 2_000)
    cluster.run_ms(1_700)
    assert cluster.ask(leader, "incr", key=b"n")["ok"]  # The log tells how late it is.
    for name in others:
        cluster.kill(name)
    cluster.run_ms(5_000)
    cluster.up()
    leader = cluster.elect()

    cluster.run_ms(1_800)

    assert is_alive(cluster, leader, session)


@pytest.mark.parametrize("seed", range(1, 4))
def test_replicas_agree_on_who_is_gone_whatever_their_clocks_say(seed: int) -> None:
    """Rates from a half to twice; leaders come and go (failures B8, B9)."""
    profile = msgspec.structs.replace(SNAPPY, clock_rates=(500, 1_000, 2_000))
    cluster, _, _ = ready(seed, profile)
    draw = Random(f"{seed}/sessions")
    sessions: list[int] = []
    for turn in range(40):
        node = draw.choice(cluster.names)
        if turn % 3 == 0:
            sessions.append(open_session(cluster, node, draw.randint(20, 400)))
        session = draw.choice(sessions)
        if draw.random() < 0.5:
            cluster.ask(node, "session_keepalive", session=session)
        else:
            cluster.ask(node, **incr(session, draw.randint(1, 5)))
        if turn % 10 == 9:
            leader = cluster.leader()
            if leader is not None:
                cluster.kill(leader)
                cluster.run_ms(400)
                cluster.up()
        cluster.run_ms(draw.randint(0, 80))
    cluster.elect()

    # At each index along the way the run's own checks have compared the digests.
    cluster.checks.check_all(cluster.running)
    store = cluster.process(cluster.names[0]).server.store
    cluster.run_until(lambda: store.session_count == 0)


def test_keepalives_that_come_together_share_an_entry() -> None:
    """A thousand idle clients must not cost a thousand entries of the log."""
    cluster, leader, _ = ready()
    sessions = [open_session(cluster, leader) for _ in range(5)]
    before = cluster.process(leader).server.raft.state.log.last_index

    calls = [
        cluster.request(leader, "session_keepalive", session=session)
        for session in sessions
        for _ in range(40)
    ]
    cluster.run_until(lambda: all(call.done for call in calls))

    assert all(call.reply["ok"] for call in calls)
    assert cluster.process(leader).server.raft.state.log.last_index - before <= 20


def test_sessions_wait_for_the_last_node_that_does_not_know_them() -> None:
    """Refused by name until then, and nothing of them in the log (failure E15)."""
    cluster = SimulatedCluster(1).up()
    cluster.process("n1").server.upkeep.versions.own = VERSION - 1
    cluster.elect()
    cluster.run_ms(1_000)

    for node in ("n2", "n3"):
        for request in (
            {"op": "session_open", "ttl_ms": 500},
            {"op": "session_keepalive", "session": 1},
            incr(1, 1),
            {"op": "batch", "session": 1, "ops": [{"op": "incr", "key": b"n", "seq": 1}]},
        ):
            reply = cluster.ask(node, **request)
            assert (reply["error"], reply["applied"]) == ("unsupported", "no")
            assert "n1" in reply["message"]
    cluster.process("n1").server.upkeep.versions.own = VERSION
    cluster.run_until(
        lambda: all(p.server.store.command_version >= VERSION for p in cluster.running)
    )

    assert open_session(cluster, "n1") == 1


def test_status_tells_how_many_sessions_there_are() -> None:
    """On every node: the table is replicated."""
    cluster, leader, others = ready()
    open_session(cluster, leader)
    session = open_session(cluster, others[0])
    cluster.run_until(cluster.is_settled)
    assert cluster.ask(others[1], "status")["sizes"]["sessions"] == 2

    reply = cluster.ask(others[1], "session_close", session=session)

    assert reply["ttl_ms"] == 0
    assert cluster.ask(leader, "status")["sizes"]["sessions"] == 1


@pytest.mark.parametrize("seed", range(1, 7))
def test_a_bound_key_goes_with_its_session_whoever_dies_then(seed: int) -> None:
    """The leader dies around the end of a session, at another moment each time (failure B13)."""
    cluster, leader, others = ready(seed)
    session = open_session(cluster, others[0], 300)
    for number in range(20):
        key = b"bound-%d" % number
        reply = settled(
            cluster,
            others[0],
            {"op": "set", "key": key, "value": b"x", "bind": True, "session": session},
        )
        assert reply["ok"], reply
    store = cluster.process(others[0]).server.store
    server = cluster.process(leader).server
    moment_ms = server.store.next_deadline_ms - 3 + 3 * seed
    cluster.run_until(lambda: server.upkeep.time.now_ms >= moment_ms)
    cluster.kill(leader)

    cluster.run_until(lambda: cluster.leader() is not None)
    alone: set[tuple[int, int]] = set()
    while store.session_count:
        alone.add((store.session_count, store.key_count))
        cluster.run_ms(5)

    assert alone <= {(1, 20)}, "session and keys are there together"
    assert store.key_count == 0
    cluster.up()
    cluster.elect()
    assert len(set(cluster.digests().values())) == 1
