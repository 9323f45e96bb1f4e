"""A leader whose process has ended is replaced within milliseconds; one that is silent, not."""

import msgspec
import pytest

from orchestrator.simulation.profile import CALM

from .builders import elected, elections

ALERT = msgspec.structs.replace(CALM, detect=1000)


@pytest.mark.parametrize("seed", range(1, 11))
def test_a_killed_leader_is_replaced_long_before_a_timeout(seed: int) -> None:
    """Its host refuses connections to its port; the others need no timeout to know."""
    cluster, leader, followers = elected(seed, ALERT)
    cluster.kill(leader)

    waited_ms = cluster.run_until(lambda: cluster.leader() in followers)

    assert waited_ms < 100
    assert cluster.ask(followers[0], "set", key=b"a", value=b"1")["ok"]


def test_where_nobody_notices_the_timeout_decides() -> None:
    """The shortest election timeout is 150 ms, from the last heartbeat."""
    cluster, leader, followers = elected()
    cluster.kill(leader)

    assert cluster.run_until(lambda: cluster.leader() in followers) >= 100


def test_one_witness_is_enough() -> None:
    """It asks the other, which still hears the dead, tick by tick until that one gives up."""
    cluster, leader, (witness, other) = elected(1, ALERT)
    cluster.network.cut(other, leader)
    cluster.kill(leader)

    waited_ms = cluster.run_until(lambda: cluster.leader() == witness)

    assert waited_ms <= 170, "as soon as the shortest election timeout is over"
    assert cluster.process(witness).server.raft.current_term == 2


def test_a_paused_leader_is_not_gone() -> None:
    """Its port still takes connections, so only the timeout speaks."""
    cluster, leader, followers = elected(1, ALERT)
    before = elections(cluster)
    cluster.pause(leader)

    cluster.run_ms(90)

    assert elections(cluster) == before
    cluster.run_until(lambda: cluster.leader() in followers)


def test_a_follower_that_dies_disturbs_nobody() -> None:
    cluster, leader, (follower, _) = elected(1, ALERT)
    before = elections(cluster)

    cluster.kill(follower)
    cluster.run_ms(1_000)

    assert cluster.leader() == leader
    assert elections(cluster) == before


def test_what_the_dead_leader_had_sent_does_not_bring_it_back() -> None:
    """Late messages restore the trust in it, and the next refusal ends that again."""
    cluster, leader, followers = elected(
        1, msgspec.structs.replace(ALERT, delay_us=(8_000, 12_000), detect_us=(1_000, 2_000))
    )
    call = cluster.request(leader, "set", key=b"a", value=b"1")
    cluster.run_ms(45)
    cluster.kill(leader)

    waited_ms = cluster.run_until(lambda: cluster.leader() in followers)

    assert waited_ms < 120
    assert call.done
