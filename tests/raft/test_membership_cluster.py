"""Configuration changes among several servers, one step at a time (§6, thesis chapter 4)."""

from raftcache.raft.configuration import decode_configuration
from raftcache.raft.messages import AppendEntries, Message
from raftcache.raft.types import EntryKind, Role, ServerId

from .members import conf
from .network import Network


def change(network: Network, voters: str, *, learners: str = "") -> None:
    """Go over to a configuration; those it names and that are not there join with empty disks."""
    target = conf(voters, learners=learners)
    for name in target.everyone():
        if name not in network.servers:
            network.join(name)
    leader = network.leader()
    assert leader is not None
    network.change(leader, target)
    network.run_until(lambda: is_complete(network, voters, learners))


def is_complete(network: Network, voters: str, learners: str = "") -> bool:
    """Tell whether a leader knows this configuration to be committed."""
    return any(
        server.raft.is_leader
        and not server.raft.change_in_progress
        and server.raft.state.configuration == conf(voters, learners=learners)
        for server in network.servers.values()
    )


def applied(network: Network, *names: ServerId) -> set[tuple[bytes, ...]]:
    """Return what these servers applied; a set of one when they agree."""
    return {tuple(network.data_applied(name)) for name in names}


def holds_a_final_configuration(message: Message) -> bool:
    """Tell whether this is an AppendEntries with the end of a change."""
    return isinstance(message, AppendEntries) and any(
        item.kind is EntryKind.CONFIGURATION and not decode_configuration(item.data).is_joint
        for item in message.entries
    )


def test_a_cluster_grows_from_one_to_five_and_shrinks_again() -> None:
    """Each change is a committed one, and nothing that was applied is lost."""
    network = Network(1)
    network.elect()
    network.propose("n1", b"first")

    change(network, "n1", learners="n2 n3")
    change(network, "n1 n2 n3")
    change(network, "n1 n2 n3 n4 n5")
    network.propose("n1", b"second")
    network.tick(10)
    assert applied(network, "n1", "n2", "n3", "n4", "n5") == {(b"first", b"second")}

    change(network, "n4 n5")
    leader = network.elect()
    network.propose(leader, b"third")
    network.tick(10)
    assert leader in ("n4", "n5")
    assert applied(network, "n4", "n5") == {(b"first", b"second", b"third")}


def test_all_servers_are_replaced_at_once() -> None:
    """§6: arbitrary changes, not only of one server; the old leader completes it and leaves."""
    network = Network(3)
    leader = network.elect()
    network.propose(leader, b"kept")
    for name in ("n4", "n5", "n6"):
        network.join(name)

    network.change(leader, conf("n4 n5 n6"))
    network.run_until(lambda: network.leader() in ("n4", "n5", "n6"))

    network.elect()
    assert applied(network, "n4", "n5", "n6") == {(b"kept",)}
    assert network.roles()[leader] is Role.FOLLOWER


def test_a_removed_leader_hands_over_without_an_election_timeout() -> None:
    """Thesis §4.2.2, §3.10: its successor is told to campaign, and clients hardly wait."""
    network = Network(3)
    leader = network.elect()
    others = " ".join(name for name in network.servers if name != leader)

    network.change(leader, conf(others))
    network.settle()

    assert network.leader() in others.split()
    assert network.servers[leader].raft.state.role is Role.FOLLOWER
    reasons = [event.fields["reason"] for event in network.events if event.kind == "campaigned"]
    assert reasons[-1] == f"transfer from {leader}"


def test_a_removed_server_disturbs_nobody() -> None:
    """Thesis §4.2.3: it hears nothing more, asks around, and is refused (failures C9, A13)."""
    network = Network(4)
    leader = network.elect()
    removed = next(name for name in sorted(network.servers) if name != leader)
    change(network, " ".join(name for name in network.servers if name != removed))
    term = network.servers[leader].raft.current_term

    network.tick(300)

    assert network.leader() == leader
    assert network.servers[leader].raft.current_term == term
    assert network.servers[removed].raft.current_term == term


def test_a_removed_server_that_lacks_even_the_joint_entry_disturbs_nobody() -> None:
    """It was down during the change, and comes back with the old configuration (failure C9)."""
    network = Network(4)
    leader = network.elect()
    removed = next(name for name in sorted(network.servers) if name != leader)
    network.crash(removed)
    change(network, " ".join(name for name in network.servers if name != removed))
    term = network.servers[leader].raft.current_term

    network.restart(removed)
    network.tick(300)

    assert network.leader() == leader
    assert network.servers[removed].raft.current_term == term


def test_a_removed_leader_that_was_cut_off_cannot_win_again() -> None:
    """What is committed by the new voters is in the way of its log (§5.4.1; failure C8)."""
    network = Network(3)
    old = network.elect()
    network.isolate(old)
    others = [name for name in network.servers if name != old]
    network.run_until(lambda: network.leader() in others)
    network.run_until(lambda: not network.servers[old].raft.is_leader)
    change(network, " ".join(others))

    network.heal()
    network.tick(300)

    assert network.leader() in others
    assert not network.servers[old].raft.is_leader
    assert applied(network, *others) == {()}


def test_a_change_accepted_by_an_isolated_leader_is_taken_back() -> None:
    """Nobody else has it; a new leader's log replaces it (failures C2, C4)."""
    network = Network(3)
    old = network.elect()
    network.isolate(old)
    network.join("n4")
    network.change(old, conf("n1 n2 n3 n4"))
    assert network.servers[old].raft.state.configuration.is_joint

    network.run_until(lambda: network.leader() not in (None, old))
    network.heal()
    leader = network.elect()
    network.propose(leader, b"x")
    network.tick(20)

    state = network.servers[old].raft.state
    assert state.configuration == conf("n1 n2 n3")
    assert [event.kind for event in network.events].count("truncated") == 1
    assert state.role is Role.FOLLOWER
    assert not state.progress


def test_the_joint_configuration_is_left_by_whoever_leads_then() -> None:
    """§6: its leader died as soon as the joint entry was committed."""
    network = Network(3)
    old = network.elect()
    network.join("n4")
    others = " ".join(name for name in network.servers if name != old)
    network.filter = lambda message: not holds_a_final_configuration(message)
    network.change(old, conf(others))
    network.settle()
    network.crash(old)
    network.filter = lambda _: True

    network.run_until(lambda: is_complete(network, others))

    assert network.leader() in others.split()


def test_servers_with_different_configurations_do_not_block_each_other() -> None:
    """Two of six are removed, one unaware, and the leader dies: the rest elects (failure A15)."""
    network = Network(6)
    leader = network.elect()
    gone = [name for name in sorted(network.servers) if name != leader][:2]
    network.isolate(gone[0])

    change(network, " ".join(name for name in sorted(network.servers) if name not in gone))
    network.heal()
    network.crash(leader)
    ticks = network.run_until_leader(ticks_max=300)

    assert ticks < 300
    assert network.leader() not in gone
