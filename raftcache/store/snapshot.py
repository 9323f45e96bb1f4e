"""A snapshot of the state machine, taken in slices while writes go on (§7).

Rules of this file:

- The state is that of the moment at which the run began. A record whose ``mod_rev`` is not above
  the ``store_rev`` of that moment is unchanged since, so it needs no copy; of the others the
  keyspace hands over the pre-image, once, when it is changed or removed for the first time. A
  record that only got another deadline keeps its ``mod_rev``, so these keys are kept in mind.
- Every step costs in proportion to the slice that it makes; none looks at all keys.
- Before the last slice it is proved that the records add up to the state's digest: a snapshot
  that could not be restored must not be what the log is cut off for.
"""

from collections.abc import Generator, Iterable, Iterator
from heapq import heappop, heappush
from typing import Final, TypeAlias
from zlib import crc32

from .history import change_size
from .keyspace import TELLING_VERSION, Keyspace
from .records import Change, Record, record_digest, state_digest, version_digest
from .session_slices import SessionWalk
from .slices import (
    ABSENT,
    BOUNDS,
    CONTENTS_VERSION,
    DEADLINE_BYTES,
    DIGEST_BYTES,
    SLICE_BYTES_MIN,
    TIES_BYTES,
    Clock,
    Digests,
    End,
    Header,
    Part,
    SessionRows,
    Slice,
    change_columns,
    encode_slice,
    record_columns,
)

SESSIONS_VERSION: Final = 3
"""The first version of contents that may hold sessions."""
_PASSED_OVER_MAX: Final = 4096
"""How many keys that are new since the beginning one slice may pass over: that costs time too."""

_Items: TypeAlias = Iterator[tuple[bytes, Record]]


