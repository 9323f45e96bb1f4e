"""The examples of docs/protocol.md, sent in their order, get the replies that stand there."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from raftcache.protocol.diagnosis import LATER_FIELDS, LATER_OPS
from raftcache.protocol.limits import Limits, Refused
from raftcache.protocol.replies import (
    Leader,
    ReplyHeader,
    encode_refused,
    encode_reply,
    hash_fields,
    ping_fields,
)
from raftcache.protocol.requests import ADMIN_OPS, decode_request
from raftcache.protocol.wire import REQUEST_WIRES
from raftcache.store.commands import encode_commands
from raftcache.store.machine import StateMachine
from raftcache.store.results import Result

PAGE = Path(__file__).parents[2] / "docs" / "protocol.md"
BLOCK = re.compile(r"^```json (request|reply)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def answer(machine: StateMachine, text: str) -> dict[str, Any]:
    """Answer a request as the node n1 of the page would."""

    def header() -> ReplyHeader:
        leader = Leader("n2", "tcp://127.0.0.1:7402")
        return ReplyHeader("n1", 2, leader, machine.store_rev)

    try:
        request = decode_request(text.encode(), Limits())
    except Refused as refused:
        refusal: dict[str, Any] = json.loads(encode_refused(refused, header()))
        return refusal
    result: Result | dict[str, Any]
    if request.command is not None:
        data = encode_commands([request.command], 0)
        [result] = machine.apply(machine.last_applied + 1, data)
    elif request.query is not None:
        result = machine.read(request.query)
    elif request.op == "hash":
        result = hash_fields(machine.digest(), machine.last_applied)
    else:
        result = ping_fields("0.1.0", "demo")
    reply: dict[str, Any] = json.loads(encode_reply(request, header(), result))
    return reply


def without_messages(value: Any) -> Any:
    """Take the messages out: they are for people and may change."""
    if isinstance(value, dict):
        return {name: without_messages(v) for name, v in value.items() if name != "message"}
    return [without_messages(v) for v in value] if isinstance(value, list) else value


def test_every_example_is_answered_as_the_page_says() -> None:
    machine = StateMachine()
    machine.apply_empty(1)
    blocks = BLOCK.findall(PAGE.read_text())
    actual: dict[str, Any] = {}
    compared = 0
    for kind, text in blocks:
        if kind == "request":
            actual = answer(machine, text)
        else:
            assert without_messages(actual) == without_messages(json.loads(text))
            compared += 1

    assert compared >= 16


def test_every_operation_and_every_later_one_is_on_the_page() -> None:
    page = PAGE.read_text()

    shown = {json.loads(text)["op"] for kind, text in BLOCK.findall(page) if kind == "request"}

    assert shown == set(REQUEST_WIRES) - ADMIN_OPS
    for name in sorted({*LATER_OPS, *LATER_FIELDS, *ADMIN_OPS}):
        assert f"`{name}`" in page
    for wire in REQUEST_WIRES.values():
        for name in wire.__struct_fields__:
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
