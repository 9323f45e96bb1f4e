"""Keys over HTTP: both forms of the Go original, PUT, and any bytes as key or value."""

import pytest

from raftcache.gateway.targets import KEY_BYTES_MAX
from raftcache.protocol import limits
from tests.client.fake_node import FakeNode

from .harness import VALUE_BYTES, Running, Store

KEY = "/api/v1/key/"


@pytest.mark.parametrize("form", ["/value/hello", "/hello"])
def test_both_forms_of_the_go_original_write_a_text_that_is_read_with_a_newline(
    gateway: Running, form: str
) -> None:
    """Its README has one form, its code the other."""
    written = gateway.ask("POST", f"{KEY}greeting{form}")
    read = gateway.ask("GET", f"{KEY}greeting")

    assert (written.status, written.body) == (200, b"")
    assert (read.status, read.body) == (200, b"hello\n")
    assert read.headers["content-type"] == "text/plain; charset=utf-8"
    assert read.headers["etag"] == written.headers["etag"]


def test_a_key_may_be_called_value(gateway: Running) -> None:
    gateway.ask("POST", f"{KEY}value/value/value")
    gateway.ask("POST", f"{KEY}other/value")

    assert gateway.ask("GET", f"{KEY}value").body == b"value\n"
    assert gateway.ask("GET", f"{KEY}other").body == b"value\n"


def test_a_value_in_the_path_is_decoded(gateway: Running) -> None:
    gateway.ask("POST", f"{KEY}path/value/a%20b%2Fc%3F")

    assert gateway.ask("GET", f"{KEY}path").body == b"a b/c?\n"


def test_a_missing_key_is_404(gateway: Running) -> None:
    for method in ("GET", "DELETE"):
        answer = gateway.ask(method, f"{KEY}nobody")
        assert (answer.status, answer.error) == (404, ("there is no such key", "Not Found"))


def test_a_deleted_key_is_gone(gateway: Running) -> None:
    gateway.ask("PUT", f"{KEY}doomed", b"v")

    deleted = gateway.ask("DELETE", f"{KEY}doomed")

    assert (deleted.status, deleted.body) == (200, b"")
    assert gateway.ask("GET", f"{KEY}doomed").status == 404


def test_put_says_whether_the_key_is_new(gateway: Running) -> None:
    created = gateway.ask("PUT", f"{KEY}fresh", b"v")
    changed = gateway.ask("PUT", f"{KEY}fresh", b"w")

    assert (created.status, changed.status) == (201, 204)
    assert created.headers["etag"] != changed.headers["etag"]
    assert gateway.ask("GET", f"{KEY}fresh").headers["etag"] == changed.headers["etag"]


@pytest.mark.parametrize(
    "value", [b"", b"text", b"\n", b"\x00\xff\xfe", bytes(range(256)), b"x" * VALUE_BYTES]
)
def test_any_bytes_come_back_exactly_when_asked_for(gateway: Running, value: bytes) -> None:
    gateway.ask("PUT", f"{KEY}bytes", value)

    read = gateway.ask("GET", f"{KEY}bytes", Accept="application/octet-stream;q=1, */*;q=0.1")

    assert read.body == value
    assert read.headers["content-type"] == "application/octet-stream"


def test_what_is_no_text_never_gets_a_newline(gateway: Running) -> None:
    """A picture that is downloaded without further ado must be the picture."""
    gateway.ask("PUT", f"{KEY}picture", b"\x89PNG\r\n")

    read = gateway.ask("GET", f"{KEY}picture")

    assert (read.body, read.headers["content-type"]) == (b"\x89PNG\r\n", "application/octet-stream")


def test_a_body_in_chunks_is_one_value(gateway: Running) -> None:
    with gateway.connect() as wire:
        wire.send(wire.head("PUT", f"{KEY}chunks", Transfer_Encoding="chunked"))
        wire.send(b"3\r\nabc\r\n")
        wire.send(b"2\r\nde\r\n0\r\n\r\n")
        assert wire.read().status == 201
        assert wire.ask("GET", f"{KEY}chunks").body == b"abcde\n"


def test_a_client_that_asks_first_is_told_to_go_on(gateway: Running) -> None:
    """Curl asks before it sends more than a megabyte."""
    with gateway.connect() as wire:
        wire.send(wire.head("PUT", f"{KEY}asked", b"abc", Expect="100-continue"))
        assert wire.read().status == 100
        wire.send(b"abc")
        assert wire.read().status == 201
        assert wire.ask("GET", f"{KEY}asked").body == b"abc\n"


@pytest.mark.parametrize(
    ("segment", "key"),
    [
        (b"a%2Fb", b"a/b"),
        (b"%00", b"\0"),
        (b"%ff%FE", b"\xff\xfe"),
        (b"%2525", b"%25"),
        (b"+", b"+"),
        (b"%3F%23", b"?#"),
        (b"k%C3%A4se", "k\u00e4se".encode()),
        (b"a:b@c;d=e&f,g", b"a:b@c;d=e&f,g"),
        (b"%61" * 1024, b"a" * 1024),
        (b".%2e", b".."),
    ],
)
def test_every_key_can_be_written_in_a_path(segment: bytes, key: bytes) -> None:
    store = Store()
    with FakeNode(store) as node, Running([node.endpoint]) as running:
        assert running.ask("PUT", KEY.encode() + segment, b"v").status == 201
        assert running.ask("GET", KEY.encode() + segment).body == b"v\n"
    assert {request["key"] for request in node.requests} == {key}


