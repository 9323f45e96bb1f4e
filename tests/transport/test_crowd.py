"""The limit on connections: the newest are cut, the others never notice."""

from collections.abc import Callable, Iterator

import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

from raftcache.transport.clients import ClientSocket
from raftcache.transport.options import Socket

BOUND_MS = 20_000


@pytest.fixture
def connected(
    context: zmq.Context[Socket], listener: ClientSocket
) -> Iterator[Callable[[], Socket]]:
    """Makes clients whose connections the listener has, as their first requests show."""
    clients: list[Socket] = []

    def connect() -> Socket:
        client = context.socket(zmq.DEALER)
        clients.append(client)
        client.setsockopt(zmq.LINGER, 0)
        client.setsockopt(zmq.RECONNECT_IVL, -1)
        endpoint = listener.router.getsockopt(zmq.LAST_ENDPOINT)
        assert isinstance(endpoint, bytes)
        client.connect(endpoint.rstrip(b"\0").decode())
        _assert_served(client, listener)
        return client

    yield connect
    for client in clients:
        client.close()


@pytest.fixture
def listener(context: zmq.Context[Socket]) -> Iterator[ClientSocket]:
    socket = ClientSocket(context, "tcp://127.0.0.1:*", frame_bytes_max=1000, connections_max=2)
    yield socket
    socket.close()


def test_connections_within_the_limit_are_left_alone(
    connected: Callable[[], Socket], listener: ClientSocket
) -> None:
    clients = [connected() for _ in range(2)]

    listener.connections.enforce()

    for client in clients:
        _assert_served(client, listener)
    assert listener.connections.cut == 0


def test_the_newest_beyond_the_limit_is_cut_and_the_others_are_served(
    connected: Callable[[], Socket], listener: ClientSocket
) -> None:
    """Failure F8: who was there first keeps its place."""
    clients = [connected() for _ in range(3)]
    monitor = clients[-1].get_monitor_socket(int(zmq.Event.DISCONNECTED))

    listener.connections.enforce()

    assert monitor.poll(BOUND_MS), "the third is still connected"
    recv_monitor_message(monitor)
    clients[-1].disable_monitor()
    monitor.close(0)
    for client in clients[:2]:
        _assert_served(client, listener)
    assert listener.connections.cut == 1


def test_a_place_that_was_given_up_can_be_taken(
    connected: Callable[[], Socket], listener: ClientSocket
) -> None:
    first, second = (connected() for _ in range(2))
    listener.connections.enforce()
    first.close(linger=0)
    _wait_until_gone(second, listener)

    third = connected()
    listener.connections.enforce()

    for client in (second, third):
        _assert_served(client, listener)
    assert listener.connections.cut == 0


def _assert_served(client: Socket, listener: ClientSocket) -> None:
    client.send_multipart([b"", b"request"])
    assert listener.router.poll(BOUND_MS), "the request did not come"
    [[routing_id, *_]] = listener.receive(10)
    listener.send([routing_id, b""], b"reply")
    assert client.poll(BOUND_MS), "the reply did not come"
    assert client.recv_multipart() == [b"", b"reply"]


def _wait_until_gone(other: Socket, listener: ClientSocket) -> None:
    """Let the listener see an end: exchanges with another client give it the time."""
    for _ in range(10_000):
        listener.connections.enforce()
        if len(listener.connections.open) == 1:
            return
        _assert_served(other, listener)
    pytest.fail("the end of a connection was not seen")
