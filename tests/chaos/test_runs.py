"""Whole runs on real clusters: a good one, planted bugs that must be found, and every early end."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator import supervisor
from orchestrator.chaos import faults, runner
from orchestrator.chaos.faults import Fault
from orchestrator.chaos.grammar import parse_scenario
from orchestrator.chaos.results import Results
from orchestrator.chaos.runner import run_scenario
from orchestrator.chaos.workload import Tape, Workload
from orchestrator.processes import find_run
from orchestrator.verify.history import read_history

from ..orchestrator.shell import ROOT, Shell

pytestmark = pytest.mark.processes

BOUND_S = 120.0
"""How long a condition may take before it is a defect, on however busy a host."""
PLANTED_NODE = Path(__file__).resolve().parent / "planted_node.py"
CALM = b"duration: 2m\nload: {clients: 4, rate: 400/s, keys: 3}\nsteps: []\n"
ENOUGH = 600
"""Acknowledged writes in which a planted bug has shown itself."""


def run(text: bytes, folder: Path, audience: runner.Audience | None = None) -> Results:
    scenario = parse_scenario(text, "x.yaml")
    return run_scenario(scenario, seed=1, runs=folder / "runs", audience=audience)


class EndsWith(runner.Silence):
    """Hears when the undo of a fault is told; what a busy host does late is not cut off then."""

    def __init__(self, number: int) -> None:
        self._number = number
        self.has_come = False

    def fault(self, fault: Fault) -> None:
        """Look whether it is the one."""
        self.has_come |= fault.number == self._number and fault.undone_ms is not None


def end_when(monkeypatch: pytest.MonkeyPatch, condition: Callable[[Tape], bool]) -> None:
    """Have a run end when this holds, instead of after its duration."""
    original = runner._Run._go_on

    def go_on(self: runner._Run, load: Workload, tape: Tape, now_ms: float) -> bool:
        return original(self, load, tape, now_ms) and not condition(tape)

    monkeypatch.setattr(runner._Run, "_go_on", go_on)


def plant(monkeypatch: pytest.MonkeyPatch, bug: str) -> None:
    """Have nodes started that have this bug."""
    original = supervisor._environment

    def environment(run_id: str) -> dict[str, str]:
        command = shlex.join([sys.executable, "-P", str(PLANTED_NODE), bug])
        return {**original(run_id), "RAFTCACHE_NODE_COMMAND": command}

    monkeypatch.setattr(supervisor, "_environment", environment)


def test_a_run_keeps_its_promises_and_all_its_evidence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "LEADER_SECONDS_MAX", BOUND_S)
    audience = EndsWith(5)
    end_when(monkeypatch, lambda _: audience.has_come)

    results = run(
        b"duration: 4m\nload: {clients: 4, rate: 200/s}\nsteps:\n"
        b"  - {at: 1s, kill: leader, for: 200ms}\n"
        b"  - {at: 2500ms, isolate: one-follower, direction: in, for: 400ms}\n"
        b"  - {at: 4s, stop: leader}\n"
        b"  - {at: 4500ms, resume: paused}\n"
        b"  - {at: 5s, pause: all, for: 1500ms}\n",
        tmp_path,
        audience,
    )

    document = json.loads((results.folder / "results.json").read_bytes())
    events = [
        json.loads(line) for line in (results.folder / "events.jsonl").read_text().splitlines()
    ]
    history = read_history(results.folder / "history.jsonl")

    assert results.exit_code == 0, results.judgement.sentence
    assert (document["verdict"], document["linearizable"]) == ("ok", "valid")
    assert document["acknowledged"] > 10
    assert (document["lost"], document["twice"]) == (0, 0)
    assert len(history.operations) == document["operations"]
    kill, cut, stop, nothing, pause = document["faults"]
    assert kill["targets"] == [kill["leader"]]
    assert len(cut["targets"]) == 1
    assert cut["leader"] not in cut["targets"]
    assert cut["undone_s"] > cut["at_s"]
    assert stop["targets"] == [stop["leader"]]
    assert stop["undone_s"] > pause["undone_s"]
    assert (nothing["targets"], bool(nothing["skipped"])) == ([], True)
    assert sorted(pause["targets"] + stop["targets"]) == ["n1", "n2", "n3"]
    # On a busy host the handover may still be going on when all are paused.
    still = [one for one in document["unavailable"] if one["fault"] in {3, 5}]
    assert max(one["ms"] for one in still) >= 1_000
    assert len(document["elections"]) >= 2
    assert {"fault_set", "fault_cleared", "fault", "undone", "role", "vote_granted"} <= {
        event["kind"] for event in events
    }
    assert [event["t_ms"] for event in events] == sorted(event["t_ms"] for event in events)
    assert "| kill leader |" in (results.folder / "summary.md").read_text()
    assert (results.folder.parent / ".gitignore").read_text().endswith("*\n")
    assert len(list((results.folder / "logs").glob("n?.log"))) == 3


def test_all_operations_fit_one_order_over_a_killed_leader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With sessions, time, ranges, transactions and fences, as far as they were answered."""
    monkeypatch.setattr(faults, "LEADER_SECONDS_MAX", BOUND_S)
    audience = EndsWith(1)
    wanted = {"set", "expire", "delete_range", "txn", "session_open"}

    def is_enough(tape: Tape) -> bool:
        done = [one for one in list(tape.operations) if one.outcome == "ok"]
        kinds = {one.op for one in done} | {"fence" for one in done if one.args.fence is not None}
        return audience.has_come and len(done) > 200 and kinds >= {*wanted, "fence"}

    end_when(monkeypatch, is_enough)

    results = run(
        b"duration: 4m\nload: {clients: 4, rate: 200/s, keys: 4, mix: {get: 6, set: 1, incr: 1, "
        b"ttl: 2, sliding: 1, bind: 1, expire: 1, delete_range: 1, txn: 3, fence: 4}}\nsteps:\n"
        b"  - {at: 1s, kill: leader, for: 200ms}\n",
        tmp_path,
        audience,
    )

    history = read_history(results.folder / "history.jsonl")
    assert results.exit_code == 0, results.judgement.sentence
    assert wanted <= {one.op for one in history.operations}


