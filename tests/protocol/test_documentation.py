"""The examples of docs/protocol.md, sent in their order, get the replies that stand there."""

import json
import subprocess
import sys

from orchestrator.simulation.calls import routing_id
from orchestrator.simulation.cluster import SimulatedCluster
from orchestrator.simulation.profile import CALM
from raftcache.node.values import ADMIN_SOCKET, CLIENT_SOCKET
from raftcache.protocol.requests import ADMIN_OPS
from raftcache.protocol.wire import REQUEST_WIRES

from .page import PAGE, Example, differences, examples

NOT_SIMULATED = "fault_"
"""The simulated network has faults of its own; these examples go to real nodes only."""


def test_every_example_is_answered_as_the_page_says() -> None:
    """By a whole simulated cluster, asked at a node that does not lead; real ones: end_to_end."""
    cluster = SimulatedCluster(1, CALM).up()
    cluster.elect()
    cluster.run_ms(3_000)  # by now all know which version all of them can read
    asked = [example for example in examples() if not example.op.startswith(NOT_SIMULATED)]

    found = [difference for example in asked for difference in compare(cluster, example)]

    assert found == []
    assert len(asked) >= 30, "the page's examples were found"


def compare(cluster: SimulatedCluster, example: Example) -> list[str]:
    """Send a request; say what of its reply is otherwise than on the page."""
    leader = cluster.elect()
    node = next(name for name in cluster.names if name != leader)
    body = json.dumps(example.request).encode()
    frames = [routing_id(len(cluster.calls) + 1), b"", body]
    call = cluster.send(node, frames, socket=ADMIN_SOCKET if example.admin else CLIENT_SOCKET)
    cluster.run_until(lambda: call.done)
    return [f"{example.request}: {what}" for what in differences(example, call.reply)]


def test_what_is_otherwise_is_found() -> None:
    """The comparison can fail: at each value that an example shows, and at each that it lacks."""
    shown = {"ok": True, "a": [{"value": "x"}], "term": 2, "any": "…"}
    example = Example({}, shown, admin=False, like=False)

    assert differences(example, {"ok": True, "a": [{"value": "x"}], "term": 9, "any": []}) == []
    for wrong in (
        {"ok": 1, "a": [{"value": "x"}], "term": 2, "any": 1},
        {"ok": True, "a": [{"value": "y"}], "term": 2, "any": 1},
        {"ok": True, "a": [], "term": 2, "any": 1},
        {"ok": True, "a": [{"value": "x"}], "term": "2", "any": 1},
        {"ok": True, "a": [{"value": "x"}], "term": 2, "any": 1, "more": 1},
        {"ok": True, "a": [{"value": "x", "more": 1}], "term": 2, "any": 1},
    ):
        assert len(differences(example, wrong)) == 1, wrong


def test_every_operation_and_every_field_is_on_the_page() -> None:
    page = PAGE.read_text()

    shown = {example.op for example in examples() if not example.reply.get("error")}

    assert shown == set(REQUEST_WIRES)
    assert {example.op for example in examples() if example.admin} == ADMIN_OPS
    for name in sorted(ADMIN_OPS):
        assert f"`{name}`" in page
    for wire in REQUEST_WIRES.values():
        for name in wire.__struct_encode_fields__:
            assert f"`{name}`" in page or f"`{name}:" in page or name in {"rules", "learner"}


def test_the_protocol_needs_nothing_that_a_client_lacks() -> None:
    """The client is installed without what only a server needs, such as ``sortedcontainers``."""
    program = """
import sys
sys.modules["sortedcontainers"] = None
import raftcache.protocol.envelope, raftcache.protocol.replies, raftcache.protocol.requests
"""

    done = subprocess.run([sys.executable, "-c", program], cwd=PAGE.parents[1], check=False)

    assert done.returncode == 0
