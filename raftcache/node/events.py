"""From Raft's trace to the events that the node publishes, and the lines that it logs.

Published kinds: ``role``, ``vote_granted``, ``vote_refused``, ``election_started``, ``leader``,
``leader_gone``, ``leader_lost``, ``transfer``, ``truncated``, ``commit``, ``ready``, ``stopping``,
``slow_turn``, ``slow_disk``, ``joining``, ``joined``, ``member_change``, ``member_promoted``,
``member_removed``, ``data_is_gone``, and what ``snapshots``, ``sending`` and ``receiving`` tell.
Nothing depends on their arrival.
"""

import logging
import re
from typing import Any

from ..raft.trace import TraceEvent, format_event
from ..raft.types import Index, ServerId, Term
from .ports import EventSink

_log = logging.getLogger("raftcache.node")

_INCARNATION = re.compile(r"#\d+\b")

_QUIET = frozenset({"committed", "appended", "leader", "compacted"})
"""Told elsewhere: by :meth:`EventBridge.on_tick`, with the change of role or leader, and by
``snapshots``: what goes from memory only would be told of at every tick."""


class EventBridge:
    """Receives the trace; logs each transition and publishes what people want to see."""

    def __init__(self, publish: EventSink) -> None:
        self._publish = publish
        self._published_commit: Index = 0

    def on_trace(self, event: TraceEvent) -> None:
        """Take one transition of the core."""
        if event.kind in _QUIET:
            return
        _log.info("%s", format_event(event))
        kind, fields = _published(event)
        self._publish(kind, {"term": event.term, **fields})

    def on_leader(self, term: Term, leader: ServerId | None, before: ServerId | None) -> None:
        """Tell that the leader this node knows has changed."""
        if leader is not None:
            self._publish("leader", {"term": term, "leader": name_of(leader)})
        elif before is not None:
            self._publish("leader_lost", {"term": term, "leader": name_of(before)})

    def on_tick(self, term: Term, commit_index: Index) -> None:
        """Tell how far the log is committed, if that changed since the last tick."""
        if commit_index != self._published_commit:
            self._published_commit = commit_index
            self._publish("commit", {"term": term, "index": commit_index})

    def on_slow_turn(self, term: Term, turn_ms: float, cpu_ms: float) -> None:
        """Tell that a turn took long; not logged, for under full load that may be every turn."""
        fields = {"ms": round(turn_ms, 1), "cpu_ms": round(cpu_ms, 1)}
        self._publish("slow_turn", {"term": term, **fields})

    def tell(self, kind: str, term: Term, **fields: Any) -> None:
        """Publish and log something that the node itself has to say."""
        _log.info("%s %s", kind, fields)
        self._publish(kind, {"term": term, **fields})


def name_of(server_id: ServerId) -> str:
    """Return the node's name, as people and clients know it, without its incarnation."""
    return server_id.partition("#")[0]


def without_incarnations(text: str) -> str:
    """Return a sentence of the core with its servers as people know them."""
    return _INCARNATION.sub("", text)


def _published(event: TraceEvent) -> tuple[str, dict[str, Any]]:
    """Return the published kind and fields of a transition, with nodes by their names."""
    fields = {
        name: without_incarnations(value) if isinstance(value, str) else value
        for name, value in event.fields.items()
    }
    match event.kind:
        case "became":
            votes = [name_of(voter) for voter in fields.get("votes", ())]
            return "role", {**fields, **({"votes": votes} if votes else {})}
        case "voted":
            return "vote_granted", fields
        case "refused":
            return "vote_refused", fields
        case "campaigned":
            return "election_started", fields
        case kind:
            return kind, fields
