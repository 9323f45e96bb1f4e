"""Which of the requests that other nodes hand on have come before: none is executed twice.

A sender numbers what it hands on: the upper bits are drawn anew for each life of its process, the
lower 32 count. So the highest number seen, and the few that were overtaken on the way, tell all.
"""

from ..raft.types import ServerId

COUNT_BITS = 32
LIFE_BITS = 31
LIVES_MAX = 64
"""How many lives of other nodes are remembered; an older one has no connection any more."""
OVERTAKEN_MAX = 1_000
"""How many numbers may still come late; what is later than that is taken for a repeat."""


class Repeats:
    """Remembers what came; what is in doubt counts as a repeat, and nothing is answered to it."""

    def __init__(self) -> None:
        self._seen: dict[tuple[ServerId, int], tuple[int, set[int]]] = {}

    def is_new(self, source: ServerId, number: int) -> bool:
        """Note that this number came; tell whether it did so for the first time."""
        life, count = number >> COUNT_BITS, number & (2**COUNT_BITS - 1)
        highest, overtaken = self._seen.get((source, life), (0, set()))
        if count <= highest:
            if count not in overtaken:
                return False
            overtaken.remove(count)
            return True
        if count > highest + 1:
            first = count - OVERTAKEN_MAX
            overtaken = {late for late in overtaken if late >= first}
            overtaken.update(range(max(highest + 1, first), count))
        self._seen[source, life] = (count, overtaken)
        if len(self._seen) > LIVES_MAX:
            del self._seen[next(iter(self._seen))]
        return True
