"""Many worlds, each drawn from its seed: all promises are kept in all of them.

Repeat one with ``bin/cluster simulate --seed N``.
"""

from collections import Counter

import pytest

from orchestrator.simulation.cluster import SimulatedCluster
from orchestrator.simulation.draw import PROFILES, draw_profile
from orchestrator.simulation.judge import judge
from orchestrator.simulation.kinds import COMPANIONS, KINDS
from orchestrator.simulation.points import NEEDS, POINTS
from orchestrator.simulation.profile import Profile
from orchestrator.simulation.run import Options, Outcome, run_seed
from orchestrator.simulation.workload import Workload

from ..effort import scaled

SEEDS = scaled(500)
PARTS = 20
SHORTER = Options(changes={"events": 2_000})
"""Half as long as usual, so that the gate takes its minutes; ``bin/cluster simulate`` takes them
whole."""
BEFORE_SESSIONS = {"sessions": 0, "watchers": 0}
"""With these, worlds are those that seeds meant before there were any."""
REACHED: Counter[str] = Counter()
"""What has happened in all of them."""
DONE: set[int] = set()
"""Which parts have been run."""


@pytest.mark.parametrize("seed", [1180572, 1181373])
def test_a_follower_in_need_waits_less_than_a_refused_snapshot_rests(seed: int) -> None:
    """The leader's log began where no snapshot of it did, and a majority needed the follower."""
    assert told(run_seed(seed, Options())) == ""


@pytest.mark.parametrize("part", range(PARTS))
def test_promises_are_kept_in_the_worlds_of_these_seeds(part: int) -> None:
    """Linearizable histories, equal states, all acknowledged survives, progress once it is healed.

    After each turn and frame the invariants of ``simulation.checks`` hold too: one leader per
    term, votes and acknowledgements durable before they leave, a majority's disks behind each
    commit (failures A1, A3, A4, A5, A9, A10, B1, B2, B6, B19, C14, D1 to D5, D7 to D9, D11, D13,
    E2, E4, E6, E7, E10, E11, E12).
    """
    for seed in range(1 + part, 1 + SEEDS, PARTS):
        outcome = run_seed(seed, SHORTER)
        assert told(outcome) == ""
        REACHED.update(outcome.faults)
        REACHED.update(outcome.points)
    DONE.add(part)


def test_every_kind_of_fault_and_every_point_was_reached_in_them() -> None:
    """What never happens is a hole in the simulator."""
    if len(DONE) < PARTS or SEEDS < 500:
        pytest.skip("not all of the seeds were run")

    missing = sorted({*KINDS, *POINTS} - set(REACHED))

    assert {name for name in missing if name in KINDS or not is_reachable(name)} == set()


def is_reachable(name: str) -> bool:
    """Tell whether a few worlds that have nothing else in mind come to a point."""
    faults, changes = NEEDS.get(POINTS[name].group, ((), {}))
    options = Options(
        profile="points",
        changes={**changes, "points": [name], "faults": list(faults), "point_passes": 0},
    )
    return any(run_seed(seed, options).points for seed in range(1, 31))


def told(outcome: Outcome) -> str:
    """Return what was found, and how to see it again."""
    if outcome.ok:
        return ""
    events = outcome.profile.events
    command = f"bin/cluster simulate --seed {outcome.seed} --with '{{\"events\": {events}}}'"
    return f"{command}: {outcome.detail}"


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_promises_are_kept_under_one_kind_of_fault_alone(kind: str) -> None:
    """A crowd of faults hides what one alone would show; some need a second one, though."""
    changes = {
        "faults": [kind, *COMPANIONS.get(kind, ())],
        "fault_pause_us": [50_000, 300_000],
        "snapshot_log_bytes": 700,
        "loss": 10,
        "reorder": 20,
    }

    outcome = run_seed(1, Options(profile="calm", changes=changes))

    assert told(outcome) == ""
    assert outcome.faults[kind] >= 1


def test_the_worlds_differ() -> None:
    """Fails when the draw loses a kind, a point, or a size."""
    profiles = [draw_profile(seed) for seed in range(400)]

    assert {kind for profile in profiles for kind in profile.faults} == set(KINDS)
    assert {point for profile in profiles for point in profile.points} == set(POINTS)
    assert {profile.nodes for profile in profiles} == {1, 2, 3, 4, 5}
    for name in ("loss", "duplicate", "reorder", "slow_disk"):
        assert len({getattr(profile, name) for profile in profiles}) > 1, name


