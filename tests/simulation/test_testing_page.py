"""docs/testing.md names what there is, and what it shows can be typed."""

import re
import shlex
from pathlib import Path

import pytest

from orchestrator.cli import main
from orchestrator.simulation.kinds import KINDS
from orchestrator.simulation.points import POINTS

PAGE = (Path(__file__).resolve().parents[2] / "docs/testing.md").read_text()


def test_every_point_and_kind_of_fault_is_on_the_page() -> None:
    rows = [line for line in PAGE.splitlines() if line.startswith("| ")]
    named = {cell.strip() for row in rows for cell in re.split(r"\||<br>", row)}

    assert len(POINTS) >= 40
    assert set(POINTS) - named == set()
    assert {kind for kind in KINDS if f"`{kind}`" not in PAGE} == set()


def test_the_command_of_a_smaller_run_can_be_typed(capsys: pytest.CaptureFixture[str]) -> None:
    commands = re.findall(r"^(bin/cluster simulate --seed 83 --with .*)$", PAGE, re.MULTILINE)

    assert len(commands) == 1
    assert main([*shlex.split(commands[0])[1:], "--no-shrink"]) == 0
    assert capsys.readouterr().out.startswith("seed 83, profile swarm: ")
