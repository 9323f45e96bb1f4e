"""`snapshot save` and `restore`: nothing is lost on the way, and nothing is deleted in vain."""

from pathlib import Path

import msgspec
import pytest

from orchestrator import snapshots
from orchestrator.bootstrap import bootstrap_nodes
from orchestrator.bringup import make_plan
from orchestrator.cluster import Cluster
from orchestrator.errors import BadConfiguration, NoCluster, NoQuorum, TryAgain, UsageError
from orchestrator.paths import Paths
from orchestrator.snapshots import restore_snapshot, save_snapshot
from orchestrator.spec_values import Spec
from orchestrator.state import load, new_state, save
from orchestrator.throwaway import Throwaway
from raftcache.client import Client, Set
from raftcache.raft.configuration import Member, bootstrap_configuration
from raftcache.storage.files import OS_FILES
from raftcache.storage.identity import read_identity
from raftcache.storage.snapshot_shelf import SnapshotShelf
from raftcache.storage.snapshots import SnapshotMeta, SnapshotWriter
from raftcache.store.commands import Set as SetCommand
from raftcache.store.commands import encode_commands
from raftcache.store.machine import StateMachine

KEYS = 50
BOUND_S = 60.0
"""How long a call may take before it is a defect, on however busy a host."""


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    (tmp_path / "cluster.yaml").write_text("nodes: 3\nbase_port: auto\n")
    return Paths(tmp_path / ".cluster", tmp_path / "cluster.yaml")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    """A file as `save` leaves it, with some keys of which each was written once."""
    machine = StateMachine()
    for index in range(1, KEYS + 1):
        machine.apply(index, encode_commands([SetCommand(b"key-%02d" % index, b"value")]))
    member = Member("n1#1", "n1", 1, "tcp://127.0.0.1:1", "tcp://127.0.0.1:2")
    meta = SnapshotMeta(KEYS, 4, bootstrap_configuration((member,)), machine.store_rev)
    writer = SnapshotWriter(OS_FILES, str(tmp_path), "a" * 32, meta)
    run = machine.begin_snapshot()
    while (piece := run.next_slice(64 * 1024)) is not None:
        writer.add(piece)
    path = tmp_path / "saved.snapshot"
    Path(writer.finish().path).rename(path)
    return path


def cluster_of(paths: Paths) -> str:
    """Make a cluster that has data; return its identity."""
    paths.make()
    state = new_state(Spec(), 3, 7400)
    state.bootstrapped = True
    save(paths, state)
    (paths.nodes / "n1").mkdir()
    return state.cluster_id


def test_every_node_begins_with_the_saved_data(paths: Paths, saved: Path) -> None:
    restored = restore_snapshot(paths, saved, nodes=5)

    state = load(paths)
    assert state is not None
    assert (state.bootstrapped, state.restoring) == (True, "")
    assert restored.contents == snapshots.Contents(
        cluster_id="a" * 32,
        index=KEYS,
        revision=KEYS,
        keys=KEYS,
        size_bytes=saved.stat().st_size,
    )
    assert state.cluster_id != restored.contents.cluster_id
    for name in ("n1", "n2", "n3", "n4", "n5"):
        folder = str(paths.data(name))
        identity = read_identity(OS_FILES, folder)
        newest = SnapshotShelf(OS_FILES, folder, state.cluster_id).newest()
        assert identity is not None
        assert newest is not None
        assert identity.cluster_id == state.cluster_id
        assert newest.meta.store_rev == KEYS
        # Who votes are the new nodes, not those from which it was taken.
        assert newest.meta.configuration == identity.configuration
        assert len(identity.configuration.members) == 5


def test_a_cluster_that_is_there_is_not_replaced_unasked(paths: Paths, saved: Path) -> None:
    cluster_id = cluster_of(paths)

    with pytest.raises(BadConfiguration) as caught:
        restore_snapshot(paths, saved)

    assert caught.value.message == (
        "there is a cluster here already, 'demo' of 3 nodes; a restore makes a new one"
    )
    assert "--wipe" in caught.value.hint
    state = load(paths)
    assert state is not None
    assert state.cluster_id == cluster_id


