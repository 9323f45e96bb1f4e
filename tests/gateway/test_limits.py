"""What a connection may take: bodies, heads, time, and how many there are (failures F14, F4)."""

import socket
import threading

import pytest

from tests.client.fake_node import FakeNode

from .harness import VALUE_BYTES, Running, Store, patiently

KEY = "/api/v1/key/k"


def test_a_body_that_is_announced_too_long_is_refused_before_it_is_sent(gateway: Running) -> None:
    """A hundred megabytes: not one of them crosses."""
    with gateway.connect() as wire:
        wire.send(wire.head("PUT", KEY, Content_Length=str(100 * 1024 * 1024)))
        answer = wire.read()

        assert answer.status == 413
        assert answer.error[0] == f"a value has at most {VALUE_BYTES} bytes here"
        assert wire.is_closed()


def test_a_client_that_asks_first_is_refused_instead(gateway: Running) -> None:
    with gateway.connect() as wire:
        wire.send(wire.head("PUT", KEY, Content_Length=str(2**40), Expect="100-continue"))
        assert wire.read().status == 413


def test_whoever_sends_on_regardless_still_gets_the_answer(gateway: Running) -> None:
    """Many clients send all they have before they look."""
    with gateway.connect() as wire:
        wire.send(wire.head("PUT", KEY, Content_Length=str(4 * VALUE_BYTES)))
        wire.send(b"x" * 4 * VALUE_BYTES)
        assert wire.read().status == 413


def test_a_body_in_chunks_is_refused_as_soon_as_it_is_too_long(gateway: Running) -> None:
    with gateway.connect() as wire:
        wire.send(wire.head("PUT", KEY, Transfer_Encoding="chunked"))
        chunk = b"%x\r\n%s\r\n" % (VALUE_BYTES, b"x" * VALUE_BYTES)
        wire.send(chunk + chunk)
        assert wire.read().status == 413
        assert wire.is_closed()


def test_a_body_of_just_the_limit_is_taken(gateway: Running) -> None:
    assert gateway.ask("PUT", KEY, b"x" * VALUE_BYTES).status in {201, 204}
    assert gateway.ask("PUT", KEY, b"x" * (VALUE_BYTES + 1)).status == 413


def test_a_put_without_any_body_is_asked_for_its_length(gateway: Running) -> None:
    """A forgotten body must not empty a key."""
    assert gateway.ask("PUT", KEY).status == 411
    assert gateway.ask("PUT", KEY, b"").status in {201, 204}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Content-Encoding": "gzip"}, 415),
        ({"Content-Range": "bytes 0-1/2"}, 400),
        ({"Expect": "miracles"}, 417),
    ],
)
def test_a_body_that_would_have_to_be_interpreted_is_refused(
    gateway: Running, headers: dict[str, str], status: int
) -> None:
    assert gateway.ask("PUT", KEY, b"ab", **headers).status == status


PUT = b"PUT /api/v1/key/a HTTP/1.1\r\nHost: %b\r\n"
GET = b"GET /healthz HTTP/1.1\r\nHost: %b\r\n"


@pytest.mark.parametrize(
    "head",
    [
        PUT + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        PUT + b"Content-Length: -1\r\n\r\na",
        PUT + b"Content-Length: 99999999999999999999\r\n\r\na",
        PUT + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        PUT + b"Transfer-Encoding: gzip\r\n\r\na",
        PUT + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /api/v1/key/a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
        b"GET /healthz HTTP/1.1\r\n\r\n",
        GET + b"Host: %b\r\n\r\n",
        GET + b"X: a\r\n b\r\n\r\n",
        GET + b"X: a\0b\r\n\r\n",
        GET + b"no colon\r\n\r\n",
        GET.replace(b"GET", b"NONSENSE") + b"\r\n",
        GET + b"X: a\r\n" * 100_000,
    ],
    ids=range(16),
)
def test_what_is_no_http_is_400_and_the_gateway_goes_on(gateway: Running, head: bytes) -> None:
    """Smuggling, nonsense and other protocols end their own connection and nothing else."""
    host = f"127.0.0.1:{gateway.port}".encode()
    with gateway.connect() as wire:
        wire.send(head.replace(b"%b", host))
        answer = wire.read()
        assert answer.status == 400
        assert answer.error[1] == "Bad Request"
    assert gateway.ask("GET", "/healthz").status == 200


@pytest.mark.parametrize(
    "head",
    [b"GET /api/v1/key/" + b"a" * 20_000, b"GET / HTTP/1.1\r\nX: " + b"a" * 20_000],
    ids=["target", "header"],
)
def test_a_head_without_end_is_refused(gateway: Running, head: bytes) -> None:
    with gateway.connect() as wire:
        wire.send(head + b"\r\n\r\n")
        assert wire.read().status == 431


