"""Many plain sets in one pass: what most entries of a busy log hold.

Rules of this file: it does what ``Keyspace.put`` does, key by key, and leaves the same state, bit
for bit; tests hold the two equal. Nothing is here but speed: in the loop no call that can be
spared, and each sum is written back once.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, TypeGuard
from zlib import crc32

from .buckets import BUCKET_MASK, Buckets
from .operations import Set
from .ordered import OrderedKeys
from .records import MASK, SET, Change, Record, checked_digest
from .results import SetResult, SingleResult

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
    _history: deque[Change]
    _history_bytes: int
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
        dicts, rev = self._records.dicts, self.store_rev
        digest_sum = payload_bytes = history_bytes = 0
        changes: list[Change] = []
        results: list[SingleResult] = []
        for command in commands:
            key, value = command.key, command.value
            rev += 1
            key_check = crc32(key)
            records = dicts[key_check & BUCKET_MASK]
            before = records.get(key)
            if before is None:
                create_rev, key_version = rev, 1
                self._ordered.add(key)
                payload_bytes += len(key) + len(value)
                history_bytes += len(key)
            else:
                create_rev, key_version = before.create_rev, before.key_version + 1
                size = len(before.value)
                payload_bytes += len(value) - size
                history_bytes += len(key) + size
                digest_sum -= checked_digest(key_check, before)
                if before.deadline_ms or before.session:
                    self._untie(key, before)
            record = Record(value, rev, create_rev, key_version)
            digest_sum += checked_digest(key_check, record)
            records[key] = record
            changes.append(Change(rev, key, before, SET))
            results.append(SetResult(rev, before is None))
        self.store_rev = rev
        self._digest_sum = (self._digest_sum + digest_sum) & MASK
        self._payload_bytes += payload_bytes
        self._history.extend(changes)
        self._history_bytes += history_bytes
        if self.fresh is not None:
            self.fresh.extend(changes)
        self.forget()
        return results

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


SEVERAL: Final = 2
_SETS: Final = {Set}
