"""The thread for snapshots' files: results come back in order, and nobody waits for it."""

import threading
from collections.abc import Callable

import pytest

from raftcache.errors import RaftCacheError, StorageError
from raftcache.node.worker import Worker


class _Waker:
    def __init__(self) -> None:
        self.event = threading.Event()

    def __call__(self) -> None:
        self.event.set()

    def wait(self) -> None:
        assert self.event.wait(timeout=30)
        self.event.clear()


def run_all(worker: Worker, waker: _Waker, jobs: list[Callable[[], int]]) -> list[object]:
    """Let all jobs run, and return what came of them, in the order in which it came."""
    outcomes: list[object] = []
    for job in jobs:
        worker.submit(job, outcomes.append)
    while len(outcomes) < len(jobs):
        waker.wait()
        worker.deliver()
    return outcomes


def test_results_and_refusals_come_back_in_order() -> None:
    """An error of ours is a result like any other."""
    waker = _Waker()
    worker = Worker(waker)
    refusal = StorageError("no")

    def refuse() -> int:
        raise refusal

    outcomes = run_all(worker, waker, [lambda: 1, refuse, lambda: 3])
    worker.close()

    assert outcomes == [1, refusal, 3]


def test_a_defect_in_a_job_is_raised_where_results_are_taken() -> None:
    """A thread that dies in silence would leave the node without snapshots."""
    waker = _Waker()
    worker = Worker(waker)

    def fail() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_all(worker, waker, [fail])
    assert run_all(worker, waker, [lambda: 2]) == [2]
    worker.close()


def test_a_stop_begins_no_other_job() -> None:
    """Those that wait may be many, and each may take seconds: SIGTERM waits for none."""
    waker = _Waker()
    worker = Worker(waker)
    began, may_end = threading.Event(), threading.Event()
    done: list[int | RaftCacheError] = []
    more: list[int] = []

    def later() -> int:
        more.append(1)
        return 2

    def first() -> int:
        began.set()
        assert may_end.wait(timeout=30)
        return 1

    worker.submit(first, done.append)
    for _ in range(8):
        worker.submit(later, done.append)
    assert began.wait(timeout=30)
    threading.Timer(0.05, may_end.set).start()
    worker.close()

    assert (done, more) == ([], [])


def test_a_stop_does_not_wait_for_long_for_the_job_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A file of a gigabyte is read back in one job."""
    monkeypatch.setattr("raftcache.node.worker.CLOSE_SECONDS", 0.01)
    worker = Worker(lambda: None)
    began, may_end = threading.Event(), threading.Event()

    def long_job() -> int:
        began.set()
        return int(may_end.wait(timeout=30))

    worker.submit(long_job, lambda _: None)
    assert began.wait(timeout=30)
    worker.close()
    assert not may_end.is_set()

    may_end.set()
