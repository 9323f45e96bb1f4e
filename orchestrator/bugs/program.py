"""``bin/test --bugs``: plant each bug, let the simulator and the tests hunt it, and tell."""

import argparse
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path

from .catalogue import BUGS, bug_named
from .hunt import Catch, Found, hunt_by_seeds, hunt_by_tests
from .planting import Bug
from .report import SEEDS_WANTED, is_missed, page_table, put_into_page, row, verdict
from .runner import run_one

PAGE = Path(__file__).resolve().parents[2] / "docs/testing.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Hunt; 0 when every bug was noticed, 1 otherwise."""
    options = _parser().parse_args(arguments)
    bugs = [bug for bug in BUGS if options.only in bug.name]
    if not bugs:
        _say(f"no bug's name contains {options.only!r}")
        return 64
    _say(f"{len(bugs)} planted bugs, up to {options.seeds:,} seeds for each")
    _say(f"{'seeds':>6}  {'what goes wrong':52}  what notices")
    everything = []
    for found in _hunt(bugs, options):
        everything.append(found)
        _say(row(found))
    everything.sort(key=lambda found: bugs.index(found.bug))
    _say("")
    for line in verdict(everything):
        _say(line)
    if options.write:
        PAGE.write_text(put_into_page(PAGE.read_text(), page_table(everything)))
        _say(f"written to {PAGE.name}")
    return 1 if any(map(is_missed, everything)) else 0


def _hunt(bugs: Sequence[Bug], options: argparse.Namespace) -> Iterator[Found]:
    # A process for each bug: whatever it breaks is gone with it.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.jobs, context, max_tasks_per_child=1) as pool:
        tasks = {
            pool.submit(_hunt_one, bug.name, options.seeds, tests=options.tests): bug
            for bug in bugs
        }
        for task in as_completed(tasks):
            catch, test = task.result()
            yield Found(tasks[task], catch, test)


def _hunt_one(name: str, seeds: int, *, tests: bool) -> tuple[Catch, str]:
    catch = hunt_by_seeds(name, run_one, seeds) if seeds else Catch(0, "", 0.0)
    return catch, hunt_by_tests(bug_named(name)) if tests else ""


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
        "--no-tests", dest="tests", action="store_false", help="only the simulator hunts"
    )
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, metavar="N", help="at a time"
    )
    parser.add_argument("--write", action="store_true", help="put the table into docs/testing.md")
    return parser


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()
