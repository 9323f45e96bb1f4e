"""Processes and ports, looked at and signalled."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator import bringup
from orchestrator.bringup import Plan
from orchestrator.paths import Paths
from orchestrator.ports import (
    AUTO_FIRST,
    AUTO_STEP,
    claim_base,
    find_base,
    is_free,
    owner_of,
)
from orchestrator.processes import (
    RUN_ID_VARIABLE,
    Process,
    command_line,
    find_run,
    identify,
    is_alive,
    sample,
    send,
    wait_gone,
)

pytestmark = pytest.mark.processes
RUN_ID = "test-run-of-the-processes-module"


@pytest.fixture
def child() -> Iterator["subprocess.Popen[bytes]"]:
    process = subprocess.Popen(
        [sys.executable, "-c", "print(1, flush=True); input()"],
        env={**os.environ, RUN_ID_VARIABLE: RUN_ID},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.communicate()


def test_a_process_is_known_by_more_than_its_pid(child: "subprocess.Popen[bytes]") -> None:
    """A pid is reused; the time of creation is not."""
    found = identify(child.pid)

    assert found is not None
    assert is_alive(found)
    impostor = Process(found.pid, found.created + 1)
    assert not is_alive(impostor)
    assert not send(impostor, signal.SIGKILL)
    assert child.poll() is None


def test_a_run_is_found_by_the_id_in_its_environment(child: "subprocess.Popen[bytes]") -> None:
    assert [process.pid for process in find_run(RUN_ID)] == [child.pid]
    assert find_run(RUN_ID[:-1]) == []
    assert "input()" in command_line(child.pid)


def test_a_paused_process_is_seen_to_be_paused(child: "subprocess.Popen[bytes]") -> None:
    process = identify(child.pid)
    assert process is not None

    send(process, signal.SIGSTOP)
    os.waitpid(child.pid, os.WUNTRACED)

    seen = sample(child.pid)
    assert seen is not None
    assert seen.paused
    assert seen.resident_bytes > 1_000_000


def test_a_killed_process_is_gone_even_before_it_is_reaped(
    child: "subprocess.Popen[bytes]",
) -> None:
    process = identify(child.pid)
    assert process is not None

    assert send(process, signal.SIGKILL)

    assert wait_gone([process], 60.0) == []
    assert not send(process, signal.SIGKILL)
    assert find_run(RUN_ID) == []


HALF_ENDED = """
import ctypes, os, pathlib, socket, sys, threading, time

taken = socket.create_server(("127.0.0.1", 0))
state = pathlib.Path(f"/proc/{os.getpid()}/stat")

def stay() -> None:
    while not state.read_text().rpartition(") ")[2].startswith("Z"):
        time.sleep(0.001)
    print(taken.getsockname()[1], flush=True)
    sys.stdin.readline()

threading.Thread(target=stay).start()
ctypes.CDLL(None).pthread_exit(None)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="shown by /proc only")
def test_a_process_of_which_one_thread_still_runs_is_not_gone() -> None:
    """A killed node whose disk holds up one thread keeps its ports and its directory (failure G1).

    Its first thread, which the system shows for the process, has ended by then.
    """
    with subprocess.Popen(
        [sys.executable, "-c", HALF_ENDED],
        env={**os.environ, RUN_ID_VARIABLE: RUN_ID},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        port = int(child.stdout.readline())
        process = identify(child.pid)
        assert process is not None
        assert find_run(RUN_ID) == [process]
        assert wait_gone([process], 0.0) == [process]
        assert not is_free("127.0.0.1", port)

        assert send(process, signal.SIGKILL)
        assert wait_gone([process], 60.0) == []
        assert is_free("127.0.0.1", port)
        assert find_run(RUN_ID) == []


def test_one_that_stays_is_returned_after_the_wait(child: "subprocess.Popen[bytes]") -> None:
    process = identify(child.pid)
    assert process is not None

    assert wait_gone([process], 0.0) == [process]


def test_a_pid_that_is_nobodys_is_nobody() -> None:
    assert sample(2**22 + 1) is None
    assert identify(2**22 + 1) is None
    assert command_line(2**22 + 1) == ""


def test_the_owner_of_a_taken_port_is_named() -> None:
    """Found late and unnamed elsewhere; here before anything starts (failure G8)."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        assert not is_free("127.0.0.1", port)
        assert owner_of(port).startswith(f"pid {os.getpid()}: ")
    assert is_free("127.0.0.1", port)


def test_a_row_of_free_ports_avoids_one_that_is_taken() -> None:
    base = find_base("127.0.0.1", [1, 2, 3], start=0)
    assert base is not None
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", base + 2))
        taken.listen()

        other = find_base("127.0.0.1", [1, 2, 3], start=0)

    assert other is not None
    assert other > base


def test_two_that_look_for_ports_at_once_get_different_ones() -> None:
    """Nobody listens yet on what each has chosen."""
    first = claim_base("127.0.0.1", [1, 2, 3], start=7)
    second = claim_base("127.0.0.1", [1, 2, 3], start=7)
    assert first is not None
    assert second is not None

    assert first.base != second.base
    first.close()
    second.close()


def test_up_keeps_its_ports_until_nodes_listen_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two `up` at once under `base_port: auto` would else start nodes on the same ones."""
    (tmp_path / "cluster.yaml").write_text("cluster: demo\nbase_port: auto\n")
    drawn: list[int] = []

    def draw_in_between(_paths: Paths, plan: Plan, _tell: object) -> None:
        other = claim_base("127.0.0.1", [1, 2, 3], start=start_of(plan.state.base_port))
        assert other is not None
        other.close()
        drawn.extend([plan.state.base_port, other.base])
        raise InterruptedError

    monkeypatch.setattr(bringup, "_carry_out", draw_in_between)
    with pytest.raises(InterruptedError):
        bringup.bring_up(Paths(tmp_path / ".cluster", tmp_path / "cluster.yaml"))

    assert drawn[0] != drawn[1]


def start_of(base: int) -> int:
    """Return where to begin looking in order to find that row first."""
    return (base - AUTO_FIRST) // AUTO_STEP
