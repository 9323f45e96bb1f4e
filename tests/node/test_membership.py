"""Members that come and go, on whole nodes (§6, thesis chapter 4)."""

from typing import Any

import pytest

from orchestrator.simulation.judge import judge
from orchestrator.simulation.members import new_host, wipe
from orchestrator.simulation.profile import Profile
from orchestrator.simulation.workload import Workload

from .builders import SNAPPY, counter, elected, fill, keep_copies, lose
from .membership import add, administer, configuration, endpoints, joinable, settle, voters


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
    fields: dict[str, Any] = {"id": member.node_id, **endpoints(member)}

    changed = [
        administer(cluster, leader, "member_add", **fields)["changed"],
        administer(cluster, leader, "member_add", **fields)["changed"],
        administer(cluster, leader, "member_remove", id=gone)["changed"],
        administer(cluster, leader, "member_remove", id=gone)["changed"],
    ]

    assert changed == [True, False, True, False]
    assert counter(cluster, leader) is None


def test_to_remove_who_is_no_member_changes_nothing() -> None:
    """Not even the log, the first time."""
    cluster, leader, others = elected()
    for node in (others[0], leader):
        reply = cluster.ask(node, "member_remove", admin=True, id="n9")

        assert (reply["ok"], reply["changed"], reply["configuration_index"]) == (True, False, 0)


def test_a_member_is_replaced_in_one_joint_change() -> None:
    cluster, leader, (former, _) = joinable()
    fill(cluster, leader, 20)
    successor = new_host(cluster)

    reply = administer(
        cluster, leader, "member_replace", id=former, to=successor.node_id, **endpoints(successor)
    )
    assert reply["ok"], reply
    assert [one["id"] for one in reply["members"] if one["leaves"]] == [former]
    cluster.start(successor.node_id)

    left = sorted({*cluster.names} - {former})
    assert [one.partition("#")[0] for one in settle(cluster)] == left
    cluster.run_until(lambda: cluster.ask(former, "status")["role"] == "removed")


def test_a_member_is_replaced_by_itself_with_an_empty_disk() -> None:
    """The way out for a node that refuses its damaged log; its old self is never heard again."""
    cluster, leader, (former, _) = joinable()
    fill(cluster, leader, 20)
    member = cluster.hosts[former].member

    reply = administer(cluster, leader, "member_replace", id=former, **endpoints(member))
    assert reply["ok"], reply
    cluster.kill(former)
    wipe(cluster, former)
    cluster.start(former)

    assert f"{former}#2" in settle(cluster)
    cluster.elect()
    again = administer(
        cluster, leader, "member_replace", id=former, incarnation=1, **endpoints(member)
    )
    assert again["changed"] is False


def test_all_five_members_are_swapped_at_once() -> None:
    """From one set of voters to another that has none in common, under load (§6)."""
    cluster, leader, _ = joinable(profile=Profile(nodes=5))
    workload = Workload(cluster, 1)
    former = cluster.names
    newcomers = [new_host(cluster) for _ in range(5)]

    reply = administer(
        cluster,
        leader,
        "member_change",
        add=[{"id": one.node_id, **endpoints(one)} for one in newcomers],
        remove=former,
    )
    assert reply["ok"], reply
    for one in newcomers:
        cluster.start(one.node_id)

    found = settle(cluster, within_ms=20_000)
    assert [one.partition("#")[0] for one in found] == sorted(one.node_id for one in newcomers)
    for name in former:
        cluster.stop(name)
    workload.stop()
    cluster.run_ms(2_000)
    cluster.elect()
    assert len(set(cluster.digests().values())) == 1
    assert not judge(workload.history)


