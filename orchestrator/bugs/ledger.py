"""What hunts have found so far, in a file: a hunt that was interrupted goes on where it was.

Seeds and tests speak of the code that they ran, so what is known is marked with it; of other code
only hints are left: which test to try first.
"""

import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from .hunt import ROOT
from .planting import Bug
from .plugin import Survey

SEED_CODE = ("raftcache", "orchestrator/simulation", "orchestrator/verify")
"""What decides about a run of a seed."""


class Known(msgspec.Struct, kw_only=True):
    """What is known of one bug."""

    bug: str
    """What it changes, in short."""
    code: str = ""
    """With which code its seeds were run."""
    tried: int = 0
    """Seeds 1 to this one were run, or can't come to the bug; at the last one it was noticed."""
    reached: int = 0
    """In how many of them a run came to its lines."""
    broken: str = ""
    """What a run has noticed, in a line."""
    cpu_seconds: float = 0.0
    test_code: str = ""
    """With which code its tests were run."""
    test: str = ""
    """The first test that failed; "" when none did."""


class Looked(msgspec.Struct, kw_only=True):
    """What sound runs of the seeds of one kind of world have shown."""

    reach: dict[int, list[str]] = {}
    """By seed: the bugs to whose lines the run comes."""
    unsound: dict[int, str] = {}
    """Seeds that fail without any bug, and how: nothing is learned from them."""


class _File(msgspec.Struct, kw_only=True):
    known: dict[str, Known] = {}
    reach_code: str = ""
    worlds: dict[str, Looked] = {}
    survey_code: str = ""
    survey: Survey | None = None
    """Which tests come to which bugs."""
    sounded: list[str] = []
    """The bugs, as they are, that ``worlds`` speaks of."""


class Ledger:
    """What is known of all bugs.

    Args:
        path: where it is kept; None: nowhere.
        older: go by what was found with other code as well.
    """

    def __init__(self, path: Path | None, *, older: bool = False) -> None:
        self._path = path
        self._older = older
        self._file = _File()
        if path is not None and path.exists():
            self._file = msgspec.json.decode(path.read_bytes(), type=_File)

    def of(self, bug: Bug) -> Known:
        """Return what is known of a bug as it is now; what belongs to other code is left out."""
        print_ = bug_print(bug)
        known = self._file.known.get(bug.name)
        if known is None or known.bug != print_:
            known = self._file.known[bug.name] = Known(bug=print_)
        if known.code != code_print() and not self._older:
            known.tried = known.reached = 0
            known.broken, known.cpu_seconds = "", 0.0
        return known

    def has_tests(self, bug: Bug) -> bool:
        """Tell whether the tests were run against a bug as it is now."""
        known = self.of(bug)
        return known.test_code == code_print() or (self._older and known.test_code != "")

    def note_tests(self, bug: Bug, test: str) -> None:
        """Note what the tests have found."""
        known = self.of(bug)
        known.test, known.test_code = test, code_print()

    def sound(self, bugs: Iterable[Bug]) -> None:
        """See that what is known of who is reached, if anything, is about these bugs."""
        prints = {bug_print(bug) for bug in bugs}
        file = self._file
        if file.reach_code != code_print() or not prints <= {*file.sounded}:
            file.worlds = {}
            file.reach_code, file.sounded = code_print(), sorted(prints)

    def looked(self, world: str) -> Looked:
        """Return what is known of a kind of world's seeds; it may be added to."""
        return self._file.worlds.setdefault(world, Looked())

    def wanted_tests(self, bug: Bug) -> list[str] | None:
        """Return the tests that come to a bug; None: that is not known, or all may."""
        survey = self._file.survey
        if survey is None or bug.name in survey.early or bug.name not in survey.tests:
            return None
        return survey.tests[bug.name]

    def needs_survey(self, bugs: Iterable[Bug]) -> bool:
        """Tell whether it is not known which tests come to these bugs, with the code as it is."""
        survey = self._file.survey
        if survey is None or self._file.survey_code != code_print():
            return True
        return not {bug.name for bug in bugs} <= {*survey.tests}

    def note_survey(self, survey: Survey) -> None:
        """Note which tests come to which bugs."""
        self._file.survey, self._file.survey_code = survey, code_print()

    def save(self) -> None:
        """Keep it all."""
        if self._path is not None:
            written = self._path.with_suffix(".tmp")
            written.write_bytes(msgspec.json.encode(self._file))
            written.rename(self._path)


def bug_print(bug: Bug) -> str:
    """Return some digits that stand for what a bug changes."""
    return _digits(repr(bug.edits).encode())


@cache
def code_print() -> str:
    """Return some digits that stand for the code that a seed's run depends on."""
    files = sorted(path for name in SEED_CODE for path in (ROOT / name).rglob("*.py"))
    return _digits(b"".join(path.read_bytes() for path in files))


def _digits(data: Any) -> str:
    return hashlib.blake2b(data, digest_size=6).hexdigest()
