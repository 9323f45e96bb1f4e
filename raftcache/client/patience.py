"""The times of routing, and how long a node may be silent before another is asked too (sans-I/O).

That is learnt from answers, as TCP learns its retransmission timer (RFC 6298): the smoothed time of
an answer, and four times its mean deviation. Too short a wait asks a busy cluster twice; so the
bounds and the doubling in :mod:`.routing` stand above whatever is learnt.
"""

from dataclasses import dataclass

import msgspec

_SHARE_OF_NEW = 1 / 8
_SHARE_OF_NEW_DEVIATION = 1 / 4
_DEVIATIONS = 4


class Options(msgspec.Struct, frozen=True):
    """The times of routing, in milliseconds."""

    connect_ms: float = 250
    """To reach one node before another is tried. Too small: a busy node looks dead."""
    silence_ms: float = 100
    """For a first answer to what may be asked twice, before the times of answers are known, and
    doubled at each silence: what a paused node costs. Too small: slow nodes are asked in vain, and
    get more to do. Too large: a client waits for one that is gone when others could answer."""
    silence_ms_min: float = 75
    silence_ms_max: float = 2_000
    rest_ms: float = 250
    """So long a node that was silent is asked only if there is no other."""
    search_ms: float = 1_000
    """How long a node that is not known to lead is to hold a mutation, and any node what may be
    asked twice. A node without a leader holds requests; cut off from the majority it would hold
    them until the deadline."""
    backoff_ms: float = 4
    """Before a refused request is sent again, doubled each time, with jitter."""
    backoff_ms_max: float = 100
    stranger_ms: float = 10_000
    """For a hinted leader that can't be reached from here and is none of the endpoints (behind
    an address translation, say): so long the known nodes have to hand requests on."""
    last_try_ms: float = 200
    """A mutation that was refused for the moment is not sent again with less time left than this.
    Too small: refusals turn into unknown outcomes. Too large: calls end that much early."""
    redirects_max: int = 3
    """Hints to another leader that are followed without a pause: two nodes may point at each
    other for a moment."""


@dataclass(slots=True)
class Patience:
    """What is known of the times of answers, in milliseconds."""

    initial_ms: float
    """Before anything was learnt."""
    least_ms: float
    most_ms: float
    _mean_ms: float = -1
    """Below 0: nothing was learnt yet."""
    _deviation_ms: float = 0

    @property
    def silence_ms(self) -> float:
        """The silence after which another node is worth asking."""
        if self._mean_ms < 0:
            return self.initial_ms
        learnt = self._mean_ms + _DEVIATIONS * self._deviation_ms
        return min(max(learnt, self.least_ms), self.most_ms)

    def learn(self, answered_in_ms: float) -> None:
        """Take note of how long an answer took."""
        if self._mean_ms < 0:
            self._mean_ms, self._deviation_ms = answered_in_ms, answered_in_ms / 2
            return
        off = abs(answered_in_ms - self._mean_ms)
        self._deviation_ms += _SHARE_OF_NEW_DEVIATION * (off - self._deviation_ms)
        self._mean_ms += _SHARE_OF_NEW * (answered_in_ms - self._mean_ms)
