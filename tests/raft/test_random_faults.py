"""Cores under random faults: everything at once, the invariants of Figure 3 after each step."""

from collections import Counter

from ..effort import scaled
from .swarm import Swarm

SEEDS = scaled(60)
SEEDS_OF_CHANGES = scaled(30)
EVENTS = 1500


def test_the_invariants_hold_under_all_mixes_of_faults() -> None:
    """Election Safety, Log Matching, Leader Completeness, State Machine Safety (Figure 3).

    And what is said to be durable is on the disk; reads see all that was committed before they
    were asked for; once all is mended, a leader is found and all servers apply the same (failures
    A1 to A5, A8, A10, B1 to B3).
    """
    tally: Counter[str] = Counter()
    for seed in range(SEEDS):
        try:
            tally.update(Swarm(seed).run(EVENTS).counts)
        except Exception as failure:
            failure.add_note(f"seed {seed}: Swarm({seed}).run({EVENTS})")
            raise

    # A swarm in which nothing happens finds nothing. The numbers are half of what was measured.
    least = {"leaders": 5, "committed": 17, "crashes": 10, "truncations": 1, "reads": 5}
    assert {kind: tally[kind] >= SEEDS * count for kind, count in least.items()} == dict.fromkeys(
        least, True
    ), tally


def test_the_invariants_hold_while_servers_come_and_go() -> None:
    """Any voters and learners in place of any others, newcomers and returning names among them.

    Two leaders are never elected in a term, though configurations differ; nothing committed is
    lost; changes that were begun are completed or gone; who was removed disturbs nobody; nobody
    blocks anybody for ever (failures A15, C1 to C9, C15, C17, C18).
    """
    tally: Counter[str] = Counter()
    for seed in range(SEEDS_OF_CHANGES):
        try:
            tally.update(Swarm(seed, of_changes=True).run(EVENTS).counts)
        except Exception as failure:
            failure.add_note(f"seed {seed}: Swarm({seed}, of_changes=True).run({EVENTS})")
            raise

    least = {"leaders": 4, "committed": 15, "changes": 1.2, "begun changes": 1, "retired": 0.2}
    assert {
        kind: tally[kind] >= SEEDS_OF_CHANGES * count for kind, count in least.items()
    } == dict.fromkeys(least, True), tally
