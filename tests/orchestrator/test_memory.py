"""``durability: memory``: what is gone with the last node, and what must not be."""

from pathlib import Path

import pytest

from orchestrator.errors import BadConfiguration, UsageError
from orchestrator.memory import forget_memory, refuse_to_forget
from orchestrator.paths import Paths
from orchestrator.spec_values import Spec
from orchestrator.state import ClusterState, load, new_record, new_state, save


def remembered(tmp_path: Path, durability: str) -> tuple[Paths, ClusterState]:
    """Return a cluster of three that was made and does not run, and had grown to four."""
    paths = Paths(tmp_path / ".cluster", None)
    paths.make()
    state = new_state(Spec(durability=durability), 3, 7400)
    state.nodes.append(new_record("n4", "127.0.0.1", 7404, incarnation=7))
    state.bootstrapped = True
    state.saw_leader("n2", 9)
    (paths.data("n1")).mkdir()
    save(paths, state)
    return paths, state


def test_what_was_in_memory_is_a_new_cluster_of_the_same_nodes(tmp_path: Path) -> None:
    """With the old id, a node that is left somewhere would take it for its own."""
    paths, before = remembered(tmp_path, "memory")
    said: list[str] = []

    forget_memory(paths, Spec(durability="memory"), said.append)

    after = load(paths)
    assert after is not None
    assert after.cluster_id != before.cluster_id
    assert not after.bootstrapped
    assert [(node.name, node.incarnation) for node in after.nodes] == [
        ("n1", 1),
        ("n2", 1),
        ("n3", 1),
        ("n4", 1),
    ]
    assert after.leader is None  # its term was another cluster's
    assert list(paths.nodes.iterdir()) == []
    assert said == [
        "no node was running, and what was in memory is gone: a new, empty cluster begins"
    ]


@pytest.mark.parametrize("durability", ["fsync", "os"])
def test_what_is_on_disk_is_never_forgotten(tmp_path: Path, durability: str) -> None:
    paths, before = remembered(tmp_path, durability)

    forget_memory(paths, Spec(durability="fsync"), pytest.fail)
    with pytest.raises(BadConfiguration, match="would forget what the nodes here have on disk"):
        forget_memory(paths, Spec(durability="memory"), pytest.fail)

    assert load(paths) == before
    assert paths.data("n1").is_dir()


def test_a_restart_of_too_many_at_once_is_refused(tmp_path: Path) -> None:
    _, state = remembered(tmp_path, "memory")

    refuse_to_forget(state, ["n1"], "restart")
    with pytest.raises(UsageError, match="would forget all data") as caught:
        refuse_to_forget(state, ["n1", "n2"], "restart")
    assert "restart --rolling" in caught.value.hint
    state.durability = "fsync"
    refuse_to_forget(state, ["n1", "n2", "n3", "n4"], "restart")
