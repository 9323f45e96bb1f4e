"""The table of planted bugs: a row for each as it is hunted, a verdict, and the page's copy."""

from collections.abc import Sequence
from statistics import median
from typing import Final

from .hunt import Found

MARK_BEGIN: Final = "<!-- planted bugs: made by `bin/test --bugs --write` -->"
MARK_END: Final = "<!-- end of planted bugs -->"

SEEDS_WANTED: Final = 2_000
MEDIAN_WANTED: Final = 200

_NAME_WIDTH: Final = 52


def row(found: Found) -> str:
    """Return one bug's line: seeds, what it is, and who noticed."""
    seeds = f"{found.catch.seeds:,}" if found.catch.broken else "-"
    by = found.catch.broken or found.test or "NOTHING NOTICES"
    return f"{seeds:>6}  {found.bug.name[:_NAME_WIDTH]:{_NAME_WIDTH}}  {by}"


def verdict(everything: Sequence[Found]) -> list[str]:
    """Return what the hunt came to, in sentences."""
    by_seeds = [found.catch.seeds for found in everything if found.catch.broken]
    tests_only = [found for found in everything if not found.catch.broken and found.test]
    missed = [found for found in everything if not found.catch.broken and not found.test]
    lines = [f"{len(everything)} bugs planted, {len(everything) - len(missed)} noticed"]
    if by_seeds:
        lines.append(
            f"{len(by_seeds)} by the simulator: after {median(by_seeds):g} seeds (median), "
            f"{max(by_seeds):,} at the most"
        )
    if tests_only:
        lines.append(f"{len(tests_only)} by tests alone")
    lines += [f"NOTHING NOTICES: {found.bug.name}" for found in missed]
    return lines


def is_missed(found: Found) -> bool:
    """Tell whether nothing noticed a bug."""
    return not (found.catch.broken or found.test)


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
        catch = found.catch
        cells = (
            found.bug.name,
            " ".join(found.bug.rows),
            f"{catch.seeds:,}" if catch.broken else f"over {catch.seeds:,}",
            catch.broken,
            f"`{found.test}`" if found.test else "",
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join([*lines, "", MARK_END])


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
