"""Entries of a new version come only once every member can read them; a node astray stops."""

from typing import Any

import pytest

from orchestrator.simulation.cluster import SimulatedCluster
from orchestrator.supervisor import NEVER_RESTARTED
from raftcache.node import main
from raftcache.node.digests import GRID
from raftcache.node.settings import Settings
from raftcache.parent import ParentWatch
from raftcache.raft.types import EntryKind
from raftcache.store.commands import (
    COMMAND_VERSION,
    RaiseVersion,
    UnknownCommands,
    encode_commands,
    stamp_of,
)
from raftcache.store.machine import StateDiverged
from raftcache.store.slices import UnknownContents

from .builders import elected, fill

TTL: dict[str, Any] = {"op": "set", "key": b"k", "value": b"v", "ttl_ms": 1_000}


def versions(cluster: SimulatedCluster) -> set[int]:
    """Return the versions to which the nodes know the cluster to be raised."""
    return {process.server.store.command_version for process in cluster.running}


def stamps(cluster: SimulatedCluster, name: str) -> list[int | None]:
    """Return the stamps of the commands in a node's log."""
    entries = cluster.process(name).server.raft.state.log.entries
    return [stamp_of(entry.data) for entry in entries if entry.kind is EntryKind.COMMANDS]


def test_a_cluster_goes_on_to_what_all_members_know() -> None:
    cluster, _, _ = elected()

    cluster.run_until(lambda: versions(cluster) == {COMMAND_VERSION})


@pytest.mark.parametrize("old", ["n1", "n2"])
def test_a_member_with_an_old_release_holds_the_cluster_back(old: str) -> None:
    """In a mixed cluster nothing is proposed that it could not read (failure E15)."""
    cluster = SimulatedCluster(1).up()
    cluster.process(old).server.upkeep.versions.own = 1
    leader = cluster.elect()
    assert leader == "n3", "with this seed; an old leader would propose nothing new anyway"
    cluster.run_ms(1_000)

    for node in cluster.names:
        reply = cluster.ask(node, **TTL)
        assert (reply["error"], reply["applied"]) == ("unsupported", "no")
        assert old in reply["message"]
        assert cluster.ask(node, "set", key=b"k", value=b"v")["ok"]
    assert versions(cluster) == {1}
    assert set(stamps(cluster, leader)) == {None}
    run = cluster.process(leader).server.store.begin_snapshot()
    assert run.contents_version == 1
    run.abort()

    cluster.process(old).server.upkeep.versions.own = COMMAND_VERSION
    cluster.run_until(lambda: versions(cluster) == {COMMAND_VERSION})
    assert cluster.ask(old, **TTL)["ok"]


def test_a_member_that_never_spoke_holds_the_cluster_back() -> None:
    cluster = SimulatedCluster(1)
    cluster.start("n1")
    cluster.start("n2")
    cluster.elect()

    reply = cluster.ask("n1", **TTL)
    assert reply["error"] == "unsupported"
    assert "n3" in reply["message"]
    cluster.start("n3")
    cluster.run_until(lambda: versions(cluster) == {COMMAND_VERSION})
    assert cluster.ask("n3", **TTL)["ok"]


def test_a_version_that_was_raised_stays_so() -> None:
    """Over leaders and restarts, whoever of the members is away."""
    cluster, leader, _ = elected()
    cluster.run_until(lambda: versions(cluster) == {COMMAND_VERSION})
    for name in cluster.names:
        cluster.kill(name)
    others = [name for name in cluster.names if name != leader]
    for name in others:
        cluster.start(name)
    cluster.elect()

    assert cluster.ask(others[0], **TTL)["ok"]


def test_a_node_that_meets_a_version_that_it_does_not_know_stops() -> None:
    """It does not guess, and says what to do (failure E15)."""
    cluster, leader, _ = elected()
    cluster.run_until(lambda: versions(cluster) == {COMMAND_VERSION})
    defects: dict[str, Exception] = {}
    cluster.on_defect = defects.__setitem__
    server = cluster.process(leader).server
    raised = [RaiseVersion(COMMAND_VERSION + 1)]

    server.raft.propose(encode_commands(raised, server.upkeep.time.now_ms))
    cluster.run_until(lambda: leader in defects)

    assert isinstance(defects[leader], UnknownCommands)
    assert "run a newer release on this node" in str(defects[leader])


