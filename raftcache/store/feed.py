"""Events of the past: made for watches from the changes that the keyspace remembers.

Rules of this file:

- The history keeps what was there *before* each change. What a change has put there is what the
  next change of the same key found, or, if there was none since, what is there now. So events are
  made from the newest change back, and only of changes that reach up to the present.
- A revision is told as a whole: an answer ends between two of them.
- Nothing here changes the state. What is made depends on the log alone, so that a watch may go on
  at any server: the bound of the history is a function of the log (``keyspace``).
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Final

from .events import Event, Watch, WatchResult
from .keyspace import Keyspace
from .records import Change, Record
from .results import Failure

EVENTS_BYTES_MAX: Final = 1024 * 1024
"""An answer ends before it would exceed this; a single revision that is larger goes alone."""

PREV_BYTES_MAX: Final = 4 * EVENTS_BYTES_MAX
"""Of a single revision that is even larger than this, the former values are left out."""

EVENT_OVERHEAD_BYTES: Final = 64
"""What an event counts besides its key and values."""

KINDS: Final = ("set", "set", "delete", "expire", "evict")
"""The names of a change's kinds, by number. Those that are not told are never shown: see
``Keyspace.raise_version``."""

_Told = tuple[Change, Record | None]
"""A change, and what it has put there."""


class EventFeed:
    """What has happened to one state machine: lately, and as far back as is remembered."""

    def __init__(self, keyspace: Keyspace) -> None:
        self._keyspace = keyspace

    @property
    def store_rev(self) -> int:
        """The revision of the state."""
        return self._keyspace.store_rev

    @property
    def oldest(self) -> int:
        """The oldest revision from which a watch may begin."""
        return self._keyspace.oldest_rev + 1

    def follow(self) -> None:
        """Keep every change from now on for :meth:`take_fresh`."""
        if self._keyspace.fresh is None:
            self._keyspace.fresh = []

    def unfollow(self) -> None:
        """Keep none any more, but for the history."""
        self._keyspace.fresh = None

    def take_fresh(self) -> list[Change]:
        """Return the changes since this was last called, in order; empty if nobody follows.

        These are all, however few of them the history may still have: who has followed so far
        misses nothing, be a single entry of the log as large as it may.
        """
        fresh = self._keyspace.fresh
        if not fresh:
            return []
        self._keyspace.fresh = []
        return fresh

    def past(self, from_rev: int) -> list[Change] | Failure:
        """Return all changes from ``from_rev`` on, or that they are no longer remembered."""
        oldest = self.oldest
        if from_rev < oldest:
            return Failure(
                "compacted",
                f"revision {from_rev} is no longer kept, only {oldest} and later: read what you "
                "watch, and go on from its `at_rev` plus 1",
                oldest=oldest,
            )
        return self._keyspace.changes_after(from_rev - 1)

    def tell(self, changes: Sequence[Change], watch: Watch) -> WatchResult:
        """Return what ``watch`` is told of ``changes``, as much of it as fits in one answer.

        Assumes that ``changes`` are in order and the last ones that there were, of all keys or
        at least of those that are watched.
        """
        told = self._told_of_prefix if watch.is_prefix else self._told_of_key
        found = told(changes, watch.key)
        found.reverse()
        return _cut(found, self.store_rev + 1, prev=watch.prev)

    def _told_of_key(self, changes: Sequence[Change], key: bytes) -> list[_Told]:
        after = self._keyspace.get(key)
        found: list[_Told] = []
        for change in reversed(changes):
            if change.key == key:
                found.append((change, after))
                after = change.before
        return found

    def _told_of_prefix(self, changes: Sequence[Change], prefix: bytes) -> list[_Told]:
        get = self._keyspace.get
        after_of: dict[bytes, Record | None] = {}
        found: list[_Told] = []
        for change in reversed(changes):
            key = change.key
            if key.startswith(prefix):
                found.append((change, after_of[key] if key in after_of else get(key)))
                after_of[key] = change.before
        return found


def _cut(found: Iterable[_Told], next_rev: int, *, prev: bool) -> WatchResult:
    """Make events of whole revisions until the answer is full."""
    events: list[Event] = []
    used = 0
    for rev, told in groupby(found, key=_revision):
        group = list(told)
        size = sum([_size(change, after, prev=prev) for change, after in group])
        with_prev = prev
        if prev and size > PREV_BYTES_MAX:
            with_prev = False
            size = sum([_size(change, after, prev=False) for change, after in group])
        if events and used + size > EVENTS_BYTES_MAX:
            return WatchResult(events, rev, prev, used)
        used += size
        events.extend(
            [
                _event(change, after, prev=with_prev, prev_omitted=prev and not with_prev)
                for change, after in group
            ]
        )
    return WatchResult(events, next_rev, prev, used)


def _revision(told: _Told) -> int:
    return told[0].rev


def _size(change: Change, after: Record | None, *, prev: bool) -> int:
    size = EVENT_OVERHEAD_BYTES + len(change.key)
    if after is not None:
        size += len(after.value)
    if prev and change.before is not None:
        size += len(change.before.value)
    return size


def _event(change: Change, after: Record | None, *, prev: bool, prev_omitted: bool) -> Event:
    before = change.before
    return Event(
        KINDS[change.kind],
        change.rev,
        change.key,
        None if after is None else after.value,
        before.value if prev and before is not None else None,
        prev_omitted and before is not None,
    )
