"""The table of planted bugs: a row for each as it is hunted, a verdict, and the page's copy."""

from collections.abc import Sequence
from statistics import median
from typing import Final

from ..simulation.run import SWARM
from .first_hunt import MISSED_AT_FIRST
from .hunt import Found

MARK_BEGIN: Final = "<!-- planted bugs: made by `bin/test --bugs --write` -->"
MARK_END: Final = "<!-- end of planted bugs -->"

SEEDS_WANTED: Final = 2_000
MEDIAN_WANTED: Final = 200

_NAME_WIDTH: Final = 52


def row(found: Found) -> str:
    """Return one bug's line: after how many seeds, what it is, and what the simulator noticed."""
    return f"{found.seeds:6,}  {found.bug.name[:_NAME_WIDTH]:{_NAME_WIDTH}}  {found.broken}"


def row_of_tests(found: Found) -> str:
    """Return one bug's line: what it is, and which test noticed."""
    test = found.test or ("no test" if found.broken else "NOTHING NOTICES")
    return f"        {found.bug.name[:_NAME_WIDTH]:{_NAME_WIDTH}}  {test}"


def verdict(everything: Sequence[Found]) -> list[str]:
    """Return what the hunt came to, in sentences."""
    by_seeds = [found.seeds for found in everything if found.broken]
    by_tests = [found for found in everything if found.test]
    missed = [found for found in everything if found.is_missed]
    lines = [f"{len(everything)} bugs planted, {len(everything) - len(missed)} noticed"]
    if by_seeds:
        lines.append(
            f"{len(by_seeds)} by the simulator: after {median(by_seeds):g} seeds (median), "
            f"{max(by_seeds):,} at the most"
        )
    if by_tests:
        alone = sum(not found.broken for found in by_tests)
        lines.append(f"{len(by_tests)} by tests, {alone} of them by tests alone")
    lines += [f"NOTHING NOTICES: {found.bug.name}; {_reach(found)}" for found in missed]
    return lines


def page_table(everything: Sequence[Found]) -> str:
    """Return the table as the documentation has it, with its verdict."""
    lines = [
        MARK_BEGIN,
        "",
        *(f"{line}.  " for line in verdict(everything)),
        "",
        "| what goes wrong | rows | seeds | what the simulator notices | a test that notices |",
        "| --- | --- | ---: | --- | --- |",
    ]
    for found in everything:
        missed = found.bug.name in MISSED_AT_FIRST
        cells = (
            found.bug.name + (" \\*" if missed else ""),
            " ".join(found.bug.rows),
            _seeds(found),
            found.broken or f"({_reach(found)})",
            f"`{found.test}`" if "::" in found.test else found.test,
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, "", MARK_END])


def _seeds(found: Found) -> str:
    """Say after how many seeds, and of which kind of world if it is no default one."""
    seeds = f"{found.seeds:,}" if found.broken else f"over {found.seeds:,}"
    return seeds if found.bug.world == SWARM else f"{seeds} {found.bug.world}"


def _reach(found: Found) -> str:
    """Say of what was missed whether the worlds come to it at all."""
    if not found.seeds:
        return "no seed was run"
    return f"it could make a difference in {found.reached:,} of {found.seeds:,} runs"


def put_into_page(page: str, table: str) -> str:
    """Return the page with the table in the place of the former one.

    Raises:
        ValueError: the page has no place for it.
    """
    before, begin, rest = page.partition(MARK_BEGIN)
    _, end, after = rest.partition(MARK_END)
    if not (begin and end):
        raise ValueError(f"the page lacks the lines {MARK_BEGIN!r} and {MARK_END!r}")
    return before + table + after
