"""Forces something at named points: a crash, a power cut, a pause, an isolation."""

from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from .faults import Faults
from .kinds_of_link import isolated
from .points import NEEDS, POINTS, Point
from .process import Process

FORCED_MAX = 3
"""How often one point is forced in a run."""


def watch_points(faults: Faults, names: Iterable[str], seed: int | str) -> None:
    """Force something at these points, each after it was passed unharmed a few times."""
    watched = faults.cluster.watched
    for name in names:
        point = POINTS[name]
        look = _watcher(faults, point, Random(f"{seed}/point/{name}"))
        watched.setdefault(point.place, []).append(look)


def _watcher(faults: Faults, point: Point, random: Random) -> Callable[[Process, Any], None]:
    profile = faults.cluster.profile
    left = FORCED_MAX
    passes_max = min(profile.point_passes, 1) if point.group in NEEDS else profile.point_passes
    passes = random.randint(0, passes_max)

    def look(process: Process, detail: object) -> None:
        nonlocal left, passes
        if left == 0 or process.paused:
            return
        if not process.is_open and not point.place.startswith("disk "):
            return  # It asks to join, and has nothing that could be at stake.
        if not point.when(process, detail):
            return
        if passes > 0:
            passes -= 1
            return
        left -= 1
        passes = random.randint(0, passes_max)
        faults.cluster.record.points[point.name] += 1
        faults.cluster.record.event(point.name.encode())
        _force(faults, process, point.name, random)

    return look


def _force(faults: Faults, process: Process, point: str, random: Random) -> None:
    effect = random.choice(faults.cluster.profile.point_effects)
    name = process.name
    faults.cluster.note(f"{name}: {effect} {point}")
    if not process.is_open:
        effect = "crash"
    if effect == "pause":
        faults.hold(random, name)
    elif effect == "isolate":
        others = [other for other in faults.cluster.names if other != name]
        faults.cut(random, isolated([name, *others]))
    else:
        process.power_goes = effect == "power"
        process.die(point)
