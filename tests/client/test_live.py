"""Both clients against a real cluster whose leader is killed, paused, and goes on."""

import asyncio
import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from orchestrator.testing import RaftCluster
from raftcache.client import AsyncClient, Client, Fenced, State
from raftcache.client.recipes import AsyncLock, Election, Lock, Semaphore, cached

pytest_plugins = ["orchestrator.testing"]
pytestmark = pytest.mark.processes

ROOT = Path(__file__).resolve().parents[2]
CALL_S = 120.0
WRITERS = 32


def test_what_32_writers_count_is_what_was_acknowledged(raft_cluster: RaftCluster) -> None:
    """Each increment once, over a killed and a paused leader (failure B6); none is in doubt."""
    stop = threading.Event()

    def break_things() -> None:
        raft_cluster.kill_leader()
        raft_cluster.start()
        raft_cluster.pause()
        raft_cluster.resume()
        raft_cluster.wait_ready()
        stop.set()

    async def main() -> tuple[int, bytes | None]:
        async with AsyncClient(raft_cluster.endpoints, timeout=CALL_S) as cache:

            async def count() -> int:
                for turn in itertools.count(1):
                    await cache.incr("n")
                    if stop.is_set():
                        return turn
                raise AssertionError("a count has no end")

            writers = [asyncio.create_task(count()) for _ in range(WRITERS)]
            breaking = asyncio.create_task(asyncio.to_thread(break_things))
            counts = await asyncio.gather(*writers)
            await breaking
            return sum(counts), await cache.get("n")

    acknowledged, value = asyncio.run(main())

    assert value == str(acknowledged).encode()
    assert acknowledged >= WRITERS


def test_a_blocking_client_counts_over_a_paused_leader(raft_cluster: RaftCluster) -> None:
    with Client(raft_cluster.endpoints, timeout=CALL_S) as cache:
        assert cache.incr("n") == 1
        raft_cluster.pause()
        assert [cache.incr("n") for _ in range(5)] == [2, 3, 4, 5, 6]


def test_a_watch_sees_each_change_once_over_a_failover(raft_cluster: RaftCluster) -> None:
    with Client(raft_cluster.endpoints, timeout=CALL_S) as cache:
        watch = cache.watch(prefix="w/")
        for number in range(10):
            cache.set(f"w/{number}", str(number))
            if number == 4:
                raft_cluster.kill_leader()

        seen = [watch.next() for _ in range(10)]

    assert [event.value for event in seen if event] == [b"%d" % number for number in range(10)]


@pytest.mark.parametrize("fenced", [True, False])
def test_two_holders_write_only_where_there_is_no_fence(
    raft_cluster: RaftCluster, *, fenced: bool
) -> None:
    """A holder who stands still for longer than his lease does not know that he lost it."""
    with (
        Client(raft_cluster.endpoints, timeout=CALL_S, session_ttl=1.0) as sleepy,
        Client(raft_cluster.endpoints, timeout=CALL_S) as waking,
    ):
        first = Lock(sleepy, "l").acquire()
        assert first is not None
        sleepy._keeper.stop()  # nothing of him runs any more, as in a long stop of the process
        with Lock(waking, "l") as second:
            waking.set("doc", "second", fence=second.fence)
            if fenced:
                with pytest.raises(Fenced):
                    sleepy.set("doc", "first", fence=first.fence)
            else:
                sleepy.set("doc", "first")

            assert waking.get("doc") == (b"second" if fenced else b"first")
            assert first.lost


def test_a_lock_that_was_given_back_is_free_at_once(raft_cluster: RaftCluster) -> None:
    with (
        Client(raft_cluster.endpoints, timeout=CALL_S, session_ttl=600) as one,
        Client(raft_cluster.endpoints, timeout=CALL_S) as other,
    ):
        with Lock(one, "l") as held:
            assert Lock(other, "l").acquire(timeout=0) is None
            assert held.remaining > 0
        with Lock(other, "l"):
            pass
        places = Semaphore(one, "s", 2)
        assert [places.acquire(0) is not None for _ in range(3)] == [True, True, False]
        with Election(one, "e", "ada"):
            assert Election(other, "e").leader() == b"ada"


def test_closing_a_client_frees_its_locks(raft_cluster: RaftCluster) -> None:
    with Client(raft_cluster.endpoints, timeout=CALL_S) as other:
        with Client(raft_cluster.endpoints, timeout=CALL_S, session_ttl=600) as one:
            Lock(one, "l").acquire()
        assert Lock(other, "l").acquire() is not None


def test_locks_of_asyncio_exclude_each_other(raft_cluster: RaftCluster) -> None:
    async def main() -> int:
        inside = most = 0
        async with AsyncClient(raft_cluster.endpoints, timeout=CALL_S) as cache:

            async def work() -> None:
                nonlocal inside, most
                async with AsyncLock(cache, "l") as held:
                    inside += 1
                    most = max(most, inside)
                    await cache.incr("n", fence=held.fence)
                    inside -= 1

            await asyncio.gather(*(work() for _ in range(8)))
            assert await cache.get("n") == b"8"
            return most

    assert asyncio.run(main()) == 1


