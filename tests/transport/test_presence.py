"""Which clients of a ROUTER are gone: told of those that are, and of no other."""

import socket as sockets
from collections.abc import Callable, Iterator

import pytest
import zmq

from raftcache.transport.clients import ClientSocket
from raftcache.transport.crowd import ConnectionLimit
from raftcache.transport.options import Socket
from raftcache.transport.presence import Presence

BOUND_MS = 20_000


@pytest.fixture
def listener(context: zmq.Context[Socket]) -> Iterator[ClientSocket]:
    socket = ClientSocket(context, "tcp://127.0.0.1:*", frame_bytes_max=1000, connections_max=99)
    yield socket
    socket.close()


def ask(context: zmq.Context[Socket], listener: ClientSocket, name: bytes = b"") -> Socket:
    """Return a client whose request is on its way."""
    client = context.socket(zmq.DEALER)
    client.setsockopt(zmq.LINGER, BOUND_MS)
    if name:
        client.setsockopt(zmq.ROUTING_ID, name)
    endpoint = listener.router.getsockopt(zmq.LAST_ENDPOINT)
    assert isinstance(endpoint, bytes)
    client.connect(endpoint.rstrip(b"\0").decode())
    client.send_multipart([b"", b"request"])
    return client


def take(listener: ClientSocket) -> bytes:
    """Take a request, and return the routing id of its client."""
    while not (received := listener.receive(1)):
        assert listener.router.poll(BOUND_MS), "no request came"
    [[client, *rest]] = received
    assert rest == [b"", b"request"]
    return client


def look_until(listener: ClientSocket, condition: Callable[[], bool]) -> None:
    """Look at what is told of connections until ``condition`` holds."""
    while not condition():
        assert listener.connections._monitor.poll(BOUND_MS), "it was not told"
        listener.connections.look()


def let_end(listener: ClientSocket, client: Socket) -> None:
    """Close a client, and wait for the end of its connection."""
    count = listener.connections.count
    client.close()
    look_until(listener, lambda: listener.connections.count < count)


def test_a_client_that_is_gone_is_told_and_those_that_stay_are_not(
    context: zmq.Context[Socket], listener: ClientSocket
) -> None:
    """Its descriptor goes to the next one that comes, and stands for nobody but that."""
    staying = ask(context, listener)
    stays = take(listener)
    told = []
    for _ in range(20):
        client = ask(context, listener)
        name = take(listener)
        let_end(listener, client)
        told += [(name, gone) for gone in listener.take_gone()]
        staying.send_multipart([b"", b"request"])
        assert take(listener) == stays

    assert [name for name, _ in told] == [gone for _, gone in told]
    assert len({name for name, _ in told}) == 20
    assert set(listener._presence.known) == {stays}
    staying.close()


def test_a_client_that_went_before_its_first_message_was_read_is_told(
    context: zmq.Context[Socket], listener: ClientSocket
) -> None:
    client = ask(context, listener)
    assert listener.router.poll(BOUND_MS)
    look_until(listener, lambda: listener.connections.count == 1)
    let_end(listener, client)

    name = take(listener)

    assert listener.take_gone() == [name]
    assert not listener._presence.known


def test_a_client_that_names_itself_may_come_back_and_is_never_told(
    context: zmq.Context[Socket], listener: ClientSocket
) -> None:
    client = ask(context, listener, b"me")
    assert take(listener) == b"me"
    look_until(listener, lambda: listener.connections.count == 1)
    let_end(listener, client)

    assert listener.take_gone() == []
    assert not listener._presence.known


def test_of_two_that_seem_to_have_one_descriptor_neither_is_told(listener: ClientSocket) -> None:
    """What came late of the one before must not end the one that is there."""
    connections: ConnectionLimit = listener.connections
    presence = Presence(connections)
    connections.open.add(7)
    presence.learn(b"\0new", 7)
    presence.learn(b"\0old", 7)

    connections.on_end(7)

    assert presence.take_gone() == []
    assert not presence.known
    presence.learn(b"\0new", 7)
    connections.on_end(7)
    assert presence.take_gone() == [b"\0new"]


def test_a_peer_of_the_first_protocol_is_served_though_nothing_tells_its_connection(
    listener: ClientSocket,
) -> None:
    """Libzmq takes for ZMTP 1.0 whatever begins with no signature: stray bytes, too."""
    endpoint = listener.router.getsockopt(zmq.LAST_ENDPOINT)
    assert isinstance(endpoint, bytes)
    host, _, port = endpoint.rstrip(b"\0").decode().removeprefix("tcp://").rpartition(":")
    nameless, empty_and_more, request = b"\x01\x00", b"\x01\x01", b"\x08\x00request"
    with sockets.create_connection((host, int(port))) as peer:
        peer.sendall(nameless + empty_and_more + request)
        take(listener)

    look_until(listener, lambda: listener.connections.count == 0)
    assert listener.take_gone() == []
    assert not listener._presence.known
