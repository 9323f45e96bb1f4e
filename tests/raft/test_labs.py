"""Elections and agreement, as a well-known course's Raft labs try them, in this project's form.

Whole cores over a network in virtual time. What the labs ask of real time is asked of ticks here,
and what they ask of bandwidth is counted in messages and bytes.
"""

from random import Random

import pytest

from raftcache.raft.messages import AppendEntries, Message, RequestVote

from .labs import (
    OPTIONS,
    TIMEOUT,
    agree,
    cluster,
    cut_off,
    entries_sent,
    one_leader,
    others,
    reconnect,
)


def test_a_leader_without_faults_stays_for_ever() -> None:
    network = cluster(3)
    leader = one_leader(network)
    term = network.servers[leader].raft.current_term

    network.tick(50 * TIMEOUT)

    assert network.leader() == leader
    assert {server.raft.current_term for server in network.servers.values()} == {term}


def test_leaders_come_and_go_with_the_network() -> None:
    """The leader leaves: another; it returns: no change; no quorum: none; a quorum: one."""
    network = cluster(3)
    first = one_leader(network)

    cut_off(network, first)
    second = one_leader(network)
    assert second != first
    reconnect(network, first)
    assert one_leader(network) == second

    cut_off(network, *others(network, first))
    network.tick(5 * TIMEOUT)
    assert not any(server.raft.is_leader for server in network.servers.values())

    reconnect(network, second)
    one_leader(network)
    reconnect(network, *network.servers)
    one_leader(network)


@pytest.mark.parametrize("seed", range(5))
def test_many_elections_with_three_of_seven_away(seed: int) -> None:
    network = cluster(7, seed=seed)
    random = Random(seed)
    one_leader(network)
    for _ in range(8):
        away = random.sample(sorted(network.servers), 3)
        cut_off(network, *away)
        one_leader(network)
        reconnect(network, *away)
    one_leader(network)


def test_each_command_is_sent_once_to_each_follower() -> None:
    """Bytes on the wire: no entry goes twice to anybody while nothing is lost."""
    network = cluster(3)
    leader = network.elect()
    network.sent.clear()

    for number in range(10):
        network.propose(leader, bytes([number]) * 5_000)
        network.settle()
        network.tick()  # Those behind the vanguard get theirs now.
        network.settle()

    sent = sum(len(entry.data) for message in entries_sent(network) for entry in message.entries)
    assert sent == 2 * 10 * 5_000


def test_few_messages_for_many_commands() -> None:
    """Proposed together, they travel together."""
    network = cluster(3)
    leader = network.elect()
    network.sent.clear()

    network.servers[leader].work(
        *[lambda raft, data=bytes([number]): raft.propose(data) for number in range(50)]
    )
    network.settle()

    assert len(list(entries_sent(network))) <= 4
    assert [len(network.data_applied(name)) for name in network.servers].count(50) >= 1


def test_an_idle_cluster_sends_heartbeats_alone() -> None:
    network = cluster(3)
    network.elect()
    network.tick(5)
    network.sent.clear()

    network.tick(10 * OPTIONS.heartbeat_ticks)

    requests = [message for message in network.sent if isinstance(message, AppendEntries)]
    assert len(requests) == 2 * 10
    assert not list(entries_sent(network))


def test_followers_fail_one_after_the_other() -> None:
    """With one of three away it goes on; with two it stops, and nothing is committed."""
    network = cluster(3)
    agree(network, b"all", on=3)
    leader = network.leader()
    assert leader is not None
    one, two = others(network, leader)

    cut_off(network, one)
    agree(network, b"two of them", on=2)
    cut_off(network, two)
    network.propose(leader, b"nobody but me")
    network.tick(2 * TIMEOUT)

    assert not any(b"nobody but me" in network.data_applied(name) for name in network.servers)


def test_leaders_fail_one_after_the_other() -> None:
    network = cluster(3)
    agree(network, b"first", on=3)
    first = network.leader()
    assert first is not None

    cut_off(network, first)
    one_leader(network)
    agree(network, b"second", on=2)
    second = network.leader()
    assert second is not None
    cut_off(network, second)
    for name in {first, second}:
        if network.servers[name].raft.is_leader:
            network.propose(name, b"lost")
    network.tick(5 * TIMEOUT)

    assert not any(b"lost" in network.data_applied(name) for name in network.servers)


def test_a_follower_that_returns_gets_everything() -> None:
    network = cluster(3)
    agree(network, b"0", on=3)
    leader = network.leader()
    assert leader is not None
    away = others(network, leader)[0]

    cut_off(network, away)
    for number in range(1, 5):
        agree(network, b"%d" % number, on=2)
    reconnect(network, away)
    agree(network, b"5", on=3)

    assert network.data_applied(away) == [b"%d" % number for number in range(6)]


def test_nothing_is_agreed_on_without_a_majority_and_all_is_well_with_one() -> None:
    """Three of five are away; then they elect among themselves or follow: one history."""
    network = cluster(5)
    agree(network, b"before", on=5)
    leader = network.leader()
    assert leader is not None
    away = others(network, leader)[:3]

    cut_off(network, *away)
    network.propose(leader, b"too few")
    network.tick(3 * TIMEOUT)
    assert not any(b"too few" in network.data_applied(name) for name in network.servers)

    reconnect(network, *network.servers)
    agree(network, b"after", on=5)
    assert len({tuple(network.data_applied(name)) for name in network.servers}) == 1


def test_an_old_leader_rejoins_with_entries_of_its_own() -> None:
    network = cluster(3)
    agree(network, b"101", on=3)
    old = network.leader()
    assert old is not None

    cut_off(network, old)
    for data in (b"102", b"103", b"104"):
        network.propose(old, data)
    one_leader(network)
    agree(network, b"103 elsewhere", on=2)
    new = network.leader()
    assert new is not None
    cut_off(network, new)
    reconnect(network, old)
    agree(network, b"104 elsewhere", on=2)
    reconnect(network, new)
    agree(network, b"105", on=3)

    expected = [b"101", b"103 elsewhere", b"104 elsewhere", b"105"]
    assert all(network.data_applied(name) == expected for name in network.servers)


def test_a_leader_backs_up_quickly_over_long_wrong_logs() -> None:
    """Fifty entries that never commit, twice; then a round trip or so per term, not per entry."""
    network = cluster(5)
    agree(network, b"start", on=5)
    first = network.leader()
    assert first is not None
    companion, *rest = others(network, first)

    cut_off(network, *rest)
    for number in range(50):
        network.propose(first, b"first %d" % number)
    network.settle()
    cut_off(network, first, companion)
    reconnect(network, *rest)
    cut_off(network, first, companion)
    for number in range(50):
        agree(network, b"kept %d" % number, on=3)
    network.sent.clear()
    reconnect(network, *network.servers)
    agree(network, b"end", on=5)

    probes = [
        message
        for message in network.sent
        if isinstance(message, AppendEntries) and message.target in {first, companion}
    ]
    assert len(probes) < 50
    assert len({tuple(network.data_applied(name)) for name in network.servers}) == 1


def test_votes_are_few_where_nothing_happens() -> None:
    """RPC counts: an election costs one round of questions, and nobody asks again."""
    network = cluster(3)
    votes: list[Message] = []
    network.elect()
    network.tick(20 * TIMEOUT)
    votes += [message for message in network.sent if isinstance(message, RequestVote)]

    assert len(votes) == 2
