"""The way of a write: socket, disk, quorum, reply; and what becomes of it when the way breaks."""

import pytest

from orchestrator.simulation.cluster import SimulatedCluster
from orchestrator.simulation.profile import Profile

from .builders import counter, elected


def index_of_next(cluster: SimulatedCluster, leader: str) -> int:
    return cluster.process(leader).server.raft.state.log.last_index + 1


def holders(cluster: SimulatedCluster, index: int) -> list[str]:
    """Return whose disks certainly have the entry at ``index``."""
    return [name for name in cluster.names if len(cluster.checks.durable[name].terms) >= index]


def test_the_reply_to_a_set_leaves_only_after_a_majority_has_it_on_disk() -> None:
    """Watched at each event on the way (failures E7, A11): disks first, then the word."""
    cluster, leader, followers = elected()
    index = index_of_next(cluster, leader)
    for name in cluster.names:
        cluster.process(name).writer.held = True
    call = cluster.request(leader, "set", key=b"a", value=b"1")
    exchange = []

    cluster.run_ms(40)
    exchange.append((call.outcome, holders(cluster, index)))
    # The leader's own disk is one vote like any other (thesis §10.2.1).
    cluster.process(leader).writer.go_on()
    cluster.run_ms(40)
    exchange.append((call.outcome, holders(cluster, index)))
    cluster.process(followers[0]).writer.go_on()
    cluster.run_ms(40)
    exchange.append((call.outcome, holders(cluster, index)))

    assert exchange == [
        ("silence", []),
        ("silence", [leader]),
        ("ok", sorted([leader, followers[0]])),
    ]
    assert call.reply["mod_rev"] == 1


def test_a_disk_wakes_its_loop_only_for_what_waits_for_it() -> None:
    """An acknowledgement does, and a commit that lacks nothing else."""
    cluster, leader, followers = elected()
    server = cluster.process(leader).server
    for name in cluster.names:
        cluster.process(name).writer.held = True
    call = cluster.request(leader, "set", key=b"a", value=b"1")

    cluster.run_ms(40)
    assert not server.turn().wants_disk
    assert cluster.process(followers[0]).server.turn().wants_disk
    cluster.process(followers[0]).writer.go_on()
    cluster.run_ms(40)
    assert server.turn().wants_disk
    assert not cluster.process(followers[0]).server.turn().wants_disk
    cluster.process(followers[1]).writer.go_on()
    cluster.run_ms(40)

    assert call.outcome == "ok"
    assert not server.turn().wants_disk


def test_two_followers_are_a_majority_without_the_leaders_disk() -> None:
    """The leader may be the last one to have it on disk (thesis §10.2.1)."""
    cluster, leader, followers = elected()
    index = index_of_next(cluster, leader)
    cluster.process(leader).writer.held = True

    reply = cluster.ask(leader, "set", key=b"a", value=b"1")

    assert reply["ok"]
    assert holders(cluster, index) == followers


def test_a_lone_node_answers_only_once_its_disk_has_it() -> None:
    """A cluster of one commits behind its own fsync (failure A11)."""
    cluster, leader, _ = elected(profile=Profile(nodes=1))
    cluster.process(leader).writer.held = True
    call = cluster.request(leader, "set", key=b"a", value=b"1", timeout_ms=60_000)
    cluster.run_ms(2_000)
    assert not call.done

    cluster.kill(leader, power=True)
    cluster.start(leader)
    cluster.elect()

    assert not cluster.ask(leader, "get", key=b"a")["found"]
    assert cluster.ask(leader, "set", key=b"a", value=b"2")["ok"]
    cluster.kill(leader, power=True)
    cluster.start(leader)
    assert cluster.ask(leader, "get", key=b"a")["value"] == b"2"


def test_what_came_in_together_is_one_entry() -> None:
    """Requests of one turn share an entry, a write and a message (docs: the hot path)."""
    cluster, leader, _ = elected(profile=Profile(turn_us=(5_000, 5_000)))
    before = index_of_next(cluster, leader) - 1

    calls = [cluster.request(leader, "incr", key=b"hits") for _ in range(100)]
    cluster.run_until(lambda: all(call.done for call in calls))

    assert sorted(call.reply["value"] for call in calls) == list(range(1, 101))
    assert index_of_next(cluster, leader) - 1 - before <= 2


