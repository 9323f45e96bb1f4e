"""Whole runs on real clusters: a good one, planted bugs that must be found, and every early end."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from orchestrator import supervisor
from orchestrator.chaos.grammar import parse_scenario
from orchestrator.chaos.results import Results
from orchestrator.chaos.runner import run_scenario
from orchestrator.processes import find_run
from orchestrator.verify.history import read_history

from ..orchestrator.test_real_cluster import ROOT, Shell

pytestmark = pytest.mark.processes

PLANTED_NODE = Path(__file__).resolve().parent / "planted_node.py"
CALM = b"duration: 3s\nload: {clients: 4, rate: 400/s, keys: 3}\nsteps: []\n"


def run(text: bytes, folder: Path) -> Results:
    return run_scenario(parse_scenario(text, "x.yaml"), seed=1, runs=folder / "runs")


def plant(monkeypatch: pytest.MonkeyPatch, bug: str) -> None:
    """Have nodes started that have this bug."""
    original = supervisor._environment

    def environment(run_id: str) -> dict[str, str]:
        command = shlex.join([sys.executable, "-P", str(PLANTED_NODE), bug])
        return {**original(run_id), "RAFTCACHE_NODE_COMMAND": command}

    monkeypatch.setattr(supervisor, "_environment", environment)


def test_a_run_keeps_its_promises_and_all_its_evidence(tmp_path: Path) -> None:
    results = run(
        b"duration: 8s\nload: {clients: 4, rate: 200/s}\nsteps:\n"
        b"  - {at: 1s, kill: leader, for: 1s}\n"
        b"  - {at: 4s, pause: all, for: 700ms}\n"
        b"  - {at: 5s, isolate: one-follower, direction: in, for: 400ms}\n"
        b"  - {at: 6s, stop: leader}\n"
        b"  - {at: 7s, resume: paused}\n",
        tmp_path,
    )

    document = json.loads((results.folder / "results.json").read_bytes())
    events = [
        json.loads(line) for line in (results.folder / "events.jsonl").read_text().splitlines()
    ]
    history = read_history(results.folder / "history.jsonl")

    assert results.exit_code == 0, results.judgement.sentence
    assert (document["verdict"], document["linearizable"]) == ("ok", "valid")
    assert document["acknowledged"] > 100
    assert (document["lost"], document["twice"]) == (0, 0)
    assert len(history.operations) == document["operations"]
    first, second, cut, third, fourth = document["faults"]
    assert first["targets"] == [first["leader"]]
    assert second["targets"] == ["n1", "n2", "n3"]
    assert len(cut["targets"]) == 1
    assert cut["leader"] not in cut["targets"]
    assert cut["undone_s"] > cut["at_s"]
    assert third["targets"] == [third["leader"]]
    assert third["undone_s"] >= 8
    assert (fourth["targets"], bool(fourth["skipped"])) == ([], True)
    frozen = [one for one in document["unavailable"] if one["fault"] == 2]
    assert frozen[0]["cause"].startswith("pause n1, n2, n3 (")
    assert frozen[0]["ms"] >= 500
    assert len(document["elections"]) >= 2
    assert {"fault_set", "fault_cleared", "fault", "undone", "role", "vote_granted"} <= {
        event["kind"] for event in events
    }
    assert [event["t_ms"] for event in events] == sorted(event["t_ms"] for event in events)
    assert "| kill leader |" in (results.folder / "summary.md").read_text()
    assert (results.folder.parent / ".gitignore").read_text().endswith("*\n")
    assert len(list((results.folder / "logs").glob("n?.log"))) == 3


def test_a_planted_lost_write_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, "lost")

    results = run(CALM, tmp_path)

    assert results.exit_code == 1
    assert results.writes.lost > 0
    assert "acknowledged writes were lost (register/" in results.judgement.sentence
    assert results.judgement.states.equal


def test_a_planted_stale_read_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost: only the order of operations shows it."""
    plant(monkeypatch, "stale")

    results = run(CALM, tmp_path)

    assert results.exit_code == 1
    assert results.judgement.linearizable == "invalid"
    assert (results.writes.lost, results.writes.twice) == (0, 0)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path, "base_port: auto\n")


