"""Watches at whole nodes: told everything once and in order, wherever they are served."""

import msgspec
import pytest

from orchestrator.simulation.calls import Call
from orchestrator.simulation.cluster import SimulatedCluster
from raftcache.node.values import CLIENT_SOCKET
from raftcache.store.commands import COMMAND_VERSION

from .builders import SNAPPY, elected, fill, left_behind
from .watching import Told, at, follow, is_empty, let_wait, raised, told, versions


def test_a_watch_is_told_of_a_change_by_the_node_that_it_reached() -> None:
    cluster, leader, followers = raised()
    calls = [let_wait(cluster, node, key=b"a") for node in cluster.names]

    assert cluster.ask(leader, "set", key=b"b", value=b"not watched")["ok"]
    assert cluster.ask(followers[0], "set", key=b"a", value=b"1")["ok"]
    cluster.run_until(lambda: all(call.done for call in calls))

    assert [call.reply["node"] for call in calls] == cluster.names
    assert [told(call.reply) for call in calls] == [[("set", 2, b"a", b"1")]] * 3
    assert {call.reply["next_rev"] for call in calls} == {3}
    assert all(call.reply["store_rev"] >= 2 for call in calls)


def test_all_kinds_of_change_are_told_with_what_was_there_before() -> None:
    cluster, leader, _ = raised()
    cluster.ask(leader, "set", key=b"a", value=b"1")
    cluster.ask(leader, "set", key=b"a", value=b"2", ttl_ms=50)
    cluster.run_until(lambda: not cluster.ask(leader, "get", key=b"a")["found"])
    cluster.ask(leader, "set", key=b"a", value=b"3")
    cluster.ask(leader, "delete", key=b"a")

    reply = cluster.ask(leader, "watch", key=b"a", from_rev=0, prev=True)

    assert [(event["kind"], event["value"], event["prev"]) for event in reply["events"]] == [
        ("set", b"1", None),
        ("set", b"2", b"1"),
        ("expire", None, b"2"),
        ("set", b"3", None),
        ("delete", None, b"3"),
    ]


def test_what_comes_in_one_turn_is_one_answer() -> None:
    cluster, leader, _ = raised()
    call = let_wait(cluster, leader, prefix=b"a")

    ops = [
        {"op": "set", "key": b"a%d" % (number % 3), "value": b"%d" % number} for number in range(9)
    ]
    cluster.ask(leader, "batch", ops=ops)
    cluster.run_until(lambda: call.done)

    wanted = [("set", number + 1, b"a%d" % (number % 3), b"%d" % number) for number in range(9)]
    assert told(call.reply) == wanted


def test_prefixes_of_any_length_are_told_apart() -> None:
    cluster, leader, _ = raised()
    prefixes = [b"", b"a", b"ab", b"abc", b"b", b"\xff", b"\xff\xff"]
    calls = {prefix: let_wait(cluster, leader, prefix=prefix) for prefix in prefixes}

    cluster.ask(leader, "set", key=b"ab", value=b"1")
    cluster.run_until(lambda: calls[b"ab"].done)
    assert {prefix for prefix, call in calls.items() if call.done} == {b"", b"a", b"ab"}

    cluster.ask(leader, "set", key=b"\xff", value=b"1")
    cluster.run_until(lambda: calls[b"\xff"].done)
    assert {prefix for prefix, call in calls.items() if not call.done} == {
        b"abc",
        b"b",
        b"\xff\xff",
    }


def test_a_watch_on_a_revision_yet_to_come_is_told_nothing_older() -> None:
    """It has skipped these on purpose (failure B17)."""
    cluster, leader, _ = raised()
    cluster.ask(leader, "set", key=b"a", value=b"1")
    call = let_wait(cluster, leader, key=b"a", from_rev=4)

    for number in (2, 3):
        cluster.ask(leader, "set", key=b"a", value=b"%d" % number)
    cluster.run_ms(200)
    assert not call.done
    cluster.ask(leader, "set", key=b"a", value=b"4")
    cluster.run_until(lambda: call.done)

    assert told(call.reply) == [("set", 4, b"a", b"4")]


def test_a_watch_that_moves_to_a_node_that_is_behind_waits_there() -> None:
    """It is told nothing twice, and nothing that it was told already goes back (failure B15)."""
    cluster, leader, (behind, _) = raised()
    cluster.ask(leader, "set", key=b"a", value=b"1")
    cluster.run_ms(500)
    cluster.isolate(behind)
    for number in (2, 3):
        cluster.ask(leader, "set", key=b"a", value=b"%d" % number)
    found, next_rev = follow(cluster, leader, 1)
    assert [event[1] for event in found] == [1, 2, 3]

    call = let_wait(cluster, behind, key=b"a", from_rev=next_rev)
    cluster.run_ms(500)
    assert not call.done
    cluster.heal()
    cluster.run_ms(1_000)
    cluster.ask(cluster.elect(), "set", key=b"a", value=b"4")
    cluster.run_until(lambda: call.done)

    assert told(call.reply) == [("set", 4, b"a", b"4")]


