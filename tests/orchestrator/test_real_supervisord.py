"""A real supervisord by our configuration, with small programs in place of nodes."""

import os
import shlex
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from orchestrator import supervisor
from orchestrator.paths import Paths
from orchestrator.processes import Process, send, wait_gone
from orchestrator.supervisor import LOG_BACKUPS, Supervisor

pytestmark = pytest.mark.processes

BOUND_S = 60.0
LOG_BYTES = 20_000
LINE = "one of very many lines\n"
PROGRAM = f"""
import os, subprocess, sys, time
if sys.argv[1] == "n1.json":
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    open("child", "w").write(str(child.pid))
    os.rename("child", "child.pid")
else:
    sys.stdout.write({LINE!r} * {10 * (LOG_BACKUPS + 1) * LOG_BYTES // len(LINE)})
    sys.stdout.write("the last of them\\n")
    sys.stdout.flush()
time.sleep(600)
"""
"""n1 has a child of its own; n2 prints ten times what its logs may hold."""


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Paths]:
    paths = Paths(tmp_path / ".cluster", None)
    paths.make()
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = supervisor._environment

    def with_program(run_id: str) -> dict[str, str]:
        command = shlex.join([sys.executable, str(program)])
        return {**environment(run_id), "RAFTCACHE_NODE_COMMAND": command}

    monkeypatch.setattr(supervisor, "_environment", with_program)
    monkeypatch.setattr(supervisor, "LOG_BYTES_MAX", LOG_BYTES)
    yield paths
    daemon = Supervisor(paths).process()
    Supervisor(paths).shutdown()
    if daemon is not None:
        assert not wait_gone([daemon], BOUND_S), "supervisord ended when it was told to"


def launch(paths: Paths, *nodes: str) -> Process:
    return Supervisor(paths).launch("a run", [*nodes], restart="never", descriptors=256)


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + BOUND_S
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def test_it_starts_over_what_a_killed_one_left_behind(paths: Paths) -> None:
    """Its socket and its pid file are still there (failure G2)."""
    first = launch(paths)
    send(first, signal.SIGKILL)
    wait_gone([first], BOUND_S)
    left = [paths.supervisor_socket, paths.run / "supervisord.pid"]
    assert all(path.exists() for path in left), "else this shows nothing"

    second = launch(paths)

    assert second != first
    assert Supervisor(paths).process() == second


def test_a_nodes_own_children_die_with_it(paths: Paths) -> None:
    """None runs on without anybody who knows of it (failure G4)."""
    launch(paths, "n1")
    told = paths.run / "child.pid"
    wait_until(told.exists, "the program has a child")
    child = int(told.read_text())
    assert psutil.pid_exists(child)

    Supervisor(paths).kill_node("n1")

    wait_until(lambda: not _runs(child), "the child of a killed node ends")


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_what_a_node_prints_takes_a_bounded_room(paths: Paths) -> None:
    """Ten times as much as is kept: the newest of it is (failure G7)."""
    launch(paths, "n2")
    log = paths.log("n2")
    wait_until(
        lambda: log.exists() and log.read_text().endswith("the last of them\n"),
        "everything is printed",
    )

    files = [Path(entry) for entry in os.scandir(paths.logs) if entry.name.startswith(log.name)]

    # Rotated when it is over the bound: by what was read in one go at most.
    assert all(path.stat().st_size <= LOG_BYTES + 256 * 1024 for path in files)
    assert len(files) <= 1 + LOG_BACKUPS
    assert log.read_text().endswith(LINE + "the last of them\n")
