"""Each check, judge and kind of fault can find somebody guilty: one mistake for each, planted."""

from typing import Any

import pytest

from orchestrator.bugs.catalogue import bug_named
from orchestrator.bugs.planting import Planted
from orchestrator.simulation.run import Options, run_seed

SEEDS = range(1, 21)
LONG_CUTS = {"faults": ["isolate"], "away_us": [600_000, 800_000]}
OTHER_BOOT = {"durability": "os", "nodes": 5, "faults": ["lose_state"]}
BAD_LINKS = {"loss": 150, "reorder": 300, "think_us": [0, 2_000], "mix": ["set", "get"]}
NUMBERED = {"sessions": 4, "watchers": 3, "think_us": [0, 2_000]}
FULL = {
    "sessions": 6,
    "deeds": ["loose"],
    "clients": 0,
    "cache_bytes": 1_600,
    "eviction": "none",
    "think_us": [0, 2_000],
}
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("leads alone before its vote is on its disk", {"nodes": 1}, "leads by its own vote too"),
    ("asks for votes before its own is on its disk", {}, "own vote is durable before"),
    ("draws the same election timeout every time", {}, "election timeouts are random"),
    ("takes proposals while it hands over", {"faults": ["transfer"]}, "nothing is proposed while"),
    ("never steps down without a quorum", LONG_CUTS, "no majority spoke to it"),
    ("follows nobody else once it has heard a leader", LONG_CUTS, "nobody sticks to a leader"),
    ("claims in its answer all that it holds", {"faults": ["overthrow"]}, "is on the disk of"),
    ("reads at an index that is too old", BAD_LINKS, "a read tells of all that was applied"),
    ("talks to a node of another cluster", {"faults": ["stranger"]}, "heard another cluster"),
    ("opens the directory of another node", {"faults": ["misplace"]}, "what is not its own"),
    ("shows a page of several moments", {"mix": ["set", "past"]}, "shows later ones"),
    ("trusts the kernel's cache after a failed sync", {"faults": ["lose_sync"]}, ""),
    ("does not remember refusals", NUMBERED, "the log has made"),
    ("lets `ack` fall", NUMBERED, "the log has made"),
    ("takes the acknowledgement of an earlier round for the present one's", {}, "acknowledged no"),
    ("counts the ticks that it slept through", {"faults": ["pause"]}, "ticks in"),
    ("goes on though its state is not what most have", {"astray": True}, "goes on, though"),
    ("lets keys go though nothing may", FULL, "nothing may go"),
    ("votes with a log that may have lost its end", OTHER_BOOT, "though its disk is in order"),
]


@pytest.mark.parametrize(
    ("bug", "changes", "promise"), CASES, ids=[bug.replace(" ", "_") for bug, _, _ in CASES]
)
def test_a_planted_mistake_is_noticed(bug: str, changes: dict[str, Any], promise: str) -> None:
    """In a world that has little else in it, within a few seeds, and by the check that is meant."""
    options = Options(
        profile="calm",
        changes={"fault_pause_us": [20_000, 200_000], "events": 2_000, "clients": 6, **changes},
    )
    sound = run_seed(1, options)
    planted = Planted(bug_named(bug))
    try:
        failures = (run_seed(seed, options).failure for seed in SEEDS)
        is_noticed = any(failure and promise in failure for failure in failures)
    finally:
        planted.remove()

    assert sound.failure is None
    assert is_noticed
