"""A voter that lags hears candidates and leaders it does not know, and must be able to answer."""

import pytest

from orchestrator.simulation.cluster import SimulatedCluster
from orchestrator.simulation.host import CLUSTER_ID
from orchestrator.simulation.members import new_host
from raftcache.node.admission import CALLER_MS, CALLERS_MAX
from raftcache.node.server import Server
from raftcache.protocol.peer import PeerFrame, encode_peer_frame

from .builders import SNAPPY, fill
from .membership import administer, configuration, endpoints, joinable, settle


def replaced(*, snapshots: bool = False) -> tuple[SimulatedCluster, str, str, str]:
    """Return a cluster of three whose one voter slept while another was replaced, and died.

    With it: the newcomer, the voter that slept, and the third. All three are down.
    """
    cluster, leader, (gone, asleep) = joinable(profile=SNAPPY) if snapshots else joinable()
    cluster.kill(asleep)
    successor = new_host(cluster)
    cluster.start(successor.node_id)
    fields = {"to": successor.node_id, **endpoints(successor)}
    assert administer(cluster, leader, "member_replace", id=gone, **fields)["ok"]
    assert settle(cluster) == sorted([f"{leader}#1", f"{asleep}#1", f"{successor.node_id}#2"])
    cluster.kill(gone)
    if snapshots:
        fill(cluster, leader, 40)
    cluster.elect()
    for name in (leader, successor.node_id):
        cluster.kill(name)
    return cluster, successor.node_id, asleep, leader


def test_a_voter_that_lags_can_give_its_vote_to_a_candidate_it_does_not_know() -> None:
    """Nobody else is alive whom it could ask where that one listens (thesis §4.1, failure C6)."""
    cluster, newcomer, asleep, _ = replaced()
    cluster.start(newcomer)
    cluster.start(asleep)
    assert configuration(cluster, asleep).member(f"{newcomer}#2") is None

    cluster.run_until(lambda: cluster.leader() == newcomer)

    assert cluster.ask(asleep, "set", key=b"a", value=b"1")["ok"]
    assert configuration(cluster, asleep) == configuration(cluster, newcomer)


def test_a_voter_that_lags_follows_a_leader_it_does_not_know_and_gets_its_snapshot() -> None:
    """It was asked for no vote, what names the leader is in a snapshot, all others are dead."""
    cluster, newcomer, asleep, third = replaced(snapshots=True)
    cluster.start(third)
    cluster.start(newcomer)
    if cluster.elect() == third:
        cluster.process(third).server.raft.transfer_leadership(f"{newcomer}#2")
        cluster.run_until(lambda: cluster.leader() == newcomer)
    cluster.start(asleep)
    cluster.kill(third)

    cluster.run_until(lambda: bool(cluster.bulk_bytes[newcomer, asleep]))
    cluster.elect()

    assert cluster.ask(asleep, "set", key=b"a", value=b"1")["ok"]
    assert configuration(cluster, asleep) == configuration(cluster, newcomer)


def frame_of(source: str, reply_to: str) -> bytes:
    """Return a frame without any message."""
    return encode_peer_frame(PeerFrame(CLUSTER_ID, source, "n1#1", [], reply_to=reply_to))


def heard(*frames: bytes) -> tuple[Server, dict[str, str]]:
    """Return a node that has heard these frames, and where it is connected then."""
    cluster, _, _ = joinable()
    server = cluster.process("n1").server
    for frame in frames:
        server.on_peer_frame(frame)
    cluster.run_ms(100)
    return server, dict(cluster.process("n1").endpoints)


KNOWN = {"n2#1": "tcp://127.0.0.1:7502", "n3#1": "tcp://127.0.0.1:7503"}
ELSEWHERE = "tcp://127.0.0.1:7777"


def test_who_is_newer_than_all_that_is_known_is_answered_where_it_says() -> None:
    assert heard(frame_of("n4#2", ELSEWHERE))[1] == {**KNOWN, "n4#2": ELSEWHERE}


@pytest.mark.parametrize("source", ["n1#1", "n2#1", "n2#0", "n9#1", "n9", ""])
def test_nobody_else_makes_a_node_connect_to_where_it_says(source: str) -> None:
    """A member listens where the configuration says; a stranger, or itself, nowhere (C9, C10)."""
    assert heard(frame_of(source, ELSEWHERE))[1] == KNOWN


@pytest.mark.parametrize(
    "reply_to",
    [
        "ipc:///tmp/x",
        "tcp://h:99999",
        "tcp://h:1;tcp://h:2",
        "tcp://" + "h" * 101 + ":1",
        "tcp://*:1",
        "\0",
    ],
)
def test_what_is_no_endpoint_is_counted_and_not_connected_to(reply_to: str) -> None:
    """It comes from the wire (failure F14)."""
    server, endpoints = heard(frame_of("n4#2", reply_to))

    assert endpoints == KNOWN
    assert server.dropped == {"malformed": 1}


def test_those_who_are_answered_where_they_say_are_bounded() -> None:
    """Each is a connection (failure F7)."""
    frames = [frame_of(f"n4#{number + 2}", ELSEWHERE) for number in range(CALLERS_MAX + 5)]

    server, endpoints = heard(*frames)

    assert len(endpoints) == len(KNOWN) + CALLERS_MAX
    assert server.dropped == {"stranger": 5}


def test_who_went_silent_is_forgotten() -> None:
    """And found again where it is by then."""
    cluster, _, _ = joinable()
    process = cluster.process("n1")
    process.server.on_peer_frame(frame_of("n4#2", ELSEWHERE))
    cluster.run_ms(CALLER_MS - 100)
    before = dict(process.endpoints)
    cluster.run_ms(200)
    after = dict(process.endpoints)
    process.server.on_peer_frame(frame_of("n4#2", "tcp://127.0.0.1:7778"))
    cluster.run_ms(100)

    assert before == {**KNOWN, "n4#2": ELSEWHERE}
    assert after == KNOWN
    assert process.endpoints == {**KNOWN, "n4#2": "tcp://127.0.0.1:7778"}
