"""`orchestrator.testing`, used as people use it: by a test suite of its own."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.ports import is_free

ROOT = Path(__file__).resolve().parents[2]
BOUND_S = 120.0

pytestmark = pytest.mark.processes

SUITE = '''
"""A test suite of somebody who uses the cache."""

import os
import threading

import pytest

from orchestrator.testing import RaftCluster
from raftcache.client import Client, Conflict

seen = {}


@pytest.mark.raft_cluster(nodes=3)
class TestThree:
    def test_it_survives_its_leader(self, raft_cluster: RaftCluster) -> None:
        writer = raft_cluster.recording_client(timeout=60.0)
        wrapped = raft_cluster.recording_client(wrapping=raft_cluster.client(timeout=60.0))
        writer.set("greeting", "hello")
        old = raft_cluster.leader

        failover = raft_cluster.kill_leader()

        assert failover.old_leader == old
        assert raft_cluster.leader != old
        assert old in raft_cluster.followers
        assert wrapped.get("greeting") == b"hello"
        assert writer.incr("count") == 1
        with pytest.raises(Conflict):
            wrapped.set("greeting", "hi", if_mod_rev=0)
        raft_cluster.assert_linearizable()
        seen["folder"] = raft_cluster.folder

    def test_the_next_finds_it_whole_and_empty_again(self, raft_cluster: RaftCluster) -> None:
        assert raft_cluster.folder == seen["folder"]
        assert raft_cluster.status().ready
        assert list(raft_cluster.client(timeout=60.0).keys()) == []
        with pytest.raises(AssertionError, match="nothing was recorded"):
            raft_cluster.assert_linearizable()

    def test_what_can_be_done_to_it(self, raft_cluster: RaftCluster) -> None:
        cache = raft_cluster.client(timeout=60.0)
        cache.set("a", "1")
        paused = raft_cluster.pause().old_leader
        assert raft_cluster.leader != paused
        assert raft_cluster.resume() == [paused]
        raft_cluster.wait_ready()
        cut_off = raft_cluster.partition().old_leader
        assert raft_cluster.leader != cut_off
        raft_cluster.heal()
        raft_cluster.wait_ready()
        assert raft_cluster.restart("one-follower")
        assert cache.get("a") == b"1"

    def test_it_shows_what_was_done_when_a_test_fails(self, raft_cluster: RaftCluster) -> None:
        raft_cluster.pause()
        raise AssertionError("on purpose")


def test_one_node_is_what_the_settings_say(raft_cluster: RaftCluster) -> None:
    assert raft_cluster.nodes == ["n1"]
    environment = raft_cluster.environment
    assert environment["RAFTCACHE_ENDPOINTS"] == raft_cluster.endpoint("n1")
    assert environment["PATH"] == os.environ["PATH"]
    seen["one"] = raft_cluster.folder


@pytest.mark.raft_cluster(fresh=True, durability="memory", settings={"raft": {"heartbeat": "40ms"}})
def test_a_fresh_one_is_another(raft_cluster: RaftCluster) -> None:
    assert raft_cluster.folder != seen["one"]
    assert raft_cluster.status().node("n1").status["durability"] == "memory"


@pytest.mark.raft_cluster(node=5)
def test_a_wrong_marker(raft_cluster: RaftCluster) -> None:
    raise AssertionError("never run")


def test_the_session_s_own(raft_cluster_session: RaftCluster) -> None:
    raft_cluster_session.client(timeout=60.0).set("stays", "1")


def test_the_session_s_own_is_left_as_it_is(raft_cluster_session: RaftCluster) -> None:
    assert raft_cluster_session.client(timeout=60.0).get("stays") == b"1"


@pytest.fixture(scope="module")
def mine(raft_cluster_factory):
    with raft_cluster_factory(nodes=1, durability="fsync") as cluster:
        yield cluster


def test_one_for_a_fixture_of_my_own(mine: RaftCluster) -> None:
    assert mine.status().node("n1").status["durability"] == "fsync"
'''

KILLED = """
import os, signal
from pathlib import Path

def test_killed(raft_cluster):
    Path("endpoint").write_text(raft_cluster.endpoint("n1"))
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A folder for the clusters' folders, with a name so short that sockets fit into it."""
    with tempfile.TemporaryDirectory(prefix="rct-") as folder:
        yield Path(folder)


def run_suite(folder: Path, temporary: Path, text: str) -> "subprocess.CompletedProcess[str]":
    """Run pytest on a suite as somebody would who names the plugin."""
    (folder / "conftest.py").write_text('pytest_plugins = ["orchestrator.testing"]\n')
    (folder / "pytest.ini").write_text(
        "[pytest]\naddopts = --strict-markers -ra -p no:cacheprovider\nfilterwarnings = error\n"
        "raft_cluster_nodes = 1\n"
    )
    (folder / "test_suite.py").write_text(text)
    return subprocess.run(
        [sys.executable, "-P", "-m", "pytest", folder],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(temporary)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_suite_runs_its_tests_against_real_clusters(tmp_path: Path, temporary: Path) -> None:
    done = run_suite(tmp_path, temporary, SUITE)

    assert "1 failed, 8 passed, 1 error" in done.stdout, done.stdout + done.stderr
    assert "has no `node`: did you mean nodes? it takes nodes, durability" in done.stdout
    assert "cluster of raft_cluster" in done.stdout, "a failure tells of the cluster"
    assert "pause leader\n" in done.stdout
    assert " leads in term " in done.stdout
    left = [path for path in temporary.iterdir() if path.name.startswith("raftcache-")]
    assert left == [], "a cluster that was ended has no folder left"


def test_nothing_outlives_a_suite_that_is_killed(tmp_path: Path, temporary: Path) -> None:
    done = run_suite(tmp_path, temporary, KILLED)

    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr
    port = int((tmp_path / "endpoint").read_text().rpartition(":")[2])
    deadline = time.monotonic() + BOUND_S
    while any(path.name.startswith("raftcache-") for path in temporary.iterdir()):
        assert time.monotonic() < deadline, "the cluster's folder is still there"
        time.sleep(0.05)
    assert is_free("127.0.0.1", port)
