"""The verdict looks at one past on all nodes: no more than they promise, and no less."""

from typing import Any

import pytest
from msgspec.structs import replace

from orchestrator.simulation.cluster import SimulatedCluster
from orchestrator.simulation.profile import CALM
from orchestrator.simulation.verdict import pass_verdict
from raftcache.store.records import Change

KEY = b"k"
NEWEST_REV = 40


@pytest.fixture
def cluster() -> SimulatedCluster:
    """A cluster at rest, with a past of forty revisions."""
    cluster = SimulatedCluster(1, CALM).up()
    leader = cluster.elect()
    for number in range(NEWEST_REV):
        assert cluster.ask(leader, "set", key=KEY, value=b"%d" % number)["ok"]
    cluster.elect()
    return cluster


def test_a_node_that_lags_behind_a_late_request_need_not_know_of_it(
    cluster: SimulatedCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers for all that it had when the verdict began (seed 7003834)."""
    first, leader, ask = cluster.names[0], cluster.leader(), cluster.ask
    lagging = max(set(cluster.names) - {leader})
    late: list[bool] = []

    def ask_and_be_late(node: str, op: str, **fields: Any) -> dict[str, Any]:
        reply = ask(node, op, **fields)
        if not late:
            assert leader is not None
            cluster.isolate(lagging)
            late.extend(ask(leader, "incr", key=b"late")["ok"] for _ in range(2))
            cluster.run_until(lambda: revision_of(first) == NEWEST_REV + 2)
        return reply

    def revision_of(name: str) -> int:
        return cluster.process(name).server.store.store_rev

    monkeypatch.setattr(cluster, "ask", ask_and_be_late)

    pass_verdict(cluster, [])

    assert late == [True, True]
    assert (revision_of(lagging), revision_of(first)) == (NEWEST_REV, NEWEST_REV + 2)


@pytest.mark.parametrize("back", [1, 5, 30])
def test_a_node_that_remembers_another_value_is_found(cluster: SimulatedCluster, back: int) -> None:
    past = cluster.process(cluster.names[-1]).server.store._keyspace._history._steps
    change = past[-back]
    assert isinstance(change, Change), "each set had an entry of its own"
    assert change.before is not None
    past[-back] = replace(change, before=replace(change.before, value=b"never"))

    with pytest.raises(AssertionError, match=f"one state at revision {NEWEST_REV - back}"):
        pass_verdict(cluster, [])


def test_a_node_that_has_forgotten_its_past_is_found(cluster: SimulatedCluster) -> None:
    keyspace = cluster.process(cluster.names[-1]).server.store._keyspace
    keyspace.forget(keyspace.store_rev)

    with pytest.raises(AssertionError, match=f"one state at revision {NEWEST_REV - 1}"):
        pass_verdict(cluster, [])
