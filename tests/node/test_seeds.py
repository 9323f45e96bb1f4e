"""Many worlds, each drawn from its seed; and the proof that the judge can find somebody guilty.

Replay one: ``python -c "from tests.node.runs import run_seed; run_seed(SEED)"``.
"""

import subprocess
import sys
from collections import Counter
from random import Random

import msgspec
import pytest

from orchestrator.simulation.cluster import SimulatedCluster
from orchestrator.simulation.faults import KINDS
from orchestrator.simulation.profile import Profile, draw_profile
from orchestrator.simulation.workload import FAILED, OK, UNKNOWN, Operation, Workload

from ..effort import scaled
from .checker import judge
from .runs import run_busy_seed, run_seed


@pytest.mark.parametrize("seed", range(1, 1 + scaled(50)))
def test_promises_are_kept_in_the_world_of_this_seed(seed: int) -> None:
    """Linearizable registers, exact counters, equal states, all acknowledged survives.

    After each turn and frame the invariants of ``simulation.checks`` hold too: one leader per
    term, votes and acknowledgements durable before they leave, a majority's disks behind each
    commit (failures A1, A3, A4, A5, A9, A10, B1, B2, B6, B19, C14, E7, E12).
    """
    run_seed(seed)


@pytest.mark.parametrize("seed", range(1, 1 + scaled(20)))
def test_promises_are_kept_while_snapshots_come_and_go(seed: int) -> None:
    """All of that, with logs that are cut off behind snapshots all the time.

    They are taken, sent, lost on the way, put in force, restarted from, and rot; a process dies
    between any two changes to its disk (failures D1 to D5, D7 to D9, D11, D13, E10).
    """
    run_busy_seed(seed)


@pytest.mark.slow
def test_the_worlds_with_snapshots_see_all_of_their_lives() -> None:
    """Fails when draws or workload change so that nothing is installed any more."""
    told: Counter[str] = Counter()
    for seed in range(1, 9):
        for (_, kind), count in run_busy_seed(seed).cluster.told.items():
            told[kind] += count

    for kind in ("taken", "sending", "receiving", "installed"):
        assert told[f"snapshot_{kind}"] >= 5, kind


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_promises_are_kept_under_one_kind_of_fault_alone(kind: str) -> None:
    """A crowd of faults hides what one alone would show."""
    profile = Profile(faults=(kind,), fault_pause_us=(100_000, 700_000), loss=10, reorder=20)

    run = run_seed(1, profile=profile)

    assert run.faults.count >= 3
    assert run.count(OK) >= 100


def test_the_worlds_differ_and_all_kinds_of_fault_happen() -> None:
    """Fails when the draw loses a kind, or faults stop to strike."""
    profiles = [draw_profile(Random(f"{seed}/profile"), tuple(sorted(KINDS))) for seed in range(60)]

    assert {kind for profile in profiles for kind in profile.faults} == set(KINDS)
    assert {profile.nodes for profile in profiles} == {3, 5}
    for name in ("loss", "duplicate", "reorder", "slow_disk"):
        assert len({getattr(profile, name) for profile in profiles}) > 1, name


@pytest.mark.processes
def test_a_seed_is_a_world_whatever_the_hash_seed() -> None:
    """The same frames at the same microseconds, in other processes too (failure B10)."""
    program = (
        "from tests.node.runs import run_seed\n"
        "cluster = run_seed(3).cluster\n"
        "print(cluster.scheduler.steps, cluster.network.digest, cluster.digests())\n"
    )
    told = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ":".join(sys.path)},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for hash_seed in ("0", "1", "4711")
    }
    cluster = run_seed(3).cluster

    own = f"{cluster.scheduler.steps} {cluster.network.digest} {cluster.digests()}\n"

    assert told == {own}


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


def operation(number: int, op: str, **fields: object) -> Operation:
    given = {"client": number, "node": "n1", "key": "k", "returned_us": None, **fields}
    return msgspec.convert({"number": number, "op": op, **given}, Operation)


def wrote(number: int, value: str, at: tuple[int, int], mod_rev: int) -> Operation:
    return operation(
        number,
        "set",
        argument=value,
        invoked_us=at[0],
        returned_us=at[1],
        outcome=OK,
        fields={"mod_rev": mod_rev},
    )


def read(number: int, value: str | None, at: tuple[int, int], mod_rev: int) -> Operation:
    return operation(
        number,
        "get",
        invoked_us=at[0],
        returned_us=at[1],
        outcome=OK,
        fields={"value": value, "mod_rev": mod_rev},
    )


def counted(number: int, value: int, at: tuple[int, int]) -> Operation:
    return operation(
        number,
        "incr",
        invoked_us=at[0],
        returned_us=at[1],
        outcome=OK,
        fields={"value": value, "mod_rev": value},
    )


def unsettled(number: int, op: str, outcome: str, **fields: object) -> Operation:
    return operation(number, op, invoked_us=0, outcome=outcome, **fields)


@pytest.mark.parametrize(
    "history",
    [
        pytest.param([wrote(1, "a", (0, 10), 1), read(2, None, (20, 30), 0)], id="a lost write"),
        pytest.param(
            [wrote(1, "a", (0, 10), 1), wrote(2, "b", (20, 30), 2), read(3, "a", (40, 50), 1)],
            id="a stale read",
        ),
        pytest.param(
            [wrote(1, "a", (0, 90), 1), read(2, "a", (10, 20), 1), read(3, None, (30, 40), 0)],
            id="a read that goes back",
        ),
        pytest.param([read(1, "a", (0, 10), 1)], id="a value out of nowhere"),
        pytest.param(
            [unsettled(1, "set", FAILED, argument="a"), read(2, "a", (20, 30), 1)],
            id="a refused write that happened",
        ),
        pytest.param(
            [wrote(1, "a", (0, 10), 1), read(2, "a", (20, 30), 4)], id="a write that happened twice"
        ),
        pytest.param(
            [wrote(1, "a", (0, 10), 1), wrote(2, "b", (0, 10), 1)], id="two writes, one revision"
        ),
        pytest.param([wrote(1, "a", (0, 10), 2), wrote(2, "b", (20, 30), 1)], id="out of order"),
        pytest.param([counted(1, 1, (0, 10)), counted(2, 1, (20, 30))], id="a lost increment"),
        pytest.param([counted(1, 2, (0, 10))], id="an increment that counted twice"),
        pytest.param(
            [unsettled(1, "incr", FAILED), counted(2, 2, (20, 30))], id="a refused one that counted"
        ),
        pytest.param(
            [unsettled(1, "incr", UNKNOWN), counted(2, 3, (20, 30))], id="an unknown one, twice"
        ),
    ],
)
def test_the_judge_finds(history: list[Operation]) -> None:
    assert judge(history) != []


@pytest.mark.parametrize(
    "history",
    [
        [wrote(1, "a", (0, 10), 1), read(2, "a", (20, 30), 1)],
        [wrote(1, "a", (0, 90), 1), read(2, None, (10, 20), 0), read(3, "a", (30, 40), 1)],
        [unsettled(1, "set", UNKNOWN, argument="a"), read(2, "a", (20, 30), 1)],
        [unsettled(1, "set", UNKNOWN, argument="a"), read(2, None, (20, 30), 0)],
        [unsettled(1, "incr", UNKNOWN), counted(2, 2, (20, 30))],
        [unsettled(1, "incr", UNKNOWN), counted(2, 1, (20, 30))],
    ],
)
def test_the_judge_accepts(history: list[Operation]) -> None:
    """What may happen is no offence: an unknown write may take effect, or never."""
    assert judge(history) == []