def wait_for(output: Path, text: str) -> None:
    deadline = time.monotonic() + 40
    while text not in output.read_text():
        assert time.monotonic() < deadline, output.read_text()
        time.sleep(0.05)


def descendants_of(pid: int) -> set[str]:
    """Return the run ids of what a process has started."""
    found = set()
    for folder in Path("/proc").iterdir():
        try:
            environment = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        mine = f"RAFTCACHE_TEST_PARENT={pid}".encode() in environment
        ids = [one for one in environment if one.startswith(b"RAFTCACHE_RUN_ID=")]
        if mine and ids:
            found.add(ids[0].decode().partition("=")[2])
    return found


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_ended_early_leaves_nothing(shell: Shell, number: signal.Signals) -> None:
    """Not even a frozen node, which hears no SIGTERM (failure G9)."""
    scenario = (
        "duration: 1m\nsteps: [{at: 100ms, pause: leader}, {at: 200ms, kill: one-follower}]\n"
    )
    (shell.folder / "mine.yaml").write_text(scenario)
    output = shell.folder / "out"
    with output.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "orchestrator.cli", "chaos", "run", "mine.yaml"],
            cwd=shell.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "RAFTCACHE_TEST_PARENT": str(os.getpid())},
            stdout=out,
            stderr=out,
        )
        wait_for(output, "  kill n")
        run_ids = descendants_of(os.getpid())
        process.send_signal(number)
        assert process.wait(30) == 130

    assert len(run_ids) == 1
    assert find_run(run_ids.pop()) == []
    (folder,) = (shell.folder / "runs").glob("2*")
    assert json.loads((folder / "results.json").read_bytes())["verdict"] == "broken off"
    assert "Traceback" not in output.read_text()


def test_a_command_gets_its_cluster_and_gives_its_exit_code(shell: Shell) -> None:
    program = (
        "import os, sys\n"
        "from raftcache.client import Client\n"
        "with Client(os.environ['RAFTCACHE_ENDPOINTS']) as cache:\n"
        "    cache.set('a', 'b'); print(cache.get('a').decode())\n"
        "sys.exit(7)\n"
    )

    code, out, err = shell("run", "--nodes", "1", "--", sys.executable, "-c", program)

    assert (code, out) == (7, "b\n")
    assert "the cluster is gone, nothing is left" in err
    assert not (shell.folder / ".cluster").exists()


def test_steps_fire_while_a_command_runs(shell: Shell) -> None:
    (shell.folder / "kill.yaml").write_text("steps: [{at: 200ms, kill: leader, for: 300ms}]\n")

    code, _, err = shell("run", "--chaos", "kill.yaml", "--", "sleep", "1.5")

    assert code == 0
    assert "(the leader of term 1)" in err
    assert " again\n" in err


def test_a_command_that_is_not_there_starts_nothing(shell: Shell) -> None:
    began = time.monotonic()

    assert shell("run", "--", "no-such-command")[0] == 127
    assert shell("run")[0] == 64
    assert time.monotonic() - began < 10


def test_what_lasts_for_a_while_is_undone_early_by_a_signal(shell: Shell) -> None:
    shell("up")
    try:
        environment = shell.document("env")["environment"]["RAFTCACHE_ENDPOINTS"]
        assert shell("env")[1] == f"export RAFTCACHE_ENDPOINTS={environment}\n"

        with shell.start("pause", "leader", "--for", "60s") as pausing:
            assert pausing.stdout is not None
            assert pausing.stdout.readline().startswith("paused n")
            pausing.send_signal(signal.SIGTERM)
            out, err = pausing.communicate(timeout=120)
        assert pausing.returncode == 130
        assert "resumed n" in out
        assert "Traceback" not in err

        killed = shell.document("kill", "one-follower", "--for", "100ms")
        assert killed["started"] == killed["nodes"]
        assert shell.document("wait", "--for", "ready")["ok"]
    finally:
        assert shell("down")[0] == 0
    assert shell("env")[0] == 69
