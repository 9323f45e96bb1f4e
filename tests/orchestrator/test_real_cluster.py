"""The verbs on a real cluster: supervisord, three nodes, real signals.

Every cluster lives in a folder of its own on free ports, and every test ends with a `down` that
proves that nothing is left.
"""

import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.cluster import Cluster
from orchestrator.processes import find_run
from orchestrator.spec_values import GATEWAY
from orchestrator.supervisor import Supervisor

ROOT = Path(__file__).resolve().parents[2]
BOUND_S = 30.0

pytestmark = pytest.mark.processes


class Shell:
    """The command line, run in a cluster's folder."""

    def __init__(self, folder: Path, yaml: str) -> None:
        self.folder = folder
        (folder / "cluster.yaml").write_text(yaml)

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a command."""
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "orchestrator.cli", *arguments],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Run a command; return its exit code and what it said."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=90)
        assert "Traceback" not in err
        return process.returncode, out, err

    def document(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Run a command with ``--json``; return its document."""
        found, out, err = self(*arguments, "--json")
        assert found == code, (out, err)
        document: dict[str, Any] = json.loads(out)
        assert document["schema"] == 1
        return document

    def remembered(self) -> dict[str, Any]:
        """Return the state file."""
        found: dict[str, Any] = json.loads((self.folder / ".cluster/cluster.json").read_bytes())
        return found

    def pids(self) -> dict[str, int]:
        """Return the processes of the run by name."""
        return {one["name"]: one["pid"] for one in self.document("ps")["processes"]}

    def settled(self, name: str) -> None:
        """Wait until supervisord has seen a child live long enough to count as started.

        A child that dies before is a failed start to it, not a crash.
        """
        cluster = Cluster.at(self.folder / "cluster.yaml")
        supervisor = Supervisor(cluster.paths)
        deadline = time.monotonic() + BOUND_S
        while True:
            child = supervisor.gateway() if name == GATEWAY else supervisor.children()[name]
            if child is not None and child.state == "RUNNING":
                return
            assert time.monotonic() < deadline, child
            time.sleep(0.02)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path, "base_port: auto\n")
    yield made
    state = tmp_path / ".cluster/cluster.json"
    run_id = made.remembered()["run_id"] if state.exists() else ""
    code, out, err = made("down")
    assert code in {0, 69}, (out, err)
    assert not run_id or find_run(run_id) == []


def test_a_cluster_from_its_first_up_to_its_last_down(shell: Shell) -> None:
    code, out, _ = shell("up")
    assert code == 0
    assert "cluster demo is up: " in out
    assert "from raftcache.client import Client" in out
    assert all(len(line) <= 80 for line in out.splitlines() if line.startswith(("node", "n")))

    assert shell("set", "greeting", "hello") == (0, "created at revision 1\n", "")
    assert shell("get", "greeting") == (0, "hello\n", "")
    assert shell("get", "nothing") == (1, "", "")
    assert shell("incr", "hits", "5")[1] == "5\n"
    assert shell("keys")[1] == "greeting\nhits\n"
    assert shell("delete", "nothing")[0] == 1
    assert shell("set", "greeting", "x", "--if-rev", "99")[0] == 1

    before = shell.document("status")
    killed = shell.document("kill", "leader")
    assert killed["nodes"] == [killed["old_leader"]] == [before["leader"]]
    assert killed["leader"] not in {None, before["leader"]}
    assert killed["term"] > before["term"]
    assert killed["leader"] in killed["votes"]
    assert len(killed["votes"]) == 2
    assert 0 < killed["after_ms"] < 2500
    assert shell("get", "greeting")[1] == "hello\n"
    assert shell("set", "greeting", "again")[0] == 0
    status = shell.document("status", code=1)
    assert [node["state"] for node in status["nodes"] if node["name"] in killed["nodes"]] == [
        "killed"
    ]

    assert shell.document("start")["nodes"] == killed["nodes"]
    assert shell.document("status")["health"] == "ok"
    code, out, _ = shell("down")
    assert code == 0
    assert "3 nodes ended; no process, no port and no socket is left" in out
    assert shell("status")[0] == 69

    assert shell("up")[0] == 0
    assert shell("get", "greeting")[1] == "again\n"
    assert shell("down", "--wipe")[0] == 0
    assert sorted(path.name for path in (shell.folder / ".cluster").iterdir()) == [
        ".gitignore",
        "lock",
    ]


