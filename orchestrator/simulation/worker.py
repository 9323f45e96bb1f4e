"""The thread of a node for snapshots' files, without a thread: jobs that take virtual time.

It stands in for ``raftcache.node.worker.Worker``: one job at a time, in order, and results wait
until the loop takes them. A process may die around each job, and before each change that one makes.
"""

from collections import deque
from collections.abc import Callable
from random import Random
from typing import TypeVar

from raftcache.errors import RaftCacheError

from .profile import Profile
from .scheduler import Scheduler

_T = TypeVar("_T")


class SimulatedWorker:
    """Implements ``raftcache.node.snapshots.JobRunner``.

    Args:
        notify: called when a result is there.
        guarded: runs a step of the process, as for ``SimulatedWriter``.
        point: called where a process may die, with the place's name.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        random: Random,
        profile: Profile,
        *,
        notify: Callable[[], None],
        guarded: Callable[[Callable[[], None]], None],
        point: Callable[[str, None], None],
    ) -> None:
        self.held = False
        """True: the next job waits until :meth:`go_on`."""
        self.job_count = 0
        self._scheduler = scheduler
        self._random = random
        self._profile = profile
        self._notify = notify
        self._guarded = guarded
        self._point = point
        self._jobs: deque[Callable[[], Callable[[], None]]] = deque()
        self._results: deque[Callable[[], None]] = deque()
        self._busy = False

    def submit(self, job: Callable[[], _T], done: Callable[[_T | RaftCacheError], None]) -> None:
        """Let ``job`` run, some time later; ``done`` gets its result in a turn after that."""

        def run() -> Callable[[], None]:
            try:
                result: _T | RaftCacheError = job()
            except RaftCacheError as error:
                result = error
            return lambda: done(result)

        self._jobs.append(run)
        self._start_soon()

    def deliver(self) -> None:
        """Hand out the results that are there."""
        while self._results:
            self._results.popleft()()

    def go_on(self) -> None:
        """Let a held worker go on."""
        self.held = False
        self._start_soon()

    def _start_soon(self) -> None:
        if self._jobs and not self._busy and not self.held:
            self._busy = True
            delay_us = self._random.randint(*self._profile.job_us)
            self._scheduler.after(delay_us, lambda: self._guarded(self._run))

    def _run(self) -> None:
        self._busy = False
        if self.held:
            return
        self._point("job", None)
        self.job_count += 1
        self._results.append(self._jobs.popleft()())
        self._point("job done", None)
        self._notify()
        self._start_soon()
