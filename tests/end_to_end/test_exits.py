"""How a node ends, and when it refuses to begin: exit codes, and a sentence that helps."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .nodes import Nodes, wait_until, write_settings
from .recording import Load

pytestmark = pytest.mark.processes

EXIT_DISK_FAILED = 74
EXIT_REFUSED = 78


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    with Nodes(tmp_path) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    with Nodes(tmp_path_factory.mktemp("exits")) as nodes:
        yield nodes


@pytest.fixture
def running(shared: Nodes) -> Nodes:
    shared.start()
    return shared


def test_a_leader_that_is_asked_to_stop_hands_over_and_exits_0(running: Nodes) -> None:
    """Failure C14: nobody waits for a timeout, and no request is left without an answer."""
    with Load(running.endpoints, "handover") as load:
        # On a busy host another election may come first, or after it.
        wait_until(lambda: _stops_and_hands_over(running, load), "a leader that hands over")
    load.verify()
    running.assert_equal_hashes()


def _stops_and_hands_over(nodes: Nodes, load: Load) -> bool:
    """Stop the leader and start it again; tell whether its successor has the lead from it."""
    leader = nodes.wait_ready()
    load.wait_for_success(time.monotonic())

    nodes[leader].send(signal.SIGTERM)
    assert nodes[leader].exit_code() == 0

    load.wait_for_success(time.monotonic())
    status = nodes.status(nodes.leader(but=leader))
    nodes[leader].start()
    nodes.wait_ready()
    return status is not None and status["election"]["reason"] == f"transfer from {leader}"


def test_a_second_process_on_the_same_directory_names_the_first_and_exits_78(
    running: Nodes, tmp_path: Path
) -> None:
    """Failure E13."""
    running.wait_ready()
    node = running["n1"]
    second = node.copy(tmp_path / "second.json")
    write_settings(
        second,
        client_endpoint="tcp://127.0.0.1:*",
        peer_endpoint="tcp://127.0.0.1:*",
        events_endpoint="tcp://127.0.0.1:*",
        admin_endpoint=f"ipc://{tmp_path}/second.admin",
    )

    second.start()

    assert second.exit_code() == EXIT_REFUSED
    assert f"process {node.pid}" in second.log_text()
    assert str(node.directory) in second.log_text()
    assert running.status("n1") is not None


def test_a_port_in_use_is_named_and_exits_78(running: Nodes, nodes: Nodes) -> None:
    """Failure G8."""
    taken = running["n1"].client_endpoint
    write_settings(nodes["n1"], client_endpoint=taken)

    nodes["n1"].start()

    assert nodes["n1"].exit_code() == EXIT_REFUSED
    assert taken in nodes["n1"].log_text()
    assert "Traceback" not in nodes["n1"].log_text()


@pytest.mark.parametrize(
    "stranger",
    [pytest.param(False, id="of another node"), pytest.param(True, id="of another cluster")],
)
def test_a_directory_in_the_wrong_place_is_refused_and_left_as_it_is(
    nodes: Nodes, tmp_path_factory: pytest.TempPathFactory, *, stranger: bool
) -> None:
    """Failure C11: a node on another's state would vote twice, or forget what it promised."""
    if stranger:
        with Nodes(tmp_path_factory.mktemp("other")) as others:
            theirs = others["n1"].directory
    else:
        theirs = nodes["n2"].directory
    ours = nodes["n1"].directory
    kept = ours.with_name("kept")
    ours.rename(kept)
    theirs.rename(ours)
    before = _content(ours)

    nodes["n1"].start()

    assert nodes["n1"].exit_code() == EXIT_REFUSED
    assert str(ours) in nodes["n1"].log_text()
    assert "n2" in nodes["n1"].log_text() or stranger
    assert _content(ours) == before


