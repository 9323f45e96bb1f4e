"""Worlds drawn from seeds: each a profile of its own ("swarm testing").

Uniform faults find little, so each seed draws a *kind* of world first: some lose messages and never
crash, others crash at every turn on a perfect network. Each kind of fault is on or off, and how
often it strikes is drawn as well.
"""

from collections.abc import Callable
from random import Random
from types import MappingProxyType
from typing import Any, Final

import msgspec

from .deeds import KEYS_OF
from .kinds import COMPANIONS, GROUPS, KINDS
from .points import NEEDS, POINTS
from .profile import Profile

_LOSSES = ("lose_state",) * 4
_POWER_GOES = frozenset(
    ("power", "doom", "kill_all", "kill_majority", "blink", "lose_sync", "rot_log")
)
"""What may cut a host's power."""
_PROCESSES_END = _POWER_GOES | {"kill", "away", "stop", "overthrow", "misplace", "revive"}
_DISKS_ARE_USED = frozenset(GROUPS["disk"])
NEVER_BYTES = 64 * 1024 * 1024
"""More log than a run ever writes."""

_MIXES = (
    ("set", "set", "get", "get", "incr", "incr", "cas"),
    ("set", "get", "incr", "cas", "cas_value", "delete", "batch", "range", "local", "past", "huge"),
    ("incr", "incr", "incr", "get"),
    ("fleeting", "fleeting", "set", "get", "incr"),
    ("set", "get", "get", "get", "range", "past"),
    ("batch", "batch", "range", "delete", "set", "past"),
)
_ALL_DEEDS = (*(kind for kind in KEYS_OF if kind != "loose"), *("lock", "fenced", "txn") * 2)
"""What clients with sessions do where they do everything; a lock is of use to those who take it."""


_MOVES = ("member_add", "member_remove", "member_replace", "lose_state", "transfer", "transfer")
_STOPS = ("stop", "away", "isolate")
_LOOSE_DEEDS = (*_ALL_DEEDS, *("loose",) * 16)


def draw_profile(seed: int | str, name: str = "swarm") -> Profile:
    """Return the world of a seed, of the kind that ``name`` stands for."""
    return PROFILES[name](Random(f"{seed}/profile"))


def draw_swarm(random: Random) -> Profile:
    """Draw anything: mostly wild, sometimes with peace enough for snapshots to come and go."""
    number = random.random()
    if number < 0.12:
        drawn = draw_office(random)
    else:
        drawn = draw_busy(random) if number < 0.42 else draw_wild(random)
    return _with_more_clients(drawn, random)


def draw_office(random: Random) -> Profile:
    """Draw a world in which leaders fall one after the other, with time to lead in between."""
    return msgspec.structs.replace(
        draw_busy(random),
        nodes=random.choice((3, 3, 5)),
        durability="fsync",
        faults=("overthrow", *_draw_kinds(random)[:2], "overthrow"),
        points=(),
        think_us=(0, 2_000),
        away_us=(10_000, 300_000),
    )


