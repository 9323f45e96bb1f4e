"""Frames, connections and bytes that no client of ours would send, to a real node."""

import random
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import msgspec
import pytest
import zmq
from zmq.utils.monitor import recv_monitor_message

from raftcache.protocol.limits import FRAME_BYTES_MAX
from raftcache.protocol.peer import PeerFrame, encode_peer_frame

from .bystander import KEY, VALUE, Bystander
from .conftest import LIMITS
from .nodes import ANSWER_MS, BOUND_S, Reply, wait_until

pytestmark = pytest.mark.processes

pack = msgspec.msgpack.encode
unpack = msgspec.msgpack.decode

REQUEST_BYTES = LIMITS["request_bytes"]
PING = pack({"op": "ping"})
SILENT_CONNECTIONS = 300
UNREAD_REQUESTS = 50_000
BOTH = pytest.mark.parametrize("target", ["leader", "follower"], indirect=True)


@pytest.mark.parametrize("count", [0, 2, 15, 16, 17, 1000])
def test_behind_the_delimiter_is_exactly_one_frame(target: Bystander, count: int) -> None:
    reply = unpack(target.send(b"", *[PING] * count))

    assert (reply["ok"], reply["error"]) == (False, "bad_request")
    assert "exactly one" in reply["message"]


@pytest.mark.parametrize("count", [1, 2, 16, 17, 1000])
def test_a_dealer_without_delimiter_is_told_what_is_missing(target: Bystander, count: int) -> None:
    reply = unpack(target.send(*[PING] * count))

    assert (reply["ok"], reply["error"]) == (False, "bad_request")
    assert "delimiter" in reply["message"]


@BOTH
def test_two_hundred_thousand_frames_in_one_message_are_one_bad_request(
    target: Bystander,
) -> None:
    """Failure F7: libzmq bounds a frame, not their number; we read on and keep sixteen."""
    reply = unpack(target.send(b"", *[b"x"] * 200_000))

    assert (reply["ok"], reply["error"]) == (False, "bad_request")


def test_an_envelope_comes_back_as_it_was(target: Bystander) -> None:
    """What stands before the delimiter is the client's; REQ_CORRELATE puts a number there."""
    envelope = [b"\x00\x01", b"anything", bytes(1000)]
    with target.dealer() as dealer:
        dealer.send_multipart([*envelope, b"", PING])
        assert dealer.poll(ANSWER_MS)

        assert dealer.recv_multipart()[:-1] == [*envelope, b""]


def test_a_req_socket_that_correlates_gets_its_own_answer_after_a_timeout(
    target: Bystander,
) -> None:
    """Failure F6: without REQ_CORRELATE it would take the answer before for this one's."""
    with target.dealer(zmq.REQ) as req:
        req.setsockopt(zmq.REQ_RELAXED, 1)
        req.setsockopt(zmq.REQ_CORRELATE, 1)
        req.send(pack({"op": "get", "key": KEY, "id": "given up"}))
        req.send(pack({"op": "get", "key": KEY, "id": "asked again"}))
        assert req.poll(ANSWER_MS)

        reply = unpack(req.recv())

    assert (reply["id"], reply["value"]) == ("asked again", VALUE.encode())


@BOTH
@pytest.mark.parametrize("json_", [False, True], ids=["messagepack", "json"])
@pytest.mark.parametrize("size", [REQUEST_BYTES + 1, 2 * REQUEST_BYTES, 16 * REQUEST_BYTES])
def test_a_request_over_the_limit_is_told_so(target: Bystander, size: int, *, json_: bool) -> None:
    encode = msgspec.json.encode if json_ else pack
    fields = {"op": "set", "id": 7, "key": KEY, "value": ""}
    while (missing := size - len(encode(fields))) > 0:
        fields["value"] = str(fields["value"]) + "x" * missing
        if len(encode(fields)) > size:
            fields["value"] = str(fields["value"])[: -(len(encode(fields)) - size)]
    frame = encode(fields)
    assert len(frame) == size

    answer = target.send(b"", frame)

    reply = msgspec.json.decode(answer) if json_ else unpack(answer)
    assert (reply["ok"], reply["error"], reply["id"]) == (False, "too_large", 7)
    assert str(REQUEST_BYTES) in reply["message"]


@BOTH
def test_a_frame_far_over_the_limit_ends_its_connection_and_no_other(target: Bystander) -> None:
    """Failure F9: neither side is told more than that, so a client needs its timeout."""
    with target.dealer() as good, target.dealer() as bad:
        _assert_answered(good)
        with _watched(bad, zmq.Event.DISCONNECTED) as monitor:
            bad.setsockopt(zmq.RECONNECT_IVL, -1)
            bad.send_multipart([b"", b"x" * (FRAME_BYTES_MAX + 1)])

            assert monitor.poll(ANSWER_MS), "the connection was not cut"
        _assert_answered(good)


