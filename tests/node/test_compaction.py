"""``compact``: asked for at any node, done on all of them, and told to whoever is too late."""

import pytest

from raftcache.protocol.peer import PeerFrame

from .builders import SNAPPY, elected, fill, keep_copies
from .watching import follow, let_wait, raised, told


@pytest.mark.parametrize("who", ["leader", "follower"])
@pytest.mark.parametrize("json", [True, False])
def test_every_node_forgets_up_to_the_same_revision(who: str, *, json: bool) -> None:
    """Pages and watches that come too late are told so, wherever they ask (failure B16)."""
    cluster, leader, followers = raised()
    node = leader if who == "leader" else followers[0]
    fill(cluster, leader, 5, size=1)

    reply = cluster.ask(node, "compact", admin=True, json=json, to=3)

    assert (reply["ok"], reply["oldest"], reply["store_rev"]) == (True, 3, 5)
    assert reply["node"] == leader
    for name in cluster.names:
        assert cluster.ask(name, "range", prefix="", at_rev=3)["count"] == 3
        page = cluster.ask(name, "range", prefix="", at_rev=2)
        late = cluster.ask(name, "watch", prefix="", from_rev=3)
        assert (page["error"], page["oldest"], page["applied"]) == ("compacted", 3, "no")
        assert (late["error"], late["oldest"], late["applied"]) == ("compacted", 4, "no")
        assert [event[1] for event in follow(cluster, name, 4)[0]] == [4, 5]


def test_without_a_revision_all_that_has_been_is_forgotten() -> None:
    """It may be asked for again, or for less: what is forgotten stays so."""
    cluster, leader, _ = raised()
    fill(cluster, leader, 3, size=1)

    replies = [cluster.ask(leader, "compact", admin=True, **to) for to in ({}, {}, {"to": 1})]
    ahead = cluster.ask(leader, "compact", admin=True, to=4)

    assert [reply["oldest"] for reply in replies] == [3, 3, 3]
    assert (ahead["error"], ahead["applied"]) == ("bad_request", "no")
    assert "`to`" in ahead["message"]


def test_who_waits_is_told_of_what_comes() -> None:
    """Nothing that was not told yet is forgotten for those who wait."""
    cluster, leader, followers = raised()
    calls = [let_wait(cluster, node, prefix=b"") for node in cluster.names]

    cluster.ask(leader, "compact", admin=True)
    assert not any(call.done for call in calls), "no change has come"
    write = cluster.request(followers[0], "set", key=b"a", value=b"1")
    compact = cluster.request(followers[0], "compact", admin=True)
    cluster.run_until(lambda: all(call.done for call in [*calls, write, compact]))

    assert compact.reply["oldest"] == 1
    assert [told(call.reply) for call in calls] == [[("set", 1, b"a", b"1")]] * 3


def test_what_was_forgotten_does_not_come_back_with_a_snapshot() -> None:
    """Nor with the log, after all nodes have started anew (failure B7)."""
    cluster, leader, _ = elected(profile=SNAPPY)
    cluster.run_ms(3_000)
    fill(cluster, leader, 3)
    assert cluster.ask(leader, "compact", admin=True)["oldest"] == 3
    fill(cluster, leader, 20)
    assert all(p.server.raft.state.log.base_index for p in cluster.running)

    for name in cluster.names:
        cluster.kill(name)
    for name in cluster.names:
        cluster.start(name)
    leader = cluster.elect()

    assert cluster.ask(leader, "watch", prefix="", from_rev=3)["oldest"] == 4


def test_it_is_taken_on_the_administration_socket_only() -> None:
    cluster, _, followers = raised()

    def is_handed_on(_source: str, _target: str, frame: PeerFrame) -> bool:
        return bool(frame.handed_on)

    copies = keep_copies(cluster, is_handed_on)
    for node in cluster.names:
        refused = cluster.ask(node, "compact")
        assert (refused["error"], refused["applied"]) == ("forbidden", "no")
    assert copies == []
    not_handed_on = cluster.ask(followers[0], "compact", admin=True, forward=False)
    assert not_handed_on["error"] == "not_leader"
