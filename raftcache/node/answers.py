"""Answers on their way out: encoded once, and sent to where the request came from.

Every request is answered once: whoever takes a request out of the place where it waits calls one
method here, and nobody else still has it.
"""

from typing import Any

from ..protocol.limits import Refused
from ..protocol.peer import Answer
from ..protocol.replies import (
    Answerable,
    ReplyHeader,
    encode_error,
    encode_refused,
    encode_reply,
)
from ..store.events import WatchResult
from ..store.results import Result
from .outbox import Outbox
from .pending import ClientOrigin, Origin, Pending

NOT_APPLIED = "no"
UNKNOWN = "unknown"


class Answers:
    """Collects one turn's replies; ``header``, which each begins with, is kept by ``server``."""

    def __init__(self, header: ReplyHeader, outbox: Outbox) -> None:
        self.header = header
        self._outbox = outbox
        self._replies: list[tuple[int, list[bytes], bytes]] = []

    def result(
        self,
        pending: Pending,
        result: Result | WatchResult | dict[str, Any],
        *,
        age_ms: int | None = None,
    ) -> None:
        """Answer with what the store said, be it a refusal, or with a node's own fields."""
        self.raw(pending.origin, encode_reply(pending.request, self.header, result, age_ms=age_ms))

    def refused(self, origin: Origin, refused: Refused) -> None:
        """Answer a request that never came through the door."""
        self.raw(origin, encode_refused(refused, self.header))

    def refuse(
        self, pending: Pending, code: str, message: str, *, applied: str = NOT_APPLIED, **extra: Any
    ) -> None:
        """Answer with an error: what, where, what to do."""
        request: Answerable = pending.request
        self.raw(
            pending.origin, encode_error(request, self.header, code, message, applied, **extra)
        )

    def raw(self, origin: Origin, frame: bytes) -> None:
        """Send a reply that is encoded already."""
        if isinstance(origin, ClientOrigin):
            self._replies.append((origin.socket, origin.envelope, frame))
        else:
            self._outbox.add_answer(origin.peer, Answer(origin.number, frame))

    def take(self) -> list[tuple[int, list[bytes], bytes]]:
        """Return the turn's replies: socket, envelope, frame."""
        replies, self._replies = self._replies, []
        return replies
