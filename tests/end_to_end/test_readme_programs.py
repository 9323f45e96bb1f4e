"""The programs that the README shows, as they stand there, at a real cluster."""

import ast
import json
import os
import re
import subprocess
import sys

import pytest

from .bystander import Bystander
from .nodes import ROOT

pytestmark = pytest.mark.processes

SHOWN_ENDPOINTS = ("tcp://127.0.0.1:7401", "tcp://127.0.0.1:7402", "tcp://127.0.0.1:7403")


@pytest.mark.parametrize("target", ["leader", "follower"], indirect=True)
def test_the_three_lines_of_req_and_json_write_and_read_at_any_node(target: Bystander) -> None:
    """The shortest client there is; any language with ZeroMQ and JSON can do the same."""
    program = _shown("zmq.REQ")
    assert program.count("\n") == 3, "three lines"
    program = program.replace(SHOWN_ENDPOINTS[0], target.endpoint)
    reading = program.replace('"set"', '"get"').replace(', "value": "hello"', "")

    written = json.loads(ast.literal_eval(_output(program)))
    read = json.loads(ast.literal_eval(_output(reading)))

    assert written["ok"] is True
    assert read["value"] == "hello"
    assert read["mod_rev"] == written["mod_rev"]


def test_the_python_client_s_example_runs(target: Bystander) -> None:
    program = _shown("raftcache.client import")
    for shown, endpoint in zip(SHOWN_ENDPOINTS, target.nodes.endpoints, strict=True):
        program = program.replace(shown, endpoint)

    _output(program)


def _shown(words: str) -> str:
    """Return the README's Python program that has these words."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    found = [
        text for text in re.findall(r"```python\n(.*?)```", readme, re.DOTALL) if words in text
    ]
    assert len(found) == 1, f"one program with {words}"
    return str(found[0])


def _output(program: str) -> str:
    finished = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout.strip()
