"""Under supervisord: what becomes of the nodes when their keeper is killed."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.cluster import Cluster
from orchestrator.processes import Process, find_run, identify, send, wait_gone
from orchestrator.supervisor import Supervisor
from raftcache.client import Client

from .nodes import BOUND_S

pytestmark = pytest.mark.processes


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    file = tmp_path / "cluster.yaml"
    file.write_text("cluster: supervised\nbase_port: auto\nlimits:\n  clients: 500\n")
    cluster = Cluster.at(file)
    cluster.up()
    try:
        yield cluster
    finally:
        ended = cluster.down()
        assert ended.proof.holds, ended.proof.leftovers


def test_a_killed_supervisord_takes_its_nodes_along_and_up_brings_all_back(
    cluster: Cluster,
) -> None:
    """Failure G1: a node that outlived its keeper would hold port and directory, and nobody it."""
    with Client(cluster.client_endpoints) as client:
        client.set("greeting", "hello")
    run_id = cluster.state.run_id
    keeper = Supervisor(cluster.paths).process()
    assert keeper is not None
    processes = find_run(run_id)
    assert len(processes) == 4, "supervisord and three nodes"

    send(keeper, signal.SIGKILL)

    assert wait_gone(processes, BOUND_S) == []
    assert find_run(run_id) == []
    brought = cluster.up()
    assert brought.view.ready
    assert sorted(brought.started) == ["n1", "n2", "n3"]
    with Client(cluster.client_endpoints) as client:
        assert client.get("greeting") == b"hello"


def test_a_node_that_is_killed_behind_its_keeper_s_back_is_started_again(cluster: Cluster) -> None:
    """Failure G5: `restart: on-crash` means that nobody has to look after it."""
    view = cluster.status()
    assert view.leader is not None
    pid = view.node(view.leader).pid
    assert pid is not None
    victim = identify(pid)
    assert victim is not None

    send(victim, signal.SIGKILL)

    assert wait_gone([victim], BOUND_S) == []
    again = cluster.wait("ready", seconds=BOUND_S)
    assert all(node.pid for node in again.nodes)
    assert again.node(view.leader).pid != pid


def test_a_second_up_changes_nothing(cluster: Cluster) -> None:
    before = _processes(cluster)

    brought = cluster.up()

    assert brought.started == []
    assert brought.view.ready
    assert _processes(cluster) == before


def _processes(cluster: Cluster) -> list[Process]:
    return find_run(cluster.state.run_id)
