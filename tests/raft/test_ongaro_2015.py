"""The bug of single-server changes that Ongaro told of in 2015: its three schedules end well here.

In each, n1 begins a change in term 1 that only it and a newcomer hear of. n2 is elected in term 2
by the others, and changes the configuration too. Then n1 comes back, and asks those for votes that
its own configuration names. With changes of one server each, both could reach a majority: the two
new configurations share none, for they differ from the first by one server, and not by the same.

Two rules stand against it: n2 changes nothing before an entry of its own term is committed by a
majority of the first configuration; and while voters change, both majorities must agree.
"""

import pytest

from raftcache.raft.messages import AppendEntries
from raftcache.raft.types import EntryKind

from .script_runner import Script

SCHEDULES = pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param("n1,n2,n3,n4,n5", "n1,n2,n3,n4,n6", id="add_and_add"),
        pytest.param("n1,n2,n3,n4,n5", "n2,n3,n4", id="add_and_remove"),
        pytest.param("n1,n2,n3", "n2,n3,n4", id="remove_and_remove"),
    ],
)


def play(script: Script, text: str) -> list[str]:
    """Perform commands, one a line; return what happened."""
    return [line for command in text.strip().splitlines() for line in script.run(command.split())]


def with_two_leaders(first: str) -> Script:
    """Return the servers when n1 has begun the first change, and n2 has won term 2."""
    script = Script()
    play(
        script,
        f"""
        cluster n1 n2 n3 n4
        join n5 n6
        timeout n1
        settle
        wait 5
        settle
        part n1,n5 n2,n3,n4,n6
        change n1 {first}
        settle
        wait 10
        """,
    )
    script.network.filter = lambda message: not isinstance(message, AppendEntries)
    play(script, "timeout n2\nsettle")
    script.network.filter = lambda _: True
    assert script.network.roles()["n2"].value == "leader"
    assert script.server("n1").raft.state.configuration.is_joint
    return script


@SCHEDULES
def test_the_second_leader_waits_for_an_entry_of_its_own_term(first: str, second: str) -> None:
    """Then what it did not hear of can never be committed any more (failure C1)."""
    script = with_two_leaders(first)

    refused = play(script, f"change n2 {second}")
    play(script, "wait 5\nsettle")
    begun = play(script, f"change n2 {second}")

    assert "of this leader's term is committed" in refused[0]
    assert "configured" in begun[0]


@SCHEDULES
def test_the_first_leader_does_not_come_back(first: str, second: str) -> None:
    """Whoever it asks has a newer log, or is no majority of both sets (failure C1)."""
    script = with_two_leaders(first)
    play(script, "wait 5\nsettle\npart n1,n4,n5 n2,n3,n6")
    play(script, f"change n2 {second}\nsettle")
    assert script.server("n2").raft.change_in_progress

    play(script, "wait 10\nsettle\n" + "timeout n1\nsettle\nwait 10\nsettle\n" * 5)
    apart = {name for name, server in script.network.servers.items() if server.raft.is_leader}
    play(script, "heal")
    leader = script.network.elect()

    assert apart <= {"n2", "n3"}, "nobody won by the first change"
    log = script.server(leader).raft.state.log.entries
    changes = [entry.term for entry in log if entry.kind is EntryKind.CONFIGURATION]
    assert 1 not in changes, "the first change is gone"
