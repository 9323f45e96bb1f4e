"""``bin/test --bugs``: plant each bug, let the simulator and the tests hunt it, and tell."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .catalogue import BUGS
from .hunt import ROOT
from .ledger import Ledger
from .report import SEEDS_WANTED, page_table, put_into_page, row, row_of_tests, verdict
from .rounds import Hunt

PAGE = ROOT / "docs/testing.md"

EXIT_USAGE = 64
EXIT_INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Hunt; 0 when every bug was noticed, 1 otherwise."""
    options = _parser().parse_args(arguments)
    bugs = [bug for bug in BUGS if options.only in bug.name]
    if not bugs:
        _say(f"no bug's name contains {options.only!r}")
        return EXIT_USAGE
    if options.write and options.only:
        _say("--write needs all bugs: leave --only out")
        return EXIT_USAGE
    ledger = Ledger(options.keep, older=options.older)
    _say(
        f"{len(bugs)} planted bugs: up to {options.seeds:,} seeds for each, tests: {options.tests}"
    )
    with Hunt(bugs, ledger, jobs=options.jobs, say=_say) as hunt:
        try:
            _hunt(hunt, options)
        except KeyboardInterrupt:
            _say("interrupted" + (f": {options.keep} has what was found" if options.keep else ""))
            return EXIT_INTERRUPTED
        everything = [hunt.found(bug) for bug in bugs]
    _say("")
    for line in verdict(everything):
        _say(line)
    if options.write:
        PAGE.write_text(put_into_page(PAGE.read_text(), page_table(everything)))
        _say(f"written to {PAGE.name}")
    return 1 if any(found.is_missed for found in everything) else 0


def _hunt(hunt: Hunt, options: argparse.Namespace) -> None:
    for count, found in enumerate(hunt.by_seeds(options.seeds), 1):
        _say(f"{count:4} {row(found)}")
    left = [bug for bug in hunt.bugs if options.tests == "all" or not hunt.found(bug).broken]
    if options.tests == "none" or not left:
        return
    _say(f"the tests, for {len(left)} bugs")
    for count, found in enumerate(hunt.by_tests(left), 1):
        _say(f"{count:4} {row_of_tests(found)}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="bin/test --bugs",
        description="Plant each bug of orchestrator/bugs; say what notices it, and how soon.",
    )
    parser.add_argument(
        "--seeds", type=int, default=SEEDS_WANTED, metavar="N", help="for each bug, at most (2000)"
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="bugs whose name has this")
    parser.add_argument(
        "--tests",
        choices=("all", "missed", "none"),
        default="all",
        help="which bugs the tests hunt as well: those that the simulator missed, or all of them",
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="at a time"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="FILE", help="keep what is found there, and go on from it"
    )
    parser.add_argument(
        "--older", action="store_true", help="go by what FILE knows of older code, too"
    )
    parser.add_argument("--write", action="store_true", help="put the table into docs/testing.md")
    return parser


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
