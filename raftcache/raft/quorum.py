"""Majorities, also of joint configurations (§5.2, §5.3, §6). Pure functions of their arguments."""

from collections.abc import Callable, Mapping
from enum import Enum

from .configuration import Configuration
from .types import Index, ServerId


class Outcome(Enum):
    """How a vote stands."""

    WON = "won"
    LOST = "lost"
    PENDING = "pending"


def majority(voter_count: int) -> int:
    """Return how many of ``voter_count`` voters are a majority."""
    return voter_count // 2 + 1


def has_quorum(configuration: Configuration, agrees: Callable[[ServerId], bool]) -> bool:
    """Tell whether a majority agrees; in a joint configuration, of both halves (§6)."""
    return all(
        sum(map(agrees, voters)) >= majority(len(voters)) for voters in _halves(configuration)
    )


def vote_outcome(configuration: Configuration, votes: Mapping[ServerId, bool]) -> Outcome:
    """Count ``votes`` (True for granted); who is absent has not answered (§5.2)."""
    if has_quorum(configuration, lambda voter: votes.get(voter, False)):
        return Outcome.WON
    if has_quorum(configuration, lambda voter: votes.get(voter, True)):
        return Outcome.PENDING
    return Outcome.LOST


def committed_index(
    configuration: Configuration, match_index_of: Callable[[ServerId], Index]
) -> Index:
    """Return the highest index that a majority stores; in a joint configuration, both do (§5.3)."""
    index = _stored_by_majority(configuration.voters, match_index_of)
    if configuration.voters_outgoing:
        index = min(index, _stored_by_majority(configuration.voters_outgoing, match_index_of))
    return index


def _stored_by_majority(
    voters: tuple[ServerId, ...], match_index_of: Callable[[ServerId], Index]
) -> Index:
    assert voters, "a configuration has voters"
    return sorted(map(match_index_of, voters), reverse=True)[majority(len(voters)) - 1]


def _halves(configuration: Configuration) -> tuple[tuple[ServerId, ...], ...]:
    assert configuration.voters, "a configuration has voters"
    if configuration.voters_outgoing:
        return configuration.voters, configuration.voters_outgoing
    return (configuration.voters,)
