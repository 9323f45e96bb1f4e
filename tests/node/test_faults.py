"""``fault_set``, ``fault_clear``, ``fault_list``: who may, what is refused, and what is told."""

import random
from typing import Any

from orchestrator.simulation.cluster import SimulatedCluster
from raftcache.protocol.faults import KINDS
from raftcache.transport.faults import LinkFaults

from .builders import elected

CUT = {"peer": "n2", "direction": "out", "drop": 1.0}
SLOW = {"peer": "n3", "direction": "in", "types": ["AppendEntries"], "delay_ms": 20.0}
NONE_HARMED = {"lost": 0, "delayed": 0, "doubled": 0, "reordered": 0}


def allowed(node: str = "n1") -> SimulatedCluster:
    """Return a cluster, one node of which takes faults."""
    cluster, _, _ = elected()
    server = cluster.process(node).server
    server.faults = LinkFaults(random.Random(1), lambda: server.now_ms)
    return cluster


def asked(cluster: SimulatedCluster, op: str, **fields: Any) -> dict[str, Any]:
    call = cluster.request("n1", op, admin=True, **fields)
    cluster.run_until(lambda: call.done)
    return call.reply


def test_faults_are_forbidden_where_chaos_is_not_enabled_and_the_setting_is_named() -> None:
    cluster, _, _ = elected()

    for op, fields in (("fault_set", {"rules": [CUT]}), ("fault_clear", {}), ("fault_list", {})):
        reply = asked(cluster, op, **fields)
        assert (reply["error"], reply["applied"]) == ("forbidden", "no")
        assert "chaos: {enabled: true}" in reply["message"]
    assert cluster.ask("n1", "status")["faults"] == []


def test_faults_are_taken_on_the_administration_socket_only() -> None:
    cluster = allowed()

    reply = cluster.ask("n1", "fault_set", rules=[CUT])

    assert (reply["error"], cluster.process("n1").server.faults.rules) == ("forbidden", ())  # type: ignore[union-attr]


def test_a_set_of_rules_replaces_the_one_before_and_is_told() -> None:
    cluster = allowed()

    first = asked(cluster, "fault_set", rules=[CUT, {**CUT, "peer": "n3"}])
    second = asked(cluster, "fault_set", rules=[SLOW])

    assert first["rules"] == [CUT, {**CUT, "peer": "n3"}]
    assert (second["rules"], second["frames"]) == ([SLOW], NONE_HARMED)
    assert asked(cluster, "fault_list")["rules"] == [SLOW]
    assert cluster.ask("n1", "status")["faults"] == [SLOW]
    assert cluster.told["n1", "fault_set"] == 2


def test_a_clear_removes_all_rules_and_is_told() -> None:
    cluster = allowed()
    asked(cluster, "fault_set", rules=[CUT])

    assert asked(cluster, "fault_clear")["rules"] == []

    assert cluster.told["n1", "fault_cleared"] == 1
    assert cluster.ask("n1", "status")["faults"] == []


def test_a_rule_without_any_fault_is_no_rule() -> None:
    cluster = allowed()

    reply = asked(cluster, "fault_set", rules=[{"peer": "n2", "direction": "out"}])

    assert reply["rules"] == []
    assert cluster.told["n1", "fault_cleared"] == 1


def test_a_rule_may_name_a_node_that_is_yet_to_come() -> None:
    cluster = allowed()

    assert asked(cluster, "fault_set", rules=[{**CUT, "peer": "n9"}])["ok"]


def test_one_wrong_rule_spoils_them_all() -> None:
    """They are put in force in one step, so none of them is."""
    cluster = allowed()
    for wrong, complaint in (
        ({**CUT, "peer": "n1"}, "n1 is this node itself"),
        ({**CUT, "drop": 2}, "`rules`: Expected `float` <= 1.0"),
        ({**CUT, "types": ["Vote"]}, KINDS[0]),
    ):
        reply = asked(cluster, "fault_set", rules=[CUT, wrong])

        assert reply["error"] == "bad_request"
        assert complaint in reply["message"]
    assert asked(cluster, "fault_list")["rules"] == []
