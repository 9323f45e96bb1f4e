"""The hunt for one planted bug: by the simulator, seed after seed, and by the tests.

Each bug has a process of its own, so that nothing it breaks outlives it. A run that does not end is
a catch too: a server that goes round in circles is found by its processor time.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NamedTuple

import msgspec

from .catalogue import bug_named
from .planting import Bug, Planted
from .plugin import BUG_VARIABLE, SURVEY_VARIABLE, Survey
from .reach import Probes

SEED_SECONDS_MAX = 15.0
"""Processor time after which one run counts as standing still; a sound one takes well under 1 s."""
TEST_SECONDS_MAX = 300.0
"""Processor and other time after which a test run is given up as standing still."""
SURVEY_SECONDS_MAX = 1_800.0
"""Time after which a run of all quick tests is given up."""

TESTS_OF = {
    "raft": ("tests/raft", "tests/node"),
    "storage": ("tests/storage", "tests/node"),
    "store": ("tests/store", "tests/protocol", "tests/node"),
    "node": ("tests/node", "tests/raft"),
    "transport": ("tests/transport", "tests/node"),
    "protocol": ("tests/protocol", "tests/node"),
}
"""Where the tests of a package are, those first that most probably notice."""

ROOT = Path(__file__).resolve().parents[2]

_FAILED = re.compile(r"^(?:FAILED|ERROR) (\S+?)(?:\[.*)?(?: - .*)?$", re.MULTILINE)

Runner = Callable[[int], str]
"""Runs one seed; returns what was broken, or nothing."""


class Catch(NamedTuple):
    """What became of a hunt for a bug through some seeds."""

    seed: int
    """The one that noticed; 0: none did."""
    broken: str
    """What it noticed, in a line; "" when nothing did."""
    cpu_seconds: float


class Found(NamedTuple):
    """A bug, and who noticed it."""

    bug: Bug
    seeds: int
    """How many seeds were tried, the one that noticed included."""
    reached: int
    """In how many of them a run came to what the bug changes."""
    broken: str
    """What the simulator noticed, in a line; "" when nothing did."""
    test: str
    """The first test that failed; "" when none did, or none was asked."""

    @property
    def is_missed(self) -> bool:
        """Tell whether nothing noticed the bug."""
        return not (self.broken or self.test)


def hunt_by_seeds(name: str, run: Runner, seeds: Iterable[int]) -> Catch:
    """Plant a bug in this process and run seeds until one notices."""
    planted = Planted(bug_named(name))
    began = time.process_time()
    try:
        for seed in seeds:
            broken = _run_bounded(run, seed)
            if broken:
                return Catch(seed, broken, time.process_time() - began)
        return Catch(0, "", time.process_time() - began)
    finally:
        planted.remove()


def look_who_is_reached(
    names: Sequence[str], run: Runner, seeds: Iterable[int]
) -> tuple[dict[int, list[str]], dict[int, str]]:
    """Run seeds without any bug: which bugs' lines each comes to, and which fail all the same."""
    probes = Probes([bug_named(name) for name in names])
    reached: dict[int, list[str]] = {}
    unsound: dict[int, str] = {}
    try:
        for seed in seeds:
            if broken := _run_bounded(run, seed):
                unsound[seed] = broken
            reached[seed] = sorted(probes.take())
    finally:
        probes.remove()
    return reached, unsound


def survey_tests() -> Survey:
    """Run the quick tests once, without any bug: which of them come to which bugs."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "survey.json"
        folders = sorted({name for names in TESTS_OF.values() for name in names})
        _run_pytest(["-q", *folders], {SURVEY_VARIABLE: str(path)}, SURVEY_SECONDS_MAX)
        if not path.exists():
            return Survey({}, [])
        return msgspec.json.decode(path.read_bytes(), type=Survey)


def hunt_by_tests(bug: Bug, hint: str = "", wanted: Sequence[str] | None = None) -> str:
    """Run the quick tests with a bug planted; return the first that fails, or nothing.

    Args:
        bug: what is planted.
        hint: a test that has noticed it before. It is tried alone first, which takes seconds.
        wanted: the tests that come to it at all; None: not known, so all are run.
    """
    if hint and (ROOT / "tests" / hint.partition("::")[0]).exists():
        noticed = _run_tests(bug, [f"tests/{hint}"])
        if noticed == hint:
            return hint
    if wanted is not None and not wanted:
        return ""
    return _run_tests(bug, TESTS_OF[bug.area] if wanted is None else wanted)


def _run_tests(bug: Bug, wanted: Sequence[str]) -> str:
    done = _run_pytest(["-q", "-x", *wanted], {BUG_VARIABLE: bug.name}, TEST_SECONDS_MAX)
    if done is None:
        return "the tests stand still"
    failed = _FAILED.search(done.stdout)
    if failed:
        return failed[1].removeprefix("tests/")
    return "" if done.returncode == 0 else "the tests do not start"


def _run_pytest(
    arguments: Sequence[str], variables: dict[str, str], seconds: float
) -> "subprocess.CompletedProcess[str] | None":
    """Run pytest on the quick tests among these; None: it did not end in time."""
    command = [
        *(sys.executable, "-m", "pytest", "-p", "orchestrator.bugs.plugin"),
        *("-p", "no:cacheprovider", "--no-header", "-m", "not processes and not slow"),
        *arguments,
    ]
    environment = {**os.environ, **variables, "RAFTCACHE_TEST_EFFORT": "quick"}
    try:
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            env=environment,
            cwd=ROOT,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None


def _run_bounded(run: Runner, seed: int) -> str:
    try:
        with _processor_time(SEED_SECONDS_MAX):
            return run(seed)
    except _StandsStillError:
        return "a run stands still"
    except Exception as error:  # noqa: BLE001 - whatever it breaks, it is noticed
        first, *_ = str(error).splitlines() or [""]
        return f"{type(error).__name__}: {first}" if first else type(error).__name__


class _StandsStillError(BaseException):
    """Passes through whatever the bug and the code around it may catch."""


@contextmanager
def _processor_time(seconds: float) -> Iterator[None]:
    """Raise when this much processor time is spent."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise _StandsStillError

    before = signal.signal(signal.SIGVTALRM, stop)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
