"""What strikes processes and their clocks: death in its many ways, standing still, wrong time."""

from random import Random
from types import MappingProxyType
from typing import Final

from .faults import Faults, Kind

DOOM_PLACES_MAX = 60
AWAY_US = 400_000
CLOCK_RATES = (500, 700, 1_300, 2_000)
CLOCK_JUMPS_MS = (50, 400, 5_000)


def kill(faults: Faults, random: Random) -> bool:
    """Kill a process; it is started again later."""
    name = faults.some_node(random)
    if name is not None:
        faults.cluster.kill(name)
    return name is not None


def power(faults: Faults, random: Random) -> bool:
    """Cut a host's power: of what was not synced, any part may be there afterwards."""
    name = faults.some_node(random)
    if name is not None:
        faults.cluster.kill(name, power=True)
    return name is not None


def doom(faults: Faults, random: Random) -> bool:
    """Let a node die at one of the next places of its work, and perhaps lose its power."""
    name = faults.some_node(random)
    if name is None:
        return False
    process = faults.cluster.process(name)
    left = random.randint(1, DOOM_PLACES_MAX)
    process.power_goes = random.random() < 0.5

    def is_doomed(_place: str) -> bool:
        nonlocal left
        left -= 1
        return left == 0

    process.doom = is_doomed
    return True


def kill_all(faults: Faults, random: Random) -> bool:
    """Kill all processes at once."""
    running = faults.cluster.running
    with_power = random.random() < 0.5
    for process in running:
        faults.cluster.kill(process.name, power=with_power)
    return bool(running)


def kill_majority(faults: Faults, random: Random) -> bool:
    """Kill just as many as it takes to leave no quorum."""
    names = [process.name for process in faults.cluster.running]
    count = len(faults.cluster.names) // 2 + 1
    victims = random.sample(names, min(count, len(names)))
    with_power = random.random() < 0.5
    for name in victims:
        faults.cluster.kill(name, power=with_power)
    return bool(victims)


def blink(faults: Faults, random: Random) -> bool:
    """Kill a process and have it back at once, so that two lives meet within one election."""
    name = faults.some_node(random)
    if name is None:
        return False
    faults.cluster.kill(name, power=random.random() < 0.5)

    def back() -> None:
        if faults.running:
            faults.start(name)

    faults.cluster.scheduler.after(random.randint(100, 3_000), back)
    return True


def away(faults: Faults, random: Random) -> bool:
    """Kill a process for so long that the others go on far without it."""
    name = faults.some_node(random)
    if name is not None:
        faults.away_until_us[name] = faults.cluster.scheduler.now_us + AWAY_US
        faults.cluster.kill(name)
    return name is not None


def stop(faults: Faults, random: Random) -> bool:
    """Ask a node to stop."""
    name = faults.some_node(random)
    if name is not None:
        faults.cluster.stop(name)
    return name is not None


def pause(faults: Faults, random: Random) -> bool:
    """Stop a process for a while, as SIGSTOP does."""
    name = faults.some_node(random)
    if name is not None:
        faults.hold(random, name)
    return name is not None


def clock_rate(faults: Faults, random: Random) -> bool:
    """Let a node's clock run fast or slowly from now on."""
    name = faults.some_node(random)
    if name is None:
        return False
    rate = random.choice(CLOCK_RATES)
    faults.cluster.note(f"{name}: its clock runs at {rate / 1_000:g}")
    faults.cluster.hosts[name].clock_rate = rate
    faults.cluster.process(name).set_clock(rate=rate)
    return True


def clock_jump(faults: Faults, random: Random) -> bool:
    """Let a node's clock jump ahead, as after a suspended host's return."""
    name = faults.some_node(random)
    if name is None:
        return False
    ahead_ms = random.choice(CLOCK_JUMPS_MS)
    faults.cluster.note(f"{name}: its clock jumps {ahead_ms} ms ahead")
    faults.cluster.process(name).set_clock(jump_ms=ahead_ms)
    return True


def false_alarm(faults: Faults, random: Random) -> bool:
    """Let a node believe that its leader's process is gone, which lives: one election, no more."""
    name, leader = faults.some_node(random), faults.cluster.leader()
    if name is None or leader is None or name == leader:
        return False
    server_id = faults.cluster.process(leader).server.server_id
    faults.cluster.note(f"{name} takes {leader} for gone")
    faults.cluster.process(name).on_peer_gone(server_id)
    return True


KINDS: Final[MappingProxyType[str, Kind]] = MappingProxyType(
    {
        "kill": kill,
        "power": power,
        "doom": doom,
        "kill_all": kill_all,
        "kill_majority": kill_majority,
        "blink": blink,
        "away": away,
        "stop": stop,
        "pause": pause,
        "clock_rate": clock_rate,
        "clock_jump": clock_jump,
        "false_alarm": false_alarm,
    }
)
