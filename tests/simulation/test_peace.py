"""What is asked of a cluster in peace: exactly what was promised, and not a moment less."""

import pytest

from orchestrator.simulation.cluster import SimulatedCluster
from orchestrator.simulation.faults import Faults
from orchestrator.simulation.kinds import KINDS
from orchestrator.simulation.kinds_of_link import isolated
from orchestrator.simulation.members import let_join
from orchestrator.simulation.peace import settle_members
from orchestrator.simulation.verdict import check_answered, check_rest
from raftcache.node.pending import HandedOnTable
from raftcache.raft import core, membership

TIMEOUT_MS = 3_000


def cluster_that_waits() -> SimulatedCluster:
    """Return a cluster in which a follower has handed a request on, and the frame was lost."""
    cluster = SimulatedCluster(1).up()
    leader = cluster.elect()
    follower = next(name for name in cluster.names if name != leader)
    cluster.network.cuts = {(follower, leader)}
    cluster.request(follower, "incr", key="k", timeout_ms=TIMEOUT_MS)
    cluster.run_ms(20)
    cluster.network.cuts = set()
    cluster.run_ms(20)
    assert cluster.silent_calls(), "or this would tell nothing"
    return cluster


def test_a_node_may_hold_a_request_for_as_long_as_its_client_said() -> None:
    """What was handed on and lost on its way is answered at its deadline (seed 7002054)."""
    cluster = cluster_that_waits()

    check_answered(cluster)
    check_rest(cluster)

    assert [call.outcome for call in cluster.calls.values()] == ["timeout/unknown"]


def test_a_request_that_is_held_for_longer_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(HandedOnTable, "take_expired", lambda _self, _now_ms: [])
    cluster = cluster_that_waits()

    with pytest.raises(AssertionError, match="at rest: requests wait in n"):
        check_rest(cluster)


def test_a_request_that_a_node_forgets_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for it any more, and its client never hears of it (failure C14)."""
    cluster = cluster_that_waits()
    for name in cluster.names:
        monkeypatch.setattr(cluster.process(name).server.desk, "_give_up", lambda *_: None)
    cluster.run_ms(TIMEOUT_MS)

    check_rest(cluster)
    cluster.run_ms(2_000)

    with pytest.raises(AssertionError, match="every request is answered"):
        check_answered(cluster)


def leader_asked_too_early(cluster: SimulatedCluster) -> Faults:
    """Let a leader that can't commit yet be asked to remove a member, and mend the links."""
    faults = Faults(let_join(cluster), 1, KINDS)
    leader = cluster.elect()
    others = [name for name in cluster.names if name != leader]
    cluster.network.cuts = isolated([leader, *others])
    cluster.run_until(lambda: cluster.leader() not in (None, leader))
    new = cluster.leader()
    assert new is not None
    gone = next(name for name in others if name != new)
    cluster.network.cuts = isolated([new, leader, gone])
    faults.member_call = cluster.request(
        new, "member_remove", admin=True, id=gone, timeout_ms=TIMEOUT_MS
    )
    cluster.members_changed = True
    cluster.run_ms(20)
    faults.stop()
    return faults


def test_peace_waits_for_a_change_that_a_leader_has_yet_to_begin() -> None:
    """All seemed quiet, and then a member went that everybody waited for (seed 7002390)."""
    cluster = SimulatedCluster(1).up()
    faults = leader_asked_too_early(cluster)

    settle_members(faults)

    assert faults.member_call is not None
    assert faults.member_call.outcome == "ok"
    assert len(cluster.names) == 2, "the host without a part is taken away"
    cluster.elect()


def test_a_change_that_is_begun_and_never_ends_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = SimulatedCluster(1).up()
    faults = leader_asked_too_early(cluster)
    others = tuple(rule for rule in core.RULES if rule is not membership.rule_complete_change)
    monkeypatch.setattr(core, "RULES", others)

    with pytest.raises(AssertionError, match="not within"):
        settle_members(faults)
