"""Frames that are not for this node, not of this cluster, or no frames at all: counted, dropped."""

import msgspec
import pytest

from orchestrator.simulation.cluster import SimulatedCluster
from orchestrator.simulation.host import CLUSTER_ID
from raftcache.protocol.peer import Answer, HandedOn, PeerFrame, encode_peer_frame
from raftcache.raft.messages import AppendEntries, Message, PreVote, RequestVote
from raftcache.raft.types import Entry, EntryKind

from .builders import counter, elected
from .membership import add, joinable, settle


def dropped(cluster: SimulatedCluster, name: str) -> dict[str, int]:
    fields: dict[str, int] = cluster.ask(name, "status")["dropped"]
    return fields


def vote_request(source: str, target: str, *, term: int = 99) -> RequestVote:
    return RequestVote(source, target, term, last_log_index=10**6, last_log_term=term)


def incr_frame() -> bytes:
    return msgspec.msgpack.encode({"op": "incr", "key": b"hits"})


@pytest.mark.parametrize(
    ("frame", "counted"),
    [
        pytest.param(
            PeerFrame("f" * 32, "n2#1", "n1#1", [vote_request("n2#1", "n1#1")]),
            "other_cluster",
            id="another cluster on an old port (failure C12)",
        ),
        pytest.param(
            PeerFrame(CLUSTER_ID, "n2#1", "n1#2", [vote_request("n2#1", "n1#2")]),
            "other_target",
            id="for another incarnation of this node (failure C10)",
        ),
        pytest.param(
            PeerFrame(CLUSTER_ID, "n2#1", "n3#1", [vote_request("n2#1", "n3#1")]),
            "other_target",
            id="for another node at this address (failure C12)",
        ),
        pytest.param(
            PeerFrame(CLUSTER_ID, "n2#0", "n1#1", [vote_request("n2#0", "n1#1")]),
            "stranger",
            id="from a member's former life (failure C10)",
        ),
        pytest.param(
            PeerFrame(CLUSTER_ID, "n9#1", "n1#1", [vote_request("n9#1", "n1#1")]),
            "stranger",
            id="from no member (failure C9)",
        ),
        pytest.param(
            PeerFrame(CLUSTER_ID, "n2#1", "n1#1", [vote_request("n3#1", "n1#1")]),
            "malformed",
            id="a message in another's name (failure F18)",
        ),
        pytest.param(
            PeerFrame("f" * 32, "n2#1", "n1#1", [], [HandedOn(1, 99, 1_000, incr_frame())]),
            "other_cluster",
            id="a request of another cluster (failure C11)",
        ),
    ],
)
def test_a_stranger_is_counted_and_not_heard(frame: PeerFrame, counted: str) -> None:
    """Its term is not adopted, it gets no vote, and nothing is executed for it."""
    cluster, _, _ = elected()
    term = cluster.process("n1").server.raft.current_term

    cluster.process("n1").on_peer_frame(encode_peer_frame(frame))
    cluster.run_ms(100)

    assert dropped(cluster, "n1") == {counted: 1}
    assert cluster.process("n1").server.raft.current_term == term
    assert counter(cluster, "n1") is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x00" * 100,
        b"\x91" * 10_000,
        b"\xdd\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        msgspec.msgpack.encode([CLUSTER_ID, "n2#1"]),
        msgspec.msgpack.encode([CLUSTER_ID, "n2#1", "n1#1", [[99, "n2#1", "n1#1", 1]]]),
        msgspec.msgpack.encode([CLUSTER_ID, "n2#1", "n1#1", [[5, "n2#1", "n1#1", "no term"]]]),
        msgspec.msgpack.encode({"cluster_id": CLUSTER_ID}),
        incr_frame(),
    ],
    ids=lambda data: data[:12].hex() or "empty",
)
def test_bytes_that_are_no_frame_change_nothing(data: bytes) -> None:
    """A client's request on the peers' port, half a frame, an absurd length (failure F14)."""
    cluster, leader, _ = elected()

    for name in cluster.names:
        cluster.process(name).on_peer_frame(data)
    cluster.run_ms(100)

    assert [dropped(cluster, name) for name in cluster.names] == [{"malformed": 1}] * 3
    assert cluster.leader() == leader
    assert cluster.ask(leader, "set", key=b"a", value=b"1")["ok"]


def entry(index: int, term: int = 1) -> Entry:
    return Entry(index, term, EntryKind.NOOP)


