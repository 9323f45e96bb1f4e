"""Watches at their bounds: of the history, of a node, of a turn, of what all nodes know."""

from typing import Any

import msgspec
import pytest

from orchestrator.simulation.cluster import SimulatedCluster
from raftcache.node import watches
from raftcache.node.values import ADMIN_SOCKET, CLIENT_SOCKET
from raftcache.node.watches import GRACE_MS
from raftcache.store.commands import COMMAND_VERSION

from .watching import at, follow, is_empty, let_wait, raised, told, versions

pack = msgspec.msgpack.encode
POLL = pack({"op": "watch", "key": b"a", "from_rev": 1, "wait_ms": 60_000})


def test_what_the_history_no_longer_has_is_compacted_and_never_silence() -> None:
    """At any node, also one that has it from a snapshot (failures B14, B16)."""
    cluster, leader, _ = raised()
    ops = [{"op": "set", "key": b"k%d" % (number % 7), "value": b""} for number in range(1_000)]
    for _ in range(11):
        assert cluster.ask(leader, "batch", ops=ops)["ok"]
    cluster.run_ms(1_000)

    for node in cluster.names:
        gone = cluster.ask(node, "watch", prefix=b"k", from_rev=1_000)
        assert (gone["error"], gone["applied"], gone["oldest"]) == ("compacted", "no", 1_001)
        found, next_rev = follow(cluster, node, 1_001, prefix=b"k")
        assert [event[1] for event in found] == list(range(1_001, 11_001))
        assert next_rev == 11_001


def test_a_watch_that_waits_is_told_of_more_than_the_history_keeps() -> None:
    """One entry may replace more bytes than that; only what happened *before* is forgotten."""
    cluster, leader, _ = raised()
    large = [{"op": "set", "key": b"k%d" % number, "value": b"x" * 999_000} for number in range(3)]
    for start in range(0, 12, 3):
        for number, op in enumerate(large):
            op["key"] = b"k%02d" % (start + number)
        assert cluster.ask(leader, "batch", ops=large)["ok"]
    cluster.run_ms(1_000)
    calls = {node: let_wait(cluster, node, prefix=b"k") for node in cluster.names}

    ops = [{"op": "delete", "key": b"k%02d" % number} for number in range(12)]
    assert cluster.ask(leader, "batch", ops=ops)["ok"]
    cluster.run_until(lambda: all(call.done for call in calls.values()))

    for node, call in calls.items():
        assert [event[:2] for event in told(call.reply)] == [
            ("delete", rev) for rev in range(13, 25)
        ]
        assert cluster.ask(node, "watch", prefix=b"k", from_rev=13)["error"] == "compacted"


def test_one_client_can_not_take_the_room_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "WATCHES_OF_CLIENT_MAX", 2)
    cluster, leader, _ = raised()
    server = cluster.process(leader).server
    for client in (b"\0one", b"\0one", b"\0one", b"\0two"):
        server.on_client(CLIENT_SOCKET, [client, b"", POLL])

    [(_, envelope, frame)] = server.answers.take()

    reply = msgspec.msgpack.decode(frame)
    assert envelope == [b"\0one", b""]
    assert (reply["error"], reply["applied"]) == ("overloaded", "no")
    assert reply["retry_after_ms"] > 0
    assert "2 watches wait on this connection" in reply["message"]
    assert len(at(cluster, leader)) == 3


def test_the_watches_of_a_client_that_is_gone_are_let_go() -> None:
    """Of it alone; and what was about it leaves no trace (failure B22)."""
    cluster, leader, _ = raised()
    server = cluster.process(leader).server
    for fields in ({"key": b"a"}, {"prefix": b"a"}, {"key": b"a", "from_rev": 99}):
        request = pack({"op": "watch", "from_rev": 1, "wait_ms": 60_000, **fields})
        server.on_client(CLIENT_SOCKET, [b"\0gone", b"", request])
    server.on_client(CLIENT_SOCKET, [b"\0here", b"", POLL])
    cluster.run_ms(20)
    assert len(at(cluster, leader)) == 4

    server.on_client_gone(ADMIN_SOCKET, b"\0here")
    server.on_client_gone(CLIENT_SOCKET, b"\0gone")
    server.on_client_gone(CLIENT_SOCKET, b"\0gone")

    assert len(at(cluster, leader)) == 1
    server.on_client_gone(CLIENT_SOCKET, b"\0here")
    assert is_empty(at(cluster, leader))
    assert cluster.ask(leader, "set", key=b"a", value=b"1")["ok"]


