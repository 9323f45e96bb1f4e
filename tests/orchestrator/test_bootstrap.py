"""What `up` writes for the nodes: settings that a node reads as they were meant."""

from pathlib import Path

from orchestrator.node_settings import write_settings
from orchestrator.paths import Paths
from orchestrator.spec_values import MIB, Spec
from orchestrator.state import new_state
from raftcache.node.settings import StorageSettings, read_settings


def test_a_node_reads_what_cluster_yaml_says_of_its_storage(tmp_path: Path) -> None:
    """The two sides share no code: a field that one of them forgets would be a default for ever."""
    paths = Paths(tmp_path / ".cluster", None)
    paths.make()
    spec = Spec(durability="os", segment_bytes=MIB, snapshot_wal_bytes=3 * MIB, snapshots_kept=5)

    changed = write_settings(paths, new_state(spec, 3, 7400), spec)

    assert changed == ["n1", "n2", "n3"]
    for name in changed:
        assert read_settings(str(paths.settings(name))).storage == StorageSettings(
            durability="os", segment_bytes=MIB, snapshot_wal_bytes=3 * MIB, snapshots_kept=5
        )


def test_settings_that_did_not_change_are_left_alone(tmp_path: Path) -> None:
    """`up` on a running cluster tells who runs with old ones."""
    paths = Paths(tmp_path / ".cluster", None)
    paths.make()
    state = new_state(Spec(), 3, 7400)
    write_settings(paths, state, Spec())

    assert write_settings(paths, state, Spec()) == []
    assert write_settings(paths, state, Spec(snapshots_kept=1)) == ["n1", "n2", "n3"]
