"""Each program of docs/examples does what it says, over a failover where that is its point."""

import importlib.util
from typing import Any

import pytest

from orchestrator.testing import RaftCluster
from raftcache.client import Client
from raftcache.client.recipes import Election

from .conftest import ROOT, Start

pytest_plugins = ["orchestrator.testing"]
pytestmark = pytest.mark.processes

CALL_SECONDS = 60.0


def example(name: str) -> Any:
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
    module = example("rate_limiter")
    module.ANSWER_SECONDS = CALL_SECONDS
    limiter = module.RateLimiter
    first = limiter(raft_cluster.client(timeout=CALL_SECONDS), calls=3, window=600.0)
    second = limiter(raft_cluster.client(timeout=CALL_SECONDS), calls=3, window=600.0)

    allowed = [one.allows("ada") for one in (first, second, first, second, first)]

    assert allowed == [True, True, True, False, False]
    assert first.allows("grace")
    assert raft_cluster.client(timeout=CALL_SECONDS).expire("calls/ada", 0.001), "the window ends"
    while raft_cluster.client(timeout=CALL_SECONDS).get("calls/ada") is not None:
        pass
    assert second.allows("ada")
    program = start("rate_limiter.py", "ada", endpoints=raft_cluster.endpoints)
    assert program.rest() == ["ada is served"]
    assert program.process.wait() == 0


def test_the_rate_limiter_serves_when_the_cache_does_not(raft_cluster: RaftCluster) -> None:
    module = example("rate_limiter")
    module.ANSWER_SECONDS = CALL_SECONDS
    limiter = module.RateLimiter(raft_cluster.client(timeout=CALL_SECONDS), calls=0)
    assert not limiter.allows("ada")

    module.ANSWER_SECONDS = 0.1
    raft_cluster.kill("majority")

    assert limiter.allows("ada")


def test_the_cron_job_goes_on_when_its_process_and_the_leader_die(
    raft_cluster: RaftCluster, start: Start
) -> None:
    """Each run is counted once; who takes over goes on where the dead one has ended."""
    programs = {
        name: start("cron.py", name, "0.1", endpoints=raft_cluster.endpoints) for name in ("a", "b")
    }
    cache = raft_cluster.client(timeout=CALL_SECONDS)
    await_runs(cache, 2)
    raft_cluster.kill_leader()
    await_runs(cache, int(cache.get("cron/runs") or 0) + 2)
    while not (leader := Election(cache, "cron").leader()):
        pass
    dead = programs.pop(leader.decode())
    dead.process.kill()
    seen = dead.rest()
    runs_before = int(cache.get("cron/runs") or 0)

    (survivor,) = programs.values()
    seen += survivor.wait_for(lambda line: run_of(line) > runs_before)

    runs = [run_of(line) for line in seen if run_of(line)]
    assert len(runs) == len(set(runs)) >= 3, seen
    assert survivor.end() == 0


def await_runs(cache: Client[bytes], count: int) -> None:
    """Wait until the job has run so often."""
    while int(cache.get("cron/runs") or 0) < count:
        pass


def run_of(line: str) -> int:
    """Return the number of the run that a line tells of; 0: none."""
    return int(line.rpartition(" ")[2]) if ": run " in line else 0


def test_one_worker_computes_what_all_want(raft_cluster: RaftCluster, start: Start) -> None:
    programs = [
        start("cached_function.py", "tea", endpoints=raft_cluster.endpoints) for _ in range(3)
    ]

    printed = [program.rest() for program in programs]

    assert [lines[-1] for lines in printed] == ["tea: 314 cents"] * 3
    assert sum(len(lines) for lines in printed) == 4, "one has computed, and said so"
