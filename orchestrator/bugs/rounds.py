"""A hunt for many bugs: few seeds for all of them first, then more for those that were missed.

Most bugs fall within a few seeds; so what costs much, the thousandth seed, is paid for few. Seeds
that can't come to a bug's lines are left out (``reach``). Each task has a process of its own:
whatever a bug breaks is gone with it.
"""

import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from functools import partial
from types import TracebackType
from typing import Any, Final, Self

from .hunt import Catch, Found, hunt_by_seeds, hunt_by_tests, look_who_is_reached, survey_tests
from .ledger import Ledger, code_print
from .planting import Bug
from .runner import run_one

ROUNDS: Final = (30, 100, 300, 1_000)
"""Up to which seed each round goes; the last one goes as far as is asked for."""
SOUND_MIN: Final = 4
"""To look who is reached costs a run of each seed: it pays for so many bugs or more."""
SOUND_SEEDS: Final = 25
"""How many seeds one process looks at."""

Say = Callable[[str], None]


class Hunt:
    """The hunt; use as a context manager.

    Args:
        bugs: what is hunted.
        ledger: what is known, and where what is found is kept.
        jobs: how many processes there are at a time.
        say: takes what is told of the progress.
    """

    def __init__(self, bugs: Sequence[Bug], ledger: Ledger, *, jobs: int, say: Say) -> None:
        self.bugs = bugs
        self._ledger = ledger
        self._say = say
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([__name__])
        self._pool = ProcessPoolExecutor(jobs, context, max_tasks_per_child=1)

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End; what has not begun is left."""
        self._pool.shutdown(cancel_futures=True)

    def found(self, bug: Bug) -> Found:
        """Return what is known of a bug."""
        known = self._ledger.of(bug)
        test = known.test if self._ledger.has_tests(bug) else ""
        return Found(bug, known.tried, known.reached, known.broken, test)

    def by_seeds(self, seeds: int) -> Iterator[Found]:
        """Let the simulator hunt, round after round; yield each bug that it notices, or noticed."""
        for bug in self.bugs:
            if self._ledger.of(bug).broken:
                yield self.found(bug)
        for last in sorted({min(seeds, most) for most in (*ROUNDS, seeds)}):
            missed = [bug for bug in self.bugs if not self._ledger.of(bug).broken]
            missed = [bug for bug in missed if self._ledger.of(bug).tried < last]
            if not missed:
                continue
            first = 1 + min(self._ledger.of(bug).tried for bug in missed)
            self._say(f"seeds {first:,} to {last:,} for {_many(len(missed), 'bug')}")
            self._look_who_is_reached(missed, last)
            yield from self._round(missed, last)

    def by_tests(self, bugs: Sequence[Bug]) -> Iterator[Found]:
        """Let the tests hunt; yield each bug as it is done."""
        ledger = self._ledger
        left = [bug for bug in bugs if not ledger.has_tests(bug)]
        blind = [bug for bug in left if not ledger.of(bug).test]
        if len(blind) >= SOUND_MIN and ledger.needs_survey(blind):
            self._say("all quick tests once, to see which of them come to which bugs")
            ledger.note_survey(self._pool.submit(survey_tests).result())
            ledger.save()
        tasks = {
            self._pool.submit(
                hunt_by_tests, bug, ledger.of(bug).test, ledger.wanted_tests(bug)
            ): bug
            for bug in left
        }
        for bug, test in self._done(tasks):
            self._ledger.note_tests(bug, test)
            self._ledger.save()
            yield self.found(bug)

    def _look_who_is_reached(self, missed: Sequence[Bug], last: int) -> None:
        """Run all seeds of a round without any bug, where that is worth it."""
        self._ledger.sound(missed)
        for world in sorted({bug.world for bug in missed}):
            there = [bug for bug in missed if bug.world == world]
            if len(there) >= SOUND_MIN:
                self._look_into(world, there, last)

    def _look_into(self, world: str, missed: Sequence[Bug], last: int) -> None:
        """Run a kind of world's seeds without any bug."""
        ledger, looked = self._ledger, self._ledger.looked(world)
        first = 1 + min(ledger.of(bug).tried for bug in missed)
        wanted = [seed for seed in range(first, last + 1) if seed not in looked.reach]
        names, run = [bug.name for bug in missed], partial(run_one, world=world)
        parts = [wanted[at : at + SOUND_SEEDS] for at in range(0, len(wanted), SOUND_SEEDS)]
        tasks = {
            self._pool.submit(look_who_is_reached, names, run, part): number
            for number, part in enumerate(parts)
        }
        for _, (reached, unsound) in self._done(tasks):
            looked.reach.update(reached)
            looked.unsound.update(unsound)
            ledger.save()
        for seed, broken in sorted(looked.unsound.items()):
            if seed in wanted:
                self._say(
                    f"seed {seed} of {world} fails without any bug, and is left out: {broken}"
                )

    def _round(self, missed: Sequence[Bug], last: int) -> Iterator[Found]:
        tasks: dict[Future[Catch], Bug] = {}
        worthy: dict[str, list[int]] = {}
        for bug in missed:
            worthy[bug.name] = seeds = self._worthy(bug, last)
            run = partial(run_one, world=bug.world)
            tasks[self._pool.submit(hunt_by_seeds, bug.name, run, seeds)] = bug
        for bug, catch in self._done(tasks):
            known = self._ledger.of(bug)
            known.code = code_print()
            known.tried = catch.seed or last
            known.reached += sum(seed <= known.tried for seed in worthy[bug.name])
            known.broken = catch.broken
            known.cpu_seconds += catch.cpu_seconds
            self._ledger.save()
            if catch.broken:
                yield self.found(bug)

    def _worthy(self, bug: Bug, last: int) -> list[int]:
        """Return the seeds that may notice a bug and were not tried yet."""
        looked = self._ledger.looked(bug.world)
        return [
            seed
            for seed in range(self._ledger.of(bug).tried + 1, last + 1)
            if seed not in looked.unsound
            and (seed not in looked.reach or bug.name in looked.reach[seed])
        ]

    def _done(self, tasks: dict[Future[Any], Any]) -> Iterator[tuple[Any, Any]]:
        for task in as_completed(tasks):
            yield tasks[task], task.result()


def _many(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"
