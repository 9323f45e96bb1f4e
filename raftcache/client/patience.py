"""How long a node may be silent before another is asked too: learnt from its answers (sans-I/O).

As TCP learns its retransmission timer (RFC 6298): the smoothed time of an answer, and four times
its mean deviation. Too short a wait asks a busy cluster twice; so the bounds and the doubling in
:mod:`.routing` stand above whatever is learnt.
"""

from dataclasses import dataclass

_SHARE_OF_NEW = 1 / 8
_SHARE_OF_NEW_DEVIATION = 1 / 4
_DEVIATIONS = 4


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