def test_a_lost_majority_is_said_and_nothing_is_done(shell: Shell) -> None:
    shell("up")

    code, out, _ = shell("kill", "majority")
    assert code == 0
    assert "no quorum: writes will wait (1 of 3 nodes up, 2 must agree)" in out
    began = time.monotonic()
    code, _, err = shell("set", "a", "b")
    assert code == 69
    assert "nothing was done" in err
    assert time.monotonic() - began < 20
    assert shell("status")[0] == 69

    assert shell("start")[0] == 0
    assert shell("get", "a") == (1, "", "")


def test_a_paused_leader_is_replaced_and_comes_back(shell: Shell) -> None:
    """It stays alive and connected: only a timeout can tell (failure G3)."""
    shell("up")

    paused = shell.document("pause", "leader")
    assert paused["changed"]
    status = shell.document("status", code=1)
    frozen = next(node for node in status["nodes"] if node["name"] == paused["nodes"][0])
    assert frozen["state"] == "paused"
    # A child that has not lived `startsecs` yet is STARTING: alive, all the same.
    assert frozen["supervisor"] in {"STARTING", "RUNNING"}

    assert shell.document("resume")["nodes"] == paused["nodes"]
    assert shell.document("wait", "--for", "ready")["leader"] == paused["leader"]


def test_a_stopped_leader_hands_over_and_restarts_interrupt_nothing(shell: Shell) -> None:
    shell("up")

    stopped = shell.document("stop", "leader")
    assert stopped["changed"]
    assert shell.document("start")["nodes"] == stopped["nodes"]
    assert sorted(shell.document("restart", "--rolling")["nodes"]) == ["n1", "n2", "n3"]
    assert shell.document("status")["health"] == "ok"


def test_a_node_that_crashes_is_started_again(shell: Shell) -> None:
    shell("up")
    victim = shell.pids()["n2"]
    shell.settled("n2")

    os.kill(victim, signal.SIGKILL)

    assert shell("wait", "--for", "ready", "--timeout", "20s")[0] in {0, 75}
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        pids = shell.pids()
        if pids.get("n2", victim) != victim:
            break
    assert shell("wait", "--for", "ready")[0] == 0
    assert shell.pids()["n2"] != victim


def test_a_killed_supervisord_takes_its_nodes_along_and_up_mends_it(shell: Shell) -> None:
    """Elsewhere its nodes live on and hold their ports (failure G1)."""
    shell("up")
    shell("set", "a", "b")
    pids = shell.pids()

    os.kill(pids["supervisord"], signal.SIGKILL)

    run_id = shell.remembered()["run_id"]
    deadline = time.monotonic() + 10
    while find_run(run_id) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert find_run(run_id) == []
    assert shell("status")[0] == 69
    assert shell("up")[0] == 0
    assert shell("get", "a")[1] == "b\n"
    os.kill(shell.pids()["supervisord"], signal.SIGKILL)
    assert shell("down")[0] == 0


def test_an_up_that_was_killed_goes_on_as_the_same_cluster(shell: Shell) -> None:
    """Two bootstraps would be two clusters that take each other for themselves."""
    for seconds in (0.15, 0.25, 0.35, 0.5, 0.8):
        shell("down", "--wipe")
        with shell.start("up") as killed:
            time.sleep(seconds)
            killed.kill()
            killed.communicate()
        state = shell.folder / ".cluster/cluster.json"
        identity = shell.remembered()["cluster_id"] if state.exists() else None

        assert shell("up")[0] == 0
        assert identity in {None, shell.remembered()["cluster_id"]}
        assert shell("set", "a", "b")[0] == 0
        assert shell("down")[0] == 0


