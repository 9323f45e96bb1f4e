"""The random faults find the classic bugs: each planted one is noticed within its seeds."""

import pytest

from .mutants import MUTANTS, Edit, Mutant, plant
from .mutants_membership import MEMBERSHIP_MUTANTS
from .swarm import Swarm

SEEDS_MAX = 150
"""Several times what any mutant was measured to need; the tests stop at the first that notices."""
EVENTS = 1500


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name.replace(" ", "_"))
def test_a_server_is_caught_that(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that cannot fail proves nothing: so these bugs must make the random faults fail."""
    plant(mutant, monkeypatch)

    for seed in range(SEEDS_MAX):
        try:
            Swarm(seed).run(EVENTS)
        except AssertionError:
            return
    pytest.fail(f"survived {SEEDS_MAX} seeds, against {mutant.rule}")


@pytest.mark.slow
@pytest.mark.parametrize("mutant", MEMBERSHIP_MUTANTS, ids=lambda one: one.name.replace(" ", "_"))
def test_a_server_is_caught_during_changes_that(
    mutant: Mutant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same for the rules of thesis chapter 4, in runs of configuration changes (C1 to C8)."""
    plant(mutant, monkeypatch)

    for seed in range(SEEDS_MAX):
        try:
            Swarm(seed, of_changes=True).run(EVENTS)
        except AssertionError:
            return
    pytest.fail(f"survived {SEEDS_MAX} seeds, against {mutant.rule}")


def test_a_mutant_whose_text_is_gone_is_no_mutant(monkeypatch: pytest.MonkeyPatch) -> None:
    """When the core changes, its mutants must be looked at again rather than prove nothing."""
    gone = Mutant("changes nothing", "none", (Edit(plant, "text that " + "is not there", ""),))

    with pytest.raises(AssertionError, match="occurs 0 times"):
        plant(gone, monkeypatch)
