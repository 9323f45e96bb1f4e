"""Snapshots between real processes: sockets, threads and signals, which virtual time can't show."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from .nodes import Nodes, wait_until, write_settings

pytestmark = pytest.mark.processes

VALUE = b"x" * 100_000
WRITES = 100
"""Ten megabytes: far more than the four of log that stay in memory."""
WRITES_PER_SNAPSHOT = 25
"""More than the log may grow by until a snapshot is taken."""


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    """Three nodes that take a snapshot every megabyte."""
    with Nodes(tmp_path) as nodes:
        for node in nodes:
            storage = {**node.values["storage"], "snapshot_wal_bytes": 1_000_000}
            write_settings(node, storage=storage)
        nodes.start()
        yield nodes


def fill(nodes: Nodes, name: str, count: int = WRITES) -> None:
    """Write twenty large values over and over, through one node."""
    for number in range(count):
        nodes.done(name, "set", key=f"key-{number % 20}", value=VALUE)


def fill_until(
    nodes: Nodes, leader: str, condition: Callable[[Nodes, str], bool], name: str, what: str
) -> None:
    """Fill, and go on after each snapshot until ``condition`` is true of a node.

    How much log remains depends on how many snapshots there were meanwhile: the oldest one kept has
    the log behind it, and where snapshots are slow the first may be as old as the writing.
    """
    fill(nodes, leader)
    written_behind = 0

    def is_met() -> bool:
        nonlocal written_behind
        if condition(nodes, name):
            return True
        newest = snapshot_index(nodes, name)
        if newest > written_behind:
            written_behind = newest
            fill(nodes, leader, WRITES_PER_SNAPSHOT)
        return False

    wait_until(is_met, what)


def snapshot_index(nodes: Nodes, name: str) -> int:
    status = nodes.status(name)
    return int(status["snapshot_index"]) if status else 0


def snapshots_of(nodes: Nodes, name: str) -> list[Path]:
    """Return a node's snapshots, oldest first."""
    return sorted(nodes[name].directory.glob("snapshot-0*"))


def stands_on_two_snapshots(nodes: Nodes, name: str) -> bool:
    """Tell whether the beginning of a node's log is gone, so that it needs its snapshots."""
    is_freed = not (nodes[name].directory / "wal-00000001.seg").exists()
    return is_freed and len(snapshots_of(nodes, name)) >= 2


def keeps_little(nodes: Nodes, name: str) -> bool:
    """Tell whether a node has a snapshot, and less log in memory and on disk than was written."""
    status = nodes.status(name)
    if status is None or not status["snapshot_index"]:
        return False
    sizes = status["sizes"]
    return bool(sizes["log_entries"] * len(VALUE) < 8_000_000 and sizes["wal_bytes"] < 8_000_000)


def test_a_node_that_was_away_gets_a_snapshot_and_leaders_may_die_after_that(nodes: Nodes) -> None:
    """The leader keeps little log for it, and all keys remain (failures D1, D12)."""
    leader = nodes.wait_ready()
    away = nodes.followers()[0]
    nodes[away].kill()
    fill_until(nodes, leader, keeps_little, leader, "a snapshot has taken the place of the log")

    nodes[away].start()
    nodes.wait_ready()

    assert "snapshot_installed" in nodes[away].log_text()
    nodes.assert_equal_hashes()
    for _ in range(3):
        leader = nodes.leader()
        nodes[leader].kill()
        successor = nodes.leader(but=leader)
        reply = nodes.done(successor, "range", prefix="key-", keys_only=True)
        assert len(reply["items"]) == 20
        nodes[leader].start()
        nodes.wait_ready()
    nodes.assert_equal_hashes()
    nodes.assert_no_defects()


def test_a_node_stops_at_once_while_snapshots_are_taken_sent_and_received(nodes: Nodes) -> None:
    """SIGTERM: exit code 0, whatever lies in the queue for the snapshots' thread."""
    leader = nodes.wait_ready()
    away = nodes.followers()[0]
    nodes[away].kill()
    fill_until(nodes, leader, keeps_little, leader, "a snapshot has taken the place of the log")
    nodes[away].start()
    wait_until(lambda: "snapshot_receiving" in nodes[away].log_text(), "a transfer has begun")

    for name in (away, leader):
        nodes[name].send(signal.SIGTERM)
        assert nodes[name].exit_code() == 0

    nodes.start()
    nodes.assert_equal_hashes()
    nodes.assert_no_defects()
    for node in nodes:
        names = [path.name for path in node.directory.iterdir()]
        assert not any(name.startswith("incoming-") for name in names)


def test_a_damaged_newest_snapshot_is_set_aside_at_the_start(nodes: Nodes) -> None:
    """The older one and the log since then stand in, and the file is kept (failure E10)."""
    leader = nodes.wait_ready()
    victim = nodes.followers()[0]
    what = "two snapshots stand for the log"
    fill_until(nodes, leader, stands_on_two_snapshots, victim, what)
    nodes[victim].kill()
    found = snapshots_of(nodes, victim)
    data = bytearray(found[-1].read_bytes())
    data[len(data) // 2] ^= 1
    found[-1].write_bytes(data)

    nodes[victim].start()
    nodes.wait_ready()

    assert (nodes[victim].directory / f"damaged-{found[-1].name}").exists()
    nodes.assert_equal_hashes()
    nodes.assert_no_defects()
    assert snapshot_index(nodes, victim) > 0


def test_a_node_with_nothing_but_damaged_snapshots_asks_a_peer_for_one(nodes: Nodes) -> None:
    """It comes back by itself, and the damaged files are kept aside (failure E10)."""
    leader = nodes.wait_ready()
    victim = nodes.followers()[0]
    what = "two snapshots stand for the log"
    fill_until(nodes, leader, stands_on_two_snapshots, victim, what)
    nodes[victim].kill()
    found = snapshots_of(nodes, victim)
    for path in found:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    nodes[victim].start()
    nodes.wait_ready()

    for path in found:
        assert (nodes[victim].directory / f"damaged-{path.name}").exists()
    assert "this node asks the leader for one" in nodes[victim].log_text()
    assert "snapshot_installed" in nodes[victim].log_text()
    assert snapshot_index(nodes, victim) > 0
    nodes.assert_equal_hashes()
    nodes.assert_no_defects()
