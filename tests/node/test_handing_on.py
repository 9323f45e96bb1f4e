"""A request goes to the leader once, and its answer comes back to whoever asked (failure B20)."""

from orchestrator.simulation.cluster import SimulatedCluster
from raftcache.protocol.peer import PeerFrame, decode_peer_frame

from .builders import counter, elected, keep_copies, lose


def hands_on(_source: str, _target: str, frame: PeerFrame) -> bool:
    return bool(frame.handed_on)


def answers(_source: str, _target: str, frame: PeerFrame) -> bool:
    return bool(frame.answers)


def test_every_node_takes_every_request() -> None:
    """Applied once each, whoever was asked (failure B20)."""
    cluster, leader, _ = elected()

    replies = [cluster.ask(name, "incr", key=b"hits") for name in cluster.names]

    assert [reply["value"] for reply in replies] == [1, 2, 3]
    assert {reply["node"] for reply in replies} == {leader}


def test_a_handed_on_request_goes_no_further() -> None:
    """Two nodes that take each other for the leader would pass it to and fro (failure B20)."""
    cluster, leader, (follower, other) = elected()
    copies = keep_copies(cluster, hands_on, lost=True)
    call = cluster.request(follower, "incr", key=b"hits", timeout_ms=100)
    cluster.run_until(lambda: bool(copies))

    # The frame reaches a node that is in the cluster and does not lead.
    _, _, frame = copies[0]
    misled = frame.replace(b"%s#1" % leader.encode(), b"%s#1" % other.encode())
    del copies[:]
    cluster.process(other).on_peer_frame(misled)
    cluster.run_until(lambda: call.done)

    assert call.outcome == "no_leader/no"
    assert copies == [], "nobody handed it on again"


def test_a_request_handed_on_to_a_leader_that_died_is_unknown_as_soon_as_another_leads() -> None:
    """Only the dead leader knew; there is no sense in waiting for the deadline (failure A9)."""
    cluster, leader, (follower, _) = elected()
    lose(cluster, answers)
    call = cluster.request(follower, "set", key=b"a", value=b"1", timeout_ms=60_000)
    cluster.run_ms(20)
    cluster.kill(leader)
    cluster.network.heal()

    waited_ms = cluster.run_until(lambda: call.done)

    assert call.outcome == "timeout/unknown"
    assert waited_ms < 1_000
    assert cluster.leader() not in (None, leader)


def test_a_leader_that_restarts_and_leads_again_is_another_leader() -> None:
    """Its new term tells: what was handed on to its former self is unknown at once."""
    cluster, leader, (follower, other) = elected()
    lose(cluster, answers)
    call = cluster.request(follower, "set", key=b"a", value=b"1", timeout_ms=60_000)
    cluster.run_ms(20)
    cluster.kill(leader)
    cluster.start(leader)
    # It alone may campaign; the follower hears of the new term from the leader itself.
    lose(
        cluster,
        lambda source, target, frame: (
            (
                source != leader
                and any(type(one).__name__ in ("PreVote", "RequestVote") for one in frame.messages)
            )
            or (target == follower and source == other)
        ),
    )

    cluster.elect()
    cluster.run_until(lambda: call.done, within_ms=500)

    assert cluster.leader() == leader
    assert call.outcome == "timeout/unknown"


def test_a_request_that_reaches_the_leader_twice_is_executed_once() -> None:
    """The counter counts once, however often the frame comes (failure B6)."""
    cluster, _, (follower, _) = elected()
    copies = keep_copies(cluster, hands_on)
    reply = cluster.ask(follower, "incr", key=b"hits")
    assert reply["value"] == 1

    for _, target, frame in copies * 3:
        cluster.process(target).on_peer_frame(frame)
        cluster.run_ms(50)

    assert counter(cluster, follower) == b"1"


def test_a_copy_that_comes_after_the_leader_has_restarted_is_not_executed() -> None:
    """The restarted leader can't know what its former self has done, so it does nothing."""
    cluster, leader, (follower, _) = elected()
    copies = keep_copies(cluster, hands_on)
    assert cluster.ask(follower, "incr", key=b"hits")["value"] == 1
    cluster.kill(leader)
    cluster.start(leader)
    make_leader(cluster, leader)

    for _, target, frame in copies[:1]:
        cluster.process(target).on_peer_frame(frame)
    cluster.run_ms(50)

    assert counter(cluster, leader) == b"1"