def test_a_taken_port_is_found_before_anything_starts(tmp_path: Path) -> None:
    """Late and without a name it costs an evening (failure G8)."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        shell = Shell(tmp_path, f"base_port: {port - 102}\n")

        code, out, err = shell("up")

    assert (code, out) == (78, "")
    assert f"port {port} (n2, peers) is in use by pid {os.getpid()}: " in err
    assert not (tmp_path / ".cluster/cluster.json").exists()


def test_another_size_is_refused_with_both_ways_out(shell: Shell) -> None:
    shell("up")
    shell("down")

    code, _, err = shell("up", "--nodes", "5")
    assert code == 78
    assert "the cluster here has 3 nodes, not 5" in err
    assert "bin/cluster scale 5" in err
    assert "bin/cluster up --nodes 5 --wipe" in err

    assert shell.document("up", "--nodes", "5", "--wipe")["started"] == [
        "n1",
        "n2",
        "n3",
        "n4",
        "n5",
    ]
    shell("down")
    assert len(shell.document("up")["started"]) == 5  # the size is the data's, once it is there


def test_a_node_that_lost_its_data_comes_back_with_a_new_life(shell: Shell) -> None:
    """It voted once: with an empty directory it must not vote again (failure C10)."""
    shell("up")
    shell("set", "a", "b")
    shell("stop", "n3")
    shutil.rmtree(shell.folder / ".cluster/nodes/n3")

    assert shell("start")[0] == 0

    status = shell.document("wait", "--for", "ready")
    lives = {node["name"]: node["status"]["incarnation"] for node in status["nodes"]}
    assert lives["n3"] > lives["n1"] == lives["n2"] == 1
    assert shell("get", "a")[1] == "b\n"
    shell("down")
    assert shell("up")[0] == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP, signal.SIGTERM])
def test_a_foreground_cluster_ends_with_its_terminal(shell: Shell, number: signal.Signals) -> None:
    """Ctrl-C, a closed terminal, a plain kill: all of it goes (failure G9)."""
    with shell.start("up", "--foreground") as foreground:
        assert foreground.stderr is not None
        for line in foreground.stderr:
            if line.startswith("showing logs"):
                break
        run_id = shell.remembered()["run_id"]
        assert len(find_run(run_id)) == 4

        foreground.send_signal(number)
        out, _ = foreground.communicate(timeout=120)

    assert foreground.returncode == 0
    assert "no process, no port and no socket is left" in out
    assert find_run(run_id) == []


@pytest.mark.parametrize("name", ["50% %s b;c ;d #e", "x" * 90 + "ä"])
def test_odd_and_deep_folders_work(tmp_path: Path, name: str) -> None:
    folder = tmp_path / name
    folder.mkdir()
    shell = Shell(folder, "base_port: auto\nnodes: 1\n")

    code, out, err = shell("up")
    try:
        assert code == 0, (out, err)
        assert shell("set", "a", "b")[0] == 0
        assert "listens at" in shell("logs")[1]
    finally:
        assert shell("down")[0] == 0


def test_what_was_printed_and_what_happens_is_shown(shell: Shell) -> None:
    shell("up")
    with shell.start("events", "-f", "--json") as events:
        assert events.stdout is not None
        deadline = time.monotonic() + BOUND_S
        told: set[str] = set()
        while "role" not in told:
            assert time.monotonic() < deadline, f"a new leader is told of, not only {told}"
            if select.select([events.stdout], [], [], 0)[0]:
                told.add(json.loads(events.stdout.readline())["kind"])
            else:  # it may not have listened yet
                shell("kill", "leader")
                shell("start")
        events.send_signal(signal.SIGINT)
        events.communicate(timeout=BOUND_S)

    code, out, _ = shell("logs", "n1,n2", "-n", "1")
    assert code == 0
    assert [line.split(" | ")[0] for line in out.splitlines()] == ["n1", "n2"]


def test_whoever_reads_our_output_may_have_enough(shell: Shell) -> None:
    """As `head` does: no complaint, whatever is left unread."""
    shell("up")
    with shell.start("logs", "-f") as logs:
        assert logs.stdout is not None
        logs.stdout.readline()
        logs.stdout.close()
        shell("restart", "n1")
        assert logs.stderr is not None
        assert logs.stderr.read() == ""
    assert logs.returncode == 141
