"""The digests of operations that are done once, as a run of them is kept: 8 bytes for each."""

from collections.abc import Sequence
from struct import pack, unpack
from typing import Final

DIGEST_BYTES: Final = 8


def pack_digests(digests: Sequence[int]) -> bytes:
    """Return digests of 64 bits, one behind the other."""
    return pack(f"<{len(digests)}Q", *digests)


def unpack_digests(packed: bytes) -> tuple[int, ...]:
    """Return the digests again. Assumes that there are whole ones."""
    return unpack(f"<{len(packed) // DIGEST_BYTES}Q", packed)
