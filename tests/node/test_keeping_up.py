"""A node is ready while nothing is the matter, and behind once it falls behind."""

from orchestrator.simulation.cluster import SimulatedCluster
from raftcache.node.status import members_fields
from raftcache.protocol.peer import PeerFrame
from raftcache.raft.messages import AppendEntries

from .builders import elected, lose


def has_caught_up(cluster: SimulatedCluster, name: str) -> bool:
    return cluster.process(name).server.keeping_up.has_caught_up


def lacks_what_it_heard_of(cluster: SimulatedCluster, name: str) -> bool:
    server = cluster.process(name).server
    return server.store.last_applied < (server.raft.state.leader_commit or 0)


def slow_members(cluster: SimulatedCluster, leader: str) -> list[str]:
    """Return who has not caught up, as the leader tells of its members."""
    members = members_fields(cluster.process(leader).server)["members"]
    return [member["id"] for member in members if not member["caught_up"]]


def test_under_load_a_node_is_ready_whenever_one_looks() -> None:
    """What is on its way at that moment does not count; there always is something."""
    cluster, leader, followers = elected()
    for name in cluster.names:
        cluster.run_until(lambda name=name: has_caught_up(cluster, name))  # type: ignore[misc]
    cluster.run_until(lambda: slow_members(cluster, leader) == [])
    found_lacking = 0
    calls = [cluster.request(leader, "incr", key=b"n") for _ in range(4)]

    for _ in range(500):
        calls = [cluster.request(leader, "incr", key=b"n") if call.done else call for call in calls]
        cluster.run_ms(1)
        found_lacking += any(lacks_what_it_heard_of(cluster, name) for name in followers)
        assert all(has_caught_up(cluster, name) for name in cluster.names)
        assert slow_members(cluster, leader) == []

    assert found_lacking > 50, "otherwise this shows nothing"


def test_a_node_that_is_short_of_entries_for_an_election_timeout_is_behind() -> None:
    """Its leader is heard all the while, and tells how much it has committed."""
    cluster, leader, (follower, _) = elected()
    cluster.run_until(lambda: has_caught_up(cluster, follower))

    def is_entries(_source: str, target: str, frame: PeerFrame) -> bool:
        carries = any(isinstance(one, AppendEntries) and one.entries for one in frame.messages)
        return target == follower and carries

    lose(cluster, is_entries)
    assert cluster.ask(leader, "set", key=b"a", value=b"1")["ok"]
    cluster.run_until(lambda: lacks_what_it_heard_of(cluster, follower))
    cluster.run_until(lambda: not has_caught_up(cluster, follower))

    assert cluster.ask(follower, "status")["leader"]["id"] == leader
    assert cluster.ask(follower, "status")["caught_up"] is False
    cluster.run_ms(2_000)
    assert not has_caught_up(cluster, follower), "it has had nothing since"
    assert slow_members(cluster, leader) == [follower]

    cluster.network.blocks = None
    cluster.run_until(lambda: has_caught_up(cluster, follower))
    assert not lacks_what_it_heard_of(cluster, follower)
    cluster.run_until(lambda: slow_members(cluster, leader) == [])


def test_a_node_whose_last_round_took_too_long_has_not_caught_up() -> None:
    """It has what was committed long ago, and falls further behind (thesis §4.2.1)."""
    cluster, leader, (follower, _) = elected()
    cluster.run_until(lambda: has_caught_up(cluster, follower))
    server = cluster.process(follower).server
    state, keeping_up = server.raft.state, server.keeping_up
    timeout_ticks = state.options.election_ticks_min
    assert cluster.ask(leader, "set", key=b"a", value=b"1")["ok"]
    cluster.run_until(cluster.is_settled)
    applied = server.store.last_applied

    # From here on the follower is alone with its ticks, and whenever it is done there is more.
    state.leader_commit = applied + 1
    keeping_up.on_tick()
    for round_ticks, verdict in ((timeout_ticks - 1, True), (timeout_ticks, False)):
        for _ in range(round_ticks - 1):
            keeping_up.on_tick()
        applied += 1
        server.store.last_applied, state.leader_commit = applied, applied + 1
        keeping_up.on_tick()
        assert keeping_up.has_caught_up is verdict, round_ticks
