"""What the keyspace is made of: records, changes of the past, and the bits that stand for them.

Rules of this file:

- A digest is made of ``zlib.crc32`` and integers: ``hash`` differs between processes.
- What a later version of commands has added counts in a record's digest only where it is there, so
  that the states of an earlier one keep the digests that they had.
"""

from struct import Struct as Packer
from typing import ClassVar, Final
from zlib import crc32

import msgspec

NEVER: Final = 2**63
"""Later than any deadline."""

UNTOLD: Final = 0
"""The kind of a change that comes from a snapshot of a version that does not tell."""
SET: Final = 1
DELETE: Final = 2
EXPIRE: Final = 3
EVICT: Final = 4

MASK: Final = 2**64 - 1
"""Digests have 64 bits."""
MIX: Final = 0x9E3779B97F4A7C15
"""Odd, its bits well spread: 2**64 divided by the golden ratio."""
_MIX_TIME: Final = 0xBF58476D1CE4E5B9  # others of that kind, from splitmix64
_MIX_TIES: Final = 0x94D049BB133111EB
pack_revisions = Packer("<QQQ").pack
_pack_ties = Packer("<QQ").pack


class Weights(msgspec.Struct, frozen=True, gc=False):
    """What records weigh in memory, as a version of commands counts it.

    Lengths and numbers only: what ``sys.getsizeof`` says differs between builds of Python.
    """

    record_bytes: int
    """Each record, besides its key and value."""
    deadline_bytes: int
    """Each deadline."""


_WEIGHTS: Final = {1: Weights(64, 0), 3: Weights(216, 136)}
"""By the version in which they came. Those of version 3 are measured, to a few per cent."""


def weights_of(command_version: int) -> Weights:
    """Return what records weigh in a cluster that was raised to this version."""
    return _WEIGHTS[max(version for version in _WEIGHTS if version <= command_version)]


class Record(msgspec.Struct, frozen=True, gc=False):
    """What is stored under a key.

    There may be millions: what few have stands in :class:`LivedRecord`, and a record's share of
    the digest is computed anew when the record goes (48 bytes each, against half a microsecond).
    """

    value: bytes
    mod_rev: int
    """The revision of the last change."""
    create_rev: int
    """The revision at which the key came into being."""
    key_version: int
    """1 when created, and 1 more with every change since."""
    deadline_ms: ClassVar[int] = 0
    """The cluster time from which on the key may go; 0: it stays."""
    ttl_ms: ClassVar[int] = 0
    """How long after a read the new deadline is; 0: reads do not move it. Since version 3."""
    session: ClassVar[int] = 0
    """The session with which the key goes; 0: it is bound to none. Since version 3."""


class LivedRecord(Record, frozen=True, gc=False):
    """One that does not simply stay: at least one of these is not 0. See :func:`made_record`."""

    deadline_ms: int  # type: ignore[misc] # the many that have none have no room for it
    ttl_ms: int  # type: ignore[misc]
    session: int  # type: ignore[misc]


class Change(msgspec.Struct, frozen=True, gc=False):
    """One entry of the history: ``before`` was under ``key`` until revision ``rev``.

    ``kind`` tells what happened then (:data:`SET` and the others). The changes of one transaction
    share a revision; each key is there once, and nothing splits them.
    """

    rev: int
    key: bytes
    before: Record | None
    kind: int


class Span(msgspec.Struct, frozen=True, gc=False):
    """The keys from ``start`` up to, and without, ``end``; None: there is no end."""

    start: bytes
    end: bytes | None

    def __contains__(self, key: bytes) -> bool:
        """Tell whether ``key`` lies in the span."""
        return self.start <= key and (self.end is None or key < self.end)


def state_digest(digest_sum: int, store_rev: int, time_ms: int = 0) -> int:
    """Return the digest of a state; ``digest_sum``: of its records, and of its version.

    In a state of version 1, which has no time, it is what it was before there were others.
    """
    return (digest_sum + store_rev * MIX + time_ms) & MASK


def version_digest(command_version: int) -> int:
    """Return the bits that stand for the version to which a cluster was raised; 0: the first."""
    return command_version - 1 << 56


def made_record(
    value: bytes,
    revisions: tuple[int, int, int],
    deadline_ms: int = 0,
    ttl_ms: int = 0,
    session: int = 0,
) -> Record:
    """Return a record; ``revisions`` are its ``mod_rev``, ``create_rev`` and ``key_version``."""
    if deadline_ms or ttl_ms or session:
        return LivedRecord(value, *revisions, deadline_ms, ttl_ms, session)
    return Record(value, *revisions)


def lived_record(record: Record, deadline_ms: int, ttl_ms: int = 0, session: int = 0) -> Record:
    """Return a record of the same value and revisions with another deadline and other ties."""
    revisions = record.mod_rev, record.create_rev, record.key_version
    return made_record(record.value, revisions, deadline_ms, ttl_ms, session)


def record_digest(key: bytes, record: Record) -> int:
    """Return the 64 bits that stand for one record.

    Records are combined by addition, in which only what went through the multiplication and the
    shift can no longer cancel out: two records that swapped their revisions must be noticed.
    """
    return checked_digest(crc32(key), record)


def checked_digest(key_check: int, record: Record) -> int:
    """Return what :func:`record_digest` does; ``key_check`` is the key's ``crc32``."""
    revisions = pack_revisions(record.mod_rev, record.create_rev, record.key_version)
    high = crc32(revisions, key_check)
    mixed = (high << 32 | crc32(record.value, high)) * MIX & MASK
    digest = mixed ^ mixed >> 29
    return digest if type(record) is Record else _lived_digest(digest, record)


def _lived_digest(digest: int, record: Record) -> int:
    """Return the bits of a record that does not simply stay; ``digest`` is without that."""
    if record.deadline_ms:
        mixed = (digest ^ record.deadline_ms) * _MIX_TIME & MASK
        digest = mixed ^ mixed >> 31
    if record.ttl_ms or record.session:
        mixed = (digest ^ crc32(_pack_ties(record.ttl_ms, record.session))) * _MIX_TIES & MASK
        digest = mixed ^ mixed >> 30
    return digest
