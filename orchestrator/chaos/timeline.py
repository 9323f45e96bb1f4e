"""When a scenario's steps fire: a pure function of the scenario and a seed."""

import random

import msgspec

from .scenario import Scenario, Step


class Planned(msgspec.Struct, frozen=True):
    """One firing of a step."""

    at_ms: int
    """Counted from the beginning of the load."""
    step: Step
    occurrence: int
    """The how-manieth of this step, from 1."""


def plan(scenario: Scenario, seed: int) -> list[Planned]:
    """Return all firings, in their order; the same for the same scenario and seed."""
    chance = random.Random(f"{seed}: times")
    firings = []
    for number, step in enumerate(scenario.steps):
        for occurrence, at_ms in enumerate(_times(step, scenario.duration_ms, chance), 1):
            firings.append((at_ms, number, Planned(at_ms, step, occurrence)))
    return [planned for _, _, planned in sorted(firings, key=lambda firing: firing[:2])]


def chance_of_targets(seed: int) -> random.Random:
    """Return what decides where selectors leave a choice."""
    return random.Random(f"{seed}: targets")


def _times(step: Step, duration_ms: int, chance: random.Random) -> list[int]:
    if step.every_ms is None:
        return [step.first_ms]
    times: list[int] = []
    nominal_ms = step.first_ms
    while nominal_ms < duration_ms and (step.repeat is None or len(times) < step.repeat):
        # The first time of a step with `at` is exact: that is what `at` says.
        exact = step.jitter_ms == 0 or (step.at_ms is not None and not times)
        drawn = 0 if exact else chance.randint(-step.jitter_ms, step.jitter_ms)
        times.append(min(max(0, nominal_ms + drawn), duration_ms - 1))
        nominal_ms += step.every_ms
    return times
