"""A failing run is made as small as it gets, and still fails in the same way."""

import msgspec
import pytest

from orchestrator.simulation.run import Options, Outcome, run_seed
from orchestrator.simulation.shrink import shrink, signature
from raftcache.node import ready
from raftcache.raft.core import Ready

NEEDED = (4, "kill")


def imagined(seed: int, options: Options) -> Outcome:
    """Return what a run would tell that needs one strike, one point and two clients to fail."""
    world = options.world(seed)
    all_of_them = [(number, "kill" if number % 2 == 0 else "pause") for number in range(9)]
    strikes = [one for one in all_of_them if world.strikes is None or one[0] in world.strikes]
    needs = NEEDED in strikes and "between two replies" in world.points and world.clients >= 2
    return Outcome(
        seed=seed,
        profile=world,
        failure=f"entry {seed} is gone" if needs else None,
        trace_hash="",
        trace=(),
        detail="",
        events=1_000,
        operations=0,
        virtual_ms=0,
        strikes=tuple(strikes),
        faults={},
        points={},
        counts={},
    )


def test_what_a_failure_does_not_need_is_left_out() -> None:
    points = ["between two replies", "after a leader's tick", "while a node stops"]
    options = Options(profile="wild", changes={"points": points, "clients": 8, "nodes": 5})

    found = shrink(imagined(7, options), options, run=imagined)

    assert found.outcome.strikes == (NEEDED,)
    assert found.outcome.profile.points == ("between two replies",)
    assert (found.outcome.profile.clients, found.outcome.profile.nodes) == (2, 1)
    assert (found.outcome.profile.loss, len(set(found.outcome.profile.mix))) == (0, 1)


def test_a_search_ends_when_it_is_told_to() -> None:
    options = Options(changes={"points": ["between two replies"]})

    unchanged = shrink(imagined(7, options), options, go_on=lambda: False, run=imagined)
    bounded = shrink(imagined(7, options), options, runs_max=5, run=imagined)

    assert (unchanged.options, unchanged.runs) == (options, 0)
    assert bounded.runs == 5


def test_another_failure_is_no_substitute() -> None:
    """Whoever looks for a lost entry is not helped by a slow election."""
    options = Options()
    failed = msgspec.structs.replace(imagined(7, options), failure="entry 7 is gone")

    def otherwise(seed: int, options: Options) -> Outcome:
        return msgspec.structs.replace(imagined(seed, options), failure="two leaders in term 3")

    found = shrink(failed, options, run=otherwise)

    assert found.options == options


def test_failures_are_of_one_kind_whatever_their_numbers() -> None:
    assert signature("entry 4@2 is gone: n1") == signature("entry 17@9 is gone: n3")
    assert signature("entry 4 is gone") != signature("terms never fall")
    assert signature(None) == ""


def test_a_planted_bug_is_found_shrunk_and_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Votes that leave before the disk has them (failure A1)."""

    def hold_nothing_back(cycle: ready.ReadyCycle, made: Ready) -> None:
        cycle._outbox.add_messages(made.after_persist)
        if made.mark is not None:
            cycle._behind_disk.append((cycle._last_ticket, made.mark, []))

    monkeypatch.setattr(ready.ReadyCycle, "_hold_back", hold_nothing_back)
    failed = next(one for seed in range(1, 20) if not (one := run_seed(seed)).ok)

    found = shrink(failed, Options(), runs_max=60)
    again = run_seed(failed.seed, found.options)

    assert found.outcome.events < failed.profile.events
    assert signature(found.outcome.failure) == signature(failed.failure)
    assert again == found.outcome
