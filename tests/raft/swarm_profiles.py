"""What one run of the swarm is like: drawn once per seed, then kept to.

What profiles hold was tuned with the planted bugs of ``test_mutants``.
"""

from dataclasses import dataclass
from random import Random

from raftcache.raft.options import Options


@dataclass(kw_only=True)
class Profile:
    """What can happen in one run, and how readily.

    Attributes:
        servers: how many there are.
        options: timings and bounds; an election takes few ticks.
        weights: how often each kind of event is drawn within a scene.
        events: how many events a scene has on average.
        together: the probability that nobody is apart in a scene.
        paused: of those that are apart, the share that rest.
        campaign: the probability that a scene begins with somebody's timeout.
        rivals: the probability that two time out at once.
        crash: the probability that somebody dies at the beginning of a scene.
        written: of those, the share whose disk finishes what it was handed.
        aim: the probability that this, and being apart, hits the leader rather than anybody.
        crash_after: the probability that a server dies right after it handled a message.
        revive: the probability that a dead server starts again at once, or with the next scene.
        cut: the probability that one direction of a link is dead for a scene.
        forget: the probability that all that is under way is lost at the end of a scene.
        reorder: the share of deliveries that take any message instead of the oldest.
        batch: messages that a server may take in together, in one turn.
        quick_disk: the probability that the disk is done before anything else happens.
        drops_strangers: servers do not listen to who can't be a member, as nodes do.
        retire: the probability that a removed server is switched off for good before a scene.
    """

    servers: int
    options: Options
    weights: dict[str, float]
    events: int
    together: float
    paused: float
    campaign: float
    rivals: float
    crash: float
    written: float
    aim: float
    crash_after: float
    revive: float
    cut: float
    forget: float
    reorder: float
    batch: int
    quick_disk: float
    drops_strangers: bool
    retire: float


def draw_profile(random: Random, *, of_changes: bool = False) -> Profile:
    """Draw what one run is like: most runs have a theme, the others are any mix.

    ``of_changes``: it is one of configuration changes.
    """
    profile = _draw_mix(random)
    theme = random.choice(_THEMES_OF_CHANGES if of_changes else [None, None, *_THEMES])
    if theme is not None:
        theme(profile)
    return profile


def _draw_mix(random: Random) -> Profile:
    pick = random.choice
    shortest = pick([2, 3, 4])
    return Profile(
        servers=pick([1, 2, *[3] * 8, 4, 5]),
        options=Options(
            heartbeat_ticks=1,
            election_ticks_min=shortest,
            election_ticks_max=shortest + pick([1, 3]),
            append_bytes_max=pick([1, 1, 1, 30, 1024 * 1024]),
            inflight_messages_max=pick([1, 1, 2, 128]),
            inflight_bytes_max=pick([50, 8 * 1024 * 1024]),
        ),
        weights={
            "deliver": 60,
            "persist": pick([10, 30, 60]),
            "tick": pick([0, 1, 4]),
            "propose": pick([4, 10]),
            "read": pick([0, 10, 25]),
            "lose": pick([0, 0, 3]),
            "duplicate": pick([0, 2, 8]),
            "transfer": pick([0, 0, 1]),
            "change": pick([0, 1, 3]),
        },
        events=pick([7, 13, 20, 40]),
        together=pick([0.2, 0.5]),
        paused=pick([0, 0.5, 1]),
        campaign=pick([0.3, 0.6, 0.9]),
        rivals=pick([0, 0.3]),
        crash=pick([0, 0.2, 0.5]),
        written=pick([0, 0.3]),
        aim=pick([0, 0.5, 1]),
        crash_after=pick([0, 0, 0.02, 0.05]),
        revive=pick([0.5, 1]),
        cut=pick([0, 0, 0.3]),
        forget=pick([0, 0, 0.3]),
        reorder=pick([0, 0.1, 0.5]),
        batch=pick([1, 1, 4]),
        quick_disk=pick([0, 0.7, 1]),
        drops_strangers=pick([False, True]),
        retire=pick([0, 0.3]),
    )


def _theme_leaders_left_behind(profile: Profile) -> None:
    """Leaders are cut off with entries that few have, one entry per message (Figure 8)."""
    profile.servers, profile.events = 3, 20
    profile.options.append_bytes_max = profile.options.inflight_messages_max = 1
    profile.aim, profile.together, profile.campaign = 1, 0.2, 0.9


def _theme_late_repeats(profile: Profile) -> None:
    """Messages of a window come twice, and late."""
    profile.servers, profile.events, profile.reorder, profile.quick_disk = 3, 40, 0.1, 0.7
    profile.options.append_bytes_max, profile.options.inflight_messages_max = 1, 128
    profile.weights["duplicate"] = 10


def _theme_reads_of_the_deposed(profile: Profile) -> None:
    """Leaders are asked for reads before they learn that others have taken over."""
    profile.servers, profile.events, profile.reorder, profile.quick_disk = 3, 20, 0.1, 1
    profile.aim, profile.together, profile.paused, profile.campaign = 1, 0.3, 0.5, 0.9
    profile.crash = profile.crash_after = profile.forget = profile.cut = 0
    profile.options.append_bytes_max = 1024 * 1024
    profile.weights["read"] = 25


def _theme_slow_disks(profile: Profile) -> None:
    """Disks are behind, and leaders die with what was not written."""
    profile.servers, profile.events, profile.quick_disk = 3, 20, 0
    profile.aim, profile.crash, profile.crash_after, profile.campaign = 1, 0.2, 0, 0.9
    profile.weights["persist"] = 10


def _theme_changes(profile: Profile) -> None:
    """Servers come and go all the time, and leaders with half of a change."""
    profile.servers, profile.events, profile.quick_disk = 3, 20, 0.7
    profile.aim, profile.campaign, profile.together = 1, 0.9, 0.3
    profile.crash_after = profile.cut = profile.forget = 0
    profile.weights["change"] = 5


def _theme_leaders_leave(profile: Profile) -> None:
    """Few servers are replaced by others, and leaders die with the end of a change (Figure 4.6)."""
    profile.servers, profile.events, profile.quick_disk = 2, 20, 0.7
    profile.aim, profile.campaign, profile.together, profile.paused = 1, 0.9, 0.2, 0
    profile.crash, profile.written, profile.revive, profile.forget = 0.5, 1, 1, 0.3
    profile.weights["change"] = 5


_THEMES = [
    _theme_leaders_left_behind,
    _theme_late_repeats,
    _theme_reads_of_the_deposed,
    _theme_slow_disks,
    _theme_changes,
    _theme_leaders_leave,
]
_THEMES_OF_CHANGES = [_theme_changes, _theme_leaders_leave]
