"""What was written, what is there, and the judgement: pure functions over recorded writes.

Each key has one writer, which writes it again and again, a new value each time, and waits for each
answer. So a key's last value and its number of changes tell what became of all its writes, those
that were overwritten too. An unknown write may take effect at any later time, or never; a key is
not written again after one, or that write could stand in for one that was lost.
"""

import enum
import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec


class Outcome(enum.Enum):
    """What a writer was told."""

    ACKNOWLEDGED = "acknowledged"
    UNKNOWN = "unknown"
    REFUSED = "refused"
    """Certainly without effect."""


class Write(msgspec.Struct, frozen=True):
    """One write, as its writer recorded it. Times are CLOCK_MONOTONIC, in milliseconds."""

    key: bytes
    value: bytes
    sent_ms: float
    done_ms: float
    outcome: Outcome


class Found(msgspec.Struct, frozen=True):
    """What a key held at the end."""

    value: bytes
    key_version: int


class Verdict(msgspec.Struct, frozen=True):
    """The account. All but ``lost``, ``twice`` and ``wrong`` may be anything; those must be 0."""

    acknowledged: int = 0
    lost: int = 0
    """Acknowledged, and not in the store's past or present."""
    unknown: int = 0
    unknown_applied: int = 0
    """Of the unknown: those that took effect."""
    refused: int = 0
    twice: int = 0
    """Changes beyond all writes that can have happened: something was done twice."""
    wrong: int = 0
    """Keys with a value that was refused, or that nobody wrote."""

    @property
    def is_good(self) -> bool:
        """Whether every promise was kept."""
        return self.lost == 0 and self.twice == 0 and self.wrong == 0

    def plus(self, other: "Verdict") -> "Verdict":
        """Return the sum of two accounts."""
        return Verdict(*(getattr(self, name) + getattr(other, name) for name in _COUNTS))


_COUNTS = Verdict.__struct_fields__


def judge(writes: Iterable[Write], found: Mapping[bytes, Found]) -> Verdict:
    """Judge all writes, each key's in the order they were sent, against what is there."""
    by_key: defaultdict[bytes, list[Write]] = defaultdict(list)
    for write in writes:
        by_key[write.key].append(write)
    verdict = Verdict(wrong=len(found.keys() - by_key.keys()))
    for key, history in by_key.items():
        verdict = verdict.plus(_judge_key(history, found.get(key)))
    return verdict


def unavailable_ms(writes: Iterable[Write], killed_ms: float, until_ms: float) -> float | None:
    """Return the longest wait between acknowledged writes that the kill can have caused.

    A wait counts when it ends after the kill and begins before ``until_ms`` (when the next thing
    was done to the cluster). None: nothing was acknowledged any more.
    """
    times = sorted(write.done_ms for write in writes if write.outcome is Outcome.ACKNOWLEDGED)
    if not times or times[-1] <= killed_ms:
        return None
    if times[0] > killed_ms:
        times.insert(0, killed_ms)
    gaps = [
        after - before
        for before, after in itertools.pairwise(times)
        if after > killed_ms and before < until_ms
    ]
    return max(gaps)


def percentile_ms(writes: Sequence[Write], part: float) -> float:
    """Return a percentile of the acknowledged writes' latencies; 0 when there are none."""
    taken = sorted(
        write.done_ms - write.sent_ms for write in writes if write.outcome is Outcome.ACKNOWLEDGED
    )
    return taken[min(int(len(taken) * part), len(taken) - 1)] if taken else 0.0


def _judge_key(history: Sequence[Write], found: Found | None) -> Verdict:
    values: dict[Outcome, list[bytes]] = {outcome: [] for outcome in Outcome}
    for write in history:
        values[write.outcome].append(write.value)
    acknowledged, unknown = values[Outcome.ACKNOWLEDGED], values[Outcome.UNKNOWN]
    changes = 0 if found is None else found.key_version
    # A value of an unknown write is there by that write: the change is none of the acknowledged.
    by_unknown = 1 if found is not None and found.value in unknown else 0
    lost = max(0, len(acknowledged) - (changes - by_unknown))
    wrong = False
    if found is not None:
        if found.value in acknowledged:
            # The writes after this one were answered, and yet it is the last.
            lost = max(lost, len(acknowledged) - 1 - acknowledged.index(found.value))
        elif found.value not in unknown:
            wrong = True
            lost = max(lost, min(1, len(acknowledged)))
    return Verdict(
        acknowledged=len(acknowledged),
        lost=lost,
        unknown=len(unknown),
        unknown_applied=min(len(unknown), max(by_unknown, changes - len(acknowledged))),
        refused=len(values[Outcome.REFUSED]),
        twice=max(0, changes - len(acknowledged) - len(unknown)),
        wrong=int(wrong),
    )
