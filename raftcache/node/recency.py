"""Which keys were used lately: an estimate, within bounds, for who has to let some go.

A write leaves its revision in the record, so it need not be noted; a read is noted here by the
revision at which it came. The two together order keys by their last use, as far as it is known.
"""

from typing import Final

from ..store.records import Record

READ_MAX: Final = 100_000
"""Of so many keys the last read is known; who has more that are used all the time loses some."""


class Recency:
    """When keys were read, for the most lately read ones."""

    def __init__(self) -> None:
        self._read_rev: dict[bytes, int] = {}

    def on_read(self, key: bytes, store_rev: int) -> None:
        """Note that a key was read while the store was at a revision."""
        read_rev = self._read_rev
        read_rev.pop(key, None)
        read_rev[key] = store_rev
        if len(read_rev) > READ_MAX:
            del read_rev[next(iter(read_rev))]

    def of(self, key: bytes, record: Record) -> int:
        """Return the revision at which a key was last used, as far as it is known."""
        return max(record.mod_rev, self._read_rev.get(key, 0))
