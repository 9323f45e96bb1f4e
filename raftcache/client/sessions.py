"""A client's session with the cluster: numbers that make writes repeatable, and a lease (sans-I/O).

Time comes in as ``now_ms`` of any monotonic clock. Two rules are kept here:

- ``ack`` passes a number only when nobody will ask for its outcome any more. From then on the
  cluster refuses that number: what was given up can't be done late.
- A lease is counted from the moment before its renewal was *sent*. So it ends here no later than
  the cluster ends it, whatever the network did in between.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

WINDOW: Final = 1_024
"""How far above ``ack`` a number may be (docs/protocol.md)."""
TTL_S: Final = 15.0
"""A session's time to live unless the client is told another: so long its locks outlive it."""
RETRY_UNSUPPORTED_MS: Final = 10_000
"""How long a cluster that knows no sessions yet (while it is upgraded) is not asked for one."""

_RENEW_AT, _RISK_AT = 1 / 3, 2 / 3
"""Shares of the time to live: when the lease is renewed, and when it is at risk if it was not."""


class State(enum.Enum):
    """What a listener hears of the session."""

    CONNECTED = "connected"
    """The cluster answers: the session, and every lock with it, holds."""
    SUSPENDED = "suspended"
    """For two thirds of the time to live no renewal was answered: locks are at risk. It may become
    connected again, and nothing was lost."""
    LOST = "lost"
    """The session has ended, or may have: its locks and ephemeral keys are, or will be, gone. The
    next write opens another."""


@dataclass(slots=True)
class Numbers:
    """The numbers of a session's writes."""

    ack: int = 0
    """Every number up to this one is settled."""
    _next: int = 1
    _settled: set[int] = field(default_factory=set)

    @property
    def free(self) -> int:
        """How many numbers may be taken before one is settled."""
        return self.ack + WINDOW + 1 - self._next

    def take(self, count: int) -> range:
        """Return the next ``count`` numbers."""
        assert count <= self.free, "no number is taken beyond the window"
        first, self._next = self._next, self._next + count
        return range(first, self._next)

    def settle(self, numbers: range) -> None:
        """Note that the outcome of these is known, or of no interest any more; taken together."""
        if not numbers:
            return
        first, last = numbers[0], numbers[-1]
        assert self.ack < first <= last < self._next, "a number is settled once, after it was taken"
        if first == self.ack + 1:
            self.ack = last
        else:
            self._settled.update(numbers)
        while self.ack + 1 in self._settled:
            self.ack += 1
            self._settled.remove(self.ack)


@dataclass(slots=True)
class Session:
    """One session, from its opening to its end."""

    id: int
    ttl_ms: float
    renewed_ms: float
    """When the last renewal that was answered, or the opening, was sent."""
    numbers: Numbers = field(default_factory=Numbers)
    ended: bool = False
    """The cluster, or the clock, has said that it is over."""

    def renewed(self, sent_ms: float) -> None:
        """Note that a renewal which was sent then has been answered."""
        self.renewed_ms = max(self.renewed_ms, sent_ms)

    def ends_at_ms(self) -> float:
        """Return when it ends unless it is renewed."""
        return self.renewed_ms + self.ttl_ms

    def at_risk_at_ms(self) -> float:
        """Return when it is at risk unless it is renewed."""
        return self.renewed_ms + self.ttl_ms * _RISK_AT

    def renew_at_ms(self) -> float:
        """Return when to renew it."""
        return self.renewed_ms + self.ttl_ms * _RENEW_AT

    def state(self, now_ms: float) -> State:
        """Return what is known of it now; once lost, it stays so."""
        if self.ended or now_ms >= self.ends_at_ms():
            self.ended = True
            return State.LOST
        return State.SUSPENDED if now_ms >= self.at_risk_at_ms() else State.CONNECTED

    def next_change_ms(self, now_ms: float) -> float:
        """Return when the state changes next if no renewal is answered."""
        at_risk_ms = self.at_risk_at_ms()
        return at_risk_ms if now_ms < at_risk_ms else self.ends_at_ms()


def shown(client: object, endpoints: Sequence[str], state: State | None, *, closed: bool) -> str:
    """Return what a client looks like to whoever prints it."""
    how = "closed" if closed else "no session yet" if state is None else state.value
    return f"<{type(client).__name__} of {', '.join(endpoints)}: {how}>"
