"""Whole demos on real processes: a good one, a spoiled one, an interrupted one."""

import contextlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.demo.perform import perform
from orchestrator.demo.play import Cluster, Pace
from orchestrator.demo.writers import PREFIX
from orchestrator.processes import find_run
from orchestrator.throwaway import Throwaway
from raftcache.client import Client

from ..end_to_end.nodes import wait_until

pytestmark = pytest.mark.processes

QUICK = Pace(before_kill=0.5, after_election=0.3, after_return=0.2)


class LosesOneKey:
    """A cluster that forgets a key while nobody looks: what a demo must never pass over."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self.endpoints = cluster.endpoints

    def kill(self, node: str) -> None:
        """Kill it."""
        self._cluster.kill(node)

    def start(self, node: str) -> None:
        """Start it, and lose a key."""
        self._cluster.start(node)
        with Client(list(self.endpoints.values())) as client:
            assert client.delete(next(client.keys(PREFIX)))


def test_a_demo_loses_nothing_and_leaves_nothing() -> None:
    out = io.StringIO()

    done = perform(out, explain=True, pace=QUICK)

    text = out.getvalue()
    assert done.exit_code == 0, text
    assert done.report.verdict.acknowledged > 0
    assert done.report.leader != done.report.killed
    assert "leads in term" in text
    assert "Nothing acknowledged was lost" in text
    assert max(map(len, text.splitlines())) < 80


def test_a_demo_that_lost_a_write_says_so_and_fails() -> None:
    """The control: without it, a demo that counts nothing would look just as good."""
    out = io.StringIO()

    done = perform(out, pace=QUICK, spoil=LosesOneKey)

    assert done.exit_code == 1
    assert done.report.verdict.lost > 0
    assert "FAILED" in out.getvalue()
    folder = Path(out.getvalue().partition("three nodes start, in ")[2].split()[0])
    assert (folder / ".cluster" / "logs" / "n1.log").exists(), "kept, for whoever has to look"
    shutil.rmtree(folder)


def test_an_error_inside_ends_the_cluster_all_the_same() -> None:
    cluster = Throwaway()

    with pytest.raises(ZeroDivisionError):
        _fail_inside(cluster)

    assert not cluster.folder.exists()
    assert processes_of(cluster.folder) == []


def _fail_inside(throwaway: Throwaway) -> None:
    with throwaway as cluster:
        cluster.up()
        assert processes_of(cluster.folder)
        raise ZeroDivisionError


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_demo_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    """Ctrl-C in the middle of the load (failure G9)."""
    command = [sys.executable, "-m", "orchestrator.cli", "demo"]
    with started(command, tmp_path, stdout=subprocess.PIPE) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "clients write" in line:
                break
        (folder,) = tmp_path.iterdir()
        assert processes_of(folder)

        demo.send_signal(number)
        out, err = demo.communicate(timeout=120)

    assert demo.returncode == 130, out + err
    assert list(tmp_path.iterdir()) == []
    assert processes_of(folder) == []


@pytest.mark.parametrize("whole_group", [False, True])
def test_a_command_that_is_killed_leaves_nothing_either(
    tmp_path: Path, *, whole_group: bool
) -> None:
    """SIGKILL runs no `finally`; its cluster ends all the same, a paused node too (failure G9)."""
    command = [sys.executable, "-m", "orchestrator.cli", "run", "--", "cat"]
    with started(command, tmp_path, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as run:
        assert run.stderr is not None
        assert "3 nodes are up" in run.stderr.readline()
        (folder,) = tmp_path.iterdir()
        assert len(processes_of(folder)) == 2, "supervisord and a guardian"
        run_id = json.loads((folder / ".cluster" / "cluster.json").read_bytes())["run_id"]
        found = find_run(run_id)
        assert len(found) == 4, "supervisord and three nodes"
        os.kill(max(process.pid for process in found), signal.SIGSTOP)

        if whole_group:
            os.killpg(run.pid, signal.SIGKILL)
        else:
            run.kill()

    wait_until(
        lambda: not folder.exists() and not processes_of(folder), "all of it, the guardian too"
    )
    assert find_run(run_id) == []


@contextlib.contextmanager
def started(command: list[str], folder: Path, **streams: int) -> Iterator["subprocess.Popen[str]"]:
    """Start a command whose clusters live in ``folder``; it is killed unless it has ended."""
    process = subprocess.Popen(  # type: ignore[call-overload] # streams are Popen's
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(folder)},
        start_new_session=True,
        **streams,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def processes_of(folder: Path) -> list[str]:
    """Return the command lines of all processes that name this folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
    return [line for line in found if str(folder) in line]
