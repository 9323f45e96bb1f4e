"""A leader that is paused and goes on: it must not act on what it believed before (F13)."""

import time
from collections.abc import Iterator
from functools import partial

import msgspec
import pytest
import zmq

from .nodes import ANSWER_MS, Nodes, Reply, wait_until
from .recording import Load

pytestmark = pytest.mark.processes

PAUSES = 3
READS = 50
SHORT_S = 1.0
"""A write that went to the paused leader costs its client the whole of its timeout."""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with Nodes(tmp_path_factory.mktemp("pause"), linked=True) as nodes:
        nodes.start()
        yield nodes


@pytest.mark.parametrize("link", ["alive", "dead"])
def test_a_resumed_leader_serves_no_stale_read(nodes: Nodes, link: str) -> None:
    """Failures B1 and F13: reads that wait in its sockets are its first work when it wakes up.

    It still believes that it leads. With a link that is alive its successor's messages wait there
    too; with a dead one nothing that it can see says otherwise, and only that no majority confirms
    its reads keeps it from answering them with what it has.
    """
    paused = nodes.wait_ready()
    nodes.done(paused, "set", key="watched", value="old")
    with nodes.dealer(nodes[paused].client_endpoint) as dealer:
        wait_until(lambda: _exchange(dealer, "get").get("value") == b"old", "it reads what it has")
        if link == "dead":
            nodes.links[paused].cut()
        nodes[paused].pause()
        leader = nodes.leader(but=paused)
        nodes.done(leader, "set", key="watched", value="new")
        for number in range(READS):
            _send(dealer, "get", number, forward=number % 2 == 0, timeout_ms=500)

        nodes[paused].resume()

        replies = [_receive(dealer) for _ in range(READS)]
    nodes.links[paused].mend()
    values = {reply["value"] for reply in replies if reply["ok"]}
    errors = {reply["error"] for reply in replies if not reply["ok"]}
    assert values <= {b"new"}
    assert errors <= {"not_leader", "no_leader", "timeout"}


def test_a_write_that_a_resumed_leader_takes_is_done_once_or_not_at_all(nodes: Nodes) -> None:
    """Failure F13: an acknowledgement needs the quorum, whoever believes to lead."""
    paused = nodes.wait_ready()
    with nodes.dealer(nodes[paused].client_endpoint) as dealer:
        _exchange(dealer, "get")
        nodes[paused].pause()
        leader = nodes.leader(but=paused)
        first = nodes.done(leader, "incr", key="stalled")
        for number in range(READS):
            _send(dealer, "incr", number, key="stalled")

        nodes[paused].resume()

        replies = [_receive(dealer) for _ in range(READS)]
    nodes.wait_ready()
    counted = [reply["value"] for reply in replies if reply["ok"]]
    unknown = [reply for reply in replies if not reply["ok"] and reply["applied"] == "unknown"]
    assert len(set(counted)) == len(counted)
    assert first["value"] not in counted
    final = nodes.done(leader, "get", key="stalled")
    assert 1 + len(counted) <= int(final["value"]) <= 1 + len(counted) + len(unknown)


def test_what_a_leader_had_proposed_before_it_was_replaced_is_answered_when_it_hears_so(
    nodes: Nodes,
) -> None:
    """Failure A9: other entries stand where the proposals stood, and are applied in their place.

    The replies must not wait for the deadline, a minute away, nor be forgotten altogether.
    """
    leader = nodes.wait_ready()
    followers = nodes.followers()
    with nodes.dealer(nodes[leader].client_endpoint) as dealer:
        _exchange(dealer, "get")
        for name in followers:  # killed, since what reaches a paused one waits for it
            nodes[name].kill()
        for number in range(READS):
            _send(dealer, "incr", number, key="replaced", timeout_ms=60_000)
        wait_until(lambda: _has_proposed(nodes, leader), f"{leader} has taken them to its log")
        nodes[leader].pause()
        for name in followers:
            nodes[name].start()
        new_leader = nodes.leader(but=leader)
        for number in range(READS):
            nodes.done(new_leader, "set", key="watched", value=f"in their place {number}")

        nodes[leader].resume()

        replies = [_receive(dealer) for _ in range(READS)]
    assert [reply for reply in replies if reply["ok"]] == []
    final = nodes.done(new_leader, "get", key="replaced")
    assert final["found"] is False


def test_pauses_of_the_leader_under_load_lose_nothing(nodes: Nodes) -> None:
    """Failures B1, B4, F13: each writer also checks that it never reads older than it knows."""
    with Load(nodes.endpoints, "paused", timeout_s=SHORT_S) as load:
        for _ in range(PAUSES):
            paused = nodes.wait_ready()
            load.wait_for_success(time.monotonic())

            nodes[paused].pause()
            leader = nodes.leader(but=paused)
            load.wait_for_success(time.monotonic())
            nodes[paused].resume()

            wait_until(partial(_follows, nodes, paused), f"{paused} follows {leader}")
    load.verify()
    nodes.assert_equal_hashes()
    nodes.assert_no_defects()


def test_a_paused_follower_is_not_missed(nodes: Nodes) -> None:
    """Failure A13: a majority goes on in the same term, and so it does when the node is back."""
    wait_until(lambda: _goes_on_without_a_follower(nodes), "a pause that costs no election")


def _goes_on_without_a_follower(nodes: Nodes) -> bool:
    """Pause a follower and resume it; on a busy host there may be an election without any cause."""
    leader = nodes.wait_ready()
    before = nodes.status(leader)
    follower = nodes.followers()[0]
    nodes[follower].pause()
    try:
        nodes.done(leader, "set", key="watched", value="without it")
    finally:
        nodes[follower].resume()
    nodes.wait_ready()
    after = nodes.status(leader)
    if before is None or after is None:
        return False
    return (after["role"], after["term"]) == ("leader", before["term"])


def _has_proposed(nodes: Nodes, name: str) -> bool:
    status = nodes.status(name)
    assert status is not None
    return bool(status["last_index"] > status["commit"]) or status["role"] != "leader"


def _follows(nodes: Nodes, name: str) -> bool:
    status = nodes.status(name)
    return status is not None and status["role"] == "follower" and status["caught_up"]


def _send(dealer: "zmq.Socket[bytes]", op: str, number: int = 0, **fields: object) -> None:
    request = {"op": op, "id": number, "key": "watched", **fields}
    dealer.send_multipart([b"", msgspec.msgpack.encode(request)])


def _receive(dealer: "zmq.Socket[bytes]") -> Reply:
    assert dealer.poll(ANSWER_MS), "no reply, though each request gets one"
    reply = msgspec.msgpack.decode(dealer.recv_multipart()[1])
    assert isinstance(reply, dict)
    return reply


def _exchange(dealer: "zmq.Socket[bytes]", op: str) -> Reply:
    _send(dealer, op)
    return _receive(dealer)