def test_members_come_and_go_under_load_without_a_failed_write() -> None:
    """Nobody who writes notices: no error, nothing lost."""
    cluster, leader, _ = joinable()
    workload = Workload(cluster, 1)

    cluster.run_ms(500)
    name = add(cluster, leader)
    settle(cluster)
    cluster.run_ms(500)
    follower = next(one for one in cluster.names if one not in {leader, name})
    assert administer(cluster, leader, "member_remove", id=follower)["ok"]
    cluster.run_ms(500)

    workload.stop()
    cluster.run_ms(1_000)
    # The newcomer before it had a place, and the one that was removed, say that they can't.
    asked = [one for one in workload.history if one.node not in {name, follower}]
    assert len(asked) > 50
    assert {one.outcome for one in asked} <= {"ok", "failed"}
    refused = {one.fields.get("error") for one in asked if one.outcome == "failed"}
    assert refused <= {"conflict", "not_leader"}
    assert any(one.node == name and one.outcome == "ok" for one in workload.history)
    assert not judge(workload.history)


def test_a_second_change_is_refused_while_one_is_under_way() -> None:
    """Two changes side by side could end in two majorities (failures C1, C3)."""
    cluster, leader, (first, second, _, _) = joinable(profile=Profile(nodes=5))
    lose(cluster, lambda _source, _target, frame: bool(frame.messages))

    under_way = cluster.request(leader, "member_remove", admin=True, id=first)
    cluster.run_ms(20)
    reply = administer(cluster, leader, "member_remove", id=second)
    cluster.heal()
    cluster.run_until(lambda: under_way.done)

    assert (reply["error"], reply["applied"]) == ("conflict", "no")
    assert "under way" in reply["message"]
    assert under_way.outcome == "ok"


def test_a_change_that_is_lost_with_its_leader_is_answered_unknown() -> None:
    """An isolated leader can't change anybody's members but its own (failures C2, C4)."""
    cluster, leader, (other, _) = joinable()
    cluster.isolate(leader)

    call = cluster.request(leader, "member_remove", admin=True, id=other, timeout_ms=60_000)
    cluster.run_until(lambda: call.done)
    cluster.heal()

    assert call.outcome == "timeout/unknown"
    cluster.elect()
    assert all(len(configuration(cluster, name).members) == 3 for name in cluster.names)


def test_nobody_is_removed_if_too_few_of_the_others_answer() -> None:
    """The change could be committed and nothing after it."""
    cluster, leader, (dead, alive) = joinable()
    cluster.kill(dead)
    cluster.run_ms(1_000)

    reply = administer(cluster, leader, "member_remove", id=alive)

    assert (reply["error"], reply["applied"]) == ("conflict", "no")
    assert f"{dead}#1 of the voters that would be left can't be heard" in reply["message"]
    assert administer(cluster, leader, "member_remove", id=dead)["ok"]


def test_the_last_voter_stays() -> None:
    cluster, leader, _ = joinable(profile=Profile(nodes=1))

    reply = administer(cluster, leader, "member_remove", id=leader)

    assert (reply["error"], reply["applied"]) == ("bad_request", "no")


def test_a_learner_is_promoted_only_once_it_has_caught_up() -> None:
    """One that lags would hold up every commit (failure C5)."""
    cluster, leader, _ = joinable()
    fill(cluster, leader, 20)
    name = add(cluster, leader)
    lose(cluster, lambda _source, target, frame: target == name and bool(frame.messages))

    cluster.run_until(lambda: cluster.process(name).is_open)
    cluster.run_ms(3_000)

    assert voters(cluster) == ["n1#1", "n2#1", "n3#1"]
    cluster.heal()
    assert len(settle(cluster)) == 4


def test_a_planned_change_goes_on_under_the_next_leader() -> None:
    """The plan is in the log: neither its leader nor whoever asked is needed any more."""
    cluster, leader, others = joinable()
    name = add(cluster, leader)
    cluster.kill(leader)

    cluster.run_until(lambda: cluster.leader() in others)

    assert len(settle(cluster)) == 4
    cluster.start(leader)
    cluster.elect()
    assert cluster.process(name).server.raft.state.configuration.is_voter("n4#2")


