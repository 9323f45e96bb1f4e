"""Adding and removing nodes over HTTP: who may, and what becomes of the command's words."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from raftcache.gateway.settings import NodeRoutes
from tests.client.fake_node import FakeNode

from .harness import Running, Store

TOKEN = "00c0ffee"  # noqa: S105 - of tests
BEARER = {"Authorization": f"Bearer {TOKEN}"}
COMMAND = """
import json, sys
arguments = sys.argv[1:]
with open({log!r}, "a") as file:
    file.write(json.dumps(arguments) + "\\n")
name = arguments[arguments.index("--name") + 1] if "add" in arguments else arguments[-1]
refusals = {{
    "n1": ("usage", 64), "n9": ("no_such_node", 64), "n69": ("no_quorum", 69),
    "n75": ("try_again", 75), "n78": ("bad_configuration", 78), "n70": ("defect", 70),
    "nonsense": ("", 3), "dup": ("check_failed", 1), "maybe": ("unknown", 2),
}}
places = {{"n1": "tcp://127.0.0.1:7401", "n2": "tcp://127.0.0.1:7402"}}
if name in refusals:
    error, code = refusals[name]
    words = "no node is called n9" if name == "n9" else f"refused: {{name}}"
    if error:
        print(json.dumps({{"ok": False, "error": error, "message": words}}))
    sys.exit(code)
names = ["n1", *([name] if "add" in arguments else [])]
nodes = [{{"name": one, "client": places.get(one, "tcp://127.0.0.1:1"), "pid": 1}} for one in names]
print(json.dumps({{"ok": True, "leader": "n1", "nodes": nodes, "term": 3}}))
"""


def routes(folder: Path, access: str = "token") -> NodeRoutes:
    """Return node routes with a command that only says what it was asked."""
    token = folder / "http-token"
    token.write_text(f"{TOKEN}\n")
    script = folder / "command.py"
    script.write_text(COMMAND.format(log=str(folder / "asked")))
    return NodeRoutes(access, str(token), [sys.executable, "-P", str(script)])  # type: ignore[arg-type]


def asked(folder: Path) -> list[list[str]]:
    """Return how the command was called."""
    log = folder / "asked"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with (
        FakeNode(Store()) as node,
        Running([node.endpoint], node_routes=routes(tmp_path)) as running,
    ):
        yield running


def test_a_node_is_added_and_removed_by_the_command(running: Running, tmp_path: Path) -> None:
    body = b'{"node_id": "n2", "addr": "127.0.0.1:7502"}'

    added = running.ask("POST", "/api/v1/node", body, **BEARER)
    removed = running.ask("DELETE", "/api/v1/node/n2", None, **BEARER)

    assert (added.status, removed.status) == (200, 200)
    one = {"id": "n1", "client": "tcp://127.0.0.1:7401"}
    two = {"id": "n2", "client": "tcp://127.0.0.1:7402"}
    assert json.loads(added.body) == {"leader": "n1", "nodes": [one, two]}
    assert json.loads(removed.body) == {"leader": "n1", "nodes": [one]}
    assert asked(tmp_path) == [
        ["--json", "add", "--name", "n2", "--peer-port", "7502"],
        ["--json", "remove", "--by-name", "n2"],
    ]


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"Authorization": "Bearer 00c0ffef"},
        {"Authorization": "Bearer "},
        {"Authorization": TOKEN},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": f"Bearer {TOKEN} {TOKEN}"},
    ],
)
def test_without_the_token_nothing_is_done(
    running: Running, tmp_path: Path, header: dict[str, str]
) -> None:
    for method, target, body in (
        ("POST", "/api/v1/node", b'{"node_id": "n2"}'),
        ("DELETE", "/api/v1/node/n2", None),
    ):
        answer = running.ask(method, target, body, **header)

        assert answer.status == 401
        assert answer.headers["www-authenticate"].startswith("Bearer ")
    assert asked(tmp_path) == []


def test_a_token_that_was_replaced_locks_out_whoever_had_the_old_one(
    running: Running, tmp_path: Path
) -> None:
    (tmp_path / "http-token").write_text("another\n")
    assert running.ask("DELETE", "/api/v1/node/n2", None, **BEARER).status == 401

    (tmp_path / "http-token").write_text("")  # an empty token is nobody's
    assert running.ask("DELETE", "/api/v1/node/n2", Authorization="Bearer ").status in {401, 503}
    (tmp_path / "http-token").unlink()
    assert running.ask("DELETE", "/api/v1/node/n2", None, **BEARER).status == 503
    assert asked(tmp_path) == []


@pytest.mark.parametrize(("access", "status"), [("open", 200), ("off", 403)])
def test_open_asks_for_no_token_and_off_takes_none(
    tmp_path: Path, access: str, status: int
) -> None:
    """The Go original's clients know no token; a web page is kept out all the same."""
    with (
        FakeNode(Store()) as node,
        Running([node.endpoint], node_routes=routes(tmp_path, access)) as running,
    ):
        assert running.ask("POST", "/api/v1/node", b'{"node_id": "n2"}').status == status
        foreign = {"Origin": "http://example.org", **BEARER}
        assert running.ask("POST", "/api/v1/node", b'{"node_id": "n2"}', **foreign).status == 403
        assert running.ask("DELETE", "/api/v1/node/n2", Host="example.org").status in {400, 403}
    assert len(asked(tmp_path)) == (1 if access == "open" else 0)


