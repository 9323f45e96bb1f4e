"""Cores under random faults: everything at once, the invariants of Figure 3 after each step."""

from random import Random

import pytest

from .network import Network

STEPS = 1500


@pytest.mark.parametrize("seed", range(60))
def test_the_invariants_hold_under_loss_reordering_cuts_and_crashes(seed: int) -> None:
    """Election Safety, Log Matching, Leader Completeness, State Machine Safety (Figure 3).

    Each seed draws its own mix of faults: a uniform mix was measured not to find even an
    unpersisted vote (failures A1 to A5).
    """
    random = Random(seed)
    network = Network(random.choice([3, 3, 5]), seed=seed)
    weights = {
        "deliver": 60,
        "persist": random.choice([5, 30, 60]),
        "tick": random.choice([5, 20]),
        "propose": random.choice([2, 10]),
        "read": random.choice([0, 5]),
        "lose": random.choice([0, 1, 10]),
        "duplicate": random.choice([0, 1, 10]),
        "cut": random.choice([0, 0.3, 1]),
        "heal": random.choice([0.3, 1]),
        "crash": random.choice([0, 0.3, 1]),
        "restart": 2,
        "transfer": random.choice([0, 0.5]),
    }
    for count in range(STEPS):
        action = random.choices(list(weights), list(weights.values()))[0]
        _act(network, action, random, count)
        network.check()

    network.heal()
    for name in sorted(network.dead):
        network.restart(name)
    network.elect()
    applied = [network.data_applied(name) for name in sorted(network.servers)]
    longest = max(applied, key=len)
    assert all(one == longest for one in applied)


def _act(network: Network, action: str, random: Random, count: int) -> None:
    name = random.choice(sorted(network.servers)) if network.servers else None
    if action == "restart" and network.dead:
        network.restart(random.choice(sorted(network.dead)))
    elif action == "heal":
        network.heal()
    elif action in {"deliver", "lose", "duplicate"} and network.in_flight:
        position = min(random.choice([0, 0, 0, 3]), len(network.in_flight) - 1)
        if action == "duplicate":
            network.in_flight.append(network.in_flight[position])
        elif action == "lose":
            network.in_flight.pop(position)
        else:
            network.deliver(position)
    elif name is not None:
        _act_on(network, action, name, random, count)


def _act_on(network: Network, action: str, name: str, random: Random, count: int) -> None:
    server = network.servers[name]
    if action == "persist" and server.disk.queue:
        server.persist_one()
    elif action == "tick":
        server.work(lambda raft: raft.tick())
    elif action == "propose" and server.raft.accepts_proposals:
        network.propose(name, f"{name}:{count}".encode())
    elif action == "read" and server.raft.is_leader:
        server.work(lambda raft: raft.read_index(count))
    elif action == "cut":
        network.cut.add((name, random.choice(network.configuration.voters)))
    elif action == "crash":
        network.crash(name, units_kept=random.choice([0, 1, 9]))
    elif action == "transfer" and server.raft.accepts_proposals:
        target = random.choice(server.raft.state.peers())
        server.work(lambda raft: raft.transfer_leadership(target))
