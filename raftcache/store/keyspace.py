"""Keys in order, their revisions and deadlines, their digest, and a bounded past.

Rules of this file:

- Every change goes through :meth:`Keyspace.put` or :meth:`Keyspace.remove`, takes the next
  revision, and leaves its pre-image in the history, so that a page of an older moment can be
  read by undoing what came later. Only what a snapshot brings back comes in otherwise, by
  :meth:`Keyspace.load` and :meth:`Keyspace.recall`.
- A deadline is no part of a key's revision: :meth:`Keyspace.touch` takes none, and the past does
  not show deadlines.
- Sizes follow a formula over lengths: what ``sys.getsizeof`` says differs between builds of
  Python, and these numbers will decide about evictions that all servers must agree on.
- The digest is made of ``zlib.crc32`` and integers: ``hash`` differs between processes.
"""

from collections import deque
from collections.abc import Iterator
from heapq import merge
from itertools import islice
from struct import Struct as Packer
from typing import Final, Protocol
from zlib import crc32

import msgspec

from .buckets import Buckets
from .ordered import OrderedKeys

RECORD_OVERHEAD_BYTES: Final = 64
"""What a record weighs besides its key and value, by the formula of command version 1."""

NEVER: Final = 2**63
"""Later than any deadline."""

_MASK: Final = 2**64 - 1
_MIX: Final = 0x9E3779B97F4A7C15  # odd, bits well spread: 2**64 divided by the golden ratio
_MIX_TIME: Final = 0xBF58476D1CE4E5B9  # another of that kind, from splitmix64
_pack_revisions = Packer("<QQQ").pack


class Record(msgspec.Struct, frozen=True, gc=False):
    """What is stored under a key."""

    value: bytes
    mod_rev: int
    """The revision of the last change."""
    create_rev: int
    """The revision at which the key came into being."""
    key_version: int
    """1 when created, and 1 more with every change since."""
    digest: int
    """This record's share of the keyspace's digest; kept, as computing it reads the value."""
    deadline_ms: int = 0
    """The cluster time from which on the key may go; 0: it stays."""


class Change(msgspec.Struct, frozen=True, gc=False):
    """One entry of the history: ``before`` was under ``key`` until revision ``rev``."""

    rev: int
    key: bytes
    before: Record | None


class Span(msgspec.Struct, frozen=True, gc=False):
    """The keys from ``start`` up to, and without, ``end``; None: there is no end."""

    start: bytes
    end: bytes | None

    def __contains__(self, key: bytes) -> bool:
        """Tell whether ``key`` lies in the span."""
        return self.start <= key and (self.end is None or key < self.end)


class Watcher(Protocol):
    """Who is told of what goes: a snapshot that is being taken."""

    def on_change(self, key: bytes, before: Record) -> None:
        """Note that ``before`` is replaced or removed at the next revision."""

    def on_touch(self, key: bytes, before: Record) -> None:
        """Note that ``before`` gets another deadline, and keeps its revision."""


