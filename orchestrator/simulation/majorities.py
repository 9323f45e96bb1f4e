"""What a majority is, once more and by itself: the checks must not share the product's mistakes."""

from collections.abc import Callable

from raftcache.raft.configuration import Configuration
from raftcache.raft.types import ServerId


def have_majority(configuration: Configuration, has: Callable[[ServerId], bool]) -> bool:
    """Tell whether more than half of the voters have it; of a joint configuration, of both (§6)."""
    halves = [configuration.voters]
    if configuration.voters_outgoing:
        halves.append(configuration.voters_outgoing)
    return all(2 * sum(map(has, half)) > len(half) for half in halves)
