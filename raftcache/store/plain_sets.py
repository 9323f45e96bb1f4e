"""Many plain sets in one pass: what most entries of a busy log hold.

Rules of this file: it does what ``Keyspace.put`` does, key by key, and leaves the same state, bit
for bit; tests hold the two equal. Nothing is here but speed: only what a set may find of the one
before it is done in a loop, the rest column by column, for all at once.
"""

from abc import ABC, abstractmethod
from array import array
from collections.abc import Sequence
from itertools import accumulate, compress
from typing import TYPE_CHECKING, Any, Final, TypeGuard
from zlib import crc32

from .buckets import BUCKET_MASK, Buckets
from .history import History, Series, change_size
from .operations import Set
from .ordered import OrderedKeys
from .records import MASK, Change, LivedRecord, Record
from .results import SetResult, SingleResult
from .sums import summed_digests

if TYPE_CHECKING:
    from .listeners import Watcher


class PlainSets(ABC):
    """The part of the keyspace that sets many keys at a time."""

    store_rev: int
    fresh: list[Change] | None
    _records: Buckets[Record]
    _ordered: OrderedKeys
    _payload_bytes: int
    _digest_sum: int
    _history: History
    _open_rev: int
    _watcher: "Watcher | None"

    @property
    def is_undisturbed(self) -> bool:
        """Tell whether nobody is told of every change, and each takes a revision of its own."""
        return self._watcher is None and not self._open_rev

    def put_all(self, commands: Sequence[Set]) -> list[SingleResult]:
        """Store the values of sets that have no conditions, each at a revision of its own.

        Assumes that they are plain (:func:`are_plain`), and that :attr:`is_undisturbed`.
        """
        first_rev = self.store_rev + 1
        keys = [command.key for command in commands]
        key_checks = [*map(crc32, keys)]
        befores, records = self._place_all(commands, key_checks)
        created = [before is None for before in befores]
        had = [before for before in befores if before is not None]
        self.store_rev += len(keys)
        digest_sum = summed_digests(key_checks, records)
        if any(created):
            new_keys = [*compress(keys, created)]
            self._ordered.update(new_keys)
            self._payload_bytes += sum(map(len, new_keys))
            key_checks = [*compress(key_checks, befores)]
        digest_sum -= summed_digests(key_checks, had)
        self._digest_sum = (self._digest_sum + digest_sum) & MASK
        self._payload_bytes += sum([len(record.value) for record in records])
        self._payload_bytes -= sum([len(before.value) for before in had])
        if LivedRecord in {*map(type, had)}:
            for key, before in zip(compress(keys, befores), had, strict=True):
                self._untie(key, before)
        ends = array("Q", accumulate(map(change_size, keys, befores)))
        series = Series(first_rev, tuple(keys), tuple(befores), ends)
        self._history.append_series(series)
        if self.fresh is not None:
            self.fresh.extend(series.changes())
        self.forget()
        return [*map(SetResult, range(first_rev, self.store_rev + 1), created)]

    def _place_all(
        self, commands: Sequence[Set], key_checks: list[int]
    ) -> tuple[list[Record | None], list[Record]]:
        """Put a record under each key; return what was there before each, and the records."""
        dicts = self._records.dicts
        befores: list[Record | None] = []
        records: list[Record] = []
        rev = self.store_rev
        for command, key_check in zip(commands, key_checks, strict=True):
            rev += 1
            key = command.key
            home = dicts[key_check & BUCKET_MASK]
            before = home.get(key)
            if before is None:
                record = Record(command.value, rev, rev, 1)
            else:
                record = Record(command.value, rev, before.create_rev, before.key_version + 1)
            home[key] = record
            befores.append(before)
            records.append(record)
        return befores, records

    @abstractmethod
    def _untie(self, key: bytes, before: Record) -> None:
        """Let ``key``, where ``before`` is, have no deadline and be bound to no session."""

    @abstractmethod
    def forget(self, up_to: int = 0) -> None:
        """Bring the past back within its bounds."""


def are_plain(ops: Sequence[Any]) -> TypeGuard[Sequence[Set]]:
    """Tell whether these are several sets without a condition that tell the new revision only."""
    if len(ops) < SEVERAL or {*map(type, ops)} != _SETS:
        return False
    special = [op for op in ops if op.prev or op.if_mod_rev is not None or op.if_value is not None]
    return not special


SEVERAL: Final = 4
"""From how many on this is faster than one by one."""
_SETS: Final = {Set}