@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("n1", 400),
        ("n9", 404),
        ("dup", 409),
        ("maybe", 504),
        ("n69", 503),
        ("n75", 503),
        ("n78", 409),
        ("n70", 500),
        ("nonsense", 500),
    ],
)
def test_what_the_command_refuses_keeps_its_words(running: Running, name: str, status: int) -> None:
    answer = running.ask("DELETE", f"/api/v1/node/{name}", None, **BEARER)

    assert answer.status == status
    assert ("retry-after" in answer.headers) == (status == 503)
    assert answer.error[0] == {
        "n9": "no node is called n9",
        "nonsense": "the command failed: the gateway's log says more",
    }.get(name, f"refused: {name}")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"node_id": 4}',
        b'{"node_id": "n2", "more": 1}',
        b'{"node_id": "--help"}',
        b'{"node_id": "n2;id"}',
        b'{"node_id": "../n2"}',
        b'{"node_id": "n2", "addr": "10.0.0.1:7502"}',
        b'{"node_id": "n2", "addr": "127.0.0.1"}',
        b'{"node_id": "n2", "addr": "127.0.0.1:75020000"}',
        b"\xff\xfe",
    ],
)
def test_what_is_no_name_and_no_address_never_reaches_the_command(
    running: Running, tmp_path: Path, body: bytes
) -> None:
    assert running.ask("POST", "/api/v1/node", body, **BEARER).status == 400
    assert asked(tmp_path) == []


@pytest.mark.parametrize("target", ["%2e%2e", "a%00b", "n2%20n3", "%ff", "-n2", "n1,n2"])
def test_a_path_that_is_no_name_never_reaches_the_command(
    running: Running, tmp_path: Path, target: str
) -> None:
    assert running.ask("DELETE", f"/api/v1/node/{target}", None, **BEARER).status == 400
    assert asked(tmp_path) == []


def test_a_body_that_goes_on_and_on_is_not_read(running: Running, tmp_path: Path) -> None:
    body = b'{"node_id": "n2"' + b" " * 5_000 + b"}"

    assert running.ask("POST", "/api/v1/node", body, **BEARER).status == 413
    assert asked(tmp_path) == []


def test_a_gateway_goes_on_with_other_nodes_than_it_began_with() -> None:
    """After a cluster has grown and shrunk, none of the first nodes may be left."""
    store = Store()
    with FakeNode(store) as first, Running([first.endpoint]) as running:
        assert running.ask("PUT", "/api/v1/key/a", b"1").status == 201
        with FakeNode(store) as second:
            running.use_nodes([second.endpoint])
            assert running.ask("PUT", "/api/v1/key/a", b"2").status == 204
            [shown] = json.loads(running.ask("GET", "/api/v1/cluster").body)["nodes"]
            asked_first, asked_second = len(first.requests), len(second.requests)
            assert running.ask("GET", "/api/v1/key/a").body == b"2\n"

            assert shown["client"] == second.endpoint
            assert len(first.requests) == asked_first
            assert len(second.requests) == asked_second + 1