@pytest.mark.parametrize("with_delimiter", [False, True], ids=["bare", "behind a delimiter"])
def test_a_peer_s_frame_on_the_clients_port_is_a_bad_request(
    target: Bystander, *, with_delimiter: bool
) -> None:
    """Failure C12: an address that another cluster's node used before."""
    frame = _peer_frame(target, target.nodes.cluster_id)

    reply = unpack(target.send(*([b""] if with_delimiter else []), frame))

    assert (reply["ok"], reply["error"]) == (False, "bad_request")


@BOTH
def test_whatever_comes_to_the_peers_port_is_dropped_and_counted(target: Bystander) -> None:
    """Failures C9, C10, C12 and F14: strangers there get no answer, and change nothing."""
    # On a busy host there may be an election without any cause, but not each time.
    wait_until(lambda: _leaves_role_and_term(target), "frames that change nothing")


def _leaves_role_and_term(target: Bystander) -> bool:
    """Send all kinds of frames to the peers' port; tell whether the node is as it was."""
    generator = random.Random(1)
    own = target.nodes.cluster_id
    malformed = [b"", b"\xc1", b"{}", PING, b"\x91" * 10_000, b"\xdd\xff\xff\xff\xff"]
    malformed += [generator.randbytes(generator.randrange(200)) for _ in range(200)]
    good = _peer_frame(target, own)
    malformed += [good[:length] for length in range(len(good))]
    messages = [[frame] for frame in malformed]
    messages += [[b"", PING], [b""] * 1000, [good, good]]
    strangers = [
        _peer_frame(target, "f" * 32),
        _peer_frame(target, own, source="n9#1"),
        _peer_frame(target, own, source="n2#0"),
        _peer_frame(target, own, target_id="n9#1"),
    ]
    messages += [[frame] for frame in strangers]
    before = _status(target)
    with target.nodes.dealer(target.peer_endpoint) as dealer:
        for frames in messages:
            dealer.send_multipart(frames)

        def dropped() -> int:
            then: dict[str, int] = before["dropped"]
            now: dict[str, int] = _status(target)["dropped"]
            return sum(now.values()) - sum(then.values())

        # Three messages of many frames are dropped by the socket, before anything is counted.
        wait_until(lambda: dropped() >= len(messages) - 3, "all of it was read")
        assert dealer.poll(0) == 0, "a stranger gets no answer"
    after = _status(target)
    assert {"malformed", "other_cluster", "other_target", "stranger"} <= set(after["dropped"])
    return bool((after["term"], after["role"]) == (before["term"], before["role"]))


def test_silent_connections_are_closed_and_keep_nobody_out(target: Bystander) -> None:
    """Failure F8: each holds a file descriptor until the handshake's time is up."""
    with ExitStack() as stack:
        silent = [
            stack.enter_context(socket.create_connection(target.address(), timeout=BOUND_S))
            for _ in range(SILENT_CONNECTIONS)
        ]

        target.assert_answers()

        for connection in silent:
            while connection.recv(1024):  # libzmq's greeting, then the end
                pass


@BOTH
def test_a_client_that_never_reads_harms_nobody(target: Bystander) -> None:
    """Failures F2 and F3: its replies are dropped beyond a bound; the loop never waits for it.

    So many requests at once may keep a busy host from its heartbeats, and cost an election.
    """
    request = pack({"op": "get", "key": KEY, "timeout_ms": 60_000})
    with target.dealer() as deaf:
        deaf.setsockopt(zmq.SNDHWM, 0)
        deaf.setsockopt(zmq.RCVHWM, 1)
        deaf.disconnect(target.endpoint)
        deaf.connect(target.endpoint)
        for number in range(UNREAD_REQUESTS):
            deaf.send_multipart([b"", request])
            if number % 10_000 == 0:
                wait_until(target.is_answered, "others are served meanwhile")

        wait_until(target.is_answered, "others are served")


@pytest.mark.parametrize("port", ["client", "peer", "events"])
@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(bytes.fromhex("16030100c8010000c40303") + bytes(200), id="TLS"),
        pytest.param(b"\x00" * 100_000, id="zeros"),
        pytest.param(b"\xff" * 100_000, id="ones"),
        pytest.param(random.Random(2).randbytes(100_000), id="random"),
        pytest.param(b"\xff\x00\x00\x00\x00\x00\x00\x00\x01\x7f\x03", id="half a greeting"),
    ],
)
def test_bytes_that_are_no_zeromq_end_their_connection(
    target: Bystander, port: str, sent: bytes
) -> None:
    endpoint = target.nodes[target.name].values[f"{port}_endpoint"]
    with socket.create_connection(target.address(endpoint), timeout=BOUND_S) as connection:
        _send_until_closed(connection, sent)

        _read_to_end(connection)