@pytest.mark.parametrize("damage", ["missing", "cut", "flipped", "of another kind"])
def test_a_file_that_is_no_good_costs_nobody_their_data(
    paths: Paths, saved: Path, damage: str
) -> None:
    """Even with --wipe: all of it is read before anything is deleted."""
    cluster_id = cluster_of(paths)
    data = bytearray(saved.read_bytes())
    match damage:
        case "missing":
            saved.unlink()
        case "cut":
            saved.write_bytes(data[:-1])
        case "flipped":
            data[len(data) // 2] ^= 1
            saved.write_bytes(data)
        case _:
            saved.write_text("nodes: 3\n")

    with pytest.raises(BadConfiguration):
        restore_snapshot(paths, saved, wipe=True)

    state = load(paths)
    assert state is not None
    assert state.cluster_id == cluster_id
    assert (paths.nodes / "n1").is_dir()


@pytest.mark.parametrize("made", [0, 1, 2, 3])
def test_a_restore_that_was_interrupted_can_only_be_repeated(
    paths: Paths, saved: Path, made: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`up` would begin with some nodes full and some empty: those might be the majority."""

    def killed(*arguments: object) -> None:
        state = msgspec.convert(msgspec.to_builtins(arguments[1]), type(arguments[1]))
        del state.nodes[made:]  # type: ignore[attr-defined]  # a ClusterState
        bootstrap_nodes(arguments[0], state, *arguments[2:])  # type: ignore[arg-type]  # likewise
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(snapshots, "bootstrap_nodes", killed)
        with pytest.raises(KeyboardInterrupt):
            restore_snapshot(paths, saved)

    with pytest.raises(BadConfiguration, match="restoring a snapshot was interrupted"):
        make_plan(paths)

    told: list[str] = []
    assert restore_snapshot(paths, saved, tell=told.append).contents.keys == KEYS
    assert told == ["an earlier restore was interrupted: it is begun anew"]
    assert make_plan(paths).first is False


def test_a_save_replaces_no_file_unasked_and_makes_no_folder(paths: Paths, saved: Path) -> None:
    with pytest.raises(UsageError, match="exists already") as caught:
        save_snapshot(paths, saved)
    assert caught.value.hint == "--force replaces it"
    with pytest.raises(UsageError, match="there is no such folder"):
        save_snapshot(paths, saved.parent / "nowhere" / "x")
    with pytest.raises(UsageError, match="is a folder"):
        save_snapshot(paths, saved.parent)
    with pytest.raises(NoCluster):
        save_snapshot(paths, saved, force=True)


@pytest.mark.processes
def test_what_was_saved_is_there_in_a_new_cluster_of_another_size(tmp_path: Path) -> None:
    """Keys, values and revisions; and what is written next has a revision above all of them."""
    target = tmp_path / "saved.snapshot"
    with Throwaway(5, prefix="raftcache-test-") as site:
        site.up()
        with Client(list(site.endpoints.values()), timeout=BOUND_S) as client:
            for first in range(0, 1_000, 100):
                client.batch([Set(b"key-%04d" % n, b"%d" % n) for n in range(first, first + 100)])
            client.delete("key-0500")
            client.set("key-0001", "changed")
            before = {item.key: item for item in client.items("key-")}
            revision = client.set("last", "before the save")
            contents = save_snapshot(site.cluster.paths, target).contents
            client.set("lost", "after the save")
        site.cluster.down(wipe=True)
        assert (contents.keys, contents.revision) == (1_000, revision)

        restore_snapshot(site.cluster.paths, target, nodes=3)
        restored = Cluster(site.cluster.paths)
        view = restored.up().view

        assert len(view.nodes) == 3
        with Client(restored.client_endpoints, timeout=BOUND_S) as client:
            assert {item.key: item for item in client.items("key-")} == before
            assert client.get("last") == b"before the save"
            assert client.get("lost") is None
            assert client.set("next", "x") == revision + 1
            at = client.hash()["at"]
            hashes = [client.hash(each, at=at)["digest"] for each in restored.client_endpoints]
            assert len(set(hashes)) == 1
        leader = restored.wait("leader").leader
        assert leader is not None
        restored.kill(leader)
        with Client(restored.client_endpoints, timeout=BOUND_S) as client:
            assert client.get("key-0001") == b"changed"


def no_quorum(paths: Paths, target: Path) -> NoQuorum:
    """Try to save until the leader has noticed that it is alone."""
    while True:
        try:
            save_snapshot(paths, target, seconds=2)
        except NoQuorum as error:
            return error
        except TryAgain:
            continue
        pytest.fail("nobody was left to agree")


@pytest.mark.processes
def test_what_one_node_has_can_be_saved_when_the_others_are_lost(tmp_path: Path) -> None:
    """No leader, no agreement: but what it has applied was agreed upon once."""
    target = tmp_path / "saved.snapshot"
    with Throwaway(3, prefix="raftcache-test-") as site:
        site.up()
        paths = site.cluster.paths
        with Client(list(site.endpoints.values()), timeout=BOUND_S) as client:
            revision = client.set("kept", "value")
        left = site.cluster.wait("leader").leader
        assert left is not None
        site.cluster.kill(*(name for name in site.endpoints if name != left), wait=False)

        caught = no_quorum(paths, target)
        assert f"--from {left}" in caught.hint
        assert not target.exists()
        with pytest.raises(UsageError, match="is not a node that runs"):
            save_snapshot(paths, target, node="n9")
        saved = save_snapshot(paths, target, node=left)

        assert (saved.node, saved.contents.revision, saved.contents.keys) == (left, revision, 1)
        restore_snapshot(paths, target, wipe=True)
        restored = Cluster(paths)
        restored.up()
        with Client(restored.client_endpoints, timeout=BOUND_S) as client:
            assert client.get("kept") == b"value"