def test_a_result_is_computed_once_in_the_whole_cluster(raft_cluster: RaftCluster) -> None:
    calls: list[int] = []
    inside = threading.Barrier(4)

    def worker() -> None:
        with Client(raft_cluster.endpoints, timeout=CALL_S) as cache:

            @cached(cache, ttl=600, wait=CALL_S)
            def slow(x: int) -> dict[str, int]:
                calls.append(x)
                return {"x": x}

            inside.wait(CALL_S)
            results.append(slow(7))

    results: list[dict[str, int]] = []
    workers = [threading.Thread(target=worker) for _ in range(4)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()

    assert results == [{"x": 7}] * 4
    assert calls == [7]


def test_the_state_is_told_while_nobody_answers(raft_cluster: RaftCluster) -> None:
    told: list[State] = []
    suspended, again = threading.Event(), threading.Event()

    def listen(state: State) -> None:
        told.append(state)
        if state is not State.CONNECTED:
            suspended.set()
        elif suspended.is_set():
            again.set()

    with Client(raft_cluster.endpoints, timeout=CALL_S, session_ttl=3) as cache:
        cache.add_listener(listen)
        cache.set("k", "v")
        raft_cluster.pause("all")
        assert suspended.wait(CALL_S)
        raft_cluster.resume()
        cache.set("k", "w")
        assert again.wait(CALL_S)

    assert State.CONNECTED in told


# The command line


def locking(cluster: RaftCluster, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [
            *(sys.executable, "-P", "-m", "orchestrator.cli"),
            *("--state", str(cluster.cluster.paths.state), "lock", *arguments),
        ],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def lock(cluster: RaftCluster, *arguments: str) -> "subprocess.CompletedProcess[str]":
    process = locking(cluster, *arguments)
    out, err = process.communicate()
    return subprocess.CompletedProcess(arguments, process.returncode, out, err)


def test_a_command_runs_while_its_lock_is_held(raft_cluster: RaftCluster) -> None:
    """Its exit code is the command's, and the command knows its fence."""
    program = (
        "import os, sys; from raftcache.client import *\n"
        "cache = Client.local(); fence = Fence(os.environ['RAFTCACHE_FENCE_KEY'].encode(),"
        " int(os.environ['RAFTCACHE_FENCE_CREATE_REV']))\n"
        "cache.set('by', 'the command', fence=fence); cache.close(); sys.exit(7)"
    )

    done = lock(raft_cluster, "nightly", "--wait", "60s", "--", sys.executable, "-c", program)

    assert done.returncode == 7, done.stderr
    with Client(raft_cluster.endpoints, timeout=CALL_S) as cache:
        assert cache.get("by") == b"the command"
        with Lock(cache, "nightly"):
            late = lock(raft_cluster, "nightly", "--wait", "100ms", "--", "true")
    assert late.returncode == 75
    assert "held by others" in late.stderr


def test_a_command_whose_lock_is_lost_is_ended(raft_cluster: RaftCluster) -> None:
    outcomes: list[subprocess.CompletedProcess[str]] = []
    command = ("l", "--ttl", "2s", "--", "sleep", "600")
    runner = threading.Thread(target=lambda: outcomes.append(lock(raft_cluster, *command)))
    with Client(raft_cluster.endpoints, timeout=CALL_S) as cache:
        runner.start()
        while not list(cache.keys("lock/l/")):
            time.sleep(0.02)
        raft_cluster.pause("all")
        runner.join()
        raft_cluster.resume()

    [done] = outcomes
    assert done.returncode == 128 + 15
    assert "the lock is lost" in done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_plain_kill_ends_the_command_before_its_lock_is_free(
    number: signal.Signals, raft_cluster: RaftCluster, tmp_path: Path
) -> None:
    """Else the command would run on beside that of whoever has the lock next."""
    mark = tmp_path / "pid"
    command = f"echo $$ > {mark}.new; mv {mark}.new {mark}; exec sleep 600"
    with Client(raft_cluster.endpoints, timeout=CALL_S) as cache:
        process = locking(raft_cluster, "k", "--ttl", "600s", "--", "sh", "-c", command)
        while not mark.exists():
            assert process.poll() is None
            time.sleep(0.02)

        process.send_signal(number)
        process.communicate()

        assert process.returncode == 128 + 15
        with pytest.raises(ProcessLookupError):
            os.kill(int(mark.read_text()), 0)
        assert not list(cache.keys("lock/k/"))


STRUCK_IN_POPEN = """
import os, signal, subprocess, sys
from orchestrator.cli import main

started = subprocess.Popen

def struck(command, *arguments, **options):
    child = started(command, *arguments, **options)
    if command == ["sleep", "600"]:
        os.kill(os.getpid(), signal.SIGTERM)
        sys.stderr.write(f"{child.pid}\\n")
    return child

subprocess.Popen = struck
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("verb", [("lock", "k"), ("run", "--nodes", "1")])
def test_a_kill_while_a_command_is_started_ends_it_too(
    verb: tuple[str, ...], raft_cluster: RaftCluster, tmp_path: Path
) -> None:
    """It struck between the fork and the word of it, and nobody was left to end the command."""
    said = tmp_path / "stderr"
    with said.open("w") as stderr:  # A pipe would be the command's too.
        done = subprocess.run(
            [
                *(sys.executable, "-P", "-c", STRUCK_IN_POPEN),
                *("--state", str(raft_cluster.cluster.paths.state), *verb, "--", "sleep", "600"),
            ],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=stderr,
            stderr=stderr,
            check=False,
        )

    assert done.returncode == 128 + 15, said.read_text()
    [child] = [int(line) for line in said.read_text().splitlines() if line.isdecimal()]
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
