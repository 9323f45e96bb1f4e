"""The random faults find the classic bugs: each planted one is noticed within its seeds.

Here the core is alone, with more faults in less time than whole nodes have. ``bin/test --bugs``
hunts the same bugs, and all others, with the simulator of whole nodes.
"""

from collections.abc import Iterator

import pytest

from orchestrator.bugs.catalogue import bug_named
from orchestrator.bugs.membership import MEMBERSHIP_BUGS
from orchestrator.bugs.planting import Bug, Planted

from .swarm import Swarm

SEEDS_MAX = 150
"""Several times what any bug was measured to need; the tests stop at the first that notices."""
EVENTS = 1500

CLASSIC = [
    "votes twice in a term",
    "answers with a vote that its disk does not have",
    "asks for votes before its own is on its disk",
    "does not keep a term in which it did not vote",
    "votes for a log that is longer, but older",
    "commits an older term's entry by counting its copies",
    "shortens its log to what the message holds",
    "takes entries whose predecessor has another term",
    "commits what does not match the leader's log",
    "acknowledges entries that its disk does not have",
    "counts itself before its disk has the entry",
    "credits a late write to the entry that replaced the one it wrote",
    "releases reads before an entry of its own term is committed",
    "takes the acknowledgement of an earlier round for the present one's",
    "lets a read join the round that is under way",
    "releases reads without asking anybody",
]


@pytest.fixture
def planted(request: pytest.FixtureRequest) -> Iterator[Bug]:
    """Plant the bug that the test asks for, until it ends."""
    bug: Bug = request.param
    there = Planted(bug)
    yield bug
    there.remove()


def named(bug: Bug) -> str:
    return bug.name.replace(" ", "_")


@pytest.mark.slow
@pytest.mark.parametrize("planted", [*map(bug_named, CLASSIC)], ids=named, indirect=True)
def test_a_server_is_caught_that(planted: Bug) -> None:
    """A test that cannot fail proves nothing: so these bugs must make the random faults fail."""
    for seed in range(SEEDS_MAX):
        try:
            Swarm(seed).run(EVENTS)
        except AssertionError:
            return
    pytest.fail(f"survived {SEEDS_MAX} seeds, against {planted.rule}")


@pytest.mark.slow
@pytest.mark.parametrize("planted", MEMBERSHIP_BUGS, ids=named, indirect=True)
def test_a_server_is_caught_during_changes_that(planted: Bug) -> None:
    """The same for the rules of thesis chapter 4, in runs of configuration changes (C1 to C8)."""
    for seed in range(SEEDS_MAX):
        try:
            Swarm(seed, of_changes=True).run(EVENTS)
        except AssertionError:
            return
    pytest.fail(f"survived {SEEDS_MAX} seeds, against {planted.rule}")
