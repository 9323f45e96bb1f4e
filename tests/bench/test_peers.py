"""The comparison with peers runs as its page says, and names what is not installed."""

import os
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
SECONDS = 0.2

pytestmark = pytest.mark.processes


def compare(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    command = [
        sys.executable,
        "-P",
        str(BENCHMARKS / "compare.py"),
        "--seconds",
        str(SECONDS),
        "--rounds",
        "2",
    ]
    return subprocess.run(
        [*command, "--callers", "2", "--out", str(folder), *arguments],
        capture_output=True,
        text=True,
        check=False,
        # Of the programs it may find, only this Python's own.
        env={**os.environ, "PATH": str(folder)},
    )


def test_floors_take_turns_and_come_out_as_table_picture_and_data(tmp_path: Path) -> None:
    done = compare("--only", "floor", "--mix", "set,get", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    results = msgspec.json.decode((tmp_path / "peers.json").read_bytes())
    measured = [(row["system"], row["work"]["mix"], len(row["samples"])) for row in results]
    assert measured == [
        ("floor: replicate, fsync", "set", 2),
        ("floor: replicate", "set", 2),
        ("floor: echo", "set", 2),
        ("floor: echo", "get", 2),
    ]
    assert all(sample["per_second"] > 0 for row in results for sample in row["samples"])
    table = (tmp_path / "peers.md").read_text()
    assert "### set, fsync, 2 callers" in table
    assert table.strip() in done.stdout
    assert (tmp_path / "peers.svg").read_text().count("<rect") == 1 + len(measured)


def test_a_peer_that_is_not_installed_is_named(tmp_path: Path) -> None:
    done = compare("--only", "redis", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "left out: redis, one process (fsync): no `redis-server`" in done.stderr


def test_a_benchmark_that_there_is_not_is_refused_with_those_there_are() -> None:
    """The command finds its folder wherever it is called from, and starts nothing."""
    done = subprocess.run(
        [str(BENCHMARKS / "run"), "speed"], cwd="/", capture_output=True, text=True, check=False
    )

    assert done.returncode == 64
    assert 'no benchmark "speed"' in done.stderr
    named = [line.strip() for line in done.stderr.splitlines()[1:]]
    assert named == sorted(
        path.stem for path in BENCHMARKS.glob("*.py") if not path.name.startswith("_")
    )
