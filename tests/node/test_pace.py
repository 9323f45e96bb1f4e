"""How fast a snapshot is cut: slowly, for the others' sake, and still to its end."""

import msgspec

from orchestrator.simulation.profile import CALM
from raftcache.node.pace import PACE_TICKS, Pace

from .builders import elected, fill

SLOW = msgspec.structs.replace(CALM, slice_bytes=256, pace_bytes=1)


def test_a_snapshot_takes_many_ticks_and_writes_go_on_meanwhile() -> None:
    """It is that of its beginning all the same (§7)."""
    cluster, leader, _ = elected(profile=SLOW)
    fill(cluster, leader, 10)
    begun_ms = cluster.scheduler.now_ms
    taking = cluster.request(leader, "snapshot", admin=True)
    cluster.run_until(lambda: cluster.told[leader, "snapshot_started"] == 1)

    fill(cluster, leader, 5)
    under_way = cluster.told[leader, "snapshot_taken"] == 0
    cluster.run_until(lambda: taking.done)

    assert under_way
    assert taking.reply["ok"]
    ticks = (cluster.scheduler.now_ms - begun_ms) // cluster.process(leader).server.tick_ms
    assert 5 <= ticks <= 50
    cluster.kill(leader)
    cluster.start(leader)
    cluster.elect()
    assert len(set(cluster.digests().values())) == 1


def test_what_a_tick_did_not_use_is_lost() -> None:
    """Else idle ticks would bring a burst."""
    pace = Pace(100)
    for _ in range(5):
        pace.on_tick()

    assert slices(pace, of=60) == 2
    pace.on_tick()
    assert slices(pace, of=60) == 2


def test_a_snapshot_that_takes_long_is_cut_faster() -> None:
    """A large state would else never be through."""
    pace = Pace(100)
    found = []
    for _ in range(3 * PACE_TICKS):
        found.append(slices(pace, of=50))
        pace.on_tick()

    assert [found[0], found[PACE_TICKS], found[-1]] == [2, 4, 8]


def test_a_snapshot_that_a_majority_waits_for_is_cut_as_fast_as_the_disk_takes_it() -> None:
    pace = Pace(100)
    pace.on_cut(1_000)
    paced = pace.allows_more

    pace.hurry()

    assert not paced
    assert pace.allows_more


def slices(pace: Pace, *, of: int) -> int:
    """Return how many slices of so many bytes may be cut now, and cut them."""
    count = 0
    while pace.allows_more:
        pace.on_cut(of)
        count += 1
    return count
