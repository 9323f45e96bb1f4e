"""Keys in order, their revisions and deadlines, their digest, and a bounded past.

Rules of this file:

- Every change goes through :meth:`Keyspace.put` or :meth:`Keyspace.remove`, takes the next
  revision, and leaves its pre-image in the history, so that a page of an older moment can be
  read by undoing what came later. Only what a snapshot brings back comes in otherwise, by
  :meth:`Keyspace.load` and :meth:`Keyspace.recall`.
- A deadline is no part of a key's revision: :meth:`Keyspace.touch` takes none, and the past does
  not show deadlines.
- Changes between :meth:`Keyspace.open_revision` and :meth:`Keyspace.close_revision` share one
  revision. The past is forgotten by whole revisions, so that no page and no watch splits one.
"""

from collections.abc import Iterator
from heapq import merge
from itertools import islice
from typing import Final

from .buckets import Buckets
from .history import History
from .listeners import Bindings, Watcher
from .ordered import OrderedKeys
from .plain_sets import PlainSets
from .records import (
    DELETE,
    MASK,
    NEVER,
    SET,
    UNTOLD,
    Change,
    Record,
    Span,
    lived_record,
    made_record,
    record_digest,
    state_digest,
    version_digest,
    weights_of,
)
from .sessions import Sessions

TELLING_VERSION: Final = 3
"""The first version of commands whose history tells the kind of each change."""


