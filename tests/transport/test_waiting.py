"""A wait that asks no socket must still miss nothing."""

import os
import time
from collections.abc import Callable, Iterator

import pytest
import zmq

from raftcache.transport.clients import ClientSocket
from raftcache.transport.options import Socket
from raftcache.transport.peers import PeerSockets
from raftcache.transport.waiting import Waiter

WAIT_MS = 20_000


@pytest.fixture
def clients(context: zmq.Context[Socket]) -> Iterator[ClientSocket]:
    clients = ClientSocket(context, "tcp://127.0.0.1:*", frame_bytes_max=10_000, connections_max=10)
    yield clients
    clients.close()


@pytest.fixture
def connected(context: zmq.Context[Socket]) -> Iterator[Callable[[Socket], Socket]]:
    """Return what makes a DEALER that is connected to a ROUTER of this test."""
    dealers: list[Socket] = []

    def connect(router: Socket) -> Socket:
        endpoint = router.getsockopt(zmq.LAST_ENDPOINT)
        assert isinstance(endpoint, bytes)
        dealer: Socket = context.socket(zmq.DEALER)
        dealers.append(dealer)
        dealer.connect(endpoint.rstrip(b"\0").decode())
        return dealer

    yield connect
    for dealer in dealers:
        dealer.close(0)


def test_what_came_before_the_socket_was_added_is_told(
    connected: Callable[[Socket], Socket], clients: ClientSocket
) -> None:
    """Its descriptor may have told of it long ago, to whoever asked then."""
    connected(clients.router).send(b"hello")
    assert clients.router.poll(WAIT_MS)
    waiter = Waiter()

    waiter.register(clients.router)

    assert waiter.poll(WAIT_MS) == {clients.router}
    assert len(clients.receive(10)) == 1


def test_each_message_ends_a_wait_and_nothing_else_does(
    connected: Callable[[Socket], Socket], clients: ClientSocket
) -> None:
    """As long as whoever is told reads all that is there."""
    waiter = Waiter()
    waiter.register(clients.router)
    dealer = connected(clients.router)
    for number in range(20):
        dealer.send(b"%d" % number)
        received: list[list[bytes]] = []
        while not received:
            assert waiter.poll(WAIT_MS), "a message wakes the loop"
            received = clients.receive(10)
        assert [frames[-1] for frames in received] == [b"%d" % number]
        assert not clients.has_more()
    waiter.poll(0)
    clients.receive(10)

    assert waiter.poll(0) == set()


def test_a_request_that_a_reply_has_hidden_is_found(
    connected: Callable[[Socket], Socket], clients: ClientSocket
) -> None:
    """Sending takes in what the descriptor was about to tell; then only the socket knows."""
    waiter = Waiter()
    waiter.register(clients.router)
    dealer = connected(clients.router)
    dealer.send(b"first")
    requests: list[list[bytes]] = []
    while not requests:
        waiter.poll(WAIT_MS)
        requests = clients.receive(10)
    for _ in range(10):
        dealer.send(b"next")
        assert waiter.poll(WAIT_MS)
        while waiter.poll(0):
            # libzmq looks for news when it sends, but not within a millisecond of the last time.
            time.sleep(0.002)
            clients.send(requests[0][:1], b"reply")

        assert clients.has_more()
        assert [frames[-1] for frames in clients.receive(10)] == [b"next"]


@pytest.mark.parametrize("bound", [1, 3])
def test_what_a_bound_has_left_is_told_without_a_wait(
    connected: Callable[[Socket], Socket], clients: ClientSocket, bound: int
) -> None:
    """Nothing new happens to it, so its descriptor is silent."""
    waiter = Waiter()
    waiter.register(clients.router)
    dealer = connected(clients.router)
    for _ in range(2 * bound):
        dealer.send(b"hello")
    found = 0
    while found < 2 * bound:
        assert clients.has_more() or waiter.poll(WAIT_MS)
        found += len(clients.receive(bound))

    assert found == 2 * bound


def test_the_peers_socket_tells_what_a_bound_has_left(
    context: zmq.Context[Socket], connected: Callable[[Socket], Socket]
) -> None:
    """The same for frames of peers."""
    peers = PeerSockets(context, "tcp://127.0.0.1:*", frame_bytes_max=10_000, connections_max=10)
    waiter = Waiter()
    waiter.register(peers.router)
    dealer = connected(peers.router)
    for _ in range(9):
        dealer.send(b"frame")
    found = 0
    while found < 9:
        assert peers.has_more or waiter.poll(WAIT_MS)
        found += len(peers.receive(3))
    peers.receive(3)

    assert not peers.has_more
    peers.close()


def test_what_comes_to_a_paused_socket_is_told_when_it_is_waited_for_again(
    connected: Callable[[Socket], Socket], clients: ClientSocket
) -> None:
    """Whether it came before or while nobody waited for it."""
    waiter = Waiter()
    waiter.register(clients.router)
    dealer = connected(clients.router)
    dealer.send(b"before")
    assert clients.router.poll(WAIT_MS)

    waiter.pause(clients.router)
    dealer.send(b"meanwhile")
    assert waiter.poll(50) == set()

    waiter.resume(clients.router)
    received: list[list[bytes]] = []
    while len(received) < 2:
        assert clients.has_more() or waiter.poll(WAIT_MS) == {clients.router}
        received += clients.receive(10)
    assert [frames[-1] for frames in received] == [b"before", b"meanwhile"]


def test_a_plain_descriptor_tells_as_long_as_it_has_something() -> None:
    """The pipe by which threads wake the loop."""
    read_fd, write_fd = os.pipe()
    waiter = Waiter()
    waiter.register(read_fd)
    assert waiter.poll(0) == set()

    os.write(write_fd, b"\0")

    assert waiter.poll(WAIT_MS) == {read_fd}
    assert waiter.poll(WAIT_MS) == {read_fd}
    waiter.unregister(read_fd)
    assert waiter.poll(0) == set()
    os.close(read_fd)
    os.close(write_fd)
