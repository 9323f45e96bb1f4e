"""What the core tells of itself: one event per transition, one line format everywhere.

The core does not log; it hands events to ``state.trace`` when there is one. Positions read
``index@term``.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from .types import Index, Role, ServerId, Term


class TraceEvent(msgspec.Struct, frozen=True):
    """One transition of one server.

    ``kind`` is one of ``became``, ``voted``, ``refused``, ``campaigned``, ``appended``,
    ``truncated``, ``committed``, ``leader``, ``leader_gone``, ``transfer``, ``configured``,
    ``compacted``, ``installed``; ``fields`` holds what the kind needs.
    """

    kind: str
    server_id: ServerId
    term: Term
    role: Role
    last_index: Index
    last_term: Term
    commit_index: Index
    fields: dict[str, Any] = {}


Trace: TypeAlias = Callable[[TraceEvent], None]


def format_event(event: TraceEvent) -> str:
    """Return the event as one line, such as ``n1@4 became leader  last=42@3 commit=41``."""
    details = " ".join(f"{name}={value}" for name, value in event.fields.items())
    parts = [
        f"{event.server_id}@{event.term}",
        event.kind,
        *([details] if details else []),
        f" last={event.last_index}@{event.last_term}",
        f"commit={event.commit_index}",
    ]
    return " ".join(parts)
