"""How long a node was busy without listening is known afterwards, and told when it was long."""

from raftcache.node.server import SLOW_TURN_MS

from .builders import elected


def test_the_longest_turn_is_in_the_status() -> None:
    """Whoever sees an election without a dead leader asks whether a stall was behind it."""
    cluster, leader, _ = elected()
    server = cluster.process(leader).server

    for turn_ms in (0.4, 12.34, 3.0):
        server.on_long_turn(turn_ms, 0.0)

    assert cluster.ask(leader, "status")["longest_turn_ms"] == 12.3


def test_a_slow_turn_is_told_when_it_is_over() -> None:
    cluster, leader, _ = elected()
    server = cluster.process(leader).server
    told: list[tuple[str, dict[str, object]]] = []
    server.events._publish = lambda kind, fields: told.append((kind, fields))

    server.on_long_turn(SLOW_TURN_MS - 0.1, 0.3)
    server.on_long_turn(SLOW_TURN_MS + 5, 3.14)

    term = server.raft.current_term
    assert told == [("slow_turn", {"term": term, "ms": SLOW_TURN_MS + 5, "cpu_ms": 3.1})]