class SnapshotRun:
    """One snapshot in the making: call :meth:`next_slice` until it returns None.

    ``last_applied``, ``store_rev`` and ``digest`` are those of the moment at which it began;
    ``over`` tells that the last slice was made, or the run aborted.
    """

    def __init__(self, keyspace: Keyspace, last_applied: int, digests: Iterable[int]) -> None:
        self.last_applied = last_applied
        self.store_rev = keyspace.store_rev
        self.digest = keyspace.digest()
        self.key_count = len(keyspace)
        self._clock = (keyspace.time_ms, keyspace.command_version)
        # A state in which nothing is newer is written so that the oldest release can read it.
        self.contents_version = 1 if self._clock == (0, 1) else max(2, keyspace.command_version)
        assert self.contents_version <= CONTENTS_VERSION, "each version of commands has its own"
        self._bounds = BOUNDS[self.contents_version]
        self.over = False
        self._oldest_rev = keyspace.oldest_rev
        self._keyspace = keyspace
        self._sessions = SessionWalk(keyspace.sessions)
        self._sessions_digest = keyspace.sessions.digest()
        self._changes = keyspace.history()
        self._digests = tuple(digests)
        # Disjoint from the unchanged records, so that the two together are the state. A key is
        # here once at most, so that no two of these pairs ever compare their records.
        self._pre_images: list[tuple[bytes, Record]] = []
        self._touched: set[bytes] = set()  # never walked over
        self._cursor: bytes | None = None  # all keys up to this one are dealt with; None: none yet
        self._walked = False
        self._room = 0
        self._number = 0
        self._checksum = 0
        self._aborted = False
        self._slices = self._make_slices()
        keyspace.watch(self)

    @property
    def pre_image_count(self) -> int:
        """The number of former records that are kept for this run alone."""
        return len(self._pre_images)

    def next_slice(self, bytes_max: int) -> bytes | None:
        """Return the next slice, of at most ``bytes_max`` bytes, or None behind the last one.

        Only a key of nearly ``bytes_max`` makes its slice larger.
        """
        assert bytes_max >= SLICE_BYTES_MIN, "a slice has room for something"
        assert not self._aborted, "an aborted run makes no more slices"
        self._room = bytes_max - self._bounds.slice_bytes
        made = next(self._slices, None)
        if made is None:
            return None
        self._number += 1
        data = encode_slice(made)
        self._checksum = crc32(data, self._checksum)
        return data

    def abort(self) -> None:
        """End the run early, or do nothing behind its end. The slices so far are worth nothing."""
        if not self.over:
            self._aborted = True
            self._slices.close()
            self._end()

    def _end(self) -> None:
        self.over = True
        self._keyspace.watch(None)
        self._sessions.end()
        self._pre_images = []
        self._touched = set()
        self._changes = iter(())
        self._digests = ()

    def on_change(self, key: bytes, before: Record) -> None:
        """Keep the pre-image of what is replaced or removed; only the keyspace calls this."""
        if self._is_needed(key, before):
            heappush(self._pre_images, (key, before))

    def on_touch(self, key: bytes, before: Record) -> None:
        """Keep the pre-image of what gets another deadline; only the keyspace calls this."""
        if self._is_needed(key, before):
            heappush(self._pre_images, (key, before))
            self._touched.add(key)

    def _is_needed(self, key: bytes, before: Record) -> bool:
        """Tell whether ``before`` was there at the beginning and is yet to be emitted."""
        return (
            before.mod_rev <= self.store_rev
            and (self._cursor is None or key > self._cursor)
            and key not in self._touched
        )

    def _make_slices(self) -> Generator[Slice, None, None]:
        yield Header(
            self.contents_version,
            self.last_applied,
            self.store_rev,
            self._oldest_rev,
            self.key_count,
            self.digest,
        )
        if self.contents_version > 1:
            yield Clock(self._number, *self._clock)
        yield from self._session_slices()
        yield from self._record_slices()
        yield from self._change_slices()
        digests = self._digests
        start = 0
        while start < len(digests):
            end = start + self._room // DIGEST_BYTES
            yield Digests(self._number, list(digests[start:end]))
            start = end
        self._end()
        yield End(self._number, self._checksum)

    def _session_slices(self) -> Iterator[Slice]:
        walk = self._sessions
        if not walk.last_id:
            return
        assert self.contents_version >= SESSIONS_VERSION, "older members could not read it"
        while not walk.is_over:
            while (part := walk.next_part(self._room)) is not None:
                yield Part(self._number, part)
            rows = walk.next_rows(self._room)
            yield SessionRows(self._number, walk.last_id, walk.floor_ms, rows)

    def _record_slices(self) -> Iterator[Slice]:
        time_ms, command_version = self._clock
        digest_sum, key_count = version_digest(command_version) + self._sessions_digest, 0
        while not self._walked:
            keys, records = self._fitting_records()
            digest_sum += sum(map(record_digest, keys, records))
            key_count += len(keys)
            if keys or not self._walked:
                ties = _ties_bytes(records[0]) if keys else 0
                start = yield from self._parts(keys, records, self._bounds.item_bytes + ties)
                made = record_columns(self._number, keys, records)
                if start:
                    made.values[0] = made.values[0][start:]
                yield made
        assert key_count == self.key_count, "every key of the moment is in the snapshot, once"
        assert state_digest(digest_sum, self.store_rev, time_ms) == self.digest, (
            "the records of the snapshot are those of the moment"
        )

    def _change_slices(self) -> Iterator[Slice]:
        dated = self.contents_version >= TELLING_VERSION
        item_bytes = self._bounds.change_bytes
        ahead = next(self._changes, None)
        while ahead is not None:
            room = self._room
            changes: list[Change] = []
            while ahead is not None:
                room -= item_bytes + change_size(ahead.key, ahead.before)
                if room < 0 and changes:
                    break
                changes.append(ahead)
                ahead = next(self._changes, None)
            records = [change.before or ABSENT for change in changes[:1]]
            start = yield from self._parts([changes[0].key], records, item_bytes)
            made = change_columns(self._number, changes, dated=dated)
            if start:
                made.values[0] = made.values[0][start:]
            yield made

    def _parts(
        self, keys: list[bytes], records: list[Record], item_bytes: int
    ) -> Generator[Slice, None, int]:
        """Make parts of a slice's first value, if it is too large; return where the rest begins.

        Any item takes up ``item_bytes`` besides its key and value.
        """
        start = 0
        if keys:
            value = records[0].value
            while self._room - item_bytes - len(keys[0]) < len(value) - start > 0:
                end = start + self._room
                yield Part(self._number, value[start:end])
                start = end
        return start

    def _fitting_records(self) -> tuple[list[bytes], list[Record]]:
        """Take of the moment's records what fits in the slice, and one in any case.

        An item is taken when the next one is asked for, so the walk below knows.
        """
        room, item_bytes = self._room, self._bounds.item_bytes
        keys: list[bytes] = []
        records: list[Record] = []
        for key, record in self._walk_records():
            room -= item_bytes + len(key) + len(record.value) + _ties_bytes(record)
            if room < 0 and keys:
                break
            keys.append(key)
            records.append(record)
        return keys, records

    def _walk_records(self) -> _Items:
        """Walk over the moment's records behind the cursor, in order."""
        store_rev, pre_images, touched = self.store_rev, self._pre_images, self._touched
        passed_over = 0
        for key, record in self._keyspace.behind(self._cursor):
            while pre_images and pre_images[0][0] <= key:
                yield pre_images[0]
                self._cursor, _ = heappop(pre_images)
            if record.mod_rev > store_rev:
                passed_over += 1
            elif key not in touched:  # else its pre-image was emitted just now, or long ago
                yield key, record
            self._cursor = key
            if passed_over >= _PASSED_OVER_MAX:
                return
        while pre_images:
            yield pre_images[0]
            self._cursor, _ = heappop(pre_images)
        self._walked = True


def _ties_bytes(record: Record) -> int:
    """Return the most that a record takes up for its deadline, its session and its sliding."""
    deadline_bytes = DEADLINE_BYTES if record.deadline_ms else 0
    return deadline_bytes + TIES_BYTES if record.ttl_ms or record.session else deadline_bytes
