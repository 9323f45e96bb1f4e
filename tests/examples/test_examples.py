"""Each program of docs/examples does what it says, over a failover where that is its point."""

import importlib.util
from types import ModuleType

import pytest

from orchestrator.testing import RaftCluster

from .conftest import ROOT, Start

pytest_plugins = ["orchestrator.testing"]
pytestmark = pytest.mark.processes

CALL_SECONDS = 60.0


def example(name: str) -> ModuleType:
    """Import a program, to use its parts."""
    specification = importlib.util.spec_from_file_location(name, ROOT / f"docs/examples/{name}.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_the_config_watcher_sees_every_change_over_a_failover(
    raft_cluster: RaftCluster, start: Start
) -> None:
    cache = raft_cluster.client(timeout=CALL_SECONDS)
    cache.set("config/colour", "red")
    cache.set("elsewhere", "1")

    watcher = start("config_watcher.py", endpoints=raft_cluster.endpoints)
    assert watcher.line() == '{"colour": "red"}'
    cache.set("config/size", "1")
    assert watcher.line() == '{"colour": "red", "size": "1"}'
    raft_cluster.kill_leader()
    for size in range(2, 5):
        cache.set("config/size", str(size))
    cache.delete("config/colour")

    assert [watcher.line() for _ in range(4)] == [
        '{"colour": "red", "size": "2"}',
        '{"colour": "red", "size": "3"}',
        '{"colour": "red", "size": "4"}',
        '{"size": "4"}',
    ]
    assert watcher.end() == 0


def test_the_rate_limiter_lets_so_many_pass(raft_cluster: RaftCluster, start: Start) -> None:
    """One count for all processes; the other customer has one of its own."""
    limiter = example("rate_limiter").RateLimiter
    first = limiter(raft_cluster.client(), calls=3, window=600.0)
    second = limiter(raft_cluster.client(), calls=3, window=600.0)

    allowed = [one.allows("ada") for one in (first, second, first, second, first)]

    assert allowed == [True, True, True, False, False]
    assert first.allows("grace")
    assert raft_cluster.client().expire("calls/ada", 0.001), "the window ends"
    while raft_cluster.client().get("calls/ada") is not None:
        pass
    assert second.allows("ada")
    program = start("rate_limiter.py", "ada", endpoints=raft_cluster.endpoints)
    assert program.rest() == ["ada is served"]
    assert program.process.wait() == 0


def test_the_rate_limiter_serves_when_the_cache_does_not(raft_cluster: RaftCluster) -> None:
    limiter = example("rate_limiter").RateLimiter(raft_cluster.client(), calls=0)
    assert not limiter.allows("ada")

    raft_cluster.kill("majority")

    assert limiter.allows("ada")
