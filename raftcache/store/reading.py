"""What is read from the state: one key, or a page of a range, now or as of an earlier moment.

Rules of this file:

- Nothing here changes the state. Limits shape answers and how far back a page may look.
- Every answer is paid for from a budget of bytes, so that a batch of a thousand large reads can
  neither stall a server nor fill its memory.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import msgspec

from .commands import Get, Range
from .feed import EventFeed
from .keyspace import Keyspace
from .records import Record, Span
from .results import Failure, GetResult, Item, RangeResult, SingleResult
from .view import View

ITEM_OVERHEAD_BYTES: Final = 64
"""What an item of an answer counts besides its key and value."""

_UNDO_BYTES: Final = 32  # what looking at one change of the past costs, in bytes of the budget

_MISSING: Final = GetResult()


class StoreLimits(msgspec.Struct, frozen=True):
    """How much a state machine answers at once and remembers. Larger costs memory and stalls."""

    page_bytes: int = 1024 * 1024
    """A range's page ends before it would exceed this (but holds at least one item)."""
    reply_bytes: int = 4 * 1024 * 1024
    """The most that one command or query answers, by the formula above."""
    history_changes: int = 10_000
    """How many changes back a page may look."""
    history_bytes: int = 8 * 1024 * 1024
    """The most bytes of keys and former values that are kept for that."""
    digests: int = 1024
    """How many applied entries back ``digest_at`` can look."""


@dataclass(slots=True)
class Uses:
    """What has become of keys at this server since its process began; no part of the state.

    What is read within the log is counted too, and what a server does again after a restart.
    """

    hits: int = 0
    """Keys that were read and found."""
    misses: int = 0
    expired: int = 0
    evicted: int = 0
    on_read: Callable[[bytes, Record], None] | None = None
    """Told of each key that is read, if it has a deadline; None: nobody is."""
    tells_all: bool = False
    """``on_read`` is told of keys without a deadline too."""


class Reader:
    """Answers queries from a keyspace; the state machine is one that also changes it."""

    def __init__(self, limits: StoreLimits) -> None:
        self._limits = limits
        self._keyspace = empty_keyspace(limits)
        self.uses = Uses()
        self._view: View = self._keyspace
        """What is read and changed: the keyspace, or within a transaction a draft of it."""
        self._budget = 0
        self._shown_ms = 0
        """The cluster time from which on what is left of a key's time is counted."""

    @property
    def feed(self) -> EventFeed:
        """What watches are told of: what happens to this state, and what has."""
        return EventFeed(self._keyspace)

    def how_many(self, *, timed: bool) -> int:
        """See :meth:`Keyspace.how_many`."""
        return self._keyspace.how_many(timed=timed)

    def nth(self, position: int, *, timed: bool) -> tuple[bytes, Record]:
        """See :meth:`Keyspace.nth`."""
        return self._keyspace.nth(position, timed=timed)

    def weigh(self, key: bytes, value_bytes: int, *, timed: bool) -> int:
        """See :meth:`Keyspace.weigh`."""
        return self._keyspace.weigh(key, value_bytes, timed=timed)

    def find(self, key: bytes) -> Record | None:
        """Return what is under ``key``, without counting it as read."""
        return self._keyspace.get(key)

    def _get(self, query: Get) -> SingleResult:
        record = self._view.get(query.key)
        uses = self.uses
        if record is None:
            uses.misses += 1
            return _MISSING
        uses.hits += 1
        if (record.deadline_ms or uses.tells_all) and uses.on_read is not None:
            uses.on_read(query.key, record)
        if not self._afford(record.value):
            return _too_large("this value")
        ttl_ms = max(0, record.deadline_ms - self._shown_ms) if record.deadline_ms else None
        return GetResult(
            True,
            record.value,
            record.mod_rev,
            record.create_rev,
            record.key_version,
            ttl_ms,
            record.session or None,
        )

    def _range(self, query: Range) -> SingleResult:
        keyspace = self._view
        if self._budget <= 0:
            return _too_large("this range")
        span = Span(query.start, query.end)
        at_rev = keyspace.store_rev if query.at_rev is None else query.at_rev
        if at_rev < keyspace.oldest_rev:
            return Failure(
                "compacted",
                f"revision {at_rev} is no longer kept, only {keyspace.oldest_rev} and later: "
                "begin again without `at_rev`",
                oldest=keyspace.oldest_rev,
            )
        if at_rev > keyspace.store_rev:
            return Failure(
                "bad_request",
                f"`at_rev` {at_rev} lies ahead of this node's store_rev {keyspace.store_rev}: "
                "ask a node that has it, or read linearizably",
            )
        self._budget -= ITEM_OVERHEAD_BYTES + _UNDO_BYTES * (keyspace.store_rev - at_rev)
        differs = keyspace.undo(span, at_rev)
        if query.count_only:
            return RangeResult([], keyspace.count(span, differs), False, at_rev)
        items, more = self._page(query, span, differs)
        return RangeResult(items, len(items), more, at_rev)

    def _page(
        self, query: Range, span: Span, differs: dict[bytes, Record | None]
    ) -> tuple[list[Item], bool]:
        room = min(self._limits.page_bytes, self._budget)
        items: list[Item] = []
        used = 0
        for key, record in self._view.scan(span, differs):
            value = None if query.keys_only else record.value
            size = ITEM_OVERHEAD_BYTES + len(key) + (0 if value is None else len(value))
            if items and (len(items) >= query.limit or used + size > room):
                self._budget -= used
                return items, True
            used += size
            items.append(Item(key, value, record.mod_rev, record.create_rev, record.key_version))
        self._budget -= used
        return items, False

    def _afford(self, value: bytes | None) -> bool:
        """Pay for a value in the answer; False: it does not fit any more."""
        cost = ITEM_OVERHEAD_BYTES + (0 if value is None else len(value))
        if cost > self._budget:
            return False
        self._budget -= cost
        return True


def empty_keyspace(limits: StoreLimits) -> Keyspace:
    """Return a keyspace with nothing in it, that remembers as much as ``limits`` say."""
    return Keyspace(history_changes=limits.history_changes, history_bytes=limits.history_bytes)


def _too_large(what: str) -> Failure:
    return Failure(
        "too_large", f"{what} does not fit in the answer any more: ask for it on its own"
    )
