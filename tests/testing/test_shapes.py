"""What a marker may ask for, and how it is told what it may not."""

from typing import Any

import pytest

from orchestrator.errors import UsageError
from orchestrator.spec import parse_spec
from orchestrator.testing.pool import Shape, read_shape


def test_a_shape_becomes_a_part_of_cluster_yaml() -> None:
    shape = read_shape(
        Shape(nodes=1),
        (),
        {"durability": "memory", "settings": {"raft": {"heartbeat": "20ms"}, "restart": "never"}},
    )

    spec = parse_spec(shape.text.encode()).spec

    assert (shape.nodes, shape.fresh) == (1, False)
    assert (spec.durability, spec.heartbeat_ms, spec.restart) == ("memory", 20, "never")


def test_equal_wishes_are_equal_shapes() -> None:
    """Tests that want the same share the processes."""
    one = read_shape(Shape(), (), {"settings": {"raft": {"heartbeat": "20ms"}, "cache": {}}})
    other = read_shape(Shape(), (), {"settings": {"cache": {}, "raft": {"heartbeat": "20ms"}}})

    assert one == other
    assert read_shape(Shape(), (), {}) != one


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((5,), {}, "takes names only, not 5: for example"),
        ((), {"durabilty": "memory"}, "did you mean durability"),
        ((), {"nodes": 0}, "nodes=0: expected a number from 1"),
        ((), {"nodes": "3"}, "nodes='3': expected a number"),
        ((), {"durability": "none"}, "expected one of os, memory, fsync"),
        ((), {"fresh": 1}, "fresh=1: expected True or False"),
        ((), {"settings": "raft"}, "settings='raft': expected keys of cluster.yaml"),
        ((), {"settings": {"nodes": 5}}, "settings: `nodes` is decided by the fixture"),
    ],
)
def test_a_wish_that_can_not_be_fulfilled_is_refused_by_name(
    arguments: tuple[Any, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        read_shape(Shape(), arguments, options)
