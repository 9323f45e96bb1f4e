"""From the nodes' events to sentences that a newcomer can follow, with the paper's rule for each.

Pure: events in (as the nodes publish them, one dict each), lines out. What is no news to the story
gives no line; an unknown kind gives none either, so newer nodes can be told of.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

Event: TypeAlias = dict[str, Any]
"""``t_ms`` (CLOCK_MONOTONIC), ``node``, ``term``, ``kind``, and what the kind has besides."""


class Line(msgspec.Struct, frozen=True):
    """One thing that happened: when (CLOCK_MONOTONIC), what, and by which rule."""

    at_ms: float
    text: str
    rule: str = ""
    headline: bool = False
    rank: int = 0
    """Among lines of one millisecond: causes have lower ranks than what they cause."""


class Rules:
    """The rules that lines cite. "§" and "Figure" are the paper's (extended version).

    Each fits on one line of the terminal.
    """

    CRASH = "two of three are a majority, and a majority suffices (§2)"
    COMMIT = "acknowledged means: on the disks of a majority (§5.3, §5.4.2)"
    SILENCE = "a follower that hears no leader begins an election (§5.2)"
    PRE_VOTE = "it asks before it disturbs anybody's term (thesis §9.6)"
    PRE_YES = "its log is as up to date, and no leader is heard (§5.4.1)"
    CANDIDATE = "it raises the term and votes for itself (§5.2, Figure 2)"
    VOTE = "one vote per term, on disk before it is told (§5.2, Figure 2)"
    REFUSED = "none for an older log, a second candidate, beside a leader (§5.4.1)"
    ELECTED = "a majority of votes makes a leader: one per term (§5.2)"
    FOLLOWS = "a leader's heartbeat ends the election for the others (§5.2)"
    STEPS_DOWN = "a higher term, or no majority in reach (§5.1, thesis §6.2)"
    LOST_ELECTION = "no majority: it tries again after a random time (§5.2)"
    RESTART = "term, vote and log come from its disk (Figure 2)"
    CATCH_UP = "the leader finds where logs agree and sends the rest (§5.3)"
    READ = "a majority confirms each read: no deposed leader answers (§8)"
    SAFETY = "the same index holds the same command everywhere (§5.4.3)"


def narrate(event: Event) -> Line | None:
    """Return what an event means to the story, or None."""
    kind = str(event.get("kind"))
    tell = _TELLERS.get(kind)
    at_ms, node = event.get("t_ms"), event.get("node")
    if tell is None or not isinstance(at_ms, int | float) or not isinstance(node, str):
        return None
    told = tell(event, node)
    if told is None:
        return None
    return msgspec.structs.replace(told, at_ms=float(at_ms), rank=_RANKS.index(told.rule))


def _role(event: Event, node: str) -> Line | None:
    term = event.get("term")
    match event.get("role"):
        case "leader":
            votes = event.get("votes") or []
            by = f", by the votes of {listed(votes)}" if votes else ""
            return Line(0, f"{node} leads in term {term}{by}", Rules.ELECTED, headline=True)
        case "candidate":
            return Line(0, f"{node} stands for election in term {term}", Rules.CANDIDATE)
        case "follower" if event.get("was") == "leader":
            return Line(0, f"{node} steps down; the term is {term}", Rules.STEPS_DOWN)
        case "follower" if event.get("was") == "candidate" and not event.get("leader"):
            return Line(0, f"{node} has not won in term {term}", Rules.LOST_ELECTION)
    return None


def _election(event: Event, node: str) -> Line | None:
    if event.get("stage") != "pre_vote":
        return None  # told when it became a candidate
    reason = f" ({event['reason']})" if event.get("reason") else ""
    return Line(0, f"{node} asks the others: would you vote for me?{reason}", Rules.PRE_VOTE)


def _granted(event: Event, node: str) -> Line | None:
    candidate = event.get("candidate")
    if event.get("pre_vote"):
        return Line(0, f"{node} would vote for {candidate}", Rules.PRE_YES)
    return Line(0, f"{node} votes for {candidate} in term {event.get('term')}", Rules.VOTE)


def _refused(event: Event, node: str) -> Line | None:
    verb = "would not vote" if event.get("pre_vote") else "does not vote"
    reason = f": {event['reason']}" if event.get("reason") else ""
    return Line(0, f"{node} {verb} for {event.get('candidate')}{reason}", Rules.REFUSED)


def _leader(event: Event, node: str) -> Line | None:
    leader = event.get("leader")
    if leader in (None, node):
        return None
    return Line(0, f"{node} follows {leader} in term {event.get('term')}", Rules.FOLLOWS)


def _leader_lost(event: Event, node: str) -> Line | None:
    reason = f" ({event['reason']})" if event.get("reason") else ""
    leader = event.get("leader") or "its leader"
    if leader == node:
        return None  # told when it stepped down
    return Line(0, f"{node} has lost {leader}{reason}", Rules.SILENCE)


def _disconnected(event: Event, node: str) -> Line | None:
    peer = event.get("peer") or "a peer"
    return Line(0, f"{node} notices: {peer} is gone, its port refuses", Rules.SILENCE)


def _ready(_event: Event, node: str) -> Line | None:
    return Line(0, f"{node} is ready", Rules.CATCH_UP)


_TELLERS: dict[str, Callable[[Event, str], Line | None]] = {
    "role": _role,
    "election_started": _election,
    "vote_granted": _granted,
    "vote_refused": _refused,
    "leader": _leader,
    "leader_lost": _leader_lost,
    "peer_disconnected": _disconnected,
    "ready": _ready,
}

_RANKS = (
    Rules.SILENCE,
    Rules.STEPS_DOWN,
    Rules.PRE_VOTE,
    Rules.PRE_YES,
    Rules.CANDIDATE,
    Rules.VOTE,
    Rules.REFUSED,
    Rules.LOST_ELECTION,
    Rules.ELECTED,
    Rules.FOLLOWS,
    Rules.CATCH_UP,
)
"""The course of an election, by the rules of its steps."""


def listed(names: list[str]) -> str:
    """Return names as a sentence has them: ``n1, n2 and n3``."""
    ordered = sorted(str(name) for name in names)
    if len(ordered) < 2:
        return "".join(ordered)
    return f"{', '.join(ordered[:-1])} and {ordered[-1]}"
