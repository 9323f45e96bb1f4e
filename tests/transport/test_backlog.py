"""Replies to clients that do not read: kept within bounds, in order, and delivered when they do."""

import zmq

from raftcache.transport import clients
from raftcache.transport.clients import ClientSocket
from raftcache.transport.options import Socket

REPLY = b"r" * 64 * 1024


def connected(context: zmq.Context[Socket]) -> tuple[ClientSocket, Socket, list[bytes]]:
    """Return a server's socket, a client's that reads nothing by itself, and its envelope."""
    server = ClientSocket(context, "tcp://127.0.0.1:*", frame_bytes_max=1 << 20, connections_max=10)
    client = context.socket(zmq.DEALER)
    client.setsockopt(zmq.RCVHWM, 1)
    client.connect(server.router.getsockopt_string(zmq.LAST_ENDPOINT))
    client.send_multipart([b"", b"hello"])
    assert server.router.poll(30_000)
    routing_id, delimiter, _ = server.receive(1)[0]
    return server, client, [routing_id, delimiter]


def test_a_client_that_reads_nothing_costs_a_bounded_amount(context: zmq.Context[Socket]) -> None:
    """Beyond the bounds its replies are dropped and counted (failure F2)."""
    server, client, envelope = connected(context)

    for _ in range(2_000):
        server.send(envelope, REPLY)

    assert server.backlogs
    assert sum(server._backlog_bytes.values()) <= clients.BACKLOG_BYTES_MAX
    assert server.dropped > 0
    client.close(0)
    server.close()


def test_what_was_held_back_arrives_in_order_once_the_client_reads(
    context: zmq.Context[Socket],
) -> None:
    """A slow reader loses nothing within the bounds."""
    server, client, envelope = connected(context)
    count = 0
    while not server.backlogs:
        server.send(envelope, count.to_bytes(4, "big") + REPLY)
        count += 1

    received: list[int] = []
    while len(received) < count:
        server.flush()
        assert client.poll(30_000), "what was held back arrives"
        received.append(int.from_bytes(client.recv_multipart()[1][:4], "big"))

    assert received == list(range(count))
    assert not server.backlogs
    assert server.dropped == 0
    client.close(0)
    server.close()


def test_the_backlog_of_a_client_that_left_goes_with_it(context: zmq.Context[Socket]) -> None:
    """Nothing is kept for the dead."""
    server, client, envelope = connected(context)
    while not server.backlogs:
        server.send(envelope, REPLY)

    client.close(0)
    server.router.poll(100)
    for _ in range(1_000):
        server.flush()
        if not server.backlogs:
            break
        server.router.poll(10)

    assert not server.backlogs
    server.close()
