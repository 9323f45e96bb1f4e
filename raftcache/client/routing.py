"""Which node next: redirects, deadlines and backoff of client calls (docs/protocol.md).

Sans-I/O: time comes in as ``now_ms`` of any monotonic clock, what to do goes out as values. A
driver performs a :class:`Step` and reports the :class:`Outcome`. Two rules are kept here and
nowhere else:

- A mutation that may have left this process is never sent again, unless the node that got it
  answered that it had no effect, or the session that it is numbered in tells repeats apart.
- A call ends by its deadline, whatever the nodes do.

A call may have several sendings on their way: after a silence that is short beside an election
another node is asked *too*, and the first answer of any of them settles it.
"""

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import TypeAlias

import msgspec

from ..errors import OutcomeUnknown, RequestError, Timeout, Unreachable
from .patience import Options, Patience

TIMEOUT_MS_MAX = 600_000
"""The longest that a request may ask a node to hold it (docs/protocol.md)."""


class Kind(enum.Enum):
    """What a request means for its repetition."""

    READ = "read"
    """Changes nothing: may be asked again, of any node."""
    MUTATION = "mutation"
    """May change something: a second sending could do it twice."""
    ONCE = "once"
    """May change something, numbered in a session: it is done once, however often it is sent."""

    __hash__ = object.__hash__
    """Each call looks for its lane by it, and that of enumerations is a function in Python."""


class Send(msgspec.Struct, frozen=True):
    """Step: connect to ``endpoint`` if need be, send the request, wait for its answer."""

    endpoint: str
    connect_by_ms: float
    """Not connected by then: report :class:`NotSent`."""
    answer_by_ms: float
    """No answer by then: report :class:`Silent`, and go on listening: unless the call is a
    mutation, an answer that comes later still settles it."""
    timeout_ms: int
    """What the request tells the node: somewhat less than this side waits, so that the node's
    own word, which may be a definite one, arrives in time."""


class Pause(msgspec.Struct, frozen=True):
    """Step: wait until ``until_ms``, then ask for the next step."""

    until_ms: float


Step: TypeAlias = Send | Pause


class NotSent(msgspec.Struct, frozen=True):
    """Outcome: the node could not be reached; not a byte of the request left."""

    reason: str


class Lost(msgspec.Struct, frozen=True):
    """Outcome: the connection ended after the request was sent and before an answer."""


class Silent(msgspec.Struct, frozen=True):
    """Outcome: no answer within the time. ``strays`` counts frames that were no answer to us."""

    strays: int = 0


class Refused(msgspec.Struct, frozen=True):
    """Outcome: the node answered with an error. ``leader`` as in :class:`Answered`."""

    error: RequestError
    leader: str | None


class Answered(msgspec.Struct, frozen=True):
    """Outcome: the node answered with ``ok``. ``leader``: its word on who leads, or None."""

    leader: str | None


Outcome: TypeAlias = NotSent | Lost | Silent | Refused | Answered

_RETRIED_CODES = frozenset({"not_leader", "no_leader", "overloaded"})
"""Refusals that another moment or another node may not repeat."""
_OWN_ANSWERS = frozenset({"conflict", "fenced", "wrong_type", "out_of_range"})
"""Refusals by the store itself: of a numbered mutation they are its one recorded answer. Others are
said at the door, and tell nothing of an earlier sending."""
_NOT_BY_THIS_ONE = frozenset({"session_expired", "stale_seq"})
"""Refusals that are `unknown` for what other sendings may have done; this one did nothing."""
_NEVER_REPEATED = _NOT_BY_THIS_ONE | {"internal"}
"""Refusals that may hide an effect, and that another sending could not clear up."""


@dataclass(slots=True)
class _Health:
    """What is known of one endpoint: it is left alone until ``retry_at_ms``."""

    failures: int = 0
    retry_at_ms: float = 0


