"""More connections than a node may have files open, while others go on writing (F8)."""

from collections.abc import Iterator
from contextlib import ExitStack

import msgspec
import pytest
import zmq

from .nodes import ANSWER_MS, Nodes, wait_until

pytestmark = pytest.mark.processes

CLIENTS = 50
DESCRIPTORS = CLIENTS + 250
CROWD = 3 * DESCRIPTORS
WRITES, VALUE_BYTES = 60, 200_000
"""Six times what fits in a segment of the log."""


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with Nodes(tmp_path_factory.mktemp("crowd"), limits={"clients": CLIENTS}) as nodes:
        for node in nodes:
            node.start(("-m", "tests.end_to_end.few_descriptors", str(DESCRIPTORS)))
        nodes.wait_ready()
        yield nodes


@pytest.mark.parametrize("port", ["client", "peer", "events"])
def test_a_crowd_of_connections_ends_no_node(nodes: Nodes, port: str) -> None:
    """It took all file descriptors, and the log could not open its next segment (exit 74)."""
    leader = nodes.wait_ready()
    endpoint = str(nodes[leader].values[f"{port}_endpoint"])
    with ExitStack() as stack:
        early = stack.enter_context(nodes.dealer(nodes[leader].client_endpoint))
        _write(early, 0)
        crowd = [stack.enter_context(nodes.dealer(endpoint)) for _ in range(CROWD)]
        for dealer in crowd:
            dealer.send_multipart([b"", msgspec.msgpack.encode({"op": "ping"})])

        for number in range(WRITES):
            _write(early, number)
    wait_until(lambda: nodes.status(leader), f"{leader} takes clients again")
    assert nodes[leader].is_running()
    nodes.assert_equal_hashes()
    nodes.assert_no_defects()


def _write(dealer: "zmq.Socket[bytes]", number: int) -> None:
    request = {"op": "set", "key": f"key {number}", "value": bytes(VALUE_BYTES)}
    dealer.send_multipart([b"", msgspec.msgpack.encode(request)])
    assert dealer.poll(ANSWER_MS), "no reply"
    reply = msgspec.msgpack.decode(dealer.recv_multipart()[1])
    # So many connections at once may cost a busy host an election.
    assert reply["ok"] or reply["error"] in {"no_leader", "timeout"}, reply
