"""Routing ids, by which libzmq tells connections apart: nobody gets another's replies by one."""

from collections.abc import Iterator

import pytest
import zmq

from raftcache.node import main
from raftcache.parent import ParentWatch
from raftcache.transport import options
from raftcache.transport.clients import ClientSocket
from raftcache.transport.options import Socket
from raftcache.transport.peers import PeerSockets

BOUND_MS = 60_000


@pytest.fixture
def server(context: zmq.Context[Socket]) -> Iterator[ClientSocket]:
    made = ClientSocket(context, "tcp://127.0.0.1:*", frame_bytes_max=1 << 20, connections_max=10)
    yield made
    made.close()


def client(context: zmq.Context[Socket], server: ClientSocket, name: bytes) -> Socket:
    made = context.socket(zmq.DEALER)
    made.setsockopt(zmq.ROUTING_ID, name)
    made.connect(server.router.getsockopt_string(zmq.LAST_ENDPOINT))
    return made


def test_a_reply_to_nobody_is_counted_and_ends_nothing(
    context: zmq.Context[Socket], server: ClientSocket
) -> None:
    """A ROUTER drops it unseen unless it is told not to; and then it raises (failure F1)."""
    server.send([b"gone long ago", b""], b"a reply")

    assert (server.dropped, server.backlogs) == (1, {})
    here = client(context, server, b"here")
    here.send_multipart([b"", b"hello"])
    assert server.router.poll(BOUND_MS)
    server.send(server.receive(1)[0][:2], b"and hello to you")
    assert here.poll(BOUND_MS)
    assert here.recv_multipart() == [b"", b"and hello to you"]
    assert server.dropped == 1
    here.close()


def test_who_takes_anothers_name_gets_none_of_its_replies(
    context: zmq.Context[Socket], server: ClientSocket
) -> None:
    """A ROUTER that hands names over would send them to the newcomer (failure F5)."""
    first = client(context, server, b"the same name")
    first.send_multipart([b"", b"a question"])
    assert server.router.poll(BOUND_MS)
    envelope = server.receive(1)[0][:2]

    thief = client(context, server, b"the same name")
    thief.send_multipart([b"", b"what is it"])
    taken_in = server.router.poll(300)
    server.send(envelope, b"the answer")

    assert not taken_in, "a connection with a name that is taken is not heard"
    assert first.poll(BOUND_MS)
    assert first.recv_multipart() == [b"", b"the answer"]
    first.close()
    thief.close()


def test_a_node_that_starts_anew_is_heard_beside_what_is_left_of_its_former_life(
    context: zmq.Context[Socket],
) -> None:
    """With the node's name as its routing id the new one would be mute (failure F5)."""
    receiver = peers(context)
    endpoint = receiver.router.getsockopt_string(zmq.LAST_ENDPOINT)
    lives = [peers(context), peers(context)]

    for number, life in enumerate(lives):
        life.connect("n1", endpoint)
        dealer = life._dealers["n1"]
        assert dealer.poll(BOUND_MS, zmq.POLLOUT)
        assert life.send("n1", b"life %d" % number)

    heard: list[bytes] = []
    while len(heard) < 2:
        assert receiver.router.poll(BOUND_MS), f"only {heard} arrived"
        heard += receiver.receive(10)
    assert sorted(heard) == [b"life 0", b"life 1"]
    for one in (receiver, *lives):
        one.close()


def peers(context: zmq.Context[Socket]) -> PeerSockets:
    return PeerSockets(context, "tcp://127.0.0.1:*", frame_bytes_max=1 << 20, connections_max=10)


@pytest.mark.parametrize(
    ("version", "refused"),
    [((4, 3, 4), True), ((4, 1, 9), True), ((4, 3, 5), False), ((4, 4, 0), False)],
)
def test_a_libzmq_with_known_holes_is_refused(
    version: tuple[int, int, int], *, refused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before 4.3.3 anybody who could connect could end or flood a process (failure F17)."""
    monkeypatch.setattr(zmq, "zmq_version_info", lambda: version)

    objection = options.libzmq_objection()

    assert bool(objection) == refused
    if refused:
        assert ".".join(map(str, version)) in objection
        assert main.main(["no such file"], ParentWatch()) == main.EXIT_REFUSED


def test_this_libzmq_is_none_of_those() -> None:
    """The wheels of pyzmq bring their own; a build from source takes the system's."""
    assert options.libzmq_objection() == ""