@pytest.mark.parametrize("rest", [b"zz\r\n", b"-1\r\n", b"fffffffffffffffff\r\n"])
def test_a_chunk_that_is_none_ends_its_request(
    gateway: Running, rest: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """It comes when the request is already under way, and nothing would come after it."""
    with gateway.connect() as wire:
        wire.send(wire.head("PUT", "/api/v1/key/chunked", Transfer_Encoding="chunked"))
        with gateway.connect() as other:
            other.ask("GET", "/healthz")  # by its answer the head above has been taken
        wire.send(b"1\r\na\r\n")
        with gateway.connect() as other:
            other.ask("GET", "/healthz")
        wire.send(rest)
        assert wire.read().status == 400
        assert wire.is_closed()
    assert gateway.ask("GET", "/api/v1/key/chunked").status == 404
    assert caplog.records == []


def test_requests_in_a_pipeline_are_answered_in_their_order(gateway: Running) -> None:
    with gateway.connect() as wire:
        wire.send(
            b"".join(
                wire.head("PUT", f"/api/v1/key/p{n}", b"%d" % n) + b"%d" % n for n in range(50)
            )
            + b"".join(wire.head("GET", f"/api/v1/key/p{n}") for n in range(50))
        )
        answers = [wire.read() for _ in range(100)]

    assert [answer.body for answer in answers[50:]] == [b"%d\n" % n for n in range(50)]


def test_a_connection_stays_open_between_requests_unless_it_is_to_close(gateway: Running) -> None:
    with gateway.connect() as wire:
        assert wire.ask("GET", "/healthz").body == b"ok\n"
        assert wire.ask("GET", "/api/v1/key/nobody").status == 404
        assert wire.ask("GET", "/healthz", Connection="close").body == b"ok\n"
        assert wire.is_closed()


# Time and number: with limits short enough to be met


@pytest.mark.parametrize("begun", [b"G", b"GET /healthz HTTP/1.1\r\nHost: a\r\n"])
def test_a_head_that_does_not_arrive_in_time_is_given_up(begun: bytes) -> None:
    """Connections that trickle are how few clients keep out all others."""

    @patiently
    def check(timeout_ms: int) -> None:
        with (
            FakeNode(Store()) as node,
            Running([node.endpoint], header_timeout_ms=timeout_ms) as running,
            running.connect() as wire,
        ):
            wire.send(begun)
            assert wire.read().status == 408
            assert wire.is_closed()


def test_a_connection_that_says_nothing_is_closed() -> None:
    @patiently
    def check(keepalive_ms: int) -> None:
        with (
            FakeNode(Store()) as node,
            Running([node.endpoint], keepalive_ms=keepalive_ms) as running,
            running.connect() as silent,
            running.connect() as rests,
        ):
            assert rests.ask("GET", "/healthz").status == 200
            assert rests.is_closed()
            assert silent.is_closed()


def test_a_body_that_does_not_arrive_in_time_is_given_up() -> None:
    with (
        FakeNode(Store()) as node,
        Running([node.endpoint], body_timeout_ms=50) as running,
        running.connect() as wire,
    ):
        wire.send(wire.head("PUT", KEY, b"ab") + b"a")
        assert wire.read().status == 408


def test_one_connection_too_many_is_told_to_come_again() -> None:
    with (
        FakeNode(Store()) as node,
        Running([node.endpoint], connections=2) as running,
        running.connect() as first,
        running.connect() as second,
    ):
        assert first.ask("GET", "/healthz").status == second.ask("GET", "/healthz").status == 200
        with running.connect() as third:
            answer = third.read()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert first.ask("GET", "/healthz").status == 200


def test_a_client_that_leaves_in_the_middle_of_its_body_writes_nothing(
    gateway: Running, caplog: pytest.LogCaptureFixture
) -> None:
    with gateway.connect() as wire:
        wire.send(wire.head("PUT", "/api/v1/key/half", b"abcdef") + b"abc")
        wire._socket.shutdown(socket.SHUT_WR)
        wire._socket.settimeout(0.05)
    for _ in range(20):
        assert gateway.ask("GET", "/api/v1/key/half").status == 404
    assert caplog.records == []


def test_many_connections_are_served_at_a_time(gateway: Running) -> None:
    failed = []

    def ask(number: int) -> None:
        with gateway.connect() as wire:
            for turn in range(10):
                path = f"/api/v1/key/many-{number}-{turn}"
                wire.ask("PUT", path, b"%d" % number)
                if wire.ask("GET", path).body != b"%d\n" % number:
                    failed.append(path)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