class Keyspace:
    """An ordered map from keys to records, with revisions.

    ``store_rev`` rises by 1 with each change. ``data_bytes`` is the weight of all records.
    ``oldest_rev`` is the oldest revision whose state can still be read. ``time_ms`` is the cluster
    time of the last entry that told it; ``command_version`` what the cluster was raised to.
    ``next_deadline_ms`` is the earliest deadline of any key, or :data:`NEVER`.
    """

    def __init__(self, *, history_changes: int, history_bytes: int) -> None:
        self.store_rev = 0
        self.data_bytes = 0
        self.oldest_rev = 0
        self.time_ms = 0
        self.command_version = 1
        self.next_deadline_ms = NEVER
        self._records: Buckets[Record] = Buckets()
        self._ordered = OrderedKeys()
        self._deadlines = OrderedKeys()
        """Pairs of deadline and key, of the keys that have one."""
        self._digest_sum = 0
        self._history: deque[Change] = deque()
        self._history_bytes = 0
        self._history_changes_max = history_changes
        self._history_bytes_max = history_bytes
        self._watcher: Watcher | None = None
        self.get = self._records.get

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._ordered)

    def digest(self) -> int:
        """Return 64 bits that are equal for equal states and, but for chance, only for these."""
        return state_digest(self._digest_sum, self.store_rev, self.time_ms)

    def raise_version(self, version: int) -> None:
        """Note that entries and snapshots up to ``version`` can be read by all members."""
        assert version >= self.command_version, "a cluster's version never falls"
        share = version_digest(version) - version_digest(self.command_version)
        self._digest_sum = (self._digest_sum + share) & _MASK
        self.command_version = version

    def put(self, key: bytes, value: bytes, before: Record | None, deadline_ms: int = 0) -> Record:
        """Store ``value`` under ``key``, where ``before`` is now, at the next revision."""
        rev = self.store_rev + 1
        if before is None:
            create_rev, key_version = rev, 1
            self._ordered.add(key)
            self.data_bytes += RECORD_OVERHEAD_BYTES + len(key) + len(value)
            digest_sum = self._digest_sum
        else:
            create_rev, key_version = before.create_rev, before.key_version + 1
            self.data_bytes += len(value) - len(before.value)
            digest_sum = self._digest_sum - before.digest
            if before.deadline_ms:
                self._move_deadline(key, before.deadline_ms, 0)
        digest = record_digest(key, value, rev, create_rev, key_version)
        if deadline_ms:
            digest = timed_digest(digest, deadline_ms)
            self._move_deadline(key, 0, deadline_ms)
        self._digest_sum = (digest_sum + digest) & _MASK
        record = Record(value, rev, create_rev, key_version, digest, deadline_ms)
        self._records[key] = record
        self._remember(rev, key, before)
        return record

    def remove(self, key: bytes, before: Record) -> None:
        """Take away ``key``, where ``before`` is now, at the next revision."""
        del self._records[key]
        self._ordered.remove(key)
        self.data_bytes -= RECORD_OVERHEAD_BYTES + len(key) + len(before.value)
        self._digest_sum = (self._digest_sum - before.digest) & _MASK
        if before.deadline_ms:
            self._move_deadline(key, before.deadline_ms, 0)
        self._remember(self.store_rev + 1, key, before)

    def touch(self, key: bytes, before: Record, deadline_ms: int) -> None:
        """Give ``key``, where ``before`` is now, another deadline (0: none); nothing else."""
        if self._watcher is not None:
            self._watcher.on_touch(key, before)
        self._move_deadline(key, before.deadline_ms, deadline_ms)
        record = timed_record(key, before, deadline_ms)
        self._digest_sum = (self._digest_sum - before.digest + record.digest) & _MASK
        self._records[key] = record

    def due(self, count_max: int) -> list[bytes]:
        """Return the keys whose deadline is not after ``time_ms``, the earliest first."""
        # A pair is less than (t,) exactly if its deadline is before t.
        found = self._deadlines.irange(None, (self.time_ms + 1,), (True, False))
        return [key for _, key in islice(found, count_max)]

    def _move_deadline(self, key: bytes, before_ms: int, deadline_ms: int) -> None:
        """Let a key have another deadline (0: none) than before (0: it had none)."""
        deadlines = self._deadlines
        if before_ms:
            deadlines.remove((before_ms, key))
        if deadline_ms:
            deadlines.add((deadline_ms, key))
        self.next_deadline_ms = deadlines[0][0] if len(deadlines) else NEVER

    def _remember(self, rev: int, key: bytes, before: Record | None) -> None:
        if self._watcher is not None and before is not None:
            self._watcher.on_change(key, before)
        self.store_rev = rev
        history = self._history
        history.append(Change(rev, key, before))
        self._history_bytes += len(key) + (0 if before is None else len(before.value))
        while (
            len(history) > self._history_changes_max
            or self._history_bytes > self._history_bytes_max
        ):
            gone = history.popleft()
            self._history_bytes -= len(gone.key)
            self._history_bytes -= 0 if gone.before is None else len(gone.before.value)
            self.oldest_rev = gone.rev

    def undo(self, span: Span, at_rev: int) -> dict[bytes, Record | None]:
        """Return what differs in ``span`` between the moment of ``at_rev`` and now.

        A key that was not there then is given with None.
        """
        assert self.oldest_rev <= at_rev <= self.store_rev, "the moment is within the history"
        differs: dict[bytes, Record | None] = {}
        for change in reversed(self._history):
            if change.rev <= at_rev:
                break
            if change.key in span:
                differs[change.key] = change.before  # the oldest change has the last word
        return differs

    def count(self, span: Span, differs: dict[bytes, Record | None]) -> int:
        """Return the number of keys in ``span``, with ``differs`` (see :meth:`undo`) undone."""
        if span.end is not None and span.end <= span.start:
            return 0
        ordered = self._ordered
        stop = len(ordered) if span.end is None else ordered.bisect_left(span.end)
        now: int = stop - ordered.bisect_left(span.start)
        for key, record in differs.items():
            now += (record is not None) - (key in self._records)
        return now

    def scan(
        self, span: Span, differs: dict[bytes, Record | None]
    ) -> Iterator[tuple[bytes, Record]]:
        """Walk over ``span`` in order, with ``differs`` (see :meth:`undo`) undone.

        Assumes that nothing changes during the walk.
        """
        if span.end is not None and span.end <= span.start:
            return
        records = self._records
        keys: Iterator[bytes] = self._ordered.irange(span.start, span.end, (True, False))
        if not differs:
            for key in keys:
                yield key, records[key]
            return
        gone_since = sorted(key for key in differs if key not in records)
        for key in merge(keys, gone_since):
            record = differs[key] if key in differs else records[key]
            if record is not None:
                yield key, record

    def behind(self, cursor: bytes | None) -> Iterator[tuple[bytes, Record]]:
        """Walk in order over what is now behind ``cursor``, or over everything (None).

        Assumes that nothing changes during the walk.
        """
        records = self._records
        for key in self._ordered.irange(cursor, None, (False, True)):
            yield key, records[key]

    def history(self) -> tuple[Change, ...]:
        """Return the changes since ``oldest_rev``, one for each revision, in order."""
        return tuple(self._history)

    def watch(self, watcher: Watcher | None) -> None:
        """Tell ``watcher`` what is replaced or removed from now on; None: nobody any more."""
        assert watcher is None or self._watcher is None, "one snapshot is taken at a time"
        self._watcher = watcher

    def load(self, keys: list[bytes], records: list[Record], *, timed: bool = False) -> None:
        """Put ``records`` behind all that is here, at no revision of their own.

        Assumes that the keys are in order, distinct, and greater than all that are here, and, if
        not ``timed``, that none of them has a deadline.
        """
        self._ordered.append_sorted(keys)
        self._records.update(zip(keys, records, strict=True))
        self._digest_sum = (self._digest_sum + sum([r.digest for r in records])) & _MASK
        self.data_bytes += RECORD_OVERHEAD_BYTES * len(keys)
        self.data_bytes += sum(map(len, keys)) + sum([len(r.value) for r in records])
        if timed:
            pairs = zip(keys, records, strict=True)
            self._deadlines.update([(r.deadline_ms, key) for key, r in pairs if r.deadline_ms])
            self.next_deadline_ms = self._deadlines[0][0] if len(self._deadlines) else NEVER

    def recall(self, key: bytes, before: Record | None) -> None:
        """Take note of the change of the next revision, whose effect is here already."""
        self._remember(self.store_rev + 1, key, before)

    def dismantle(self, keys_max: int) -> bool:
        """Drop about ``keys_max`` keys; True: nothing is left. Only for what nobody reads any more.

        To free a million records at once takes a tenth of a second.
        """
        history = self._history
        records_gone = self._records.dismantle(keys_max)
        for _ in range(min(keys_max, len(history))):
            history.popleft()
        self._ordered.shed(keys_max)
        self._deadlines.shed(keys_max)
        return records_gone and not (history or len(self._ordered) or len(self._deadlines))


