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

CLOSE_SECONDS = 1.0
"""How long a stopping node waits for the job under way."""

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
        self._closing = False
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
        """Stop: no other job begins, and results that nobody took are dropped.

        The job under way is given a moment. A long one ends with the process, and leaves a file
        that the next start removes.
        """
        self._closing = True
        self._jobs.put(None)
        self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None and not self._closing:
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