def test_a_planted_lost_write_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, "lost")
    end_when(monkeypatch, lambda tape: tape.acknowledged > ENOUGH)

    results = run(CALM, tmp_path)

    assert results.exit_code == 1
    assert results.writes.lost > 0
    assert "acknowledged writes were lost (register/" in results.judgement.sentence
    assert results.judgement.states.equal


def test_a_planted_stale_read_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is lost: only the order of operations shows it."""
    plant(monkeypatch, "stale")
    end_when(monkeypatch, lambda tape: tape.acknowledged > ENOUGH)

    results = run(CALM, tmp_path)

    assert results.exit_code == 1
    assert results.judgement.linearizable == "invalid"
    assert (results.writes.lost, results.writes.twice) == (0, 0)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    return Shell(tmp_path, "base_port: auto\n")


def wait_for(output: Path, text: str) -> None:
    deadline = time.monotonic() + BOUND_S
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
    # By name: whom `leader` means is open while a busy host holds an election.
    scenario = "duration: 10m\nsteps: [{at: 100ms, pause: n1}, {at: 200ms, kill: n2}]\n"
    (shell.folder / "mine.yaml").write_text(scenario)
    output = shell.folder / "out"
    with (
        output.open("wb") as out,
        subprocess.Popen(
            [sys.executable, "-P", "-m", "orchestrator.cli", "chaos", "run", "mine.yaml"],
            cwd=shell.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "RAFTCACHE_TEST_PARENT": str(os.getpid())},
            stdout=out,
            stderr=out,
        ) as process,
    ):
        try:
            wait_for(output, "  kill n2")
            run_ids = descendants_of(os.getpid())
            process.send_signal(number)
            code = process.wait(BOUND_S)
        finally:
            process.kill()  # where the test has failed; its guardian ends the cluster then

    assert code == 130, output.read_text()
    assert len(run_ids) == 1
    assert find_run(run_ids.pop()) == []
    (folder,) = (shell.folder / "runs").glob("2*")
    assert json.loads((folder / "results.json").read_bytes())["verdict"] == "broken off"
    assert "Traceback" not in output.read_text()


def test_a_command_gets_its_cluster_and_gives_its_exit_code(shell: Shell) -> None:
    program = (
        "import os, sys\n"
        "from raftcache.client import Client\n"
        "with Client(os.environ['RAFTCACHE_ENDPOINTS'], timeout=60) as cache:\n"
        "    cache.set('a', 'b'); print(cache.get('a').decode())\n"
        "sys.exit(7)\n"
    )

    code, out, err = shell("run", "--nodes", "1", "--", sys.executable, "-c", program)

    assert (code, out) == (7, "b\n"), err
    assert "the cluster is gone, nothing is left" in err
    assert not (shell.folder / ".cluster").exists()


def test_steps_fire_while_a_command_runs(shell: Shell) -> None:
    """The command runs until both the kill and the start have been told."""
    (shell.folder / "kill.yaml").write_text("steps: [{at: 200ms, kill: n1, for: 300ms}]\n")
    waits = (
        "import os, pathlib, time\n"
        "parent = os.getppid()\n"
        "while os.getppid() == parent and not pathlib.Path('told').exists(): time.sleep(0.02)\n"
    )

    with shell.running("run", "--chaos", "kill.yaml", "--", sys.executable, "-c", waits) as process:
        assert process.stderr is not None
        told = []
        for line in process.stderr:
            told.append(line)
            if line.endswith(" again\n"):
                break
        (shell.folder / "told").touch()
        told.append(process.communicate(timeout=BOUND_S)[1])

    text = "".join(told)
    assert process.returncode == 0, text
    assert text.index("kill n1") < text.index("n1 again"), text
    assert "it ended with 0" in text


def test_a_command_that_is_not_there_starts_nothing(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(shell.folder))
    before = sorted(shell.folder.iterdir())

    assert shell("run", "--", "no-such-command")[0] == 127
    assert shell("run")[0] == 64

    assert sorted(shell.folder.iterdir()) == before


def test_what_lasts_for_a_while_is_undone_early_by_a_signal(shell: Shell) -> None:
    shell("up")
    try:
        environment = shell.document("env")["environment"]["RAFTCACHE_ENDPOINTS"]
        assert shell("env")[1] == f"export RAFTCACHE_ENDPOINTS={environment}\n"

        with shell.running("pause", "n1", "--for", "1h") as pausing:
            assert pausing.stdout is not None
            assert pausing.stdout.readline().startswith("paused n1")
            pausing.send_signal(signal.SIGTERM)
            out, err = pausing.communicate(timeout=BOUND_S)
        assert pausing.returncode == 130
        assert "resumed n1" in out
        assert "Traceback" not in err

        killed = shell.document("kill", "one-follower", "--for", "100ms")
        assert killed["started"] == killed["nodes"]
        assert shell.document("wait", "--for", "ready")["ok"]
    finally:
        assert shell("down")[0] == 0
    assert shell("env")[0] == 69
