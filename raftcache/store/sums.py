"""The digests of many records, summed at once.

Rules of this file: what it returns is the sum of ``checked_digest``, bit for bit; tests hold the
two equal. Nothing is here but speed: one large integer holds the records' bits side by side, so
that one multiplication, shift or addition does for all of them what it would do for one.
"""

from array import array
from collections.abc import Sequence
from typing import Final
from zlib import crc32

from .records import MASK, MIX, LivedRecord, Record, checked_digest, pack_revisions

MANY: Final = 24
"""From how many records on this is faster than one by one."""

_BIG_ENDIAN: Final = array("H", [1]).tobytes() == b"\0\1"
_LANES: Final = 256
"""How many records are side by side at most."""
_LANE_BYTES: Final = 16
"""Twice the 64 bits of a digest: room for their product with another 64."""
_LANE_BITS: Final = 8 * _LANE_BYTES
_LOW_HALVES: Final = sum(MASK << lane * _LANE_BITS for lane in range(_LANES))
_FOLDS: Final = [
    (lanes * _LANE_BITS, (1 << lanes * _LANE_BITS) - 1) for lanes in (128, 64, 32, 16, 8, 4, 2, 1)
]
"""How many bits a half of the lanes has, and all these bits."""


def summed_digests(key_checks: Sequence[int], records: Sequence[Record]) -> int:
    """Return the sum of the records' digests; ``key_checks`` are their keys' ``crc32``."""
    if len(records) < MANY or LivedRecord in {*map(type, records)}:
        return sum(map(checked_digest, key_checks, records)) & MASK
    revisions = [pack_revisions(r.mod_rev, r.create_rev, r.key_version) for r in records]
    highs = array("I", map(crc32, revisions, key_checks))
    lows = array("I", map(crc32, [record.value for record in records], highs))
    starts = range(0, len(records), _LANES)
    parts = [slice(start, start + _LANES) for start in starts]
    return sum([_mixed_sum(highs[part], lows[part]) for part in parts]) & MASK


def _mixed_sum(highs: "array[int]", lows: "array[int]") -> int:
    """Return the sum of what ``checked_digest`` makes of each pair of 32 bits."""
    words = array("I", bytes(_LANE_BYTES * len(lows)))
    words[0::4], words[1::4] = lows, highs
    if _BIG_ENDIAN:
        words.byteswap()
    mixed = int.from_bytes(words.tobytes(), "little") * MIX & _LOW_HALVES
    summed = (mixed ^ mixed >> 29) & _LOW_HALVES
    # Fold it in half, and again, until one lane is left, whose upper half took what was carried.
    for bits, lower_half in _FOLDS:
        if summed > lower_half:
            summed = (summed >> bits) + (summed & lower_half)
    return summed & MASK
