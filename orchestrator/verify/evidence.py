"""The few answers around the point where a search got stuck: mostly they show why by themselves.

To rule out every way in which unknown outcomes could have gone, back to the beginning of a long
history, takes far longer than to see that a handful of answers contradict each other. So a search
that makes no headway asks here whether those near that point do. All others are *loosened* (see
``shrink``): whatever explains a history explains it with some answers not believed, so if even
these few have no explanation, the history has none. If they have one, nothing is known.
"""

from collections.abc import Callable, Sequence

from .history import Operation
from .moves import moves_of
from .search import search

FIRST_ANSWERS = 64
"""How many are looked at first; four times as many at each further look at the same place."""
_LOOKS_MAX = 20
"""So many looks cost a few seconds at the most, where they are in vain."""
_NODES_MAX = 20_000
"""Of one look: a contradiction that is there to be seen shows at once."""


class Evidence:
    """Looks at one key's operations around a moment, from closer or further away.

    Args:
        operations: of one key.
        go_on: asked now and then, with a number of nodes, whether the budget lasts.
    """

    def __init__(self, operations: Sequence[Operation], go_on: Callable[[int], bool]) -> None:
        self._operations = operations
        self._go_on = go_on
        self._looks = 0
        self._looked_at_ns = -1
        self._answers = FIRST_ANSWERS
        self._by_return: list[tuple[int, int]] = []

    def contradicts(self, stuck_ns: int) -> bool:
        """Tell whether the answers around ``stuck_ns`` have no explanation; False: unknown."""
        if stuck_ns != self._looked_at_ns:
            self._looked_at_ns, self._answers = stuck_ns, FIRST_ANSWERS
        self._looks += 1
        # The search itself looks at all of them.
        if self._looks > _LOOKS_MAX or self._answers >= len(self._operations):
            return False
        if not self._by_return:
            self._by_return = sorted(
                (o.return_ns or 0, i) for i, o in enumerate(self._operations) if o.observes
            )
        nearest = sorted(self._by_return, key=lambda one: abs(one[0] - stuck_ns))
        binding = {position for _, position in nearest[: self._answers]}
        self._answers *= 4
        found = search(
            moves_of(self._operations, binding),
            lambda nodes: nodes < _NODES_MAX and self._go_on(nodes),
        )
        return found.explained is False
