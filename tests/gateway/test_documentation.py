"""docs/http.md is true: its transcripts, in their order, against a gateway and a state machine."""

import json
import re
import shlex
from collections.abc import Iterator
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest

from raftcache.gateway import server
from raftcache.gateway.answers import _STATUS
from raftcache.gateway.settings import Settings
from tests.client.fake_node import FakeNode

from .harness import Answer, Running, Store
from .test_nodes import routes

PAGE = (Path(__file__).parents[2] / "docs" / "http.md").read_text()
TRANSCRIPTS = re.findall(r"^```console\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
HERE = "http://127.0.0.1:7480"


@pytest.fixture(scope="module")
def page_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    known = routes(tmp_path_factory.mktemp("page"))
    with FakeNode(Store()) as node, Running([node.endpoint], node_routes=known) as running:
        yield running


def steps() -> list[tuple[str, str]]:
    """Return every command of the page with what it prints."""
    found = []
    for transcript in TRANSCRIPTS:
        for step in transcript.split("$ ")[1:]:
            command, _, printed = step.partition("\n")
            found.append((command, printed.strip("\n")))
    return found


def curl(running: Running, command: str) -> tuple[Answer, bool]:
    """Do what curl would; return the answer, and whether it is to be shown whole."""
    name, *arguments = shlex.split(command)
    assert name == "curl"
    method, target, whole = "GET", "", False
    body: bytes | None = None
    headers: dict[str, str] = {}
    while arguments:
        argument = arguments.pop(0)
        if argument == "-i":
            whole = True
        elif argument == "-X":
            method = arguments.pop(0)
        elif argument == "-H":
            header, _, value = arguments.pop(0).partition(": ")
            headers[header] = value
        elif argument == "--data":
            body = arguments.pop(0).encode()
        else:
            assert argument.startswith(HERE), f"not understood: {argument}"
            target = argument.removeprefix(HERE)
    return running.ask(method, target, body, **headers), whole


def test_every_transcript_is_what_happens(page_gateway: Running) -> None:
    compared = 0
    for command, printed in steps():
        answer, whole = curl(page_gateway, command)
        head, _, body = printed.partition("\n\n") if whole else ("", "", printed)
        assert answer.body.decode().rstrip("\n") == body, command
        if whole:
            first, *lines = head.split("\n")
            assert int(first.split(" ")[1]) == answer.status, command
            for line in lines:
                name, _, value = line.partition(": ")
                assert answer.headers[name.lower()] == value, command
        compared += 1

    assert compared >= 15


def test_the_page_shows_the_cluster_as_it_is_answered(page_gateway: Running) -> None:
    [shown] = re.findall(r"^```json cluster\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

    answered = json.loads(page_gateway.ask("GET", "/api/v1/cluster").body)

    assert shape(json.loads(shown)) == shape(answered)


def shape(value: Any) -> Any:
    """Return the names in a document, without the values."""
    if isinstance(value, dict):
        return {name: shape(inner) for name, inner in value.items()}
    return [shape(inner) for inner in value] if isinstance(value, list) else None


def test_every_status_that_can_be_answered_is_explained() -> None:
    table = PAGE[PAGE.index("| status | means") :].split("\n\n")[0]
    named = {int(number) for number in re.findall(r"\b[45]\d\d\b", table)}
    sources = (Path(server.__file__).parent).glob("*.py")
    phrases = re.findall(r"HTTPStatus\.([A-Z_]+)", "".join(path.read_text() for path in sources))
    statuses = {HTTPStatus[phrase].value for phrase in phrases}

    assert {status for status in statuses if status >= 400} <= named
    assert {status.value for status in _STATUS.values()} <= named


def test_the_limits_of_the_page_are_those_of_the_code() -> None:
    defaults = Settings(format=1, cluster="", host="", port=0, nodes=[])
    seconds = {
        "the head of a request": defaults.header_timeout_ms,
        "its body": defaults.body_timeout_ms,
        "a connection at rest": defaults.keepalive_ms,
        "requests under way": defaults.stop_ms,
    }

    for what, milliseconds in seconds.items():
        assert re.search(rf"^\| {what}.*\| {milliseconds // 1000} s", PAGE, re.MULTILINE), what
    assert f"{server.LINE_BYTES_MAX // 1024} KiB each; {server.HEADERS_MAX} headers" in PAGE
    assert f"| connections | {defaults.connections:,}," in PAGE
    assert f"waits up to {defaults.timeout_ms // 1000} s" in PAGE
