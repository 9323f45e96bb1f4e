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


class Rules:
    """The rules that lines cite. "§" and "Figure" are the paper's (extended version)."""

    LEADER = "one leader in a term: each server votes once in it (§5.2, Figure 3)"
    COMMIT = "acknowledged: on the disks of a majority, in the leader's term (§5.3, §5.4.2)"
    CRASH = "a majority suffices: two of three go on (§2, §5.1)"
    SILENCE = "a follower that hears no leader begins an election (§5.2)"
    PRE_VOTE = "first it asks if it could win; no term is disturbed (thesis §9.6)"
    CANDIDATE = "it raises the term, votes for itself, asks the others (§5.2, Figure 2)"
    VOTE = "one vote per term, on disk before it is told, if the log is as new (§5.4.1)"
    PRE_YES = "yes: the log is at least as up to date, and no leader is heard (§5.4.1)"
    REFUSED = "no vote for an older log, twice in a term, or against a live leader (§5.4.1)"
    ELECTED = "a majority of votes; it opens its term with an empty entry (§5.2, §8)"
    FOLLOWS = "a leader's heartbeat ends the election for all others (§5.2)"
    STEPS_DOWN = "whoever sees a higher term is a follower in it (§5.1, Figure 2)"
    LOST_ELECTION = "no majority: it waits, a random time, and tries again (§5.2)"
    RESTART = "term, vote and log come from its disk: it never votes twice (Figure 2)"
    CATCH_UP = "the leader finds where the logs agree, and sends what follows (§5.3)"
    READ = "a read is confirmed by a majority: no deposed leader answers (§8)"
    SAFETY = "the same index holds the same command everywhere (State Machine Safety, §5.4.3)"


def narrate(event: Event) -> Line | None:
    """Return what an event means to the story, or None."""
    tell = _TELLERS.get(str(event.get("kind")))
    at_ms, node = event.get("t_ms"), event.get("node")
    if tell is None or not isinstance(at_ms, int | float) or not isinstance(node, str):
        return None
    told = tell(event, node)
    return None if told is None else msgspec.structs.replace(told, at_ms=float(at_ms))


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


def listed(names: list[str]) -> str:
    """Return names as a sentence has them: ``n1, n2 and n3``."""
    ordered = sorted(str(name) for name in names)
    if len(ordered) < 2:
        return "".join(ordered)
    return f"{', '.join(ordered[:-1])} and {ordered[-1]}"
