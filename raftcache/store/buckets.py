"""A map from keys to records whose growth never takes long.

A ``dict`` of a million keys that grows is copied at once: 50 to 150 ms in which a server stands
still, and, being replicated, all servers in the same moment. Here the keys are spread over many
dicts, each of which is copied at a time of its own, in a fraction of a millisecond.

Rules of this file: nothing depends on the order in which keys lie here.
"""

from collections.abc import Iterable
from typing import Final, Generic, TypeVar
from zlib import crc32

_T = TypeVar("_T")

_BUCKETS: Final = 256
BUCKET_MASK: Final = _BUCKETS - 1
"""A key's ``crc32`` and this: the number of its dict."""


class Buckets(Generic[_T]):
    """A map without an order and without a length of its own."""

    __slots__ = ("dicts",)

    def __init__(self) -> None:
        self.dicts: list[dict[bytes, _T]] = [{} for _ in range(_BUCKETS)]
        """For who has a key's ``crc32`` already."""

    def get(self, key: bytes) -> _T | None:
        """Return what is under ``key``, or None."""
        return self.dicts[crc32(key) & BUCKET_MASK].get(key)

    def __getitem__(self, key: bytes) -> _T:
        """Return what is under ``key``, which must be there."""
        return self.dicts[crc32(key) & BUCKET_MASK][key]

    def __setitem__(self, key: bytes, item: _T) -> None:
        """Put ``item`` under ``key``."""
        self.dicts[crc32(key) & BUCKET_MASK][key] = item

    def __delitem__(self, key: bytes) -> None:
        """Take away ``key``, which must be there."""
        del self.dicts[crc32(key) & BUCKET_MASK][key]

    def __contains__(self, key: bytes) -> bool:
        """Tell whether there is such a key."""
        return key in self.dicts[crc32(key) & BUCKET_MASK]

    def update(self, items: Iterable[tuple[bytes, _T]]) -> None:
        """Put many items under their keys."""
        dicts = self.dicts
        for key, item in items:
            dicts[crc32(key) & BUCKET_MASK][key] = item

    def dismantle(self, count: int) -> bool:
        """Drop ``count`` keys, or what is left; True: nothing is left.

        Nothing can be looked up or put in any more.
        """
        dicts = self.dicts
        while dicts and count > 0:
            last = dicts[-1]
            for _ in range(min(count, len(last))):
                last.popitem()
                count -= 1
            if not last:
                dicts.pop()
        return not dicts