class Keyspace(PlainSets):
    """An ordered map from keys to records, with revisions.

    ``store_rev`` rises by 1 with each change, but for those that share one. ``oldest_rev`` is the
    oldest revision whose state can still be read. ``time_ms`` is the cluster time of the last entry
    that told it; ``command_version`` what the cluster was raised to.
    ``next_deadline_ms`` is the earliest deadline of any key, or :data:`NEVER`.
    """

    def __init__(self, *, history_changes: int, history_bytes: int) -> None:
        self.store_rev = 0
        self.oldest_rev = 0
        self.time_ms = 0
        self.command_version = 1
        self.next_deadline_ms = NEVER
        self._records: Buckets[Record] = Buckets()
        self._ordered = OrderedKeys()
        self._deadlines = OrderedKeys()
        """Pairs of deadline and key, of the keys that have one."""
        self._payload_bytes = 0
        """The lengths of all keys and values."""
        self._weights = weights_of(1)
        self._digest_sum = 0
        self._history = History(history_changes, history_bytes)
        self._open_rev = 0
        """The revision that the changes share which are made now; 0: each takes its own."""
        self._watcher: Watcher | None = None
        self.fresh: list[Change] | None = None
        """Where every change is put from now on, for those who watch; None: nobody does."""
        self.sessions = Sessions()
        self.bindings: Bindings | None = self.sessions
        """Who is told of keys that are bound; None: nobody needs to know."""
        self.get = self._records.get

    def __len__(self) -> int:
        """Return the number of keys."""
        return len(self._ordered)

    @property
    def data_bytes(self) -> int:
        """The weight of all records, by the formula of the cluster's version."""
        weights = self._weights
        records = weights.record_bytes * len(self._ordered)
        deadlines = weights.deadline_bytes * len(self._deadlines)
        return self._payload_bytes + records + deadlines + self.sessions.keys_weight

    def weigh(self, key: bytes, value_bytes: int, *, timed: bool) -> int:
        """Return what a record weighs whose value has so many bytes; ``timed``: with a deadline."""
        weights = self._weights
        deadline_bytes = weights.deadline_bytes if timed else 0
        return weights.record_bytes + len(key) + value_bytes + deadline_bytes

    def nth(self, position: int, *, timed: bool) -> tuple[bytes, Record]:
        """Return a key by its position among all, or, if ``timed``, among those with a deadline."""
        key: bytes = self._deadlines[position][1] if timed else self._ordered[position]
        return key, self._records[key]

    def how_many(self, *, timed: bool) -> int:
        """Return how many keys there are, or, if ``timed``, how many of them have a deadline."""
        return len(self._deadlines) if timed else len(self._ordered)

    def digest(self) -> int:
        """Return 64 bits that are equal for equal states and, but for chance, only for these."""
        digest_sum = self._digest_sum + self.sessions.digest()
        return state_digest(digest_sum, self.store_rev, self.time_ms)

    def raise_version(self, version: int) -> None:
        """Note that entries and snapshots up to ``version`` can be read by all members.

        The past before version 3 does not tell what kind of change each was. A server that was
        sent it in a snapshot would know less than the others, so with that version all forget it.
        """
        assert version >= self.command_version, "a cluster's version never falls"
        if self.command_version < TELLING_VERSION <= version:
            self.forget(self.store_rev)
        share = version_digest(version) - version_digest(self.command_version)
        self._digest_sum = (self._digest_sum + share) & MASK
        self.command_version = version
        self._weights = weights_of(version)

    def open_revision(self) -> None:
        """Let all changes up to :meth:`close_revision` share the next revision.

        Assumes that none of them changes a key twice.
        """
        assert not self._open_rev, "one revision is open at a time"
        self._open_rev = self.store_rev + 1

    def close_revision(self) -> None:
        """Let changes take revisions of their own again."""
        self._open_rev = 0
        self.forget()

    def put(
        self,
        key: bytes,
        value: bytes,
        before: Record | None,
        deadline_ms: int = 0,
        *,
        ttl_ms: int = 0,
        session: int = 0,
    ) -> Record:
        """Store ``value`` under ``key``, where ``before`` is now, at the next revision.

        The last three are those of :class:`Record`.
        """
        rev = self._open_rev or self.store_rev + 1
        if before is None:
            create_rev, key_version = rev, 1
        else:
            create_rev, key_version = before.create_rev, before.key_version + 1
        if deadline_ms or ttl_ms or session:
            revisions = rev, create_rev, key_version
            record = made_record(value, revisions, deadline_ms, ttl_ms, session)
        else:
            record = Record(value, rev, create_rev, key_version)
        self.place(key, record, before)
        return record

    def place(self, key: bytes, record: Record, before: Record | None) -> None:
        """Store a record that is made, of the next revision, under ``key``, where ``before`` is."""
        if before is None:
            self._ordered.add(key)
            self._payload_bytes += len(key) + len(record.value)
            digest_sum = self._digest_sum
        else:
            self._payload_bytes += len(record.value) - len(before.value)
            digest_sum = self._digest_sum - record_digest(key, before)
            self._untie(key, before)
        if record.deadline_ms:
            self._move_deadline(key, 0, record.deadline_ms)
        if record.session and self.bindings is not None:
            self.bindings.bind(record.session, key)
        self._digest_sum = (digest_sum + record_digest(key, record)) & MASK
        self._records[key] = record
        self._remember(record.mod_rev, key, before, SET)

    def remove(self, key: bytes, before: Record, kind: int = DELETE) -> None:
        """Take away ``key``, where ``before`` is now, at the next revision."""
        del self._records[key]
        self._ordered.remove(key)
        self._payload_bytes -= len(key) + len(before.value)
        self._digest_sum = (self._digest_sum - record_digest(key, before)) & MASK
        self._untie(key, before)
        self._remember(self._open_rev or self.store_rev + 1, key, before, kind)

    def remove_all(self, items: list[tuple[bytes, Record]]) -> None:
        """Take away ``items``, which are keys and what is under them, at the next revision."""
        self.open_revision()
        for key, before in items:
            self.remove(key, before)
        self.close_revision()

    def pass_over(self, key: bytes, kind: int) -> None:
        """Note a change, of the next revision, that has come and gone: ``key`` is not there."""
        self._remember(self._open_rev or self.store_rev + 1, key, None, kind)

    def touch(self, key: bytes, before: Record, deadline_ms: int, ttl_ms: int = 0) -> None:
        """Give ``key``, where ``before`` is now, another deadline (0: none); nothing else.

        ``ttl_ms`` is how far reads move it from now on; 0: they do not.
        """
        if self._watcher is not None:
            self._watcher.on_touch(key, before)
        self._move_deadline(key, before.deadline_ms, deadline_ms)
        record = lived_record(before, deadline_ms, ttl_ms, before.session)
        change = record_digest(key, record) - record_digest(key, before)
        self._digest_sum = (self._digest_sum + change) & MASK
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

    def _untie(self, key: bytes, before: Record) -> None:
        if before.deadline_ms:
            self._move_deadline(key, before.deadline_ms, 0)
        if before.session and self.bindings is not None:
            self.bindings.unbind(before.session, key)

    def _remember(self, rev: int, key: bytes, before: Record | None, kind: int) -> None:
        if self._watcher is not None and before is not None:
            self._watcher.on_change(key, before)
        self.store_rev = rev
        change = Change(rev, key, before, kind)
        self._history.append(change)
        if self.fresh is not None:
            self.fresh.append(change)
        if not self._open_rev:
            self.oldest_rev = self._history.forget(self.oldest_rev)

    def forget(self, up_to: int = 0) -> None:
        """Drop the past up to this revision, and more, by whole revisions, if it is too long."""
        self.oldest_rev = self._history.forget(max(self.oldest_rev, up_to))

    def undo(self, span: Span, at_rev: int) -> dict[bytes, Record | None]:
        """Return what differs in ``span`` between the moment of ``at_rev`` and now.

        A key that was not there then is given with None.
        """
        assert self.oldest_rev <= at_rev <= self.store_rev, "the moment is within the history"
        return self._history.undo(span, at_rev)

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

    def history(self) -> Iterator[Change]:
        """Return what walks over the changes since ``oldest_rev`` as of now, in order."""
        return self._history.changes()

    def changes_after(self, rev: int) -> list[Change]:
        """Return the changes of later revisions than ``rev``, in order; it costs what it returns.

        Assumes that ``rev`` is not before ``oldest_rev``.
        """
        return self._history.changes_after(rev)

    def watch(self, watcher: Watcher | None) -> None:
        """Tell ``watcher`` what is replaced or removed from now on; None: nobody any more."""
        assert watcher is None or self._watcher is None, "one snapshot is taken at a time"
        self._watcher = watcher

    def load(self, keys: list[bytes], records: list[Record], *, timed: bool = False) -> None:
        """Put ``records`` behind all that is here, at no revision of their own.

        Assumes that the keys are in order, distinct, and greater than all that are here, and, if
        not ``timed``, that none of them has a deadline or is bound.
        """
        self._ordered.append_sorted(keys)
        self._records.update(zip(keys, records, strict=True))
        self._digest_sum = (self._digest_sum + sum(map(record_digest, keys, records))) & MASK
        self._payload_bytes += sum(map(len, keys)) + sum([len(r.value) for r in records])
        if timed:
            pairs = list(zip(keys, records, strict=True))
            self._deadlines.update([(r.deadline_ms, key) for key, r in pairs if r.deadline_ms])
            self.next_deadline_ms = self._deadlines[0][0] if len(self._deadlines) else NEVER
            for key, record in pairs:
                if record.session and self.bindings is not None:
                    self.bindings.bind(record.session, key)

    def recall(
        self, key: bytes, before: Record | None, rev: int | None = None, kind: int = UNTOLD
    ) -> None:
        """Take note of a change whose effect is here already; ``rev`` None: of the next revision.

        Afterwards, or after several of one revision, :meth:`close_revision` is called.
        """
        self._open_rev = self.store_rev + 1 if rev is None else rev
        if self._open_rev != self.store_rev:
            self.forget()
        self._remember(self._open_rev, key, before, kind)

    def dismantle(self, keys_max: int) -> bool:
        """Drop about ``keys_max`` keys; True: nothing is left. Only for what nobody reads any more.

        To free a million records at once takes a tenth of a second.
        """
        records_gone = self._records.dismantle(keys_max)
        # A session may hold hundreds of answers.
        sessions_gone = self.sessions.dismantle(1 + keys_max // 100)
        history_gone = self._history.dismantle(keys_max)
        self._ordered.shed(keys_max)
        self._deadlines.shed(keys_max)
        return (
            records_gone
            and sessions_gone
            and history_gone
            and not (len(self._ordered) or len(self._deadlines))
        )