def write_past(cluster: SimulatedCluster, node: str, entries: int) -> None:
    """Write until so many entries have been added."""
    fill(cluster, node, entries, size=1)


@pytest.mark.parametrize("who", ["leader", "follower"])
def test_a_node_whose_state_went_astray_stops(who: str) -> None:
    """By what most nodes have, so that it may be the leader itself (failures B10, D11)."""
    cluster, leader, others = elected()
    astray = leader if who == "leader" else others[0]
    cluster.checks.enabled = False  # They would notice at once; here the nodes have to.
    defects: dict[str, Exception] = {}
    cluster.on_defect = defects.__setitem__
    keyspace = cluster.process(astray).server.store._keyspace
    keyspace.put(b"bit rot", b"", keyspace.get(b"bit rot"))

    write_past(cluster, others[1], GRID + 1)
    cluster.run_until(lambda: astray in defects)

    assert isinstance(defects[astray], StateDiverged)
    assert list(defects) == [astray]
    cluster.elect()
    sound = [process.server for process in cluster.running]
    assert len(sound) == 2
    if who == "follower":
        [server] = [server for server in sound if server.raft.is_leader]
        [alarm] = server.upkeep.digests.alarms
        assert f"bin/cluster replace {astray}" in alarm


def test_states_that_are_equal_raise_no_alarm_and_cost_few_entries() -> None:
    cluster, leader, _ = elected()
    write_past(cluster, leader, 3 * GRID)
    cluster.run_ms(3_000)

    server = cluster.process(leader).server
    assert server.upkeep.digests.alarms == []
    assert server.store.last_applied <= 3 * GRID + 8
    assert cluster.ask(leader, "status")["alarms"] == []


def test_states_of_which_no_two_are_equal_are_told_of() -> None:
    """Nobody can say who is right then, so nobody stops; people must know."""
    cluster, leader, others = elected()
    cluster.checks.enabled = False
    for count, name in enumerate(others, start=1):
        keyspace = cluster.process(name).server.store._keyspace
        for _ in range(count):
            keyspace.put(b"bit rot", b"", keyspace.get(b"bit rot"))
    write_past(cluster, leader, GRID + 1)

    cluster.run_until(lambda: bool(cluster.process(leader).server.upkeep.digests.alarms))

    [alarm] = cluster.ask(leader, "status")["alarms"]
    assert alarm.startswith("diverged: ")
    assert "no majority" in alarm


@pytest.mark.parametrize(
    ("error", "code", "advice"),
    [
        (StateDiverged("after entry 64 …"), main.EXIT_DIVERGED, "bin/cluster replace n2"),
        (UnknownCommands("run a newer release on this node"), main.EXIT_REFUSED, "newer release"),
        (UnknownContents("run the release that wrote it"), main.EXIT_REFUSED, "that wrote it"),
    ],
)
def test_a_process_that_must_not_go_on_says_what_to_do(
    error: Exception,
    code: int,
    advice: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And is not started again: that would change nothing."""

    def serve(*_: object) -> int:
        raise error

    settings = Settings(
        format=1,
        cluster="demo",
        cluster_id="0" * 32,
        node_id="n2",
        incarnation=1,
        directory="nowhere",
        client_endpoint="",
        peer_endpoint="",
        events_endpoint="",
        admin_endpoint="",
    )
    monkeypatch.setattr(main, "read_settings", lambda _: settings)
    monkeypatch.setattr(main, "open_home", lambda _: None)
    monkeypatch.setattr(main, "_raise_file_limit", lambda _: None)
    monkeypatch.setattr(main, "_serve", serve)

    assert main.main(["settings.json"], ParentWatch()) == code
    assert code in NEVER_RESTARTED
    assert advice in caplog.text