@dataclass(slots=True)
class Routing:
    """What all calls of one client know together: who leads, who is down."""

    endpoints: Sequence[str]
    options: Options = field(default_factory=Options)
    random: Random = field(default_factory=Random)
    leader: str | None = None
    """The leader's endpoint as last heard; perhaps none of ``endpoints``."""
    patience: Patience = field(init=False)
    _health: dict[str, _Health] = field(default_factory=dict)
    _position: int = 0

    def __post_init__(self) -> None:
        """Begin at a random node, so that many clients spread over all nodes."""
        assert self.endpoints, "a client knows at least one endpoint"
        self._position = self.random.randrange(len(self.endpoints))
        self.patience = Patience(
            self.options.silence_ms, self.options.silence_ms_min, self.options.silence_ms_max
        )

    def choose(self, now_ms: float, *, anyone: bool = False) -> tuple[str, float]:
        """Return the endpoint to try next, and from when on (``now_ms`` when at once).

        The leader comes first, unless ``anyone`` will do as well.
        """
        if not anyone and self.leader is not None and self._retry_at(self.leader) <= now_ms:
            return self.leader, now_ms
        count = len(self.endpoints)
        order = [self.endpoints[(self._position + step) % count] for step in range(count)]
        # min() takes the first of equals, so healthy nodes are taken in turn.
        best = min(order, key=lambda endpoint: max(now_ms, self._retry_at(endpoint)))
        return best, max(now_ms, self._retry_at(best))

    def on_contact(self, endpoint: str, leader: str | None) -> None:
        """Note that ``endpoint`` answered, and whom it holds for the leader."""
        self._health.pop(endpoint, None)
        self.leader = leader
        if leader is None and endpoint == self.endpoints[self._position]:
            self._turn()

    def on_trouble(self, endpoint: str, now_ms: float, *, rest_ms: float = 0) -> None:
        """Note that ``endpoint`` is down or gone: for ``rest_ms`` or more others come first."""
        if endpoint not in self.endpoints:
            # One stranger is remembered, the last: hints must not pile up.
            self._health = {key: self._health[key] for key in self.endpoints if key in self._health}
            rest_ms = self.options.stranger_ms
        health = self._health.setdefault(endpoint, _Health())
        if health.retry_at_ms <= now_ms:
            # Otherwise it rests already: of many calls in flight each reports the same moment.
            health.retry_at_ms = now_ms + self.backoff(health.failures)
            health.failures += 1
        health.retry_at_ms = max(health.retry_at_ms, now_ms + rest_ms)
        if self.leader == endpoint:
            self.leader = None
        if endpoint == self.endpoints[self._position]:
            self._turn()

    def backoff(self, failures: int) -> float:
        """Return how long to wait after so many failures: doubled each time, half of it random."""
        longest = min(
            self.options.backoff_ms * float(1 << min(failures, 16)), self.options.backoff_ms_max
        )
        return longest * self.random.uniform(0.5, 1)

    def _turn(self) -> None:
        self._position = (self._position + 1) % len(self.endpoints)

    def _retry_at(self, endpoint: str) -> float:
        health = self._health.get(endpoint)
        return 0 if health is None else health.retry_at_ms


