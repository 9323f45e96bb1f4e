"""A thread for file work that may take long and that nobody waits for: snapshots.

The loop submits jobs and is handed their results back on its own thread; jobs run one at a time,
in order. The log's thread is never kept waiting by them.
"""

import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from typing import TypeVar

from ..errors import RaftCacheError

_T = TypeVar("_T")


class Worker:
    """Runs jobs on a thread of its own.

    Args:
        notify: called on the worker's thread when a result is there; wakes the loop.
    """

    def __init__(self, notify: Callable[[], None]) -> None:
        self._notify = notify
        self._jobs: SimpleQueue[Callable[[], Callable[[], None]] | None] = SimpleQueue()
        self._results: deque[Callable[[], None]] = deque()
        self._thread = threading.Thread(target=self._run, name="snapshots", daemon=True)
        self._thread.start()

    def submit(self, job: Callable[[], _T], done: Callable[[_T | RaftCacheError], None]) -> None:
        """Let ``job`` run; ``done`` gets what it returned, or the error of ours that it raised.

        ``done`` runs on the loop's thread. Any other exception is a defect and is raised there.
        """

        def run() -> Callable[[], None]:
            try:
                result: _T | RaftCacheError = job()
            except RaftCacheError as error:
                result = error
            return lambda: done(result)

        self._jobs.put(run)

    def deliver(self) -> None:
        """Hand out the results that are there, on the caller's thread, which is the loop's."""
        while self._results:
            self._results.popleft()()

    def close(self) -> None:
        """Finish the job under way and stop; results that nobody took are dropped."""
        self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            try:
                result = job()
            except Exception as error:  # noqa: BLE001 - the loop's thread raises it
                result = _raiser(error)
            self._results.append(result)
            self._notify()


def _raiser(error: Exception) -> Callable[[], None]:
    def raise_it() -> None:
        raise error

    return raise_it
