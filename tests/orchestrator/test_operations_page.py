"""docs/operations.md speaks of commands, codes and alarms that exist."""

import re
from pathlib import Path

import pytest

from orchestrator import errors
from orchestrator.cli.verbs import ENTRIES
from raftcache.node import main, status

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text()


def codes(heading: str) -> set[int]:
    """Return the codes in the table under a heading."""
    table = PAGE.partition(f"| code | {heading}")[2].partition("\n\n")[0]
    return {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.MULTILINE)}


def test_every_verb_on_the_page_exists() -> None:
    verbs = set(re.findall(r"bin/cluster ([a-z]+)", PAGE))

    assert verbs
    assert verbs <= set(ENTRIES)


def test_the_exit_codes_of_commands_are_all_there() -> None:
    """Those of a defect, a Ctrl-C and a closed pipe are every program's."""
    everybodys = {errors.EXIT_DEFECT, errors.EXIT_INTERRUPTED, errors.EXIT_BROKEN_PIPE}
    ours = {code for name, code in vars(errors).items() if name.startswith("EXIT_")}

    assert codes("`bin/cluster` means") == ours - everybodys


def test_the_exit_codes_of_nodes_are_all_there() -> None:
    ours = {code for name, code in vars(main).items() if name.startswith("EXIT_")}

    assert codes("a node's process ended because") == {0, *ours}


def test_every_alarm_is_explained() -> None:
    source = Path(status.__file__).read_text()
    named = re.findall(r'"([a-z_]+): ', source)

    assert named
    assert all(f"`{alarm}`" in PAGE for alarm in named)


@pytest.mark.parametrize("line", [line for line in PAGE.splitlines() if "](" in line])
def test_links_lead_somewhere(line: str) -> None:
    for target in re.findall(r"\]\(([^)#]+)", line):
        assert (Path(__file__).resolve().parents[2] / "docs" / target).exists()
