"""What a person reads whose test has failed."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from orchestrator.errors import OrchestratorError, UsageError
from orchestrator.testing import RaftCluster, RecordingClient
from orchestrator.testing.recording import Recording
from orchestrator.throwaway import Throwaway

from .test_recording import Dictionary


def cluster_of(folder: Path, **cluster: Any) -> RaftCluster:
    """Return one that a test may ask things, and that runs nothing."""
    paths = SimpleNamespace(log=lambda name: folder / f"{name}.log")
    inner = SimpleNamespace(paths=paths, **cluster)
    endpoints = {"n1": "tcp://127.0.0.1:7401"}
    site = SimpleNamespace(cluster=inner, folder=folder, endpoints=endpoints)
    return RaftCluster(cast("Throwaway", site), folder)


def test_what_can_not_be_done_says_what_can(tmp_path: Path) -> None:
    """The hint is for the command line's second line; a test that fails has only one."""

    def kill(*_: str) -> None:
        raise UsageError("no node is called 'n9'", hint="there are n1, n2")

    cluster = cluster_of(tmp_path, kill=kill)

    with pytest.raises(UsageError, match="no node is called 'n9': there are n1, n2") as told:
        cluster.kill("n9")
    assert told.value.__suppress_context__, "where we found it out is nobody's business"
    assert told.traceback[-1].ishidden(told)


def test_a_report_of_a_cluster_that_nobody_leads_names_no_term(tmp_path: Path) -> None:
    nodes = [SimpleNamespace(name="n1", state="killed")]
    view = SimpleNamespace(nodes=nodes, leader=None, term=None)

    assert cluster_of(tmp_path, status=lambda: view).report() == "now: n1 killed; nobody leads"


def test_a_report_outlives_a_cluster_that_can_not_be_asked(tmp_path: Path) -> None:
    def status() -> None:
        raise OrchestratorError("it is gone")

    assert cluster_of(tmp_path, status=status).report() == ""


def test_fixtures_show_what_they_are(tmp_path: Path) -> None:
    cluster = cluster_of(tmp_path)
    client = RecordingClient("c1", Dictionary(), Recording())

    assert repr(cluster) == f"<RaftCluster of n1 in {tmp_path}>"
    assert repr(client).startswith("<RecordingClient c1 of <")
