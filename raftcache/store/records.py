"""What the keyspace is made of: records, changes of the past, and the bits that stand for them.

Rules of this file:

- A digest is made of ``zlib.crc32`` and integers: ``hash`` differs between processes.
- What a later version of commands has added counts in a record's digest only where it is there, so
  that the states of an earlier one keep the digests that they had.
"""

from struct import Struct as Packer
from typing import Final
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
_MIX: Final = 0x9E3779B97F4A7C15  # odd, bits well spread: 2**64 divided by the golden ratio
_MIX_TIME: Final = 0xBF58476D1CE4E5B9  # others of that kind, from splitmix64
_MIX_TIES: Final = 0x94D049BB133111EB
_pack_revisions = Packer("<QQQ").pack
_pack_ties = Packer("<QQ").pack


class Weights(msgspec.Struct, frozen=True, gc=False):
    """What records weigh in memory, as a version of commands counts it.

    Lengths and numbers only: what ``sys.getsizeof`` says differs between builds of Python.
    """

    record_bytes: int
    """Each record, besides its key and value."""
    deadline_bytes: int
    """Each deadline."""


_WEIGHTS: Final = {1: Weights(64, 0), 3: Weights(296, 104)}
"""By the version in which they came. Those of version 3 are measured, to a few per cent."""


def weights_of(command_version: int) -> Weights:
    """Return what records weigh in a cluster that was raised to this version."""
    return _WEIGHTS[max(version for version in _WEIGHTS if version <= command_version)]


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
    ttl_ms: int = 0
    """How long after a read the new deadline is; 0: reads do not move it. Since version 3."""
    session: int = 0
    """The session with which the key goes; 0: it is bound to none. Since version 3."""


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
    return (digest_sum + store_rev * _MIX + time_ms) & MASK


def version_digest(command_version: int) -> int:
    """Return the bits that stand for the version to which a cluster was raised; 0: the first."""
    return command_version - 1 << 56


def lived_record(
    key: bytes, record: Record, deadline_ms: int, ttl_ms: int = 0, session: int = 0
) -> Record:
    """Return a record of the same value and revisions with another deadline and other ties."""
    value, mod_rev, create_rev = record.value, record.mod_rev, record.create_rev
    digest = record_digest(key, value, mod_rev, create_rev, record.key_version)
    if deadline_ms:
        digest = timed_digest(digest, deadline_ms)
    if ttl_ms or session:
        digest = tied_digest(digest, ttl_ms, session)
    return Record(
        value, mod_rev, create_rev, record.key_version, digest, deadline_ms, ttl_ms, session
    )


def timed_digest(digest: int, deadline_ms: int) -> int:
    """Return the 64 bits that stand for a record with a deadline; ``digest`` is without it."""
    mixed = (digest ^ deadline_ms) * _MIX_TIME & MASK
    return mixed ^ mixed >> 31


def tied_digest(digest: int, ttl_ms: int, session: int) -> int:
    """Return the 64 bits for a record that slides or is bound; ``digest`` is without that."""
    mixed = (digest ^ crc32(_pack_ties(ttl_ms, session))) * _MIX_TIES & MASK
    return mixed ^ mixed >> 30


def record_digest(key: bytes, value: bytes, mod_rev: int, create_rev: int, key_version: int) -> int:
    """Return the 64 bits that stand for one record.

    Records are combined by addition, in which only what went through the multiplication and the
    shift can no longer cancel out: two records that swapped their revisions must be noticed.
    """
    high = crc32(_pack_revisions(mod_rev, create_rev, key_version), crc32(key))
    mixed = (high << 32 | crc32(value, high)) * _MIX & MASK
    return mixed ^ mixed >> 29
