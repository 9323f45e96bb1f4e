"""A pytest plugin that plants one bug before any test runs: ``pytest -p orchestrator.bugs.plugin``.

The bug's name is in the environment, so that the tests themselves know nothing of it.
"""

import os

from .catalogue import bug_named
from .planting import Planted

BUG_VARIABLE = "RAFTCACHE_PLANTED_BUG"
"""The name of the bug, as the catalogue has it."""


def pytest_sessionstart() -> None:
    """Plant the bug; the process ends with the session, so nothing takes it out again."""
    Planted(bug_named(os.environ[BUG_VARIABLE]))
