"""A sorted list of keys that can also be filled from sorted keys, and emptied, bit by bit.

Rules of this file: it alone knows how ``SortedList`` keeps its items (``_lists``, each of some
thousand items in order, ``_maxes``, the last of each, ``_len``, and ``_index``, which is built
anew where it is empty). Its ``_check`` in the tests tells when a release changes that.
"""

from sortedcontainers import SortedList


class OrderedKeys(SortedList):  # type: ignore[misc]  # sortedcontainers has no types
    """Keys in bytewise order, or pairs that end in a key in theirs."""

    def append_sorted(self, keys: list[bytes]) -> None:
        """Append ``keys``, which are in order, distinct, and all greater than what is here.

        The time is proportional to ``keys``, and a thirtieth of what adding them one by one takes.
        """
        if not keys:
            return
        lists, maxes = self._lists, self._maxes
        assert not maxes or maxes[-1] < keys[0], "what is appended is greater than what is there"
        taken = 0
        if lists and len(lists[-1]) < self._load:
            taken = self._load - len(lists[-1])
            lists[-1].extend(keys[:taken])
            maxes[-1] = lists[-1][-1]
        for start in range(taken, len(keys), self._load):
            lists.append(keys[start : start + self._load])
            maxes.append(lists[-1][-1])
        self._len += len(keys)
        self._index.clear()

    def shed(self, count: int) -> None:
        """Drop ``count`` or a few thousand more of the greatest keys."""
        while count > 0 and self._lists:
            gone = len(self._lists.pop())
            self._maxes.pop()
            self._len -= gone
            count -= gone
        self._index.clear()