def state_digest(digest_sum: int, store_rev: int, time_ms: int = 0) -> int:
    """Return the digest of a state; ``digest_sum``: of its records, and of its version.

    In a state of version 1, which has no time, it is what it was before there were others.
    """
    return (digest_sum + store_rev * _MIX + time_ms) & _MASK


def version_digest(command_version: int) -> int:
    """Return the bits that stand for the version to which a cluster was raised; 0: the first."""
    return command_version - 1 << 56


def timed_record(key: bytes, record: Record, deadline_ms: int) -> Record:
    """Return a record with another deadline (0: none)."""
    value, mod_rev, create_rev = record.value, record.mod_rev, record.create_rev
    digest = record_digest(key, value, mod_rev, create_rev, record.key_version)
    if deadline_ms:
        digest = timed_digest(digest, deadline_ms)
    return Record(value, mod_rev, create_rev, record.key_version, digest, deadline_ms)


def timed_digest(digest: int, deadline_ms: int) -> int:
    """Return the 64 bits that stand for a record with a deadline; ``digest`` is without it."""
    mixed = (digest ^ deadline_ms) * _MIX_TIME & _MASK
    return mixed ^ mixed >> 31


def record_digest(key: bytes, value: bytes, mod_rev: int, create_rev: int, key_version: int) -> int:
    """Return the 64 bits that stand for one record.

    Records are combined by addition, in which only what went through the multiplication and the
    shift can no longer cancel out: two records that swapped their revisions must be noticed.
    """
    high = crc32(_pack_revisions(mod_rev, create_rev, key_version), crc32(key))
    mixed = (high << 32 | crc32(value, high)) * _MIX & _MASK
    return mixed ^ mixed >> 29
