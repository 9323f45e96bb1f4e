"""Kinds of world besides the default ones: promises are kept there, and nothing stays behind."""

import pytest

from orchestrator.simulation.draw import PROFILES
from orchestrator.simulation.run import Options, run_seed
from raftcache.node import watches
from raftcache.store import sessions
from raftcache.store.sessions import SessionLimits


@pytest.mark.parametrize("kind", ["narrow", "full", "moves"])
def test_promises_are_kept_there(kind: str) -> None:
    """Where bounds are narrow, where there is no room, where members change all the time."""
    for seed in (1, 2):
        outcome = run_seed(seed, Options(profile=kind, changes={"events": 1_500}))
        assert outcome.detail == "", f"bin/cluster simulate --profile {kind} --seed {seed}"


def test_bounds_are_what_they_were_after_a_narrow_world() -> None:
    """Whoever comes next in the same process must not notice."""
    waiting_max = watches.WATCHES_MAX

    run_seed(1, Options(profile="narrow", changes={"events": 300}))

    assert waiting_max == watches.WATCHES_MAX
    assert sessions.SessionLimits is SessionLimits
    assert {"narrow", "full", "moves"} <= set(PROFILES)