def draw_wild(random: Random) -> Profile:
    """Draw a world in which some things go wrong often, some seldom, and others never."""
    spread = random.choice((1, 5, 15))
    quiet = random.random() < 0.4
    drawn = Profile(
        nodes=random.choice((3, 3, 3, 3, 5, 5, 2, 4, 1)),
        election_ticks_max=15 + spread,
        clock_rates=random.choice(((1000,), (1000,), (1000, 900, 1100), (700, 1000, 1400))),
        segment_bytes=random.choice((4096, 8192, 65536)),
        turn_us=random.choice(((20, 200), (20, 200), (500, 5_000), (1, 2))),
        disk_us=random.choice(((50, 500), (500, 10_000), (2_000, 40_000))),
        slow_disk=random.choice((0, 0, 10)),
        delay_us=random.choice(((50, 500), (50, 500), (200, 20_000))),
        append_bytes=random.choice((1024 * 1024, 1024 * 1024, 400, 1)),
        loss=0 if quiet else random.choice((0, 0, 20, 200)),
        duplicate=0 if quiet else random.choice((0, 50, 300)),
        reorder=0 if quiet else random.choice((0, 50, 300)),
        late_us=random.choice((5_000, 100_000, 600_000)),
        fault_pause_us=random.choice(((20_000, 200_000), (100_000, 900_000))),
        away_us=random.choice(((1_000, 60_000), (10_000, 300_000), (10_000, 800_000))),
        faults=_draw_kinds(random),
        points=_draw_points(random),
        point_passes=random.choice((0, 3, 12, 40)),
        point_effects=random.choice(
            (("crash",), ("power",), ("crash", "power", "pause", "isolate"), ("pause", "isolate"))
        ),
        clients=random.choice((2, 4, 8)),
        think_us=random.choice(((0, 2_000), (0, 50_000))),
        mix=random.choice(_MIXES),
        # Each entry counts about a hundred bytes.
        snapshot_log_bytes=random.choice((NEVER_BYTES, 300, 700, 2_000)),
        snapshots_kept=random.choice((1, 2, 2, 3)),
        slice_bytes=random.choice((256, 4_096)),
        chunk_bytes=random.choice((512, 4_096)),
        tail_bytes=random.choice((0, 0, 500)),
        held_bytes=random.choice((0, 3_000, NEVER_BYTES)),
        job_us=random.choice(((50, 500), (50, 500), (500, 20_000))),
        bulk_loss=random.choice((0, 0, 100)),
        detect=random.choice((0, 700, 1000, 1000)),
        detect_us=random.choice(((2_000, 13_000), (0, 100), (0, 300_000))),
    )
    # No draws of their own: those would change all that is drawn behind them.
    drawn = msgspec.structs.replace(drawn, applied_bytes=drawn.held_bytes // 3)
    if not drawn.held_bytes:
        drawn = msgspec.structs.replace(drawn, pace_bytes=drawn.slice_bytes)
    return _with_values(_with_durability(_with_needs(drawn), random), random)


def draw_busy(random: Random) -> Profile:
    """Draw a world with peace enough to get work done, so that snapshots come and go all the time.

    Where faults never pause, nobody leads for long, and logs stay too short to be compacted.
    """
    busy = msgspec.structs.replace(
        draw_wild(random),
        disk_us=random.choice(((50, 500), (500, 5_000))),
        delay_us=random.choice(((50, 500), (200, 3_000))),
        loss=random.choice((0, 0, 20)),
        late_us=random.choice((5_000, 50_000)),
        fault_pause_us=random.choice(((100_000, 500_000), (200_000, 1_200_000))),
        clients=8,
        think_us=random.choice(((0, 2_000), (0, 20_000))),
        snapshot_log_bytes=random.choice((300, 1_000, 3_000)),
    )
    return _with_values(_with_durability(_with_needs(busy), random), random)


def draw_sessions(random: Random) -> Profile:
    """Draw a world in which most clients number their writes, and repeat them until answered."""
    return msgspec.structs.replace(
        draw_busy(random),
        clients=2,
        sessions=random.choice((2, 4, 6)),
        deeds=random.choice((_ALL_DEEDS, _LOOSE_DEEDS)),
        rude=random.choice((0, 50)),
        mix=_MIXES[0],
    )


def draw_moves(random: Random) -> Profile:
    """Draw a world in which who leads and who takes part changes all the time, and words come late.

    Changes are asked for two at a time; of those the second must wait.
    """
    drawn = draw_busy(random)
    return msgspec.structs.replace(
        drawn,
        nodes=random.choice((1, 3, 3, 4, 5)),
        durability="fsync",
        faults=(
            *drawn.faults,
            *_MOVES,
            *random.choice((_STOPS, _STOPS + _MOVES, ("transfer",) * 4)),
        ),
        points=(),
        hasty=True,
        reorder=random.choice((0, 50, 300)),
        late_us=random.choice((100_000, 600_000)),
        fault_pause_us=random.choice(((20_000, 200_000), (100_000, 500_000))),
    )


def draw_full(random: Random) -> Profile:
    """Draw a world in which keys go to make room for others, and all that is done may be undone."""
    return msgspec.structs.replace(
        draw_sessions(random),
        clients=0,
        sessions=random.choice((4, 8)),
        watchers=2,
        deeds=("loose",),
        cache_bytes=random.choice((1_600, 2_200)),
        eviction=random.choice(("none", "volatile-lru", "allkeys-lru")),
    )


def draw_narrow(random: Random) -> Profile:
    """Draw a busy world with clients of all kinds, in which bounds are come to all the time."""
    return msgspec.structs.replace(
        draw_sessions(random),
        narrow=True,
        astray=random.random() < 0.5,
        sessions=random.choice((3, 5)),
        watchers=6,
    )


def draw_watched(random: Random) -> Profile:
    """Draw a busy world in which some clients watch what the others do."""
    return msgspec.structs.replace(draw_busy(random), watchers=3)


def draw_calm(_random: Random) -> Profile:
    """Return the world in which nothing goes wrong."""
    return Profile()


def _of_group(group: str) -> Callable[[Random], Profile]:
    """Return a drawing of worlds in which one group of faults alone strikes."""
    kinds = tuple(GROUPS[group])

    def draw(random: Random) -> Profile:
        drawn = msgspec.structs.replace(
            draw_wild(random),
            faults=_draw_kinds(random, kinds),
            points=(),
            durability="fsync",
        )
        if group == "link":
            return drawn
        return msgspec.structs.replace(drawn, loss=0, duplicate=0, reorder=0, bulk_loss=0)

    return draw


def draw_pointed(random: Random) -> Profile:
    """Draw a world in which nothing goes wrong but what is forced at named points."""
    pointed = msgspec.structs.replace(
        draw_busy(random),
        durability="fsync",
        faults=(),
        loss=0,
        duplicate=0,
        reorder=0,
        bulk_loss=0,
        points=_draw_points(random, at_least=6),
    )
    return _with_needs(pointed)


PROFILES: Final[MappingProxyType[str, Callable[[Random], Profile]]] = MappingProxyType(
    {
        "swarm": draw_swarm,
        "wild": draw_wild,
        "busy": draw_busy,
        "points": draw_pointed,
        "sessions": draw_sessions,
        "watch": draw_watched,
        "narrow": draw_narrow,
        "full": draw_full,
        "moves": draw_moves,
        **{group: _of_group(group) for group in GROUPS},
        "calm": draw_calm,
    }
)
"""The kinds of world that one may ask for, by their names."""


def _draw_kinds(random: Random, kinds: tuple[str, ...] = tuple(KINDS)) -> tuple[str, ...]:
    """Draw which kinds of fault there are, and how often each is named."""
    share = random.choice((0.1, 0.3, 0.6))
    chosen = [kind for kind in kinds if random.random() < share]
    drawn = [
        kind for kind in chosen or [random.choice(kinds)] for _ in range(random.choice((1, 1, 4)))
    ]
    return (*drawn, *(more for kind in chosen for more in COMPANIONS.get(kind, ())))


def _with_durability(profile: Profile, random: Random) -> Profile:
    """Let some clusters promise less."""
    number = random.random()
    if number < 0.05:
        profile = msgspec.structs.replace(
            profile, durability="memory", faults=(*profile.faults, *_LOSSES)
        )
    elif number < 0.12:
        profile = msgspec.structs.replace(
            profile, durability="os", faults=(*profile.faults, *_LOSSES)
        )
    return _within_its_promise(profile)


def _within_its_promise(profile: Profile) -> Profile:
    """Let nothing strike that takes all that was promised, whatever points ask for (3000031)."""
    if profile.durability == "memory":
        kinds = set(KINDS) - _PROCESSES_END - _DISKS_ARE_USED
        return msgspec.structs.replace(
            profile,
            faults=tuple(kind for kind in profile.faults if kind in kinds),
            points=tuple(name for name in profile.points if POINTS[name].group != "stopping"),
            point_effects=("pause", "isolate"),
        )
    if profile.durability == "os":
        return msgspec.structs.replace(
            profile,
            faults=tuple(kind for kind in profile.faults if kind not in _POWER_GOES),
            point_effects=tuple(
                "crash" if effect == "power" else effect for effect in profile.point_effects
            ),
        )
    return profile


def _with_more_clients(profile: Profile, random: Random) -> Profile:
    """Let there be clients with sessions, and such that watch, in some worlds.

    Drawn last, and besides the others: without them a seed is the world that it was before.
    """
    drawn = msgspec.structs.replace(
        profile,
        sessions=random.choice((0, 0, 0, 1, 2, 4)),
        watchers=random.choice((0, 0, 1, 3)),
        deeds=random.choice((profile.deeds, _ALL_DEEDS)),
    )
    if drawn.sessions == 0:
        return drawn
    loose = drawn.deeds is _ALL_DEEDS and random.random() < 0.5
    return msgspec.structs.replace(
        drawn,
        deeds=_LOOSE_DEEDS if loose else drawn.deeds,
        rude=random.choice((0, 0, 50)),
    )


def _with_values(profile: Profile, random: Random) -> Profile:
    """Let values be long enough for frames of many sectors; snapshots are then cut less finely."""
    value_bytes = random.choice((0, 0, 0, 0, 600, 2_500))
    if value_bytes == 0:
        return msgspec.structs.replace(profile, value_bytes=0)
    return msgspec.structs.replace(
        profile, value_bytes=value_bytes, slice_bytes=4_096, chunk_bytes=4_096, job_us=(50, 500)
    )


def _with_needs(profile: Profile) -> Profile:
    """Let happen what the chosen points need."""
    faults = profile.faults
    changes: dict[str, Any] = {}
    for group in sorted({POINTS[name].group for name in profile.points}):
        more, needed = NEEDS.get(group, ((), {}))
        faults += more
        changes.update(needed)
    return msgspec.structs.replace(profile, faults=faults, **changes)


def _draw_points(random: Random, *, at_least: int = 0) -> tuple[str, ...]:
    count = max(at_least, random.choice((0, 2, 5, 15)))
    return tuple(sorted(random.sample(tuple(POINTS), count)))