@pytest.mark.parametrize(
    ("query", "ttl_ms"),
    [("", None), ("?ttl=250ms", 250), ("?ttl=30s", 30_000), ("?ttl=2h", 7_200_000)],
)
def test_a_key_can_be_written_for_a_time(query: str, ttl_ms: int | None) -> None:
    store = Store()
    with FakeNode(store) as node, Running([node.endpoint]) as running:
        assert running.ask("PUT", f"{KEY}a{query}", b"v").status == 201
        assert running.ask("POST", f"{KEY}b/value/v{query}").status == 200
        assert running.ask("PUT", f"{KEY}a{query}", b"w").status == 204
        assert running.ask("DELETE", f"{KEY}a?ttl=1s").status == 400
    writes = [request for request in node.requests if request["op"] == "set"]
    assert [request.get("ttl_ms") for request in writes] == [ttl_ms] * 3


def test_bytes_that_no_text_has_are_not_mixed_up_with_their_spelling(gateway: Running) -> None:
    gateway.ask("PUT", f"{KEY}%FF", b"the byte")
    gateway.ask("PUT", f"{KEY}%25FF", b"the spelling")

    assert gateway.ask("GET", f"{KEY}%FF").body == b"the byte\n"


@pytest.mark.parametrize(
    ("target", "status"),
    [
        (KEY, 400),
        (f"{KEY}%", 400),
        (f"{KEY}a%2", 400),
        (f"{KEY}a%zz", 400),
        (f"{KEY}a?ttl=30", 400),
        (f"{KEY}a?ttl=0s", 400),
        (f"{KEY}a?ttl=1.5s", 400),
        (f"{KEY}a?ttl=-1s", 400),
        (f"{KEY}a?ttl=30s&ttl=40s", 400),
        (f"{KEY}a?ttl=30s&x=1", 400),
        (f"{KEY}a?ttl=999999999h", 400),
        ("/healthz?ttl=5s", 400),
        (f"{KEY}a?", 400),
        (f"{KEY}a#b", 400),
        (f"{KEY}a?b#c", 400),
        (KEY.encode() + "k\u00e4se".encode(), 400),
        (KEY.encode() + b"a\0b", 400),
        (f"{KEY}{'a' * 1025}", 414),
        (f"{KEY}{'%61' * 1025}", 414),
        (f"{KEY}a/b/c", 404),
        (f"{KEY}a/value/b/c", 404),
        ("/", 404),
        ("/api/v1/key", 404),
        ("/api/v1/nothing", 404),
        ("/api/v1/../v1/key/a", 404),
        ("/healthz/", 404),
    ],
)
def test_what_is_no_key_is_refused(gateway: Running, target: str | bytes, status: int) -> None:
    """Nothing of a path is guessed at: what is not understood is not carried out."""
    answer = gateway.ask("PUT", target, b"v")

    assert answer.status == status
    assert answer.error


def test_an_empty_value_in_the_path_is_refused_with_the_way_to_write_one(gateway: Running) -> None:
    for target in (f"{KEY}a/value/", f"{KEY}a/"):
        answer = gateway.ask("POST", target)
        assert answer.status == 400
        assert "PUT" in answer.error[0]


def test_the_longest_key_is_the_protocol_s() -> None:
    assert KEY_BYTES_MAX == limits.KEY_BYTES_MAX


@pytest.mark.parametrize(
    ("method", "target", "allowed"),
    [
        ("POST", f"{KEY}a", "GET, HEAD, PUT, DELETE"),
        ("PATCH", f"{KEY}a", "GET, HEAD, PUT, DELETE"),
        ("OPTIONS", f"{KEY}a", "GET, HEAD, PUT, DELETE"),
        ("GET", f"{KEY}a/b", "POST"),
        ("DELETE", f"{KEY}a/value/b", "POST"),
        ("GET", "/api/v1/node", "POST"),
        ("POST", "/api/v1/node/n1", "DELETE"),
        ("POST", "/api/v1/cluster", "GET, HEAD"),
        ("DELETE", "/healthz", "GET, HEAD"),
        ("PUT", "/readyz", "GET, HEAD"),
    ],
)
def test_another_method_is_405_and_names_those_that_do(
    gateway: Running, method: str, target: str, allowed: str
) -> None:
    answer = gateway.ask(method, target, b"")

    assert (answer.status, answer.headers["allow"]) == (405, allowed)
    assert answer.error[1] == "Method Not Allowed"


def test_head_is_get_without_the_body(gateway: Running) -> None:
    gateway.ask("PUT", f"{KEY}headed", b"value")
    with gateway.connect() as wire:
        got = wire.ask("GET", f"{KEY}headed")
        head = wire.ask("HEAD", f"{KEY}headed")
        missing = wire.ask("HEAD", f"{KEY}nobody")
        again = wire.ask("GET", f"{KEY}headed")

    assert head.body == b""
    assert head.headers | {"date": ""} == got.headers | {"date": ""}
    assert (head.headers["content-length"], missing.status, again.body) == ("6", 404, b"value\n")
