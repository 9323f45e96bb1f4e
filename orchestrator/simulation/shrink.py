"""The smallest run that still fails in the same way, found by leaving things out.

Whatever is left out changes the course of events, so each attempt is made with a few salts: other
courses in the same, smaller world.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from .draw import NEVER_BYTES
from .profile import CALM
from .run import Options, Outcome, run_seed

RUNS_MAX = 600
SALTS = 3
"""How many courses of events each attempt gets."""

_PEACEFUL: tuple[dict[str, Any], ...] = (
    {"loss": 0, "duplicate": 0, "reorder": 0, "bulk_loss": 0, "slow_disk": 0},
    {"loss": 0},
    {"duplicate": 0},
    {"reorder": 0},
    {"bulk_loss": 0},
    {"slow_disk": 0},
    {"clock_rates": [1000]},
    {"snapshot_log_bytes": NEVER_BYTES},
    *(
        {name: list(getattr(CALM, name))}
        for name in ("turn_us", "disk_us", "delay_us", "job_us", "think_us")
    ),
)
"""What may turn out not to matter."""


class Shrunk(msgspec.Struct, frozen=True):
    """The smallest failing run that was found."""

    options: Options
    outcome: Outcome
    runs: int
    """How many runs it took to find."""


def shrink(
    failed: Outcome,
    options: Options,
    *,
    runs_max: int = RUNS_MAX,
    go_on: Callable[[], bool] = lambda: True,
    run: Callable[[int, Options], Outcome] = run_seed,
) -> Shrunk:
    """Leave out of a failing run what it does not need.

    Args:
        failed: what came of it.
        options: how it was run.
        runs_max: how many runs this may take.
        go_on: asked before each run; False ends the search with what there is.
        run: for tests.
    """
    return _Shrinking(failed, options, runs_max, go_on, run).shrink()


def signature(failure: str | None) -> str:
    """Return what two failures of one cause have in common: the words without the numbers."""
    return re.sub(r"[\d\W_]+", " ", (failure or "").partition(":")[0])[:80]


class _Shrinking:
    def __init__(
        self,
        failed: Outcome,
        options: Options,
        runs_max: int,
        go_on: Callable[[], bool],
        run: Callable[[int, Options], Outcome],
    ) -> None:
        self._best = Shrunk(options, failed, 0)
        self._wanted = signature(failed.failure)
        self._left = runs_max
        self._runs = 0
        self._go_on = go_on
        self._run = run

    def shrink(self) -> Shrunk:
        """Go through all that can be left out, until nothing more can."""
        before = None
        while before != self._best.options and self._may_go_on():
            before = self._best.options
            self._shorten()
            self._drop_points()
            self._drop_strikes()
            for change in _PEACEFUL:
                self._try(change)
            for name, fewer in (("clients", (1, 2, 4)), ("nodes", (1, 2, 3, 4))):
                self._reduce(name, fewer)
            self._drop_each("mix", at_least=1)
        return msgspec.structs.replace(self._best, runs=self._runs)

    def _shorten(self) -> None:
        events = self._best.outcome.events
        if events < self._best.outcome.profile.events:
            self._try({"events": events})
        for part in (8, 4, 2):
            if self._try({"events": self._best.outcome.profile.events // part}):
                return

    def _drop_points(self) -> None:
        if not self._try({"points": []}):
            self._drop_each("points", at_least=0)

    def _drop_strikes(self) -> None:
        """Leave out all faults of one kind, then halves, then single ones."""
        if self._try({"strikes": []}):
            self._try({"faults": []})
            return
        for kind in sorted({kind for _, kind in self._best.outcome.strikes}):
            strikes = self._best.outcome.strikes
            self._try({"strikes": [number for number, other in strikes if other != kind]})
        size = max(1, len(self._best.outcome.strikes) // 2)
        while size >= 1:
            position = 0
            while position < len(self._best.outcome.strikes) and self._may_go_on():
                numbers = [number for number, _ in self._best.outcome.strikes]
                if not self._try({"strikes": numbers[:position] + numbers[position + size :]}):
                    position += size
            size //= 2

    def _drop_each(self, name: str, *, at_least: int) -> None:
        for value in sorted(set(getattr(self._best.outcome.profile, name))):
            rest = [one for one in getattr(self._best.outcome.profile, name) if one != value]
            if len(rest) >= at_least:
                self._try({name: rest})

    def _reduce(self, name: str, fewer: tuple[int, ...]) -> None:
        for value in fewer:
            if value < getattr(self._best.outcome.profile, name) and self._try({name: value}):
                return

    def _try(self, change: dict[str, Any]) -> bool:
        """Take over a change if the run still fails with it, in the same way."""
        best = self._best
        changes = {**best.options.changes, **change}
        if changes == best.options.changes or _says(best.outcome, change):
            return False
        for salt in self._salts():
            if not self._may_go_on():
                return False
            self._left -= 1
            self._runs += 1
            options = msgspec.structs.replace(best.options, changes=changes, salt=salt)
            outcome = self._run(best.outcome.seed, options)
            if signature(outcome.failure) == self._wanted:
                self._best = Shrunk(options, outcome, self._runs)
                return True
        return False

    def _salts(self) -> Iterator[int]:
        yield self._best.options.salt
        yield from (salt for salt in range(SALTS) if salt != self._best.options.salt)

    def _may_go_on(self) -> bool:
        return self._left > 0 and self._go_on()


def _says(outcome: Outcome, change: dict[str, Any]) -> bool:
    """Tell whether a run's world was like that already."""
    world = msgspec.to_builtins(outcome.profile)
    return all(world[name] == value for name, value in change.items())