@pytest.mark.parametrize(
    "message",
    [
        AppendEntries("n2#1", "n1#1", 50, 0, 0, (entry(2, 50),), 0),
        AppendEntries("n2#1", "n1#1", 50, 0, 0, (entry(1, 50), entry(3, 50)), 0),
        AppendEntries("n2#1", "n1#1", 50, 0, 0, (entry(1, 50), entry(2, 49)), 0),
        AppendEntries("n2#1", "n1#1", 50, 0, 0, (entry(1, 51),), 0),
        AppendEntries("n2#1", "n1#1", 50, -1, 0, (entry(0, 50),), 0),
        AppendEntries("n2#1", "n1#1", -5, 0, 0, (), 0),
        PreVote("n2#1", "n1#1", 2**64 - 1, 2**64 - 1, 1, 1),
    ],
    ids=["a gap before", "a gap", "terms fall", "a term to come", "before the log", "-5", "2**64"],
)
def test_a_message_that_no_leader_can_mean_does_not_end_a_node(message: Message) -> None:
    """Bytes from the wire are judged, never asserted on (failure F14)."""
    cluster = SimulatedCluster(1).up()
    process = cluster.process("n1")
    frame = encode_peer_frame(PeerFrame(CLUSTER_ID, "n2#1", "n1#1", [message]))

    process.on_peer_frame(frame)
    cluster.run_ms(50)

    assert process.alive
    assert process.server.dropped == {"malformed": 1}
    cluster.elect()
    assert cluster.ask("n1", "set", key=b"a", value=b"1")["ok"]


def test_messages_of_older_terms_change_nothing() -> None:
    """All frames of a first leader's time, again, when there is a second (failures A5, F4)."""
    cluster, leader, followers = elected()
    copies: list[tuple[str, bytes]] = []

    def copy_all(_source: str, target: str, data: bytes) -> bool:
        copies.append((target, data))
        return False

    cluster.network.blocks = copy_all
    for number in range(5):
        cluster.ask(leader, "set", key=b"a", value=b"%d" % number)
    cluster.kill(leader)
    cluster.run_until(lambda: cluster.leader() in followers)
    cluster.network.blocks = None
    cluster.start(leader)
    cluster.elect()
    assert cluster.ask(leader, "set", key=b"a", value=b"new")["ok"]
    successor, term = cluster.elect(), cluster.process(leader).server.raft.current_term

    for target, data in copies * 2:
        cluster.process(target).on_peer_frame(data)
    cluster.run_ms(500)

    assert cluster.elect() == successor
    assert cluster.process(leader).server.raft.current_term == term
    assert cluster.ask(leader, "get", key=b"a")["value"] == b"new"
    assert len(set(cluster.digests().values())) == 1


def test_every_frame_twice_changes_nothing() -> None:
    """Answers, votes, entries and requests alike (failure B6)."""
    cluster, _, _ = elected()
    cluster.network.profile = msgspec.structs.replace(
        cluster.profile, duplicate=1_000, late_us=20_000
    )

    for number in range(30):
        assert cluster.ask(cluster.names[number % 3], "incr", key=b"hits")["value"] == number + 1


def test_an_answer_that_nobody_waits_for_is_dropped() -> None:
    cluster, _, (follower, other) = elected()
    frame = PeerFrame(CLUSTER_ID, f"{other}#1", f"{follower}#1", [], [], [Answer(7, b"\x80")])

    cluster.process(follower).on_peer_frame(encode_peer_frame(frame))
    cluster.run_ms(50)

    assert cluster.ask(follower, "ping")["ok"]


@pytest.mark.parametrize("op", ["status", "ping", "snapshot", "hash"])
def test_only_what_needs_the_leader_is_taken_from_another_node(op: str) -> None:
    """Administration least of all: its own socket is its authentication."""
    cluster, leader, (follower, _) = elected()
    request = msgspec.msgpack.encode({"op": op})
    frame = PeerFrame(
        CLUSTER_ID, f"{follower}#1", f"{leader}#1", [], [HandedOn(2**40 + 1, 10**6, 1_000, request)]
    )

    cluster.process(leader).on_peer_frame(encode_peer_frame(frame))
    cluster.run_ms(500)

    assert cluster.leader() == leader
    assert dropped(cluster, leader) == {"malformed": 1}


def test_a_node_that_was_away_hears_a_leader_it_does_not_know_and_asks_where_it_listens() -> None:
    """Else it would follow for ever, and could never say what it lacks (thesis §4.1, C6)."""
    cluster, leader, others = joinable()
    away = others[0]
    cluster.kill(away)
    newcomer = add(cluster, leader)
    server_id = next(one for one in settle(cluster) if one.startswith(f"{newcomer}#"))
    cluster.process(leader).server.raft.transfer_leadership(server_id)
    cluster.run_until(lambda: cluster.leader() == newcomer, within_ms=3_000)
    # As long as it does not know where that is, nothing of it gets there.
    cluster.network.cut(away, newcomer)
    cluster.start(away)
    server = cluster.process(away).server

    cluster.run_until(lambda: server.raft.state.leader_id == server_id, within_ms=3_000)
    known_by_its_log = server.raft.state.configuration.member(server_id)
    cluster.run_until(lambda: server.admission.member(server_id) is not None, within_ms=3_000)

    assert known_by_its_log is None
    assert server.raft.state.configuration.member(server_id) is None
    assert server.dropped["stranger"] == 0