def test_nothing_takes_all_that_a_world_promises() -> None:
    """A busy world is drawn from a wild one, and its points ask for faults (seed 3000031)."""
    for seed in range(2_000):
        profile = draw_profile(seed)
        if profile.durability == "memory":
            assert not set(profile.faults) & {"kill", "away", "stop", "blink", "fill_disk"}, seed
            assert profile.point_effects == ("pause", "isolate"), seed
        elif profile.durability == "os":
            assert not set(profile.faults) & {"power", "kill_all", "blink", "rot_log"}, seed
            assert "power" not in profile.point_effects, seed


def test_who_is_stopped_while_answers_leave_sends_those_of_that_moment() -> None:
    """A refusal's term is judged by when it was decided, not by when it left (seed 2000025)."""
    changes = {
        **BEFORE_SESSIONS,
        "events": 1377,
        "points": [
            "a commit is known and not applied",
            "before a leader writes its own entries",
            "between a leader's decision and its replies",
        ],
        "strikes": [0],
        "clock_rates": [1000],
        "snapshot_log_bytes": 67108864,
        "turn_us": [20, 200],
        "disk_us": [100, 2000],
        "job_us": [50, 1000],
        "mix": ["set", "range", "past"],
    }

    assert told(run_seed(2000025, Options(changes=changes, salt=2))) == ""


def test_peace_begins_when_all_have_ended_whom_a_fault_ends() -> None:
    """A failed disk's node went in peace, and nobody started it any more (seed 3000053)."""
    assert told(run_seed(3000053, Options(changes=BEFORE_SESSIONS))) == ""


def test_a_directory_that_is_nobodys_is_not_taken_for_anothers() -> None:
    """Who found it joined anew, as it should, and was told off for it (seed 160179)."""
    assert told(run_seed(160179, Options(changes=BEFORE_SESSIONS))) == ""


def test_three_that_drew_the_same_timeout_once_are_not_told_to_draw_no_others() -> None:
    """Timers that a leader's word begins anew draw nothing (seed 40005246)."""
    assert told(run_seed(40005246)) == ""


def test_what_a_leader_knew_in_the_turn_that_it_died_in_is_known() -> None:
    """Its word that a place was committed had left, and was believed (seed 40010994)."""
    assert told(run_seed(40010994)) == ""


def test_what_was_set_aside_was_there_when_it_was_told_of() -> None:
    """The files of a former life lay in its place when the leader heard (seed 40015327)."""
    assert told(run_seed(40015327)) == ""


@pytest.mark.parametrize("seed", [50000286, 50000492])
def test_disks_do_not_lose_more_than_a_majority_can_make_good(seed: int) -> None:
    """An unreadable sector is as good as rot, and one snapshot that is kept may not rot alone."""
    assert told(run_seed(seed)) == ""


@pytest.mark.parametrize("name", sorted(PROFILES))
def test_each_kind_of_world_can_be_asked_for(name: str) -> None:
    outcome = run_seed(2, Options(profile=name))

    assert told(outcome) == ""
    assert outcome.profile == draw_profile(2, name)


@pytest.mark.slow
def test_all_that_can_happen_to_snapshots_happens() -> None:
    """Fails when draws or workload change so that nothing is installed any more."""
    counts: Counter[str] = Counter()
    for seed in range(1, 9):
        counts.update(run_seed(seed, Options(profile="busy")).counts)

    for kind in ("taken", "sending", "receiving", "installed"):
        assert counts[f"snapshot_{kind}"] >= 3, kind


def power_cut_of_all(seed: int, *, honest_disks: bool) -> list[str]:
    """Cut everybody's power under load, keep only what was synced, and return the verdict."""
    cluster = SimulatedCluster(seed, Profile(clients=6, think_us=(0, 3_000))).up()
    cluster.checks.enabled = honest_disks
    cluster.elect()
    for host in cluster.hosts.values():
        host.disk.ignore_syncs = not honest_disks
    workload = Workload(cluster, seed)
    cluster.run_ms(500)
    for name in cluster.names:
        cluster.kill(name)
        cluster.hosts[name].disk.lose_cache()
        cluster.hosts[name].disk.ignore_syncs = False
    workload.stop()
    cluster.run_ms(10)
    cluster.up()
    cluster.elect()
    workload.read_all()
    return judge(workload.history)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 6))
def test_control_disks_that_only_claim_to_sync_lose_writes_and_the_judge_says_so(seed: int) -> None:
    """With fsync a no-op and the cache dropped, acknowledged writes are gone (failure E7).

    The same run with honest disks keeps all. If this finds nothing, no other test here proves
    anything.
    """
    dishonest = power_cut_of_all(seed, honest_disks=False)
    honest = power_cut_of_all(seed, honest_disks=True)

    assert any(line.startswith("register-") for line in dishonest)
    assert any(line.startswith("counter-") for line in dishonest)
    assert honest == []
