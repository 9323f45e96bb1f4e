"""Elections in words: why each began, who voted how and why, and how long it took.

Pure: the nodes' events in, in the order of their times; sentences out. An election is all that
happened since the last one was won.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from .demo.narration import listed


class Election(msgspec.Struct, frozen=True, kw_only=True):
    """One election that was won. Times are CLOCK_MONOTONIC, in milliseconds."""

    began_ms: float
    """When the first node asked for votes, or noticed that its leader was gone."""
    won_ms: float
    leader: str
    term: int
    before: str | None
    """Who led before, as far as events told."""
    reason: str
    """Why the winner stood, in the node's words."""
    votes: list[str]
    late: list[str]
    """Who voted for it as well, when a majority was there already."""
    refusals: dict[str, str]
    """Who refused the winner a vote, and why."""
    rivals: list[str]
    """Who else stood for election meanwhile."""


class Elections:
    """Collects events; :meth:`add` answers with the election that one has settled."""

    def __init__(self) -> None:
        self.leader: str | None = None
        self._begin()

    def _begin(self) -> None:
        self._signs_ms: dict[str, float] = {}
        """When each node that hears no leader first showed it."""
        self._refusals: dict[str, dict[str, str]] = {}
        self._granted: dict[str, set[str]] = {}
        self._rivals: set[str] = set()

    def add(self, event: Mapping[str, Any]) -> Election | None:
        """Take the next event."""
        kind, node, at_ms = event.get("kind"), str(event.get("node")), event.get("t_ms")
        if not isinstance(at_ms, int | float):
            return None
        if kind in {"leader_lost", "election_started"}:
            self._signs_ms.setdefault(node, float(at_ms))
        if kind == "election_started":
            self._rivals.add(node)
        elif kind == "leader" and event.get("leader") != node:
            # It asked in vain, as one that comes back does, and follows again.
            self._signs_ms.pop(node, None)
            self._refusals.pop(node, None)
            self._rivals.discard(node)
        elif kind == "vote_granted" and not event.get("pre_vote"):
            self._granted.setdefault(str(event.get("candidate")), set()).add(node)
        elif kind == "vote_refused":
            candidate = str(event.get("candidate"))
            reason = str(event.get("reason") or "for no reason it gave")
            self._refusals.setdefault(candidate, {})[node] = reason
        elif kind == "role" and event.get("role") == "leader":
            return self._won(event, node, float(at_ms))
        return None

    def _won(self, event: Mapping[str, Any], node: str, at_ms: float) -> Election:
        votes = [str(name) for name in event.get("votes") or ()]
        refused = {
            voter: reason
            for voter, reason in self._refusals.get(node, {}).items()
            if voter not in votes
        }
        late = sorted(self._granted.get(node, set()) - set(votes) - {node})
        election = Election(
            began_ms=min(self._signs_ms.values(), default=at_ms),
            won_ms=at_ms,
            leader=node,
            term=int(event.get("term") or 0),
            before=self.leader,
            reason=str(event.get("reason") or ""),
            votes=votes,
            late=late,
            refusals={voter: why for voter, why in refused.items() if voter not in late},
            rivals=sorted(self._rivals - {node}),
        )
        self.leader = node
        self._begin()
        return election


def explain(election: Election, nodes: Sequence[str] = ()) -> list[str]:
    """Return the election in words: a headline, and a sentence for each thing worth knowing.

    With ``nodes``, all of the cluster, also those that were not heard.
    """
    leader = election.leader
    took_ms = election.won_ms - election.began_ms
    took = f", {took_ms:.0f} ms after the first sign" if took_ms >= 1 else ""
    lines = [f"{leader} leads in term {election.term}{took}", f"why: {_why(election)}"]
    others = [name for name in election.votes if name != leader]
    if others:
        whose = "its log is not ahead" if len(others) == 1 else "their logs are not ahead"
        heard = "it hears" if len(others) == 1 else "they hear"
        lines.append(
            f"{listed(others)} voted for {leader}: {whose} of {leader}'s, and {heard} no leader"
        )
    elif election.votes and len(nodes) == 1:
        lines.append("it needs no vote but its own")
    if election.late:
        lines.append(f"{listed(election.late)} did too, when a majority was there already")
    lines += [f"{voter} did not: {why}" for voter, why in sorted(election.refusals.items())]
    silent = set(nodes) - {leader, *election.votes, *election.late, *election.refusals}
    if silent and election.votes:
        lines.append(f"{listed(list(silent))}: no vote was heard, and none was needed")
    if election.rivals:
        lines.append(f"{listed(election.rivals)} asked for votes as well, and got too few")
    return lines


def _why(election: Election) -> str:
    reason = election.reason
    silent = re.fullmatch(r"timeout: (\S+) is silent", reason)
    if silent:
        return (
            f"{election.leader} heard nothing from {silent[1]}, its leader, for a whole election "
            "timeout"
        )
    if reason == "timeout: no leader known":
        return f"{election.leader} knew no leader for a whole election timeout"
    handed = re.fullmatch(r"transfer from (\S+)", reason)
    if handed:
        return f"{handed[1]} handed the leadership over, with all that is in its log"
    return reason or "its reason was not heard"
