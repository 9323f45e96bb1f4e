"""If-Match and If-None-Match (RFC 9110, section 13): no lost update, whoever writes in between."""

from urllib.parse import quote

import pytest

from raftcache.gateway.answers import HttpError
from raftcache.gateway.conditions import Conditions, Tags, parse_conditions
from tests.client.fake_node import FakeNode, Fields, Request

from .harness import Running, Store

KEY = "/api/v1/key/"


@pytest.fixture
def key(gateway: Running, request: pytest.FixtureRequest) -> str:
    """Return the path of a key of the test's own, which does not exist."""
    return KEY + quote(request.node.name, safe="")


def put(gateway: Running, key: str, value: bytes = b"v") -> str:
    """Write a key and return its entity tag."""
    return gateway.ask("PUT", key, value).headers["etag"]


def test_a_read_that_knows_the_value_is_304(gateway: Running, key: str) -> None:
    tag = put(gateway, key)
    for known in (tag, f'"7", {tag}', f"W/{tag}", "*"):
        answer = gateway.ask("GET", key, If_None_Match=known)
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", tag)
    assert gateway.ask("HEAD", key, If_None_Match=tag).status == 304


def test_a_read_that_knows_another_value_gets_this_one(gateway: Running, key: str) -> None:
    old = put(gateway, key)
    put(gateway, key, b"w")

    assert gateway.ask("GET", key, If_None_Match=old).body == b"w\n"


def test_a_read_on_condition_of_another_value_is_412(gateway: Running, key: str) -> None:
    old = put(gateway, key)
    new = put(gateway, key, b"w")

    assert gateway.ask("GET", key, If_Match=old).status == 412
    assert gateway.ask("GET", key, If_Match=new).status == 200


def test_a_write_on_condition_of_the_value_that_is_there_is_done(
    gateway: Running, key: str
) -> None:
    tag = put(gateway, key)

    answer = gateway.ask("PUT", key, b"w", If_Match=tag)

    assert answer.status == 204
    assert gateway.ask("GET", key).body == b"w\n"


def test_a_write_on_condition_of_an_older_value_is_412_and_tells_the_newer(
    gateway: Running, key: str
) -> None:
    old = put(gateway, key)
    new = put(gateway, key, b"w")

    answer = gateway.ask("PUT", key, b"lost", If_Match=old)

    assert (answer.status, answer.headers["etag"]) == (412, new)
    assert answer.error[1] == "Precondition Failed"
    assert gateway.ask("GET", key).body == b"w\n"


def test_a_key_can_be_made_only_once(gateway: Running, key: str) -> None:
    first = gateway.ask("PUT", key, b"first", If_None_Match="*")
    second = gateway.ask("PUT", key, b"second", If_None_Match="*")

    assert (first.status, second.status) == (201, 412)
    assert gateway.ask("GET", key).body == b"first\n"


def test_a_key_can_be_changed_only_if_it_exists(gateway: Running, key: str) -> None:
    assert gateway.ask("PUT", key, b"v", If_Match="*").status == 412
    put(gateway, key)
    assert gateway.ask("PUT", key, b"w", If_Match="*").status == 204


def test_a_write_may_name_several_values(gateway: Running, key: str) -> None:
    tag = put(gateway, key)

    assert gateway.ask("PUT", key, b"w", If_Match=f'"1000000", {tag}').status == 204
    assert gateway.ask("PUT", key, b"x", If_Match=f'"1000000", {tag}').status == 412


def test_a_write_may_exclude_a_value(gateway: Running, key: str) -> None:
    assert gateway.ask("PUT", key, b"v", If_None_Match='"1000000"').status == 201
    tag = gateway.ask("GET", key).headers["etag"]
    assert gateway.ask("PUT", key, b"w", If_None_Match=tag).status == 412
    assert gateway.ask("PUT", key, b"w", If_None_Match='"1000000"').status == 204


def test_a_weak_or_foreign_tag_matches_no_write(gateway: Running, key: str) -> None:
    """Two weak tags may be equal though the bytes are not."""
    tag = put(gateway, key)
    for header in (f"W/{tag}", '"abc"', '""', '"0"', '"+1"', f'"0{tag[1:]}'):
        assert gateway.ask("PUT", key, b"w", If_Match=header).status == 412