def test_more_watches_than_a_node_holds_are_overloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watches, "WATCHES_MAX", 3)
    cluster, leader, (other, _) = raised()
    calls = [let_wait(cluster, leader, key=b"a") for _ in range(3)]

    reply = cluster.ask(leader, "watch", key=b"a", from_rev=1)

    assert (reply["error"], reply["applied"]) == ("overloaded", "no")
    assert reply["retry_after_ms"] == watches.RETRY_AFTER_MS
    let_wait(cluster, other, key=b"a")
    cluster.ask(leader, "set", key=b"a", value=b"1")
    cluster.run_until(lambda: all(call.done for call in calls))
    let_wait(cluster, leader, key=b"a")


def test_those_who_get_no_turn_are_told_in_the_next_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many watch one key, a turn stays short; and nobody is forgotten (failure B14)."""
    monkeypatch.setattr(watches, "TURN_COST_MAX", 30)
    cluster, leader, _ = raised()
    calls = [let_wait(cluster, leader, key=b"a") for _ in range(20)]
    calls += [let_wait(cluster, leader, prefix=b"a") for _ in range(20)]

    for number in range(3):
        cluster.ask(leader, "set", key=b"a", value=b"%d" % number)
    cluster.run_until(lambda: all(call.done for call in calls))

    everything = [("set", number + 1, b"a", b"%d" % number) for number in range(3)]
    for call in calls:
        answered = told(call.reply)
        assert answered == everything[: len(answered)]
        assert call.reply["next_rev"] == len(answered) + 1
    assert is_empty(at(cluster, leader))


def test_a_turn_tells_only_a_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many wait: else heartbeats would wait for them (failure F11)."""
    monkeypatch.setattr(watches, "TURN_COST_MAX", 30)
    cluster, leader, _ = raised()
    calls = [let_wait(cluster, leader, key=b"a") for _ in range(20)]
    calls += [let_wait(cluster, leader, prefix=b"a", prev=bool(n % 2)) for n in range(20)]
    waiting: set[int] = set()

    def all_are_told() -> bool:
        waiting.add(len(at(cluster, leader)))
        return all(call.done for call in calls)

    cluster.request(leader, "set", key=b"a", value=b"1")
    cluster.run_until(all_are_told)

    assert len(waiting) > len(calls) // 4


@pytest.mark.parametrize("node", ["n1", "n3"])
def test_a_cluster_of_mixed_releases_has_no_watches_yet(node: str) -> None:
    """Its history does not tell the kinds of changes (failure E15)."""
    cluster = SimulatedCluster(1).up()
    cluster.process("n1").server.upkeep.versions.own = 2
    cluster.elect()
    cluster.run_ms(1_000)

    refused = cluster.ask(node, "watch", key=b"a", from_rev=1, wait_ms=0)
    assert (refused["error"], refused["applied"]) == ("unsupported", "no")
    fields: dict[str, Any] = {"key": b"a", "wait_ms": 60_000 - GRACE_MS}
    from_now = cluster.request(node, "watch", **fields)
    from_the_past = cluster.request(node, "watch", **fields, from_rev=1)
    cluster.run_until(lambda: len(at(cluster, node)) == 2)
    cluster.ask("n2", "set", key=b"a", value=b"1")
    cluster.process("n1").server.upkeep.versions.own = COMMAND_VERSION
    cluster.run_until(lambda: versions(cluster) == {COMMAND_VERSION})
    cluster.ask("n2", "set", key=b"a", value=b"2")
    cluster.run_until(lambda: from_now.done)

    assert told(from_now.reply) == [("set", 2, b"a", b"2")]
    assert (from_the_past.reply["error"], from_the_past.reply["oldest"]) == ("compacted", 2)
