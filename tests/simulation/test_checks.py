"""What the checks of a run's every moment must not take for a broken promise."""

from orchestrator.simulation.cluster import SimulatedCluster


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
