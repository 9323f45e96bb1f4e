"""docs/protocol.md from its first to its last example, by ZeroMQ, in Python and in JavaScript."""

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import pytest
import zmq

from orchestrator.testing import RaftCluster

from ..protocol.page import PAGE, Example, differences, examples
from .nodes import ANSWER_MS, ROOT

pytest_plugins = ["orchestrator.testing"]
# New, for the revisions of the page; and with a leader that a busy host does not depose.
PATIENT = {"raft": {"heartbeat": "100ms", "election_timeout": "1s-2s"}}
pytestmark = [
    pytest.mark.processes,
    pytest.mark.raft_cluster(nodes=3, fresh=True, settings=PATIENT),
]

Ask: TypeAlias = Callable[[str, dict[str, Any]], dict[str, Any]]
"""Sends a request to an endpoint and returns the reply."""
SHOWN_ENDPOINT = "tcp://127.0.0.1:7401"
PACKAGES = ROOT / ".node" / "node_modules"
INSTALLED = ROOT / ".node" / "installed.json"
PROGRAM = Path(__file__).parent / "nodejs" / "ask.js"
INSTALL = "sh tests/end_to_end/nodejs/install.sh"
HAVE_TO = "RAFTCACHE_TEST_NODE"
"""Set to ``required`` where Node.js is known to be there: then its absence is a failure."""


def compare(cluster: RaftCluster, ask: Ask) -> list[str]:
    """Send all examples in their order; say what of the replies is otherwise than on the page."""
    found = []
    for example in examples():
        reply = ask(endpoint_for(cluster, example), example.request)
        found += [f"{example.request}: {what}" for what in differences(example, reply)]
    return found


def endpoint_for(cluster: RaftCluster, example: Example) -> str:
    """Return where an example goes: to a node that does not lead."""
    node = cluster.followers[0]
    if example.admin:
        return f"ipc://{cluster.cluster.paths.admin_socket(node)}"
    return cluster.endpoint(node)


def test_a_req_socket_with_json_gets_what_the_page_says(raft_cluster: RaftCluster) -> None:
    with zmq.Context() as context:

        def ask(endpoint: str, request: dict[str, Any]) -> dict[str, Any]:
            with context.socket(zmq.REQ) as socket:
                socket.setsockopt(zmq.LINGER, 0)
                socket.connect(endpoint)
                socket.send(json.dumps(request).encode())
                assert socket.poll(ANSWER_MS), f"no reply to {request}"
                reply: dict[str, Any] = json.loads(socket.recv())
                return reply

        assert compare(raft_cluster, ask) == []
    assert "'ok': True" in run_shown("python", [sys.executable, "-c"], raft_cluster)


@pytest.mark.parametrize("encoding", ["json", "msgpack"])
def test_node_js_gets_what_the_page_says(
    node_js: str, raft_cluster: RaftCluster, encoding: str
) -> None:
    """With the npm package `zeromq`, over REQ and DEALER in turn."""
    sockets = itertools.cycle(["REQ", "DEALER"])
    with program(node_js) as process:

        def ask(endpoint: str, request: dict[str, Any]) -> dict[str, Any]:
            line = {
                "endpoint": endpoint,
                "socket": next(sockets),
                "encoding": encoding,
                "request": request,
            }
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(json.dumps(line) + "\n")
            process.stdin.flush()
            answer = process.stdout.readline()
            if not answer:
                assert process.stderr is not None
                pytest.fail(f"{request}: {process.stderr.read()}")
            reply: dict[str, Any] = json.loads(answer)
            return reply

        assert compare(raft_cluster, ask) == []
    assert run_shown("js", [node_js, "-e"], raft_cluster) == "hallo\n"


def run_shown(language: str, command: list[str], cluster: RaftCluster) -> str:
    """Run the program that the page shows in a language; return what it prints."""
    [text] = re.findall(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert SHOWN_ENDPOINT in text
    done = subprocess.run(
        [*command, text.replace(SHOWN_ENDPOINT, cluster.endpoints[0])],
        env={**os.environ, "NODE_PATH": str(PACKAGES)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def node_js() -> str:
    """The program `node`, where it and its packages are there."""
    found = shutil.which("node")
    if found is None:
        missing("Node.js is missing: install `node` to test the protocol from JavaScript")
    elif not INSTALLED.is_file():
        missing(f"the npm packages are missing: {INSTALL}")
    return str(found)


def missing(reason: str) -> None:
    """Skip the test, or fail where it must not be skipped."""
    if os.environ.get(HAVE_TO) == "required":
        pytest.fail(f"{reason} ({HAVE_TO}=required)", pytrace=False)
    pytest.skip(reason)


@contextmanager
def program(node_js: str) -> Iterator["subprocess.Popen[str]"]:
    """Run ask.js."""
    with subprocess.Popen(
        [node_js, PROGRAM],
        env={**os.environ, "NODE_PATH": str(PACKAGES)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()
