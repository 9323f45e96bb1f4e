"""The state machine, restored from the slices of a snapshot (§7).

Rules of this file:

- Slices come from a disk or another server: nothing in them is believed. What can't be part of
  a state is refused at once, and in the end the records must add up to the state's digest and
  all bytes to their checksum. Nobody sees the state before that.
- Every slice costs in proportion to its length, and the end costs no more.
"""

from collections.abc import Callable
from operator import le, lt
from typing import Any, Final, NoReturn
from zlib import crc32

import msgspec

from .commands import COMMAND_VERSION
from .keyspace import TELLING_VERSION, Keyspace
from .machine import StateMachine
from .reading import StoreLimits, empty_keyspace
from .records import UNTOLD, Record, lived_record
from .session_slices import SessionLoader
from .slices import (
    AnyChanges,
    AnyRecords,
    Changes,
    Clock,
    CorruptSnapshot,
    DatedChanges,
    Digests,
    End,
    Header,
    Part,
    Records,
    SessionRows,
    Slice,
    TiedRecords,
    TimedRecords,
    UnknownContents,
    decode_slice,
)

_ORDER: Final[dict[type, int]] = {
    Header: 0,
    Clock: 1,
    SessionRows: 2,
    Records: 3,
    TimedRecords: 3,
    TiedRecords: 3,
    Changes: 4,
    DatedChanges: 4,
    Digests: 5,
    End: 6,
}
_SINCE: Final[dict[type, int]] = {
    Clock: 2,
    TimedRecords: 2,
    SessionRows: 3,
    TiedRecords: 3,
    DatedChanges: 3,
}
"""The version of contents in which each kind of slice came."""


