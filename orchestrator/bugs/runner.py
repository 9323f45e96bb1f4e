"""What a planted bug is hunted with: one seed of the simulator."""

import re
from typing import Final

from ..simulation.run import SWARM, Options, run_seed

_WHERE: Final = re.compile(r"^(?:seed \d+: )?(?:n\d+: )?")
_ASSERTION: Final = re.compile(r"""AssertionError\((["'])(.*)\1\)$""")
_WIDTH: Final = 90


def run_one(seed: int, world: str = SWARM) -> str:
    """Run a seed; return what was broken, in a line, or nothing."""
    outcome = run_seed(seed, Options(profile=world))
    return "" if outcome.ok else brief(outcome.failure or "a run failed")


def brief(failure: str) -> str:
    """Return what was broken without where and when, at most a line of it."""
    first = (failure.splitlines() or [""])[0]
    said = _WHERE.sub("", first)
    assertion = _ASSERTION.match(said)
    said = assertion[2] if assertion else said
    return said if len(said) <= _WIDTH else said[: _WIDTH - 1] + "…"