def test_the_forms_of_the_go_original_take_conditions_too(gateway: Running, key: str) -> None:
    tag = gateway.ask("POST", f"{key}/value/a", If_None_Match="*").headers["etag"]

    assert gateway.ask("POST", f"{key}/value/b", If_None_Match="*").status == 412
    assert gateway.ask("POST", f"{key}/value/b", If_Match=tag).status == 200


def test_a_delete_on_condition(gateway: Running, key: str) -> None:
    old = put(gateway, key)
    new = put(gateway, key)

    assert gateway.ask("DELETE", key, If_Match=old).status == 412
    assert gateway.ask("DELETE", key, If_Match=new).status == 200
    assert gateway.ask("DELETE", key, If_Match=new).status == 404
    assert gateway.ask("DELETE", key, If_Match="*").status == 404
    assert gateway.ask("DELETE", key, If_None_Match="*").status == 404


@pytest.mark.parametrize("name", ["If_Match", "If_None_Match"])
@pytest.mark.parametrize(
    "header", ["", "42", '"42', '"a" "b"', '"a",', ",", 'w/"a"', "**", '"a b"']
)
def test_an_ill_formed_condition_is_refused_and_nothing_is_done(
    gateway: Running, key: str, name: str, header: str
) -> None:
    """To overlook a condition is to lose an update."""
    answer = gateway.ask("PUT", key, b"v", **{name: header})

    assert answer.status == 400
    assert gateway.ask("GET", key).status == 404


def test_a_condition_in_two_headers_is_one_list(gateway: Running, key: str) -> None:
    tag = put(gateway, key)
    with gateway.connect() as wire:
        head = wire.head("PUT", key, b"w", If_Match='"1000000"')
        wire.send(head[:-2] + f"If-Match: {tag}\r\n\r\n".encode() + b"w")
        assert wire.read().status == 204


@pytest.mark.parametrize(
    ("method", "header", "status"),
    [("PUT", "If_Match", 204), ("DELETE", "If_Match", 200), ("PUT", "If_None_Match", 204)],
)
def test_a_change_in_between_is_noticed_by_the_store_and_met(
    method: str, header: str, status: int
) -> None:
    """What was looked at may be old when the write arrives: it is conditional itself."""
    others = iter([b"1", b"2", b"3"])

    def disturb(request: Request) -> Fields | None:
        if "if_mod_rev" in request and (other := next(others, None)) is not None:
            store._reply({"op": "set", "id": 0, "key": b"k", "value": other})
        return None

    store = Store(disturb)
    with FakeNode(store) as node, Running([node.endpoint]) as running:
        running.ask("PUT", f"{KEY}k", b"v")
        condition = "*" if header == "If_Match" else '"1000000"'
        answer = running.ask(method, f"{KEY}k", b"w", **{header: condition})

    assert answer.status == status
    relied_on = [request["if_mod_rev"] for request in node.requests if "if_mod_rev" in request]
    assert relied_on == [1, 2, 3, 4]


def test_a_key_that_never_comes_to_rest_is_given_up() -> None:
    def disturb(request: Request) -> Fields | None:
        if request.get("if_mod_rev"):
            store._reply({"op": "set", "id": 0, "key": b"k", "value": b"other"})
        return None

    store = Store(disturb)
    with FakeNode(store) as node, Running([node.endpoint], timeout_ms=60_000) as running:
        running.ask("PUT", f"{KEY}k", b"v")
        answer = running.ask("PUT", f"{KEY}k", b"w", If_Match="*")

    assert (answer.status, answer.headers["retry-after"]) == (503, "1")


@pytest.mark.parametrize(
    ("if_match", "if_none_match", "expected"),
    [
        ([], [], Conditions()),
        (["*"], [], Conditions(if_match=Tags(everything=True))),
        (
            ['"1", W/"2" ,"3"'],
            ['W/"4"\t', '"5"'],
            Conditions(
                Tags(everything=False, revisions=frozenset({1, 3})),
                Tags(everything=False, revisions=frozenset({4, 5})),
            ),
        ),
    ],
)
def test_conditions_are_read(
    if_match: list[str], if_none_match: list[str], expected: Conditions
) -> None:
    assert parse_conditions(if_match, if_none_match) == expected


def test_a_long_header_is_read_in_no_more_than_linear_time() -> None:
    """A pattern that goes back and forth could be kept busy for hours."""
    with pytest.raises(HttpError):
        parse_conditions(['"' * 16_000], [])
    with pytest.raises(HttpError):
        parse_conditions(["\t" * 16_000 + "x"], [])
    assert parse_conditions([", ".join(['"1"'] * 3_000)], []).permit(1)