class Restorer:
    """Builds a state machine: feed it every slice, in order, then call :meth:`finish`.

    ``header`` is what the first slice told; None: it was not fed yet. After an error a restorer
    is of no more use; :meth:`dismantle` frees what it holds.
    """

    def __init__(self, limits: StoreLimits | None = None) -> None:
        self.header: Header | None = None
        self._limits = limits or StoreLimits()
        self._keyspace: Keyspace = empty_keyspace(self._limits)
        self._sessions = SessionLoader(self._keyspace.sessions)
        self._number = 0
        self._stage = 0
        self._checksum = 0
        self._last_key: bytes | None = None
        self._parts: list[bytes] = []
        self._digests: list[int] = []
        self._failed = False
        self._ended = False
        self._handlers: dict[type, Callable[[Any, Header], None]] = {
            Clock: self._on_clock,
            SessionRows: self._on_sessions,
            Part: self._on_part,
            Records: self._on_records,
            TimedRecords: self._on_records,
            TiedRecords: self._on_records,
            Changes: self._on_changes,
            DatedChanges: self._on_changes,
            Digests: self._on_digests,
            End: self._on_end,
        }

    def feed(self, data: bytes) -> None:
        """Take the next slice.

        Raises:
            CorruptSnapshot: it is not the next slice of a whole snapshot.
            UnknownContents: the snapshot is of a version that this program does not know.
        """
        assert not self._failed, "a restorer that met an error takes no more slices"
        self._failed = True
        if self._ended:
            self._refuse("bytes follow behind the last slice")
        made = decode_slice(data, self._number)
        stage = _ORDER.get(type(made), self._stage)
        if stage < self._stage:
            self._refuse(f"{type(made).__name__} do not follow where they are found")
        self._stage = stage
        if isinstance(made, Header):
            self._on_header(made)
        else:
            assert self.header is not None, "the first slice that is decoded is the header"
            self._check_version(made, self.header)
            self._handlers[type(made)](made, self.header)
        self._checksum = crc32(data, self._checksum)
        self._number += 1
        self._failed = False

    def finish(self) -> StateMachine:
        """Return the state machine, equal to what the snapshot was taken of.

        Raises:
            CorruptSnapshot: slices are missing at the end.
        """
        assert not self._failed, "a restorer that met an error has nothing to give"
        if self.header is None or not self._ended:
            self._refuse("the snapshot ends here, without its last slice")
        self._failed = True  # what it built is no longer its own
        return StateMachine.resume(
            self._limits, self._keyspace, self.header.last_applied, self._digests
        )

    def dismantle(self, keys_max: int) -> bool:
        """Free about ``keys_max`` keys of what will not be finished; True: all are gone."""
        assert not self._ended, "what was finished is dismantled as the machine it became"
        self._failed = True
        return self._keyspace.dismantle(keys_max)

    def _on_header(self, header: Header) -> None:
        if not header.oldest_rev <= header.store_rev:
            self._refuse(f"oldest_rev {header.oldest_rev} is above store_rev {header.store_rev}")
        self.header = header
        # The history is replayed from here; the records are put in without taking revisions.
        self._keyspace.store_rev = self._keyspace.oldest_rev = header.oldest_rev

    def _check_version(self, made: Slice, header: Header) -> None:
        """Refuse a slice of a later version than the header's, and a version without its clock."""
        since = _SINCE.get(type(made), 1)
        if header.version < since or (header.version >= TELLING_VERSION and type(made) is Changes):
            self._refuse(f"{type(made).__name__} in a snapshot of version {header.version}")
        if header.version > 1 and isinstance(made, Clock) != (self._number == 1):
            self._refuse("the clock is not where it should be: behind the header, once")

    def _on_clock(self, clock: Clock, header: Header) -> None:
        if clock.command_version > COMMAND_VERSION:
            raise UnknownContents(
                f"the snapshot is of command version {clock.command_version}, and this release "
                f"knows {COMMAND_VERSION} at most: run the release that wrote it, or a newer one"
            )
        if max(2, clock.command_version) != header.version:
            self._refuse(f"it is of version {header.version}, in a cluster of another")
        self._keyspace.time_ms = clock.time_ms
        self._keyspace.raise_version(clock.command_version)

    def _on_sessions(self, made: SessionRows, _header: Header) -> None:
        parts = b"".join(self._parts)
        self._parts.clear()
        wrong = self._sessions.feed(made, parts, self._keyspace.time_ms)
        if wrong is not None:
            self._refuse(wrong)

    def _on_part(self, part: Part, _header: Header) -> None:
        if not part.data:
            self._refuse("it is a part of a value, and empty")
        self._parts.append(part.data)

    def _on_records(self, made: AnyRecords, header: Header) -> None:
        keys = made.keys
        self._join_parts(made)
        self._check_lengths(made)
        if not keys:
            return
        if self._last_key is not None and self._last_key >= keys[0]:
            self._refuse("its keys do not go on where those before it ended")
        if not all(map(lt, keys, keys[1:])):
            self._refuse("its keys are not in order")
        if (
            min(made.create_revs) < 1
            or min(made.key_versions) < 1
            or max(made.mod_revs) > header.store_rev
            or not all(map(le, made.create_revs, made.mod_revs))
        ):
            self._refuse("it holds a record with revisions that can not be")
        if isinstance(made, TiedRecords) and not all(map(self._may_bind, made.sessions)):
            self._refuse("it holds a key that is bound to a session that is not there")
        records = _with_ties(made, _records(made))
        self._keyspace.load(keys, records, timed=not isinstance(made, Records))
        self._last_key = keys[-1]

    def _may_bind(self, session: int) -> bool:
        return not session or session in self._keyspace.sessions

    def _on_changes(self, made: AnyChanges, header: Header) -> None:
        self._join_parts(made)
        self._check_lengths(made)
        keyspace = self._keyspace
        if isinstance(made, DatedChanges):
            revs, kinds = made.revs, made.kinds
        else:
            first = keyspace.store_rev + 1
            revs = [*range(first, first + len(made.keys))]
            kinds = [UNTOLD] * len(revs)
        if revs and revs[-1] > header.store_rev:
            self._refuse("its history goes on behind store_rev")
        for key, before, rev, kind in zip(made.keys, _records(made), revs, kinds, strict=True):
            goes_on = rev == keyspace.store_rev > header.oldest_rev
            if rev != keyspace.store_rev + 1 and not goes_on:
                self._refuse("its history leaves revisions out")
            if not before.mod_rev:
                if before.value or before.create_rev or before.key_version:
                    self._refuse("its history holds a record without a revision")
                keyspace.recall(key, None, rev, kind)
            elif 1 <= before.create_rev <= before.mod_rev < rev and before.key_version >= 1:
                keyspace.recall(key, before, rev, kind)
            else:
                self._refuse("its history holds a record with revisions that can not be")

    def _on_digests(self, made: Digests, _header: Header) -> None:
        self._digests.extend(made.digests)

    def _on_end(self, end: End, header: Header) -> None:
        keyspace = self._keyspace
        keyspace.close_revision()
        self._sessions.finish()
        if end.checksum != self._checksum:
            self._refuse("the checksum over all slices does not match")
        if self._parts:
            self._refuse("parts of a value have nothing that they belong to")
        if keyspace.store_rev != header.store_rev:
            self._refuse(
                f"the history leads to revision {keyspace.store_rev}, not {header.store_rev}"
            )
        if len(keyspace) != header.key_count or keyspace.digest() != header.digest:
            self._refuse(
                f"{len(keyspace)} keys with digest {keyspace.digest():016x} were restored, but it "
                f"was taken of {header.key_count} with {header.digest:016x}"
            )
        self._digests = self._digests or [header.digest]
        if self._digests[-1] != header.digest or len(self._digests) > header.last_applied + 1:
            self._refuse("its digests are not those of the entries up to last_applied")
        self._ended = True

    def _join_parts(self, made: AnyRecords | AnyChanges) -> None:
        if not self._parts:
            return
        if not made.values:
            self._refuse("parts of a value have nothing that they belong to")
        made.values[0] = b"".join([*self._parts, made.values[0]])
        self._parts.clear()

    def _check_lengths(self, made: AnyRecords | AnyChanges) -> None:
        _, *lists = msgspec.structs.astuple(made)
        if any(len(column) != len(made.keys) for column in lists):
            self._refuse("its lists differ in length")

    def _refuse(self, what: str) -> NoReturn:
        self._failed = True
        raise CorruptSnapshot(
            f"slice {self._number} of a snapshot does not fit: {what}", number=self._number
        )


def _with_ties(made: AnyRecords, records: list[Record]) -> list[Record]:
    """Return the records of a slice with their deadlines, sessions and sliding."""
    if isinstance(made, TimedRecords):
        return [
            lived_record(record, deadline_ms) if deadline_ms else record
            for record, deadline_ms in zip(records, made.deadlines_ms, strict=True)
        ]
    if isinstance(made, TiedRecords):
        columns = zip(records, made.deadlines_ms, made.ttls_ms, made.sessions, strict=True)
        return [lived_record(*row) for row in columns]
    return records


def _records(made: AnyRecords | AnyChanges) -> list[Record]:
    """Return the records of a slice, without their deadlines.

    A record that was never changed has one revision: the number is kept once, not twice.
    """
    return [
        Record(value, mod_rev, mod_rev if create_rev == mod_rev else create_rev, key_version)
        for value, mod_rev, create_rev, key_version in zip(
            made.values,
            made.mod_revs,
            made.create_revs,
            made.key_versions,
            strict=True,
        )
    ]
