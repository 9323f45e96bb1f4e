"""``docs/RAFT.md`` names code and tests that exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "RAFT.md").read_text()
NAMES = sorted(set(re.findall(r"`([\w/]+\.py):([\w.]+)`", PAGE)))


def names_in(path: Path) -> set[str]:
    """Return what a file defines at its top level, and ``Class.method`` for methods."""
    found: set[str] = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            found |= {
                f"{node.name}.{item.name}"
                for item in node.body
                if isinstance(item, ast.FunctionDef)
            }
    return found


@pytest.mark.parametrize("file", sorted({file for file, _ in NAMES}))
def test_the_page_names_what_exists(file: str) -> None:
    """A renamed function or test must be renamed in the page too."""
    folder = ROOT / ("tests" if Path(file).name.startswith("test_") else "raftcache")
    if "/" not in file:
        folder /= "raft"

    named = {name for other, name in NAMES if other == file}

    assert named <= names_in(folder / file)


def test_every_rule_of_the_figures_and_chapters_is_there() -> None:
    """A rule that was left out is missed by nothing else."""
    sections = set(re.findall(r"§(\d+\.\d+)", PAGE.partition("## The thesis")[2]))

    assert sections >= {"3.10", "4.1", "4.2", "4.3", "4.4", "5.1", "6.2", "6.4"}
    for figure, count in (("AppendEntries (Figure 2", 5), ("RequestVote (Figure 2", 2)):
        section = PAGE.partition(f"## {figure}")[2].partition("\n## ")[0]
        assert {int(rule) for rule in re.findall(r"\| (\d)\. ", section)} == {*range(1, count + 1)}
    promises = PAGE.partition("## Promises")[2].partition("\n## ")[0]
    for name in (
        "Election Safety",
        "Append-Only",
        "Log Matching",
        "Completeness",
        "Machine Safety",
    ):
        assert name in promises
    told = re.findall(r"Figure 13, rules? (\d)(?: to (\d))?", PAGE.partition("## Deviations")[0])
    assert {rule for first, last in told for rule in range(int(first), int(last or first) + 1)} == {
        *range(1, 9)
    }


def test_each_rule_has_its_code_and_its_test() -> None:
    """A row without one of the two would be a rule without proof."""
    rows = [line for line in PAGE.splitlines() if line.startswith("| ") and "---" not in line]
    rules = [row for row in rows if not row.endswith("| code | test |")]

    incomplete = [
        row for row in rules if not re.search(r"\| `[\w/]+\.py:.+\| `(\w+/)?test_\w+\.py:", row)
    ]

    assert len(rules) > 60
    assert incomplete == []