def test_a_browser_at_the_wrong_port_waits_and_harms_nobody(target: Bystander) -> None:
    """To libzmq this looks like a peer of ZMTP 1.0, which has no handshake that could time out."""
    with socket.create_connection(target.address(), timeout=BOUND_S) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)

        target.assert_answers()


@pytest.mark.parametrize(
    "after_handshake",
    [
        pytest.param(b"\x02" + struct.pack(">Q", 2**63), id="a frame of 2^63 bytes"),
        pytest.param(b"\x02" + struct.pack(">Q", 2**40), id="a frame of a TiB"),
        pytest.param(b"\x04\x05\x04JUNK", id="an unknown command"),
        pytest.param(b"\x06" + struct.pack(">Q", 2**62), id="a command of 2^62 bytes"),
        pytest.param(b"\xf8" * 1000, id="reserved flags"),
    ],
)
def test_a_client_that_greets_well_and_then_breaks_the_protocol_is_cut(
    target: Bystander, after_handshake: bytes
) -> None:
    with socket.create_connection(target.address(), timeout=BOUND_S) as connection:
        _greet(connection)
        _send_until_closed(connection, after_handshake)
        connection.shutdown(socket.SHUT_WR)

        _read_to_end(connection)


def test_a_message_that_never_ends_is_never_answered_and_forgotten(target: Bystander) -> None:
    """Zero frames arrive of a message whose last frame is missing when the client goes."""
    with socket.create_connection(target.address(), timeout=BOUND_S) as connection:
        _greet(connection)
        connection.sendall(b"\x01\x00" + b"\x01\x05hello" * 1000)  # each says: more follows
        target.assert_answers()


@pytest.mark.parametrize("kind", [zmq.SUB, zmq.PUSH, zmq.PULL, zmq.PAIR, zmq.REP])
def test_a_socket_of_a_wrong_kind_is_turned_away(target: Bystander, kind: int) -> None:
    with target.nodes.dealer(target.endpoint, kind) as stranger, target.dealer() as good:
        if kind == zmq.SUB:
            stranger.setsockopt(zmq.SUBSCRIBE, b"")

        _assert_answered(good)
        assert stranger.poll(0) == 0


@BOTH
def test_connections_that_come_and_go_leave_nothing_behind(target: Bystander) -> None:
    """Half a request, and away: replies to those who left are dropped, unseen by all others."""
    request = pack({"op": "incr", "key": "left"})
    for _ in range(300):
        with target.dealer() as dealer:
            dealer.send_multipart([b"", request], zmq.DONTWAIT)

    target.assert_answers()


def _peer_frame(
    bystander: Bystander, cluster_id: str, *, source: str = "", target_id: str = ""
) -> bytes:
    other = next(name for name in bystander.nodes.by_name if name != bystander.name)
    frame = PeerFrame(
        cluster_id, source or f"{other}#1", target_id or f"{bystander.name}#1", [], [], []
    )
    return encode_peer_frame(frame)


def _status(bystander: Bystander) -> Reply:
    status = bystander.nodes.status(bystander.name, timeout_ms=ANSWER_MS)
    assert status is not None
    return status


def _assert_answered(dealer: "zmq.Socket[bytes]") -> None:
    def answer() -> Reply | None:
        dealer.send_multipart([b"", pack({"op": "get", "key": KEY})])
        assert dealer.poll(ANSWER_MS), "no reply"
        reply: Reply = unpack(dealer.recv_multipart()[1])
        return reply if reply["ok"] else None  # there may be an election

    assert wait_until(answer, "a read is answered")["value"] == VALUE.encode()


@contextmanager
def _watched(socket_: "zmq.Socket[bytes]", event: zmq.Event) -> "Iterator[zmq.Socket[bytes]]":
    monitor = socket_.get_monitor_socket(int(event))
    try:
        yield monitor
        while monitor.poll(0):
            recv_monitor_message(monitor)
    finally:
        socket_.disable_monitor()
        monitor.close(0)


def _greet(connection: socket.socket) -> None:
    """Do the handshake of a DEALER, by hand (ZMTP 3.0, NULL)."""
    connection.sendall(b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32))
    _read_exactly(connection, 64)
    ready = b"\x05READY" + b"\x0bSocket-Type" + struct.pack(">I", 6) + b"DEALER"
    connection.sendall(b"\x04" + bytes([len(ready)]) + ready)
    _, length = _read_exactly(connection, 2)
    _read_exactly(connection, length)


def _read_exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        assert more, "the connection ended during the handshake"
        data += more
    return data


def _send_until_closed(connection: socket.socket, data: bytes) -> None:
    try:
        connection.sendall(data)
    except (ConnectionResetError, BrokenPipeError):
        return


def _read_to_end(connection: socket.socket) -> None:
    """Read until the node has closed the connection; its silence would end in a timeout."""
    try:
        while connection.recv(65_536):
            pass
    except ConnectionResetError:
        return