def test_a_removed_node_that_was_away_is_told_and_disturbs_nobody() -> None:
    """It has the old configuration and asks; nobody hears its candidacies (failure C9)."""
    cluster, leader, (gone, _) = joinable()
    cluster.kill(gone)
    cluster.run_ms(500)
    assert administer(cluster, leader, "member_remove", id=gone)["ok"]
    term = cluster.process(leader).server.raft.current_term

    cluster.start(gone)
    cluster.run_ms(3_000)

    assert cluster.ask(gone, "status")["role"] == "removed"
    said = keep_copies(cluster, lambda source, _, frame: source == gone and bool(frame.messages))
    cluster.run_ms(3_000)
    assert not said, "by its own log it is a voter whose leader is silent"
    assert cluster.process(leader).server.raft.current_term == term
    assert cluster.leader() == leader


def test_a_removed_name_may_return_with_a_new_incarnation() -> None:
    """Incarnations are never given twice (failure C9)."""
    cluster, leader, (gone, _) = joinable()
    member = cluster.hosts[gone].member
    assert administer(cluster, leader, "member_remove", id=gone)["ok"]
    cluster.kill(gone)
    wipe(cluster, gone)

    assert administer(cluster, leader, "member_add", id=gone, **endpoints(member))["ok"]
    cluster.start(gone)

    assert f"{gone}#2" in settle(cluster)


def test_a_planned_replacement_is_given_up_with_its_newcomer() -> None:
    cluster, leader, (former, _) = joinable()
    successor = new_host(cluster)
    fields = {"to": successor.node_id, **endpoints(successor)}
    assert administer(cluster, leader, "member_replace", id=former, **fields)["ok"]

    assert administer(cluster, leader, "member_remove", id=successor.node_id)["ok"]

    assert settle(cluster) == ["n1#1", "n2#1", "n3#1"]


def test_a_snapshot_tells_a_newcomer_who_takes_part_today() -> None:
    """Not who did when the cluster began: its settings and its log may know none of them (C16)."""
    cluster, leader, _ = joinable(profile=SNAPPY)
    first = add(cluster, leader)
    settle(cluster)
    fill(cluster, leader, 60)
    second = add(cluster, leader)

    assert len(settle(cluster)) == 5

    for name in (first, second):
        cluster.kill(name)
        cluster.start(name)
    cluster.elect()
    assert configuration(cluster, second) == configuration(cluster, leader)


@pytest.mark.parametrize("delay_us", [100, 700, 1_500, 3_000, 6_000, 12_000, 60_000, 200_000])
def test_whoever_repeats_a_change_that_was_cut_short_completes_it(delay_us: int) -> None:
    """The leader dies at some step, and with it the answer; asking again is always right."""
    cluster, leader, others = joinable()
    fill(cluster, leader, 5)
    successor = new_host(cluster)
    cluster.start(successor.node_id)
    fields: dict[str, Any] = {"to": successor.node_id, "incarnation": 1, **endpoints(successor)}
    gone = others[0]

    cluster.request(leader, "member_replace", admin=True, id=gone, **fields)
    cluster.scheduler.run_us(delay_us)
    cluster.kill(leader)
    cluster.run_until(lambda: cluster.leader() not in {None, leader})
    cluster.start(leader)
    reply = administer(cluster, others[1], "member_replace", id=gone, **fields)

    assert reply["ok"], reply
    found = [one.partition("#")[0] for one in settle(cluster)]
    assert found == sorted({"n1", "n2", "n3", "n4"} - {gone})
    cluster.run_until(lambda: cluster.ask(gone, "status")["role"] == "removed")


def test_what_a_removed_node_had_handed_on_is_answered_all_the_same() -> None:
    """Its client would never learn whether the write was done, and it was done by nobody."""
    cluster, leader, (gone, _) = joinable()
    late = keep_copies(
        cluster, lambda source, _, frame: source == gone and bool(frame.handed_on), lost=True
    )
    call = cluster.request(gone, "set", key=b"k", value=b"v")
    cluster.run_until(lambda: bool(late))
    assert administer(cluster, leader, "member_remove", id=gone)["ok"]

    cluster.network.blocks = lambda _source, _target, _data: False
    for source, target, data in late:
        cluster.send_to_peer(source, f"{target}#1", data)
    cluster.run_until(lambda: call.done)

    assert call.reply["ok"], call.reply