def test_leadership_lost_answers_all_writes_that_wait_at_once() -> None:
    """What is in a deposed leader's log may be applied yet, and may not: unknown (failure A9)."""
    cluster, leader, _ = elected()
    cluster.isolate(leader)
    writes = [cluster.request(leader, "incr", key=b"hits", timeout_ms=60_000) for _ in range(5)]
    reads = [cluster.request(leader, "get", key=b"hits", timeout_ms=60_000) for _ in range(5)]

    waited_ms = cluster.run_until(lambda: all(call.done for call in writes))

    assert {call.outcome for call in writes} == {"timeout/unknown"}
    assert not any(call.done for call in reads), "they had no effect, so they may ask the next"
    assert waited_ms <= 320, "an election timeout, not the minute that they had"
    assert not cluster.process(leader).server.raft.is_leader


def test_a_write_that_was_unknown_and_gave_way_is_gone_everywhere() -> None:
    """The isolated leader's entry is replaced when it returns (§5.3, Figure 7)."""
    cluster, leader, followers = elected()
    cluster.isolate(leader)
    call = cluster.request(leader, "set", key=b"a", value=b"lost")
    cluster.run_until(lambda: call.done)
    cluster.run_until(lambda: cluster.leader() in followers)
    kept = cluster.request(followers[0], "set", key=b"a", value=b"kept")
    cluster.run_until(lambda: kept.done)

    cluster.heal()
    cluster.elect()

    assert (call.outcome, kept.outcome) == ("timeout/unknown", "ok")
    for name in cluster.names:
        assert cluster.ask(name, "get", key=b"a", read="local")["value"] == b"kept"
    assert len(set(cluster.digests().values())) == 1


def test_an_increment_that_was_acknowledged_counts_once_over_a_failover() -> None:
    """Acknowledged by the old leader, counted by the new one (failures A3, B6)."""
    cluster, leader, followers = elected()
    for _ in range(10):
        assert cluster.ask(leader, "incr", key=b"hits")["ok"]

    cluster.kill(leader, power=True)
    cluster.run_until(lambda: cluster.leader() in followers)

    assert cluster.ask(followers[0], "incr", key=b"hits")["value"] == 11
    cluster.start(leader)
    cluster.elect()
    assert counter(cluster, leader) == b"11"


@pytest.mark.parametrize("power", [False, True], ids=["kill -9", "power cut"])
def test_all_nodes_die_together_and_nothing_acknowledged_is_lost(power: bool) -> None:  # noqa: FBT001 - a parameter of the table
    """Five times over, each time with writes under way (failures A3, E7, E12)."""
    cluster, _, _ = elected(seed=7)
    acknowledged = unknown = 0
    for _ in range(5):
        calls = [
            cluster.request(cluster.names[number % 3], "incr", key=b"hits") for number in range(30)
        ]
        cluster.run_until(lambda: sum(call.done for call in calls) >= 10)  # noqa: B023 - run now
        for name in cluster.names:
            cluster.kill(name, power=power)
        cluster.run_ms(10)
        acknowledged += sum(call.outcome == "ok" for call in calls)
        unknown += sum(call.outcome != "ok" for call in calls)
        cluster.up()
        cluster.elect()

    value = int(counter(cluster, "n1") or 0)

    assert acknowledged >= 50
    assert acknowledged <= value <= acknowledged + unknown
    assert len(set(cluster.digests().values())) == 1


def test_a_batch_is_one_command_whose_reads_see_its_writes() -> None:
    """Through the log, in order, a result each, and one that fails stops nothing."""
    cluster, leader, (follower, _) = elected()
    cluster.ask(leader, "set", key=b"word", value=b"x")
    before = index_of_next(cluster, leader)

    reply = cluster.ask(
        follower,
        "batch",
        ops=[
            {"op": "set", "key": b"a", "value": b"1"},
            {"op": "get", "key": b"a"},
            {"op": "incr", "key": b"word"},
            {"op": "incr", "key": b"a", "by": 4},
            {"op": "set", "key": b"", "value": b"no key"},
            {"op": "delete", "key": b"word"},
            {"op": "get", "key": b"word"},
        ],
    )

    results = reply["results"]
    assert [result["ok"] for result in results] == [True, True, False, True, False, True, True]
    assert results[1]["value"] == b"1"
    assert results[2]["error"] == "wrong_type"
    assert results[3]["value"] == 5
    assert results[4]["error"] == "bad_request"
    assert results[6]["found"] is False
    assert index_of_next(cluster, leader) == before + 1, "one entry"


def test_a_batch_that_only_reads_leaves_the_log_alone() -> None:
    cluster, leader, _ = elected()
    before = index_of_next(cluster, leader)

    reply = cluster.ask(leader, "batch", ops=[{"op": "get", "key": b"a"}] * 3)

    assert [result["found"] for result in reply["results"]] == [False] * 3
    assert index_of_next(cluster, leader) == before
