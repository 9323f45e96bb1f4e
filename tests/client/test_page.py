"""The programs of docs/client.md, from top to bottom, against a real cluster."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from orchestrator.testing import RaftCluster

pytest_plugins = ["orchestrator.testing"]
pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_runs_as_it_stands(raft_cluster: RaftCluster, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
    programs = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    file = tmp_path / "page.py"
    file.write_text("\n".join(programs), encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-P", str(file)],
        cwd=tmp_path,
        env={**raft_cluster.environment, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert len(programs) > 6
    assert done.returncode == 0, done.stderr
