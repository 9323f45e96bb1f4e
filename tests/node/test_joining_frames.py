"""What strangers may send to the peers: one kind of frame, and nothing comes of a bad one."""

import msgspec
import pytest

from orchestrator.simulation.members import new_host
from raftcache.errors import MalformedFrames
from raftcache.node.admission import CALLERS_MAX
from raftcache.protocol.joining import (
    MARK,
    JoinAnswer,
    JoinRequest,
    decode_join_frame,
    encode_join_frame,
)

from .membership import add, configuration, joinable, settle

REQUEST = JoinRequest("c" * 32, "n4", 0, "claim", "tcp://127.0.0.1:7504", "tcp://127.0.0.1:7404")
ANSWER = JoinAnswer("c" * 32, "n1#1", "n4", "claim", 2, "granted")


@pytest.mark.parametrize("frame", [REQUEST, ANSWER])
def test_a_frame_comes_back_as_it_was(frame: JoinRequest | JoinAnswer) -> None:
    assert decode_join_frame(encode_join_frame(frame)) == frame


@pytest.mark.parametrize(
    "data",
    [
        MARK,
        MARK + b"\xff\xff",
        MARK + msgspec.msgpack.encode(["join", 1, 2, 3]),
        encode_join_frame(msgspec.structs.replace(REQUEST, node_id="n4#1")),
        encode_join_frame(msgspec.structs.replace(REQUEST, incarnation=-1)),
        encode_join_frame(msgspec.structs.replace(REQUEST, peer_endpoint="ipc:///tmp/x")),
        encode_join_frame(msgspec.structs.replace(REQUEST, client_endpoint="tcp://h:99999")),
        encode_join_frame(msgspec.structs.replace(REQUEST, claim="x" * 10_000)),
    ],
)
def test_what_names_no_node_is_malformed(data: bytes) -> None:
    """An endpoint from the wire is connected to; so it must be one (failure F14)."""
    with pytest.raises(MalformedFrames):
        decode_join_frame(data)

    cluster, leader, _ = joinable()
    server = cluster.process(leader).server
    server.on_peer_frame(data)
    assert server.dropped["malformed"] == 1


def test_a_node_of_another_cluster_gets_no_place_and_no_answer() -> None:
    """Addresses are used again; ids of clusters are not (failure C12)."""
    cluster, leader, _ = joinable()
    server = cluster.process(leader).server
    member = cluster.hosts[leader].member
    server.on_peer_frame(
        encode_join_frame(msgspec.structs.replace(REQUEST, node_id=member.node_id))
    )
    cluster.run_ms(1_000)

    assert server.dropped["other_cluster"] == 1
    assert len(configuration(cluster, leader).members) == 3


def test_those_who_ask_are_bounded() -> None:
    """Each is connected to for a while: so many, and no more (failure F7)."""
    cluster, leader, _ = joinable()
    server = cluster.process(leader).server
    for number in range(CALLERS_MAX + 5):
        asked = msgspec.structs.replace(
            REQUEST, cluster_id=server.about.cluster_id, node_id=f"x{number}"
        )
        server.on_peer_frame(encode_join_frame(asked))

    endpoints = server.admission.endpoints()

    assert endpoints is not None
    assert len(endpoints) == 2 + CALLERS_MAX
    assert server.dropped["stranger"] == 5


def test_an_answer_for_a_former_life_is_no_answer() -> None:
    """A claim is one process's; what comes late for another one is dropped (failure C10)."""
    cluster, leader, _ = joinable()
    member = new_host(cluster)
    process = cluster.start(member.node_id)
    late = JoinAnswer(
        cluster.process(leader).server.about.cluster_id,
        f"{leader}#1",
        member.node_id,
        "another claim",
        9,
        "granted",
        configuration=configuration(cluster, leader),
        index=1,
    )

    process.on_peer_frame(encode_join_frame(late))
    cluster.run_ms(1_000)

    assert not process.is_open


def test_a_learner_stays_one_when_its_place_is_taken() -> None:
    """Neither the claim nor another's change may lose what it is (failure C18)."""
    cluster, leader, _ = joinable()
    first = add(cluster, leader, learner=True)
    cluster.run_until(lambda: cluster.process(first).is_open)
    second = add(cluster, leader)

    assert len(settle(cluster)) == 4
    found = configuration(cluster, leader)
    assert found.learners == (f"{first}#2",)
    assert f"{second}#3" in found.voters


def test_a_promoted_learner_votes_though_it_has_not_heard_of_its_promotion() -> None:
    """Who asks for its vote knows best; with it alone there is a majority (failure C6)."""
    cluster, leader, others = joinable()
    name = add(cluster, leader)
    settle(cluster)
    cluster.kill(leader)
    cluster.kill(others[0])
    cluster.start(leader)

    cluster.run_until(lambda: cluster.leader() is not None, within_ms=20_000)

    assert cluster.process(name).server.raft.state.configuration.is_voter(f"{name}#2")