@pytest.mark.parametrize("seed", range(1, 5))
def test_who_goes_from_node_to_node_over_failovers_has_no_gap_and_nothing_twice(seed: int) -> None:
    """Its next node may lead, follow, be cut off or just be back (failures B14, B15)."""
    cluster, _, _ = elected(seed)
    cluster.run_until(lambda: versions(cluster) == {COMMAND_VERSION})
    found: list[Told] = []
    next_rev = 1
    for round_number in range(9):
        leader = cluster.elect()
        for number in range(3):
            key = b"a%d" % ((round_number + number) % 4)
            assert cluster.ask(leader, "set", key=key, value=b"%d" % round_number)["ok"]
        node = cluster.names[(round_number + seed) % 3]
        part, next_rev = follow(cluster, node, next_rev)
        found += part
        if round_number % 3 == 0:
            cluster.kill(leader)
        elif round_number % 3 == 1:
            cluster.isolate(leader)
            # The one that was killed has to be back, or there is no majority.
        if round_number % 3 != 2:
            part, next_rev = follow(cluster, _another(cluster, leader), next_rev)
            found += part
            cluster.run_ms(1_000)
            cluster.heal()
            if leader not in {process.name for process in cluster.running}:
                cluster.start(leader)
            cluster.run_ms(1_000)
    part, _ = follow(cluster, cluster.elect(), next_rev)
    found += part

    whole, _ = follow(cluster, cluster.elect(), 1)
    assert found == whole
    assert [event[1] for event in whole] == list(range(1, 28))


def _another(cluster: SimulatedCluster, than: str) -> str:
    return next(name for name in cluster.names if name != than)


def test_now_is_not_what_a_deposed_leader_takes_for_it() -> None:
    """A watch from now on begins behind every write that was acknowledged before (failure B1)."""
    cluster, deposed, _ = raised()
    cluster.isolate(deposed)
    call = cluster.request(deposed, "watch", key=b"a", wait_ms=30_000)
    cluster.run_until(lambda: cluster.leader() not in {None, deposed})
    leader = cluster.leader()
    assert leader is not None
    assert cluster.ask(leader, "set", key=b"a", value=b"before")["ok"]

    cluster.heal()
    cluster.run_until(lambda: len(at(cluster, deposed)) == 1)
    assert not call.done
    cluster.ask(leader, "set", key=b"a", value=b"after")
    cluster.run_until(lambda: call.done)

    assert [event[3] for event in told(call.reply)] == [b"after"]


def test_without_a_leader_a_watch_from_a_revision_on_is_served_and_one_from_now_waits() -> None:
    cluster, leader, (cut_off, _) = raised()
    cluster.ask(leader, "set", key=b"a", value=b"1")
    cluster.run_ms(500)
    cluster.isolate(cut_off)
    cluster.run_ms(2_000)

    assert told(cluster.ask(cut_off, "watch", key=b"a", from_rev=1)) == [("set", 1, b"a", b"1")]
    local = cluster.ask(cut_off, "watch", key=b"a", wait_ms=0, read="local")
    assert (local["events"], local["next_rev"], local["leader"]) == ([], 2, None)
    refused = cluster.ask(cut_off, "watch", key=b"a", wait_ms=100)
    assert (refused["error"], refused["applied"]) == ("no_leader", "no")


def test_a_watch_ends_when_its_time_is_up_and_says_where_to_go_on() -> None:
    """Nothing is left of it, so a client that is gone costs no more than that (failure B14)."""
    cluster, leader, _ = raised()
    cluster.ask(leader, "set", key=b"a", value=b"1")
    calls = [
        let_wait(cluster, leader, key=b"a", wait_ms=200),
        let_wait(cluster, leader, prefix=b"b", wait_ms=300),
        let_wait(cluster, leader, prefix=b"b", wait_ms=400, from_rev=9),
    ]
    cluster.ask(leader, "set", key=b"c", value=b"1")

    cluster.run_until(lambda: all(call.done for call in calls), within_ms=600)

    assert [call.reply["events"] for call in calls] == [[], [], []]
    assert [call.reply["next_rev"] for call in calls] == [3, 3, 9]
    assert is_empty(at(cluster, leader))


