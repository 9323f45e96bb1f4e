"""The bounded past: what was under a key before each of the last changes.

Rules of this file:

- Plain sets of one pass are kept as one :class:`Series`, where a :class:`Change` for each would be
  as many objects to make, to find again and to free. Who reads is given changes all the same.
- What is forgotten depends on nothing but the changes and the two bounds, however they are kept;
  and it goes by whole revisions.
- A series is never changed: a snapshot may read for long what it has taken hold of.
"""

from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterator
from itertools import chain
from typing import TypeAlias

import msgspec

from .records import SET, Change, Record, Span


class Series(msgspec.Struct, frozen=True, gc=False):
    """Plain sets that followed each other, at least one, each of them at a revision of its own."""

    first_rev: int
    keys: tuple[bytes, ...]
    befores: tuple[Record | None, ...]
    """What was under each of the keys until then."""
    ends: "array[int]"
    """The sizes of the changes (:func:`change_size`), added up to each of them."""

    @property
    def last_rev(self) -> int:
        """The revision of the last of them."""
        return self.first_rev + len(self.keys) - 1

    def changes(self, start: int = 0) -> list[Change]:
        """Return the changes that they are, from a position on."""
        rev = self.first_rev + start
        pairs = zip(self.keys[start:], self.befores[start:], strict=True)
        return [Change(rev, key, before, SET) for rev, (key, before) in enumerate(pairs, rev)]


_Step: TypeAlias = Change | Series


class History:
    """The last changes, in order, as many as stay within the bounds.

    A series of which some are forgotten stays in memory until all of them are.
    """

    def __init__(self, changes_max: int, bytes_max: int) -> None:
        self._changes_max = changes_max
        self._bytes_max = bytes_max
        self._steps: deque[_Step] = deque()
        self._count = 0
        self.size_bytes = 0
        """The sizes of all changes."""
        self._gone = 0
        """How many are forgotten of the series that is the first step; 0 if it is none."""
        self._gone_bytes = 0
        """The sizes of these."""

    def append(self, change: Change) -> None:
        """Note a change."""
        self._steps.append(change)
        self._count += 1
        before = change.before
        self.size_bytes += len(change.key) + (0 if before is None else len(before.value))

    def append_series(self, series: Series) -> None:
        """Note many changes at once."""
        self._steps.append(series)
        self._count += len(series.keys)
        self.size_bytes += series.ends[-1]

    def forget(self, oldest: int) -> int:
        """Drop the past up to this revision, and more if it is too long.

        Returns: the revision up to which all is forgotten now, ``oldest`` at the least.
        """
        steps = self._steps
        while steps:
            step = steps[0]
            if isinstance(step, Series):
                gone = self._superfluous(step, oldest)
                if gone == self._gone:
                    break
                oldest = max(oldest, step.first_rev + gone - 1)
                self._forget_of(step, gone)
            elif (
                self._count > self._changes_max
                or self.size_bytes > self._bytes_max
                or step.rev <= oldest
            ):
                steps.popleft()
                self._count -= 1
                before = step.before
                self.size_bytes -= len(step.key) + (0 if before is None else len(before.value))
                oldest = max(oldest, step.rev)
            else:
                break
        return oldest

    def _superfluous(self, series: Series, oldest: int) -> int:
        """Return how many of the series, which is the first step, are to be forgotten in all."""
        too_many = self._count - self._changes_max
        gone = max(self._gone, self._gone + too_many, oldest + 1 - series.first_rev)
        too_large = self.size_bytes - self._bytes_max
        if too_large > 0:
            gone = max(gone, bisect_left(series.ends, self._gone_bytes + too_large) + 1)
        return min(gone, len(series.keys))

    def _forget_of(self, series: Series, gone: int) -> None:
        """Let so many be forgotten in all of the series, which is the first step."""
        gone_bytes = series.ends[gone - 1]
        self._count -= gone - self._gone
        self.size_bytes -= gone_bytes - self._gone_bytes
        if gone == len(series.keys):
            self._steps.popleft()
            gone = gone_bytes = 0
        self._gone, self._gone_bytes = gone, gone_bytes

    def changes(self) -> Iterator[Change]:
        """Return what walks over the changes of this moment, in order, whatever happens since."""
        steps = tuple(self._steps)
        if not self._gone:
            return chain.from_iterable(map(_changes_of, steps))
        first = steps[0]
        assert isinstance(first, Series), "only of a series some are forgotten"
        rest = map(_changes_of, steps[1:])
        return chain(first.changes(self._gone), chain.from_iterable(rest))

    def changes_after(self, rev: int) -> list[Change]:
        """Return the changes of later revisions than ``rev``, in order; it costs what it returns.

        Assumes that none of them is forgotten.
        """
        found: list[list[Change]] = []
        for step in reversed(self._steps):
            if isinstance(step, Series):
                if step.last_rev <= rev:
                    break
                found.append(step.changes(max(0, rev + 1 - step.first_rev)))
            elif step.rev <= rev:
                break
            else:
                found.append([step])
        return [*chain.from_iterable(reversed(found))]

    def undo(self, span: Span, at_rev: int) -> dict[bytes, Record | None]:
        """Return what was under those keys of ``span`` that have changed since ``at_rev``.

        Assumes that none of the changes since is forgotten.
        """
        differs: dict[bytes, Record | None] = {}  # the oldest change has the last word
        for step in reversed(self._steps):
            if isinstance(step, Series):
                if step.last_rev <= at_rev:
                    break
                start = max(0, at_rev + 1 - step.first_rev)
                changed = zip(step.keys[start:], step.befores[start:], strict=True)
                differs.update([pair for pair in reversed([*changed]) if pair[0] in span])
            elif step.rev <= at_rev:
                break
            elif step.key in span:
                differs[step.key] = step.before
        return differs

    def dismantle(self, changes_max: int) -> bool:
        """Drop about so many changes; True: nothing is left. Nothing else is asked any more."""
        while self._steps and changes_max > 0:
            step = self._steps.popleft()
            changes_max -= len(step.keys) if isinstance(step, Series) else 1
        return not self._steps


def change_size(key: bytes, before: Record | None) -> int:
    """Return what a change counts of the bytes that the past may have."""
    return len(key) + (0 if before is None else len(before.value))


def _changes_of(step: _Step) -> list[Change]:
    return step.changes() if isinstance(step, Series) else [step]
