"""What is remembered between commands, and where."""

import fcntl
import os
import tempfile
from pathlib import Path

import msgspec
import pytest

from orchestrator import state as state_module
from orchestrator.errors import BadConfiguration, NoCluster, TryAgain
from orchestrator.paths import SOCKET_PATH_BYTES_MAX, Paths, locate
from orchestrator.spec_values import GATEWAY_OFFSET, NODES_MAX, PORT_BAND, Spec
from orchestrator.state import (
    changing,
    load,
    load_existing,
    locked,
    new_state,
    port_offsets,
    save,
)


@pytest.fixture
def paths(tmp_path: Path) -> Paths:
    found = Paths(tmp_path / ".cluster", None)
    found.make()
    return found


def test_a_state_is_read_as_it_was_written(paths: Paths) -> None:
    written = new_state(Spec(), 3, 7400)
    written.bootstrapped = True
    written.saw_leader("n2", 4)

    save(paths, written)

    assert load(paths) == written
    assert not list(paths.state.glob("*.tmp"))


def test_two_clusters_never_share_an_identity() -> None:
    assert new_state(Spec(), 3, 7400).cluster_id != new_state(Spec(), 3, 7400).cluster_id


def test_a_node_has_three_ports_by_its_number() -> None:
    state = new_state(Spec(), 2, 7400)

    assert state.ports() == [
        ("n1", "clients", 7401),
        ("n1", "peers", 7501),
        ("n1", "events", 7601),
        ("n2", "clients", 7402),
        ("n2", "peers", 7502),
        ("n2", "events", 7602),
    ]
    assert sorted(7400 + offset for offset in port_offsets(2)) == sorted(
        port for _, _, port in state.ports()
    )


def test_the_gateway_s_port_is_one_of_the_cluster() -> None:
    """What `up` finds taken and `down` proves free."""
    state = new_state(Spec(), 1, 7400)
    state.gateway = "127.0.0.1:7480"

    assert state.ports()[-1] == ("gateway", "HTTP", 7480)
    assert NODES_MAX < GATEWAY_OFFSET < PORT_BAND


@pytest.mark.parametrize(("nodes", "quorum"), [(1, 1), (2, 2), (3, 2), (4, 3), (5, 3)])
def test_a_quorum_is_more_than_half(nodes: int, quorum: int) -> None:
    assert new_state(Spec(), nodes, 7400).quorum() == quorum


def test_the_old_leader_is_who_led_before_somebody_else_did() -> None:
    state = new_state(Spec(), 3, 7400)

    news = [state.saw_leader(*seen) for seen in [("n1", 1), ("n1", 1), ("n2", 2), ("n2", 3)]]

    assert news == [True, False, True, True]
    assert state.old_leader == "n1"
    assert not state.saw_leader("n3", 2)  # an old observation that comes late is no news


def test_before_the_first_up_there_is_no_cluster(paths: Paths) -> None:
    assert load(paths) is None
    with pytest.raises(NoCluster):
        load_existing(paths)
    save(paths, new_state(Spec(), 3, 7400))  # an `up` that was killed before it had made all
    with pytest.raises(NoCluster):
        load_existing(paths)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"format": 1}', b"\xff"])
def test_a_damaged_state_is_refused_with_the_way_out(paths: Paths, data: bytes) -> None:
    paths.cluster_json.write_bytes(data)

    with pytest.raises(BadConfiguration, match=r"cluster\.json is damaged") as caught:
        load(paths)
    assert "up --wipe" in caught.value.hint


def test_a_state_of_a_later_version_is_refused(paths: Paths) -> None:
    state = new_state(Spec(), 3, 7400)
    state.format = 2
    paths.cluster_json.write_bytes(msgspec.json.encode(state))

    with pytest.raises(BadConfiguration, match="is of format 2; this version knows 1"):
        load(paths)


def test_a_change_that_fails_is_not_saved(paths: Paths) -> None:
    state = new_state(Spec(), 3, 7400)
    state.bootstrapped = True
    save(paths, state)

    def fail_midway() -> None:
        with changing(paths, "kill") as changed:
            changed.node("n1").wanted = "killed"
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_midway()

    assert load(paths) == state


def test_a_command_that_holds_the_lock_is_named(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(state_module, "LOCK_SECONDS_MAX", 0.0)
    with locked(paths, "up"), pytest.raises(TryAgain, match=rf"\(pid {os.getpid()}: up\)"):
        locked(paths, "down").__enter__()
    with locked(paths, "down"), paths.lock.open() as file:
        assert file.read() == f"pid {os.getpid()}: down"
        with pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)


def test_the_state_folder_is_private_and_ignores_itself(paths: Paths) -> None:
    assert (paths.state / ".gitignore").read_text().splitlines()[-1] == "*"
    assert paths.state.stat().st_mode & 0o777 == 0o700
    assert paths.sockets == paths.run


def test_sockets_move_when_the_path_is_too_long_for_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Unix socket's path has room for about 107 bytes, umlauts count twice."""
    deep = tmp_path / ("ä" * 50) / ".cluster"
    with tempfile.TemporaryDirectory(prefix="x") as runtime:  # short, unlike tmp_path
        monkeypatch.setenv("XDG_RUNTIME_DIR", runtime)
        moved = Paths(deep, None)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path / ("x" * 90)))
    elsewhere = Paths(deep, None)

    for paths in (moved, elsewhere):
        assert len(os.fsencode(paths.supervisor_socket)) <= SOCKET_PATH_BYTES_MAX
    assert moved.sockets.parent == Path(runtime)
    assert elsewhere.sockets.name.startswith(f"raftcache-{os.getuid()}-")
    assert Paths(tmp_path / ("ä" * 51), None).sockets.name != elsewhere.sockets.name


def test_a_sockets_folder_that_others_can_enter_is_refused(paths: Paths) -> None:
    """Whoever can write there could command the cluster (failure G6)."""
    paths.sockets.chmod(0o777)

    with pytest.raises(BadConfiguration, match="not a private folder of yours"):
        paths.make()


def test_cluster_yaml_is_looked_for_upward(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "cluster.yaml").write_text("nodes: 3\n")
    monkeypatch.chdir(below)

    found = locate(None, None)

    assert (found.file, found.state) == (tmp_path / "cluster.yaml", tmp_path / ".cluster")
    assert locate(None, "here").state == below / "here"
    with pytest.raises(BadConfiguration, match="there is no such file"):
        locate("nowhere.yaml", None)


def test_without_a_cluster_yaml_anywhere_the_way_to_one_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    with pytest.raises(NoCluster, match=r"there is no cluster\.yaml here or in any folder above"):
        locate(None, None)
