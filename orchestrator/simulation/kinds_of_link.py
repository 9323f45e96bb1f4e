"""What strikes the links between nodes: cuts of every shape, storms, one type of message lost."""

from collections.abc import Callable
from itertools import pairwise, permutations, product
from random import Random
from types import MappingProxyType
from typing import Final, TypeAlias

import msgspec

from raftcache.protocol.peer import PeerFrame, encode_peer_frame
from raftcache.raft.messages import AppendEntries, RequestVote, TimeoutNow

from .calls import peer_frame
from .elections import STRANGE_TERM
from .faults import Faults, Kind

Links: TypeAlias = set[tuple[str, str]]
Shape: TypeAlias = Callable[[list[str]], Links]
"""Of the names in any order, the links that are cut."""

LOSABLE = (
    "PreVote",
    "PreVoteResponse",
    "RequestVote",
    "RequestVoteResponse",
    "AppendEntries",
    "AppendEntriesResponse",
    "InstallSnapshot",
    "InstallSnapshotResponse",
    "TimeoutNow",
    "ReadIndex",
    "ReadIndexResponse",
)


def isolated(names: list[str]) -> Links:
    """The first is alone."""
    return _between(names[:1], names[1:]) | _between(names[1:], names[:1])


def mute(names: list[str]) -> Links:
    """The first hears all, and nobody hears it."""
    return _between(names[:1], names[1:])


def deaf(names: list[str]) -> Links:
    """The first is heard, and hears nobody."""
    return _between(names[1:], names[:1])


def one_way(names: list[str]) -> Links:
    """The first no longer reaches the second."""
    return {(names[0], names[1])}


def halves(names: list[str]) -> Links:
    """Two groups, one of them a minority."""
    half = len(names) // 2
    return _between(names[:half], names[half:]) | _between(names[half:], names[:half])


def bridge(names: list[str]) -> Links:
    """Two groups, and the first node alone sees both."""
    rest = names[1:]
    half = (len(rest) + 1) // 2
    return _between(rest[:half], rest[half:]) | _between(rest[half:], rest[:half])


def ring(names: list[str]) -> Links:
    """Each node sees its neighbours only; a chain where there are three."""
    seen = {frozenset(pair) for pair in pairwise(names)}
    if len(names) > 3:
        seen.add(frozenset((names[-1], names[0])))
    return {pair for pair in permutations(names, 2) if frozenset(pair) not in seen}


def scattered(names: list[str]) -> Links:
    """Everybody is alone."""
    return set(permutations(names, 2))


SHAPES: Final[MappingProxyType[str, Shape]] = MappingProxyType(
    {
        "isolate": isolated,
        "mute": mute,
        "deafen": deaf,
        "cut_one_way": one_way,
        "split": halves,
        "bridge": bridge,
        "ring": ring,
        "scatter": scattered,
    }
)


def _cutting(shape: Shape) -> Kind:
    def strike(faults: Faults, random: Random) -> bool:
        names = list(faults.cluster.names)
        if len(names) < 2:
            return False
        random.shuffle(names)
        leader = faults.cluster.leader()
        if leader is not None and random.random() < 0.4:
            names.remove(leader)
            names.insert(0, leader)
        links = shape(names)
        faults.cut(random, links)
        return bool(links)

    return strike


def any_cuts(faults: Faults, random: Random) -> bool:
    """Cut any subset of the directed links."""
    pairs = list(permutations(faults.cluster.names, 2))
    links = {pair for pair in pairs if random.random() < 0.4}
    faults.cut(random, links)
    return bool(links)


def storm(faults: Faults, random: Random) -> bool:
    """Lose, repeat and disorder much for a while."""
    network = faults.cluster.network
    before = network.profile
    network.profile = msgspec.structs.replace(
        before,
        loss=random.choice((0, 100, 300)),
        duplicate=random.choice((0, 200, 500)),
        reorder=random.choice((0, 300, 700)),
        late_us=random.choice((2_000, 20_000, 200_000)),
    )

    def over() -> None:
        network.profile = faults.cluster.profile

    faults.later(random, over)
    return True


def lose_type(faults: Faults, random: Random) -> bool:
    """Lose every frame that has a message of one type in it, from one node or from all."""
    network, names = faults.cluster.network, faults.cluster.names
    if network.blocks is not None:
        return False
    kind, source = random.choice(LOSABLE), random.choice([*names, None])
    faults.cluster.note(f"{kind} of {source or 'all'} is lost")

    def is_lost(sender: str, _target: str, data: bytes) -> bool:
        if source not in (None, sender):
            return False
        return any(type(message).__name__ == kind for message in peer_frame(data).messages)

    def over() -> None:
        network.blocks = None

    network.blocks = is_lost
    faults.later(random, over)
    return True


def delay_type(faults: Faults, random: Random) -> bool:
    """Let frames with messages of one type come late, so that they meet what followed them."""
    network = faults.cluster.network
    if network.delays is not None:
        return False
    kind = random.choice(LOSABLE)
    late_us = random.choice((20_000, 150_000, 400_000))
    faults.cluster.note(f"{kind} is late by up to {late_us} us")

    def delay(_target: str, data: bytes) -> int:
        if all(type(message).__name__ != kind for message in peer_frame(data).messages):
            return 0
        return random.randint(1, late_us) if random.random() < 0.7 else 0

    def over() -> None:
        network.delays = None

    network.delays = delay
    faults.later(random, over)
    return True


def stranger(faults: Faults, random: Random) -> bool:
    """Let a node hear a node of another cluster, which has the same names (failure C12)."""
    running = faults.cluster.running
    if len(running) < 2:
        return False
    source, target = random.sample(running, 2)
    sender, receiver = source.server.server_id, target.server.server_id
    log = target.server.raft.state.log
    term = STRANGE_TERM + random.randrange(10)
    message = random.choice(
        (
            AppendEntries(sender, receiver, term, log.last_index, log.last_term, (), 0),
            RequestVote(sender, receiver, term, log.last_index + 9, log.last_term, True),
            TimeoutNow(sender, receiver, target.server.raft.current_term),
        )
    )
    frame = PeerFrame("f" * 32, sender, receiver, [message])
    target.on_peer_frame(encode_peer_frame(frame))
    return True


def _between(sources: list[str], targets: list[str]) -> Links:
    return set(product(sources, targets))


KINDS: Final[MappingProxyType[str, Kind]] = MappingProxyType(
    {
        **{name: _cutting(shape) for name, shape in SHAPES.items()},
        "any_cuts": any_cuts,
        "storm": storm,
        "lose_type": lose_type,
        "delay_type": delay_type,
        "stranger": stranger,
    }
)