def wait_for(cluster: SimulatedCluster, *calls: Call) -> None:
    cluster.run_until(lambda: all(call.done for call in calls))


def test_what_an_answer_without_events_says_of_progress_is_true() -> None:
    """Of what lies before the revision that it names, nothing comes later (failure B18)."""
    cluster, leader, (follower, _) = raised()
    wanted: list[int] = []
    found: list[int] = []
    empty, next_rev = 0, 1
    for number in range(60):
        key = b"a" if number % 7 == 0 else b"b"
        call = cluster.request(follower, "watch", key=b"a", from_rev=next_rev, wait_ms=3)
        write = cluster.request(leader, "set", key=key, value=b"%d" % number)
        wait_for(cluster, call, write)
        wanted += [write.reply["mod_rev"]] if key == b"a" else []
        found += [event["rev"] for event in call.reply["events"]]
        empty += not call.reply["events"] and call.reply["next_rev"] > next_rev
        assert call.reply["next_rev"] >= next_rev
        next_rev = call.reply["next_rev"]

    found += [rev for _, rev, key, _ in follow(cluster, follower, next_rev)[0] if key == b"a"]
    assert found == wanted
    assert empty > 10, "time and again nothing of it had happened, and something else had"


def test_a_node_that_stops_sends_its_watches_on_with_the_revision_to_go_on_from() -> None:
    cluster, leader, (stopping, _) = raised()
    cluster.ask(leader, "set", key=b"b", value=b"1")
    cluster.run_ms(500)
    waits, ahead = (
        let_wait(cluster, stopping, key=b"a"),
        let_wait(cluster, stopping, key=b"a", from_rev=9),
    )

    cluster.stop(stopping)
    cluster.run_until(lambda: waits.done and ahead.done)

    assert [call.reply["error"] for call in (waits, ahead)] == ["no_leader", "no_leader"]
    assert [call.reply["next_rev"] for call in (waits, ahead)] == [2, 9]


def test_a_node_that_takes_over_a_snapshot_tells_what_happened_meanwhile() -> None:
    """The history is part of it (failures B14, B16)."""
    cluster, leader, _, behind = left_behind()
    cluster.start(behind)
    call = cluster.request(behind, "watch", key=b"key-1", from_rev=1, wait_ms=60_000)

    cluster.run_until(lambda: call.done)

    assert cluster.told[behind, "snapshot_installed"] > 0
    at_leader = cluster.ask(leader, "watch", key=b"key-1", from_rev=1)
    assert told(at_leader)[: len(told(call.reply))] == told(call.reply)
    assert len(told(call.reply)) >= 4


def test_who_waits_while_a_snapshot_is_put_in_force_misses_nothing() -> None:
    """It waits by its key; the changes come in the snapshot, not one by one."""
    cluster, leader, (behind, _) = elected(1, SNAPPY)
    fill(cluster, leader, 3)
    cluster.run_until(lambda: at_rev(cluster, behind) == at_rev(cluster, leader))
    call = let_wait(cluster, behind, key=b"key-9")
    begins = at_rev(cluster, behind) + 1
    cluster.isolate(behind)

    fill(cluster, leader, 60)
    cluster.heal()
    cluster.run_until(lambda: call.done, within_ms=30_000)

    assert cluster.told[behind, "snapshot_installed"] > 0
    assert told(call.reply) == told(cluster.ask(leader, "watch", key=b"key-9", from_rev=begins))


def at_rev(cluster: SimulatedCluster, name: str) -> int:
    return cluster.process(name).server.store.store_rev


def test_who_does_not_wait_is_told_what_there_is() -> None:
    """Also if a tick comes before its turn: none is told that there was nothing, unlooked."""
    cluster, leader, _ = raised()
    cluster.ask(leader, "set", key=b"a", value=b"1")
    cluster.run_ms(50)
    holder = at(cluster, leader)
    server = cluster.process(leader).server
    for key in (b"a", b"b"):
        poll = {"op": "watch", "key": key, "from_rev": 1, "wait_ms": 0}
        server.on_client(CLIENT_SOCKET, [b"\0poll", b"", msgspec.msgpack.encode(poll)])

    holder.expire(server.now_ms + 1)
    holder.on_turn()
    told_now = server.answers.take()
    holder.expire(server.now_ms + 1)
    told_then = server.answers.take()

    [now, then] = [msgspec.msgpack.decode(one[2]) for one in told_now + told_then]
    assert (len(told_now), told(now)) == (1, [("set", 1, b"a", b"1")])
    assert (told(then), then["next_rev"]) == ([], 2)
    assert is_empty(holder)
