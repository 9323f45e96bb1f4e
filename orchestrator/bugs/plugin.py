"""A pytest plugin that plants one bug before any test runs: ``pytest -p orchestrator.bugs.plugin``.

Or it plants none, and takes down which tests come to which bugs. What it is to do is in the
environment, so that the tests themselves know nothing of it.
"""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from .catalogue import BUGS, bug_named
from .planting import Planted
from .reach import Probes

BUG_VARIABLE = "RAFTCACHE_PLANTED_BUG"
"""The name of the bug, as the catalogue has it."""
SURVEY_VARIABLE = "RAFTCACHE_BUGS_SURVEY"
"""Where to write which tests come to which bugs."""


class Survey(msgspec.Struct):
    """Which tests come to a bug, by the bug's name: those first that take the least time."""

    tests: dict[str, list[str]]
    early: list[str]
    """Bugs that are come to before any test begins: any test may notice them."""


class _Surveyor:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._probes = Probes(BUGS)
        self._early: set[str] = set()
        self._found: dict[str, list[tuple[float, str]]] = {bug.name: [] for bug in BUGS}

    def pytest_collection_finish(self) -> None:
        """Take down what was come to so far."""
        self._early |= self._probes.take()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """Take down what one test comes to, with what is set up for it."""
        began = time.process_time()
        result = yield
        seconds = time.process_time() - began
        for name in self._probes.take():
            self._found[name].append((seconds, item.nodeid))
        return result

    def pytest_sessionfinish(self) -> None:
        """Write it all down."""
        tests = {name: [test for _, test in sorted(found)] for name, found in self._found.items()}
        self._path.write_bytes(msgspec.json.encode(Survey(tests, sorted(self._early))))

    def close(self) -> None:
        """Take the probes out, where the process goes on."""
        self._probes.remove()


def pytest_configure(config: pytest.Config) -> None:
    """Plant the bug, or the probes; the process ends with the session, so nothing takes it out."""
    if name := os.environ.get(BUG_VARIABLE):
        Planted(bug_named(name))
    elif path := os.environ.get(SURVEY_VARIABLE):
        config.pluginmanager.register(_Surveyor(Path(path)))
