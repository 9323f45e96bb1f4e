"""What a planted bug is hunted with: one seed of the simulator, in its default worlds."""

import re
from typing import Final

from ..simulation.run import run_seed

_WHERE: Final = re.compile(r"^(?:seed \d+: )?(?:n\d+: )?")
_ASSERTION: Final = re.compile(r"""AssertionError\((["'])(.*)\1\)$""")
_WIDTH: Final = 90


def run_one(seed: int) -> str:
    """Run a seed; return what was broken, in a line, or nothing."""
    outcome = run_seed(seed)
    return "" if outcome.ok else brief(outcome.failure or "a run failed")


def brief(failure: str) -> str:
    """Return what was broken without where and when, at most a line of it."""
    first = (failure.splitlines() or [""])[0]
    said = _WHERE.sub("", first)
    assertion = _ASSERTION.match(said)
    said = assertion[2] if assertion else said
    return said if len(said) <= _WIDTH else said[: _WIDTH - 1] + "…"
