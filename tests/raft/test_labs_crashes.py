"""Persistence and churn, as a well-known course's Raft labs try them (see ``test_labs``)."""

from random import Random

import pytest

from raftcache.raft.types import EntryKind, Role

from .labs import TIMEOUT, agree, cluster, cut_off, one_leader, others, reconnect
from .network import Network


def test_each_server_in_turn_and_all_at_once_are_restarted() -> None:
    network = cluster(3)
    agree(network, b"11", on=3)
    for name in sorted(network.servers):
        network.crash(name)
        network.restart(name)
    agree(network, b"12", on=3)

    leader = network.leader()
    assert leader is not None
    network.crash(leader, units_kept=9)
    agree(network, b"13", on=2)
    network.restart(leader)
    agree(network, b"14", on=3)

    assert all(
        network.data_applied(name) == [b"11", b"12", b"13", b"14"]
        for name in network.servers
        if name != leader
    )


@pytest.mark.parametrize("seed", range(3))
def test_two_of_five_are_away_in_turn_and_crash(seed: int) -> None:
    network = cluster(5, seed=seed)
    for number in range(5):
        agree(network, b"%d first" % number, on=5)
        leader = network.leader()
        assert leader is not None
        away = others(network, leader)[:2]
        for name in away:
            network.crash(name, units_kept=9)
        agree(network, b"%d second" % number, on=3)
        for name in [leader, *others(network, leader, *away)]:
            network.crash(name, units_kept=9)
        for name in [*away, others(network, leader, *away)[0]]:
            network.restart(name)
        one_leader(network)
        for name in list(network.dead):
            network.restart(name)
    agree(network, b"end", on=5)


def test_a_leader_and_one_follower_crash_and_the_other_comes_back() -> None:
    network = cluster(3)
    agree(network, b"101", on=3)
    leader = network.leader()
    assert leader is not None
    one, two = others(network, leader)

    cut_off(network, two)
    agree(network, b"102", on=2)
    network.crash(leader, units_kept=9)
    network.crash(one, units_kept=9)
    reconnect(network, two)
    network.restart(leader)
    agree(network, b"103", on=2)
    network.restart(one)
    agree(network, b"104", on=3)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_leaders_die_with_entries_that_few_have(seed: int, loss: float) -> None:
    """Figure 8 over and over: crashes of leaders, at least three of five alive, then peace."""
    network = cluster(5, seed=seed)
    random = Random(seed)
    network.filter = lambda _message: random.random() >= loss
    for number in range(40):
        leader = network.leader()
        if leader is not None and network.servers[leader].raft.accepts_proposals:
            network.propose(leader, b"%d" % number)
            for _ in range(random.randrange(12)):
                step(network, random)
            if random.random() < 0.6:
                network.crash(leader, units_kept=random.randrange(3))
        network.tick(random.randrange(TIMEOUT))
        while len(network.servers) < 3:
            network.restart(random.choice(sorted(network.dead)))
    peace(network)
    agree(network, b"end", on=5)


def step(network: Network, random: Random) -> None:
    """Let one disk finish something or one message arrive, whichever."""
    busy = [server for server in network.servers.values() if server.disk.queue]
    if busy and random.random() < 0.5:
        random.choice(busy).persist_one()
    elif network.in_flight:
        network.deliver(random.randrange(len(network.in_flight)))


def peace(network: Network) -> None:
    """Mend and start everything."""
    network.filter = lambda _message: True
    network.heal()
    for name in sorted(network.dead):
        network.restart(name)
    network.settle()


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_everything_at_once_and_no_agreed_command_is_lost(seed: int, loss: float) -> None:
    """Servers leave, return, crash and start; whatever was applied anywhere is in the end."""
    network = cluster(5, seed=seed)
    random = Random(seed)
    network.filter = lambda _message: random.random() >= loss
    applied: set[bytes] = set()
    for number in range(60):
        leader = network.leader()
        if leader is not None and network.servers[leader].raft.accepts_proposals:
            network.propose(leader, b"%d" % number)
        name = random.choice(network.configuration.voters)
        event = random.choice(["cut", "mend", "crash", "start", "rest", "rest"])
        if event == "cut":
            network.isolate(name)
        elif event == "mend":
            reconnect(network, name)
        elif event == "crash" and name in network.servers and len(network.servers) > 3:
            network.crash(name, units_kept=random.randrange(4))
        elif event == "start" and name in network.dead:
            network.restart(name)
        network.tick(random.randrange(1, TIMEOUT))
        for server in network.servers.values():
            applied.update(
                entry.data for entry in server.applied if entry.kind is EntryKind.COMMANDS
            )
    peace(network)
    agree(network, b"end", on=5)

    leader = network.leader()
    assert leader is not None
    held = {entry.data for entry in network.servers[leader].raft.state.log.entries}
    assert applied <= held
    assert network.roles()[leader] is Role.LEADER
