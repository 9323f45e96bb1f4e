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
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from orchestrator.processes import find_run

from .shell import BOUND_S, Shell, until

pytestmark = pytest.mark.processes


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    made = Shell(tmp_path, "base_port: auto\n")
    yield made
    made.end()


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

    killed = strike(shell, "kill", undo="start")
    assert killed["nodes"] == [killed["old_leader"]]
    assert killed["leader"] != killed["old_leader"]
    assert killed["term"] > killed["old_term"]
    assert killed["leader"] in killed["votes"]
    assert len(killed["votes"]) == 2
    assert killed["after_ms"] > 0
    assert shell("get", "greeting")[1] == "hello\n"
    assert shell("set", "greeting", "again")[0] == 0
    status = shell.status("degraded")
    assert [node["state"] for node in status["nodes"] if node["name"] in killed["nodes"]] == [
        "killed"
    ]

    assert shell.document("start")["nodes"] == killed["nodes"]
    assert shell.status("ok")["leader"]
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


def strike(shell: Shell, verb: str, *, undo: str) -> dict[str, Any]:
    """Lose the leader; once more, with it back, where the next one took longer than verbs wait."""

    def struck() -> dict[str, Any] | None:
        document = shell.document(verb, "leader")
        if document["leader"] is not None:
            return document
        assert shell(undo)[0] == 0
        assert shell("wait", "--for", "ready")[0] == 0
        return None

    return until(struck, f"`{verb} leader` has seen the next one")


def test_a_lost_majority_is_said_and_nothing_is_done(shell: Shell) -> None:
    shell("up")

    code, out, _ = shell("kill", "majority")
    assert code == 0
    assert "no quorum: writes will wait (1 of 3 nodes up, 2 must agree)" in out
    code, _, err = shell("set", "a", "b")
    assert code == 69
    assert "nothing was done" in err
    assert shell("status")[0] == 69

    assert shell("start")[0] == 0
    assert shell("get", "a") == (1, "", "")


def test_a_paused_leader_is_replaced_and_comes_back(shell: Shell) -> None:
    """It stays alive and connected: only a timeout can tell (failure G3)."""
    shell("up")

    paused = strike(shell, "pause", undo="resume")
    assert paused["changed"]
    status = shell.status("degraded")
    frozen = next(node for node in status["nodes"] if node["name"] == paused["nodes"][0])
    assert frozen["state"] == "paused"
    # A child that has not lived `startsecs` yet is STARTING: alive, all the same.
    assert frozen["supervisor"] in {"STARTING", "RUNNING"}

    assert shell.document("resume")["nodes"] == paused["nodes"]
    assert shell.document("wait", "--for", "ready")["leader"]


def test_a_stopped_leader_hands_over_and_restarts_interrupt_nothing(shell: Shell) -> None:
    shell("up")

    stopped = strike(shell, "stop", undo="start")
    assert stopped["changed"]
    assert shell.document("start")["nodes"] == stopped["nodes"]
    assert sorted(shell.document("restart", "--rolling")["nodes"]) == ["n1", "n2", "n3"]
    assert shell.status("ok")["leader"]


def test_a_node_that_crashes_is_started_again(shell: Shell) -> None:
    shell("up")
    victim = shell.pids()["n2"]
    shell.settled("n2")

    os.kill(victim, signal.SIGKILL)

    until(lambda: shell.pids().get("n2") not in {None, victim}, "n2 is started again")
    assert shell("wait", "--for", "ready")[0] == 0


def test_a_killed_supervisord_takes_its_nodes_along_and_up_mends_it(shell: Shell) -> None:
    """Elsewhere its nodes live on and hold their ports (failure G1)."""
    shell("up")
    shell("set", "a", "b")
    pids = shell.pids()

    os.kill(pids["supervisord"], signal.SIGKILL)

    run_id = shell.remembered()["run_id"]
    until(lambda: find_run(run_id) == [], "its nodes are gone")
    assert shell("status")[0] == 69
    assert shell("up")[0] == 0
    assert shell("get", "a")[1] == "b\n"
    os.kill(shell.pids()["supervisord"], signal.SIGKILL)
    assert shell("down")[0] == 0


MOMENTS: dict[str, Callable[[Path], object]] = {
    "the state is written down": lambda state: (state / "cluster.json").exists(),
    "a node has a directory": lambda state: any((state / "nodes").glob("n?")),
    "all nodes are bootstrapped": lambda state: any(
        b'"bootstrapped": true' in path.read_bytes() for path in state.glob("cluster.json")
    ),
    "supervisord is about to start": lambda state: any(state.rglob("supervisord.conf")),
    "a node speaks": lambda state: any(
        path.stat().st_size for path in (state / "logs").glob("n?.log")
    ),
}


def test_an_up_that_was_killed_goes_on_as_the_same_cluster(shell: Shell) -> None:
    """Two bootstraps would be two clusters that take each other for themselves."""
    state = shell.folder / ".cluster"
    for what, has_come in MOMENTS.items():
        with shell.running("up") as killed:
            until(partial(has_come, state), what, pause_s=0.001)
        identity = shell.remembered()["cluster_id"]

        code, out, err = shell("up")
        assert code == 0, (what, out, err)
        assert shell.remembered()["cluster_id"] == identity, what
        assert shell("set", "a", "b")[0] == 0
        assert shell("down", "--wipe")[0] == 0
        assert killed.returncode == -signal.SIGKILL


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
    with shell.running("up", "--foreground") as foreground:
        assert foreground.stderr is not None
        for line in foreground.stderr:
            if line.startswith("showing logs"):
                break
        run_id = shell.remembered()["run_id"]
        assert len(find_run(run_id)) == 4

        foreground.send_signal(number)
        out, _ = foreground.communicate(timeout=3 * BOUND_S)

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
    with shell.running("events", "-f", "--json") as events:
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
    with shell.running("logs", "-f") as logs:
        assert logs.stdout is not None
        logs.stdout.readline()
        logs.stdout.close()
        shell("restart", "n1")
        assert logs.stderr is not None
        assert logs.stderr.read() == ""
    assert logs.returncode == 141
