"""When steps fire: exactly, around a period, so often, and always the same for a seed."""

from orchestrator.chaos.grammar import parse_scenario
from orchestrator.chaos.timeline import plan


def times(steps: str, seed: int = 1) -> list[tuple[int, str]]:
    scenario = parse_scenario(f"duration: 10s\nsteps: [{steps}]".encode())
    return [(one.at_ms, one.step.action) for one in plan(scenario, seed)]


def test_steps_fire_in_the_order_of_their_times() -> None:
    assert times("{at: 5s, stop: n1}, {every: 3s, kill: n1}, {at: 5s, start: }") == [
        (3000, "kill"),
        (5000, "stop"),
        (5000, "start"),
        (6000, "kill"),
        (9000, "kill"),
    ]


def test_at_and_every_together_say_first_and_then() -> None:
    assert times("{at: 500ms, every: 4s, kill: n1}") == [
        (500, "kill"),
        (4500, "kill"),
        (8500, "kill"),
    ]


def test_repeat_bounds_how_often() -> None:
    assert times("{every: 1s, kill: n1, repeat: 2}") == [(1000, "kill"), (2000, "kill")]


def test_a_drawn_time_stays_near_its_period_and_is_the_seed_s() -> None:
    steps = "{every: 2s +- 500ms, kill: n1}"

    drawn = [at_ms for at_ms, _ in times(steps, seed=1)]

    assert len(drawn) == 4
    for k, at_ms in enumerate(drawn, 1):
        assert abs(at_ms - 2000 * k) <= 500
    assert len({at_ms % 1000 for at_ms in drawn}) > 1
    assert times(steps, seed=1) == times(steps, seed=1)
    assert times(steps, seed=1) != times(steps, seed=2)


def test_the_first_time_of_a_step_with_at_is_exact() -> None:
    steps = "{at: 1s, every: 2s +- 1s, kill: n1}"

    assert [times(steps, seed=seed)[0] for seed in range(5)] == [(1000, "kill")] * 5
