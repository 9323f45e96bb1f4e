"""Only a refusal by the own host says that a peer's process is gone."""

import errno
import os
import socket as sockets
from pathlib import Path

import pytest
import zmq

from raftcache.transport.disconnects import ASK_TIMES, DisconnectWatch
from raftcache.transport.options import Socket
from raftcache.transport.peers import PeerSockets
from raftcache.transport.waiting import Waiter

WAIT_MS = 20_000


def listening(context: zmq.Context[Socket], endpoint: str) -> PeerSockets:
    return PeerSockets(context, endpoint, frame_bytes_max=10_000, connections_max=10)


def watching(
    context: zmq.Context[Socket], endpoint: str
) -> tuple[PeerSockets, DisconnectWatch, Waiter]:
    """Return sockets that are connected to ``endpoint``, and the watch over them."""
    waiter = Waiter()
    peers = listening(context, "tcp://127.0.0.1:*")
    watch = peers.watch_disconnects(waiter)
    peers.connect("n2#1", endpoint)
    while not peers.send("n2#1", b"hello"):
        waiter.poll(1)
    return peers, watch, waiter


def endpoint_of(peers: PeerSockets) -> str:
    endpoint = peers.router.getsockopt(zmq.LAST_ENDPOINT)
    assert isinstance(endpoint, bytes)
    return endpoint.rstrip(b"\0").decode()


def test_a_peer_that_ended_is_known_to_be_gone(context: zmq.Context[Socket]) -> None:
    """Its connection ends, and its port refuses another."""
    peer = listening(context, "tcp://127.0.0.1:*")
    peers, watch, waiter = watching(context, endpoint_of(peer))
    assert watch.take_gone() == []

    peer.close()
    gone: list[str] = []
    while not gone:
        assert waiter.poll(WAIT_MS), "the end of a connection wakes the loop"
        gone = watch.take_gone()

    assert gone == ["n2#1"]
    peers.close()


def test_it_is_asked_again_a_few_times(context: zmq.Context[Socket]) -> None:
    """What the dead had sent may come in late and pass for life."""
    peer = listening(context, "tcp://127.0.0.1:*")
    peers, watch, waiter = watching(context, endpoint_of(peer))
    peer.close()
    while not watch.take_gone():
        assert waiter.poll(WAIT_MS)

    answers = [watch.ask_again() for _ in range(ASK_TIMES + 5)]

    assert answers == [["n2#1"]] * (ASK_TIMES - 1) + [[]] * 6
    peers.close()


def test_a_connection_that_ends_while_the_port_listens_says_nothing(
    context: zmq.Context[Socket],
) -> None:
    """A reset, a cut connection, a crowd: the process is there."""
    with sockets.create_server(("127.0.0.1", 0)) as listener:
        peers = listening(context, "tcp://127.0.0.1:*")
        waiter = Waiter()
        watch = peers.watch_disconnects(waiter)
        peers.connect("n2#1", f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        connection, _ = listener.accept()
        greet(connection)

        connection.close()
        assert waiter.poll(WAIT_MS)
        found = watch.take_gone()
        for _ in range(ASK_TIMES):
            waiter.poll(10)
            found += watch.take_gone() + watch.ask_again()

        assert found == []
        peers.close()


def test_a_process_whose_connections_end_before_its_port_is_asked_again(
    context: zmq.Context[Socket],
) -> None:
    """The kernel closes what a killed process had open one by one."""
    waiter = Waiter()
    peers = listening(context, "tcp://127.0.0.1:*")
    watch = peers.watch_disconnects(waiter)
    with sockets.create_server(("127.0.0.1", 0)) as listener:
        peers.connect("n2#1", f"tcp://127.0.0.1:{listener.getsockname()[1]}")
        connection, _ = listener.accept()
        greet(connection)
        connection.close()
        assert waiter.poll(WAIT_MS)
        assert watch.take_gone() == []

    assert watch.ask_again() == ["n2#1"]
    peers.close()


@pytest.mark.parametrize(
    "code",
    [errno.ETIMEDOUT, errno.ECONNRESET, errno.EADDRNOTAVAIL, errno.EHOSTUNREACH],
)
def test_any_other_error_is_no_word_about_the_peer(
    context: zmq.Context[Socket], monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """It may be our own trouble: no ports left, no descriptors left."""
    peer = listening(context, "tcp://127.0.0.1:*")
    peers, watch, waiter = watching(context, endpoint_of(peer))

    class Unable(sockets.socket):
        def connect_ex(self, _address: object, /) -> int:
            return code

    monkeypatch.setattr(sockets, "socket", Unable)
    peer.close()
    assert waiter.poll(WAIT_MS)

    assert watch.take_gone() + watch.ask_again() == []
    peers.close()


def test_without_a_descriptor_left_nothing_is_asked(
    context: zmq.Context[Socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crowd of clients must not end a node that looks for its leader."""
    peer = listening(context, "tcp://127.0.0.1:*")
    peers, watch, waiter = watching(context, endpoint_of(peer))

    def unable(*_: object) -> sockets.socket:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(sockets, "socket", unable)
    peer.close()
    assert waiter.poll(WAIT_MS)

    assert watch.take_gone() + watch.ask_again() == []
    peers.close()


def test_no_descriptor_is_left_behind(context: zmq.Context[Socket]) -> None:
    """The questions are asked for the whole life of a node."""
    peer = listening(context, "tcp://127.0.0.1:*")
    peers, watch, waiter = watching(context, endpoint_of(peer))
    peer.close()
    while not watch.take_gone():
        assert waiter.poll(WAIT_MS)
    before = count_descriptors()

    for _ in range(ASK_TIMES):
        watch.ask_again()

    assert count_descriptors() <= before
    peers.close()


def test_a_peer_on_another_host_is_not_asked(context: zmq.Context[Socket]) -> None:
    """There a refusal may come from anybody in between."""
    waiter = Waiter()
    peers = listening(context, "tcp://127.0.0.1:*")
    watch = peers.watch_disconnects(waiter)

    peers.connect("n2#1", "tcp://192.0.2.1:7501")

    assert waiter.sources == []
    assert watch.take_gone() == []
    peers.close()


def greet(connection: sockets.socket) -> None:
    """Do as a ZeroMQ peer does, so that a connection stands: ZMTP 3.0, NULL, a ROUTER."""
    connection.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00NULL" + bytes(16) + b"\x00" + bytes(31))
    ready = b"\x05READY\x0bSocket-Type\x00\x00\x00\x06ROUTER\x08Identity\x00\x00\x00\x00"
    connection.sendall(b"\x04" + bytes([len(ready)]) + ready)


def count_descriptors() -> int:
    """Return how many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def test_who_is_connected_follows_the_configuration(context: zmq.Context[Socket]) -> None:
    """Peers come, go and come back while all others stay connected (failure C17)."""
    first, second = (listening(context, "tcp://127.0.0.1:*") for _ in range(2))
    waiter = Waiter()
    peers = listening(context, "tcp://127.0.0.1:*")
    peers.watch_disconnects(waiter)
    both = {"n2#1": endpoint_of(first), "n3#1": endpoint_of(second)}

    for _ in range(20):
        peers.follow(both)
        peers.follow({"n2#1": both["n2#1"]})
        assert not peers.send("n3#1", b"nobody is there")
    while not peers.send("n2#1", b"hello"):
        waiter.poll(1)
    peers.follow(both)

    assert peers.send("n2#1", b"still connected")
    while not peers.send("n3#1", b"hello"):
        waiter.poll(1)
    for one in (peers, first, second):
        one.close()
