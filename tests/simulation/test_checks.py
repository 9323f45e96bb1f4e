"""What the checks of a run's every moment must not take for a broken promise."""

import pytest

from orchestrator.simulation.cluster import SimulatedCluster
from raftcache.raft.messages import TimeoutNow
from raftcache.raft.types import HardState


def test_two_transfers_to_one_target_may_have_writes_between_them() -> None:
    """Two looks at a whole log can be far apart: neither transfer took the write (seed 8200271)."""
    cluster = SimulatedCluster(1).up()
    name = cluster.elect()
    leader = cluster.process(name)
    state = leader.server.raft.state
    target = next(peer for peer in sorted(state.progress) if peer != state.server_id)
    cluster.network.cuts = {(name, target.partition("#")[0])}

    def hand_over(ticks: int) -> None:
        leader.server.raft.transfer_leadership(target)
        cluster.run_until(lambda: state.transfer_ticks == ticks)
        assert state.transfer_target == target
        cluster.checks.check_all(cluster.running)

    hand_over(2)
    cluster.run_until(lambda: state.transfer_target is None)
    assert cluster.ask(name, "set", key="k", value="v")["ok"]
    hand_over(3)

    assert cluster.leader() == name


def test_who_was_deposed_may_order_a_campaign_of_who_has_another_log_now() -> None:
    """It goes by what it heard in its term, and in a later one nobody obeys it (seed 1220603)."""
    cluster = SimulatedCluster(1).up()
    leader = cluster.process(cluster.elect())
    cluster.run_until(cluster.is_settled)
    state = leader.server.raft.state
    target = min(state.progress.keys() - {state.server_id})
    order = TimeoutNow(state.server_id, target, state.current_term)
    elections = cluster.checks.elections
    elections.on_message(leader, order)

    disk = cluster.checks.durable[target.partition("#")[0]]
    disk.terms[-1] += 1  # As when a later leader's entry has replaced it.
    with pytest.raises(AssertionError, match="only who has the whole log"):
        elections.on_message(leader, order)

    disk.hard_state = HardState(state.current_term + 1)
    elections.on_message(leader, order)
