"""The command line, run by tests in a folder of its own.

Rules: every wait is for a condition, with a bound that only a defect reaches; what a busy host may
do by itself (hold an election, answer late) is waited out, and never taken for an outcome.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from orchestrator.cluster import Cluster
from orchestrator.processes import find_run
from orchestrator.spec_values import GATEWAY
from orchestrator.supervisor import Supervisor

ROOT = Path(__file__).resolve().parents[2]
BOUND_S = 60.0
"""How long a condition may take before it is a defect, on however busy a host."""

T = TypeVar("T")


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

    @contextmanager
    def running(self, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
        """Start a command for a block, and kill it at the end unless it has ended."""
        with self.start(*arguments) as process:
            try:
                yield process
            finally:
                process.kill()

    def __call__(self, *arguments: str) -> tuple[int, str, str]:
        """Run a command; return its exit code and what it said.

        A busy host may hold an election just when a command means the leader: nothing was done
        then, so it is said once more.
        """
        deadline = time.monotonic() + BOUND_S
        while True:
            with self.running(*arguments) as process:
                out, err = process.communicate(timeout=3 * BOUND_S)
            assert "Traceback" not in err, err
            if "there is no leader now" not in err or time.monotonic() > deadline:
                return process.returncode, out, err

    def document(self, *arguments: str, code: int = 0) -> dict[str, Any]:
        """Run a command with ``--json``; return its document."""
        found, out, err = self(*arguments, "--json")
        assert found == code, (out, err)
        document: dict[str, Any] = json.loads(out)
        assert document["schema"] == 1
        return document

    def status(self, health: str) -> dict[str, Any]:
        """Return the status once it is such: a node on a busy host may be late to answer."""
        deadline = time.monotonic() + BOUND_S
        while True:
            code, out, err = self("status", "--json")
            document: dict[str, Any] = json.loads(out)
            if document["health"] == health:
                assert code == {"ok": 0, "degraded": 1}.get(health, 69), (out, err)
                return document
            assert time.monotonic() < deadline, (code, out, err)

    def end(self) -> None:
        """Take the cluster down, if there is one, and see that nothing is left."""
        state = self.folder / ".cluster/cluster.json"
        run_id = self.remembered()["run_id"] if state.exists() else ""
        code, out, err = self("down")
        assert code in {0, 69}, (out, err)
        assert not run_id or find_run(run_id) == []

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

        def counts_as_started() -> bool:
            child = supervisor.gateway() if name == GATEWAY else supervisor.children().get(name)
            return child is not None and child.state == "RUNNING"

        until(counts_as_started, f"{name} is RUNNING")


def until(condition: Callable[[], T | None], what: str, *, pause_s: float = 0.02) -> T:
    """Return what the condition gives, as soon as that is true."""
    deadline = time.monotonic() + BOUND_S
    while not (found := condition()):
        assert time.monotonic() < deadline, what
        time.sleep(pause_s)
    return found