def test_swapped_directories_that_are_put_back_serve_as_before(nodes: Nodes) -> None:
    """Failure C11: refusing costs nothing but the time to put it right."""
    nodes.start()
    nodes.done("n1", "set", key="kept", value="here")
    for node in nodes:
        node.kill()
    one, two, aside = nodes["n1"].directory, nodes["n2"].directory, nodes.folder / "aside"
    _swap(one, two, aside)
    for name in ("n1", "n2"):
        nodes[name].start()
    codes = [nodes[name].exit_code() for name in ("n1", "n2")]

    _swap(one, two, aside)
    nodes.start()

    assert codes == [EXIT_REFUSED, EXIT_REFUSED]
    reply = nodes.done("n1", "get", key="kept")
    assert reply["value"] == b"here"
    nodes.assert_equal_hashes()


def test_a_directory_that_was_removed_is_not_made_anew(nodes: Nodes) -> None:
    """Failure C10: what is gone held a vote; an empty node under its name could vote again."""
    directory = nodes["n1"].directory
    directory.rename(directory.with_name("gone"))

    nodes["n1"].start()

    assert nodes["n1"].exit_code() == EXIT_REFUSED
    assert str(directory) in nodes["n1"].log_text()
    assert not directory.exists()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"\x00\xff", id="no JSON"),
        pytest.param(b'{"format": 1}', id="fields missing"),
        pytest.param(b"[]", id="no object"),
    ],
)
def test_settings_that_can_not_be_read_are_named_and_exit_78(nodes: Nodes, damage: bytes) -> None:
    nodes["n1"].settings.write_bytes(damage)

    nodes["n1"].start()

    assert nodes["n1"].exit_code() == EXIT_REFUSED
    assert str(nodes["n1"].settings) in nodes["n1"].log_text()
    assert "Traceback" not in nodes["n1"].log_text()


def test_a_disk_that_fails_ends_the_leader_with_74_and_loses_nothing(nodes: Nodes) -> None:
    """Failure E6: after a failed fsync nothing is known of the disk; trying again would lie."""
    trigger = nodes.folder / "disk-fails"
    for node in nodes:
        node.start(
            ("-m", "tests.end_to_end.failing_disk", str(trigger.with_suffix(f".{node.name}")))
        )
    with Load(nodes.endpoints, "disk") as load:
        leader = nodes.wait_ready()
        load.wait_for_success(time.monotonic())

        trigger.with_suffix(f".{leader}").touch()
        code = nodes[leader].exit_code()

        load.wait_for_success(time.monotonic())
        nodes.leader(but=leader)
    assert code == EXIT_DISK_FAILED
    last_words = nodes[leader].log_text().splitlines()[-1]
    assert "Input/output error" in last_words
    assert str(nodes[leader].directory) in last_words
    nodes[leader].start()  # a new disk, so to speak
    nodes.wait_ready()
    load.verify()
    nodes.assert_equal_hashes()


def test_durability_os_survives_the_end_of_every_process(tmp_path: Path) -> None:
    """Failures A3 and E12: without a sync the kernel still has it, and so has the next process."""
    with Nodes(tmp_path, durability="os") as nodes:
        nodes.start()
        with Load(nodes.endpoints, "os") as load:
            for _ in range(2):
                load.wait_for_success(time.monotonic())
                for node in nodes:
                    node.send(signal.SIGKILL)
                for node in nodes:
                    node.exit_code()
                nodes.start()
        load.verify()
        nodes.assert_equal_hashes()


def test_all_nodes_asked_to_stop_at_once_exit_0_and_answer_all(nodes: Nodes) -> None:
    """Failure C14: with nobody left to hand over to, the last one ends as well."""
    nodes.start()
    with Load(nodes.endpoints, "end") as load:
        load.wait_for_success(time.monotonic())

        for node in nodes:
            node.send(signal.SIGTERM)

        assert [node.exit_code() for node in nodes] == [0, 0, 0]
        nodes.start()
    load.verify()
    nodes.assert_equal_hashes()


def _swap(one: Path, two: Path, aside: Path) -> None:
    one.rename(aside)
    two.rename(one)
    aside.rename(two)


def _content(directory: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(directory.iterdir())}
