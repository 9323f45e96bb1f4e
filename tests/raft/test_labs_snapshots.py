"""Snapshots, as a well-known course's Raft labs try them (see ``test_labs``).

Every server compacts on its own, every ten entries, so that whoever was away for a few commands
needs a snapshot. The network checks after each step that no two servers ever differ in what they
have applied, compacted or not.
"""

from random import Random

import pytest

from .labs import (
    OPTIONS,
    Compacting,
    agree,
    assert_compacted,
    cut_off,
    one_leader,
    others,
    reconnect,
    snapshots_sent,
)
from .network import Network


def cluster(*, seed: int = 1) -> Compacting:
    return Compacting(3, seed=seed, options=OPTIONS)


def peace(network: Network, last: bytes, *, commands: int) -> None:
    """Mend everything, agree once more, and check that nobody misses or repeats anything."""
    network.filter = lambda _message: True
    network.heal()
    for name in sorted(network.dead):
        network.restart(name)
    agree(network, last, on=3)
    histories = {tuple(network.data_applied(name)) for name in network.servers}
    assert len(histories) == 1
    # A command of which nobody heard in time was proposed again: it may be there twice.
    assert len(set(histories.pop())) == commands + 1


def fill(network: Network, words: str, *, on: int) -> int:
    """Agree on enough commands that every server which takes part compacts; return how many."""
    count = Compacting.EVERY + 2
    for number in range(count):
        agree(network, f"{words} {number}".encode(), on=on)
    return count


def test_all_compact_and_nobody_needs_a_snapshot() -> None:
    """Basic: where nobody lags, each has its own, and none travels."""
    network = cluster()

    commands = sum(fill(network, f"round {number}", on=3) for number in range(5))

    assert snapshots_sent(network) == 0
    assert all(server.raft.state.log.base_index >= 40 for server in network.servers.values())
    assert_compacted(network)
    peace(network, b"end", commands=commands)


@pytest.mark.parametrize("loss", [0.0, 0.1])
@pytest.mark.parametrize("seed", range(2))
def test_who_was_cut_off_gets_a_snapshot(seed: int, loss: float) -> None:
    """Install, also over lossy links: in every third round it is the leader who is away."""
    network = cluster(seed=seed)
    random = Random(seed)
    network.filter = lambda _message: random.random() >= loss
    commands = 0
    for number in range(6):
        leader = one_leader(network)
        away = leader if number % 3 == 2 else others(network, leader)[number % 2]
        cut_off(network, away)
        before = snapshots_sent(network)

        commands += fill(network, f"round {number}", on=2)
        reconnect(network, away)
        agree(network, b"together %d" % number, on=3)
        commands += 1

        assert snapshots_sent(network) > before
        assert_compacted(network)
    peace(network, b"end", commands=commands)


@pytest.mark.parametrize("loss", [0.0, 0.1])
@pytest.mark.parametrize("seed", range(2))
def test_who_was_dead_gets_a_snapshot(seed: int, loss: float) -> None:
    """Crash, also over lossy links: it starts from its own snapshot, and is sent a newer one."""
    network = cluster(seed=seed)
    random = Random(seed)
    network.filter = lambda _message: random.random() >= loss
    commands = 0
    for number in range(6):
        leader = one_leader(network)
        dies = leader if number % 3 == 2 else others(network, leader)[number % 2]
        network.crash(dies, units_kept=random.randrange(3))
        before = snapshots_sent(network)

        commands += fill(network, f"round {number}", on=2)
        network.restart(dies)
        agree(network, b"together %d" % number, on=3)
        commands += 1

        assert snapshots_sent(network) > before
        assert_compacted(network)
    peace(network, b"end", commands=commands)


@pytest.mark.parametrize("seed", range(3))
def test_all_die_at_once_and_go_on_from_their_snapshots(seed: int) -> None:
    """All crash: what is behind each snapshot is still there, and what it holds is not lost."""
    network = cluster(seed=seed)
    commands = 0
    for number in range(4):
        commands += fill(network, f"round {number}", on=3)
        for name in sorted(network.servers):
            network.crash(name)
        for name in sorted(network.dead):
            network.restart(name)
        bases = [server.raft.state.log.base_index for server in network.servers.values()]
        assert min(bases) >= Compacting.EVERY * (number + 1)
    assert snapshots_sent(network) == 0
    peace(network, b"end", commands=commands)


def test_what_is_written_behind_a_snapshot_outlives_two_restarts() -> None:
    """Init: a start must keep its snapshot in mind when it next writes to the disk (failure D4)."""
    network = cluster()
    commands = fill(network, "first", on=3)
    for word in (b"second", b"third"):
        for name in sorted(network.servers):
            network.crash(name)
        for name in sorted(network.dead):
            network.restart(name)
        agree(network, word, on=3)
        commands += 1

    peace(network, b"end", commands=commands)
    assert network.data_applied("n1")[-3:] == [b"second", b"third", b"end"]


@pytest.mark.parametrize("seed", range(4))
def test_snapshots_are_doubled_delayed_and_out_of_order(seed: int) -> None:
    """Any mixture of copies, old and new, of snapshots and entries (failures D5, D8)."""
    network = cluster(seed=seed)
    random = Random(seed)
    agree(network, b"0", on=3)
    leader = one_leader(network)
    away = others(network, leader)[0]
    commands = 1
    for number in range(4):
        cut_off(network, away)
        commands += fill(network, f"round {number}", on=2)
        reconnect(network, away)
        for _ in range(3 * OPTIONS.heartbeat_ticks):
            shuffled_tick(network, random)
    peace(network, b"end", commands=commands)


def shuffled_tick(network: Network, random: Random) -> None:
    """Let a tick pass; then messages arrive in any order, some twice, and some not yet."""
    for _name, server in sorted(network.servers.items()):
        server.work(lambda raft: raft.tick())
        server.send_snapshots()
    for _ in range(30):
        busy = [one for one in network.servers.values() if one.disk.queue or one.arrived]
        if busy and random.random() < 0.5:
            server = random.choice(busy)
            if server.arrived and (not server.disk.queue or random.random() < 0.5):
                server.install_arrived()
            else:
                server.persist_one()
        elif network.in_flight:
            position = random.randrange(len(network.in_flight))
            if random.random() < 0.3:
                network.in_flight.append(network.in_flight[position])
            network.deliver(position)
    network.check()