@dataclass(slots=True)
class Call:
    """One request on its way: ask :meth:`next_step`, perform it, :meth:`settle` the outcome.

    ``pinned`` names the one endpoint that may answer: for questions about a node itself. With
    ``anyone`` nothing is gained by asking the leader.
    """

    routing: Routing
    kind: Kind
    deadline_ms: float
    pinned: str | None = None
    anyone: bool = False
    hold_ms: float = 0
    """So long a node may rightly keep the request: no silence begins before."""
    _open: int = 0
    """Sendings that may have taken effect, for all that was heard of them."""
    _sent_ms: dict[str, float] = field(default_factory=dict)
    _silences: int = 0
    _refusals: int = 0
    _redirects: int = 0
    _pause_until_ms: float = 0
    _strays: int = 0
    _trouble: dict[str, str] = field(default_factory=dict)
    _refusal: RequestError | None = None

    @property
    def in_doubt(self) -> bool:
        """Whether a sending may have taken effect whose own answer is missing.

        A late answer ends the doubt: a definite no to each sending is a definite no.
        """
        return self.kind is not Kind.READ and self._open > 0

    def next_step(self, now_ms: float) -> Step:
        """Return what to do now.

        Raises:
            RequestError: the deadline has come; the class says whether it may have happened.
        """
        if now_ms >= self.deadline_ms or self._has_its_answer(now_ms):
            raise self._out_of_time()
        if self._pause_until_ms > now_ms:
            return Pause(min(self._pause_until_ms, self.deadline_ms))
        endpoint, from_ms = (
            (self.pinned, now_ms)
            if self.pinned is not None
            else self.routing.choose(now_ms, anyone=self.anyone)
        )
        if from_ms > now_ms:
            return Pause(min(from_ms, self.deadline_ms))
        return self._send(endpoint, now_ms)

    def settle(self, now_ms: float, outcome: Outcome, endpoint: str) -> bool:
        """Take the outcome of sending to ``endpoint``; return whether the call is done.

        Raises:
            RequestError: the call has failed, and trying on would not be safe or not help.
        """
        match outcome:
            case Answered(leader=leader):
                self._on_contact(endpoint, leader)
                self._learn(now_ms, endpoint)
                return True
            case Refused(error=error, leader=leader):
                self._on_refusal(now_ms, error, endpoint, leader)
            case NotSent(reason=reason):
                self._open -= 1
                self._trouble[endpoint] = reason
                self._on_trouble(endpoint, now_ms)
            case Lost():
                self._trouble[endpoint] = "connection lost"
                self._on_trouble(endpoint, now_ms)
                if self.kind is Kind.MUTATION:
                    raise OutcomeUnknown(
                        f"{endpoint}: the connection ended after the request was sent and before"
                        " an answer; it may have been done: read before you write again"
                    )
            case Silent(strays=strays):
                self._strays += strays
                self._silences += 1
                self._trouble[endpoint] = "no answer"
                self._on_trouble(endpoint, now_ms, rest_ms=self.routing.options.rest_ms)
                if self.kind is Kind.MUTATION:
                    raise self._timeout(
                        f"{endpoint} did not answer",
                        "; it may have been done: read before you write again",
                    )
        return False

    def _send(self, endpoint: str, now_ms: float) -> Send:
        options = self.routing.options
        remaining = self.deadline_ms - now_ms
        if self.kind is Kind.MUTATION:
            # It waits for the node's word until the deadline; only the node is told less.
            wait = remaining
            held = remaining if endpoint == self.routing.leader else options.search_ms
        else:
            silence_ms = self.routing.patience.silence_ms * float(1 << min(self._silences, 16))
            wait = self.hold_ms + min(silence_ms, options.silence_ms_max)
            held = max(wait, options.search_ms)
        if self.pinned is not None:
            wait = held = remaining  # nobody else may answer: there is nothing to save time for
        held = min(held, remaining)
        self._sent_ms[endpoint] = now_ms
        self._open += 1
        return Send(
            endpoint=endpoint,
            connect_by_ms=now_ms + min(options.connect_ms, remaining),
            answer_by_ms=now_ms + min(wait, remaining),
            timeout_ms=max(1, min(int(held - min(100.0, held / 10)), TIMEOUT_MS_MAX)),
        )

    def _on_refusal(
        self, now_ms: float, error: RequestError, endpoint: str, leader: str | None
    ) -> None:
        self._on_contact(endpoint, leader)
        if error.applied == "no" or error.code in _NOT_BY_THIS_ONE:
            self._open -= 1
        if not self._may_repeat(error):
            raise error
        self._refusal = error
        if leader not in (None, endpoint) and self._redirects < self.routing.options.redirects_max:
            self._redirects += 1
            return
        wait_ms = max(
            self.routing.backoff(self._refusals), float(error.extra.get("retry_after_ms") or 0)
        )
        self._refusals += 1
        self._pause_until_ms = now_ms + wait_ms

    def _may_repeat(self, error: RequestError) -> bool:
        """Tell whether a call that was refused so may be sent again, and may fare better."""
        if error.code in _RETRIED_CODES and error.applied == "no":
            return True
        if self.kind is Kind.READ:
            return error.code == "timeout"
        if self.kind is Kind.MUTATION or error.code in _NEVER_REPEATED:
            return False
        if error.applied != "no":
            return True
        return self.in_doubt and error.code not in _OWN_ANSWERS

    def _learn(self, now_ms: float, endpoint: str) -> None:
        # Of a call that has met trouble nobody knows which sending was answered.
        if self.kind is Kind.MUTATION or self.hold_ms:
            return
        if not self._trouble and not self._silences:
            self.routing.patience.learn(now_ms - self._sent_ms[endpoint])

    def _on_contact(self, endpoint: str, leader: str | None) -> None:
        self._trouble.pop(endpoint, None)
        self.routing.on_contact(endpoint, leader)

    def _on_trouble(self, endpoint: str, now_ms: float, *, rest_ms: float = 0) -> None:
        if self.pinned is not None:
            self._pause_until_ms = now_ms + self.routing.backoff(self._refusals)
            self._refusals += 1
        self.routing.on_trouble(endpoint, now_ms, rest_ms=rest_ms)

    def _has_its_answer(self, now_ms: float) -> bool:
        """Tell whether a definite no at hand is worth more than a last try.

        The answer to a mutation that is sent shortly before the deadline may come too late, and
        then nobody could say any more that nothing was done.
        """
        return (
            self.kind is not Kind.READ
            and not self.in_doubt
            and self._refusal is not None
            and self.deadline_ms - now_ms < self.routing.options.last_try_ms
        )

    def _out_of_time(self) -> RequestError:
        if self.in_doubt:
            return self._timeout(
                "no node gave its answer",
                f"; it may have been done ({self._told()}): read before you write again",
            )
        if self._silences:
            said = "" if self._refusal is None else f"; {self._refusal}"
            return self._timeout("no node answered", f" ({self._told()}{said})")
        if self._refusal is not None:
            return self._refusal
        return Unreachable(f"no node could be reached by the deadline ({self._told()})")

    def _told(self) -> str:
        tried = "; ".join(f"{endpoint}: {why}" for endpoint, why in sorted(self._trouble.items()))
        return tried or "none tried"

    def _timeout(self, what: str, advice: str = "") -> Timeout:
        strays = f"; {self._strays} frames were no reply of Raft Cache" if self._strays else ""
        return Timeout(f"{what} by the deadline{strays}{advice}")