def test_a_copy_that_comes_late_is_not_refused_as_if_it_had_never_been_executed() -> None:
    """``applied: no`` from a node that led when the first copy came would be a lie."""
    cluster, leader, (follower, other) = elected()
    copies = keep_copies(cluster, hands_on)
    cluster.network.cut(leader, follower)
    call = cluster.request(follower, "incr", key=b"hits", timeout_ms=100)
    cluster.run_until(lambda: counter_of(cluster, leader) == b"1")
    cluster.kill(leader)
    cluster.start(leader)
    cluster.network.cuts.clear()

    for _, target, frame in copies[:1]:
        cluster.process(target).on_peer_frame(frame)
    cluster.run_until(lambda: call.done)

    assert call.outcome == "timeout/unknown"
    cluster.elect()
    assert counter(cluster, other) == b"1"


def test_an_answer_to_a_former_life_is_not_given_to_another_request() -> None:
    """A restarted node's requests must not take the numbers that its former self used."""
    cluster, _, (follower, _) = elected()
    copies = keep_copies(cluster, answers)
    cluster.ask(follower, "set", key=b"a", value=b"1")
    cluster.kill(follower)
    cluster.start(follower)
    cluster.elect()
    lose(cluster, hands_on)
    call = cluster.request(follower, "set", key=b"b", value=b"2", timeout_ms=300)
    cluster.run_ms(20)

    for _, target, frame in copies:
        cluster.process(target).on_peer_frame(frame)
    cluster.run_until(lambda: call.done)

    assert call.outcome == "timeout/unknown", "nobody has answered this one"


def test_what_waited_for_a_leader_is_handed_on_with_the_time_that_is_left() -> None:
    """The leader must not go on for long after the client was told that nobody knows."""
    cluster, leader, (follower, other) = elected()
    cluster.isolate(follower)
    cluster.run_ms(500)
    call = cluster.request(follower, "incr", key=b"hits", timeout_ms=3_000)
    cluster.run_ms(2_000)
    copies = keep_copies(cluster, hands_on)
    cluster.network.cuts.clear()
    cluster.run_until(lambda: call.done)

    assert call.outcome == "ok"
    left = [
        request.timeout_ms for _, _, data in copies for request in decode_peer_frame(data).handed_on
    ]
    assert left
    assert all(0 < timeout_ms <= 1_100 for timeout_ms in left)
    assert {leader, other} == set(cluster.names) - {follower}


def test_a_request_is_not_handed_on_where_that_is_not_wanted() -> None:
    """``forward: false`` is a definite no, and names the leader."""
    cluster, leader, (follower, _) = elected()

    reply = cluster.ask(follower, "set", key=b"a", value=b"1", forward=False)

    assert (reply["error"], reply["applied"]) == ("not_leader", "no")
    assert reply["leader"]["id"] == leader


def test_requests_that_waited_go_to_the_new_leader() -> None:
    """None is forgotten in a queue after a failover (failure B23)."""
    cluster, leader, followers = elected()
    cluster.kill(leader)
    cluster.run_ms(10)
    cluster.pause(followers[1])  # no majority: nobody can lead yet
    cluster.run_ms(600)
    calls = [cluster.request(followers[0], "incr", key=b"hits") for _ in range(20)]
    cluster.run_ms(100)
    assert not any(call.done for call in calls)

    cluster.resume(followers[1])
    cluster.run_until(lambda: all(call.done for call in calls))

    assert sorted(call.reply["value"] for call in calls) == list(range(1, 21))


def test_without_a_leader_the_deadline_brings_a_definite_no() -> None:
    cluster, leader, (follower, other) = elected()
    cluster.kill(leader)
    cluster.kill(other)
    cluster.run_ms(500)

    call = cluster.request(follower, "set", key=b"a", value=b"1", timeout_ms=700)
    waited_ms = cluster.run_until(lambda: call.done)

    assert call.outcome == "no_leader/no"
    assert 690 <= waited_ms <= 730


def test_a_request_that_could_not_be_sent_waits_for_a_leader() -> None:
    """The leader's process is gone and its successor not yet elected: nothing was handed on."""
    cluster, leader, (follower, _) = elected()
    cluster.kill(leader)
    cluster.run_ms(10)

    reply = cluster.ask(follower, "set", key=b"a", value=b"1")

    assert reply["ok"]
    assert reply["node"] != leader


def make_leader(cluster: SimulatedCluster, name: str) -> None:
    """Let this node lead."""
    cluster.elect()
    for _ in range(5):
        leader = cluster.leader()
        assert leader is not None
        if leader == name:
            return
        cluster.ask(leader, "leader_transfer", admin=True, to=name)
        cluster.run_ms(100)
        cluster.elect()
    raise AssertionError(cluster.explain(f"{name} does not lead"))


def counter_of(cluster: SimulatedCluster, name: str) -> bytes | None:
    """Return what this node's own state says."""
    record = cluster.process(name).server.store._keyspace.get(b"hits")
    return None if record is None else record.value
