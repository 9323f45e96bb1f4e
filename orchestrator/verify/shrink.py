"""The few operations that already contradict each other, out of a history that has no explanation.

Leaving operations out of a history can break it: without the write, a read of its value is absurd.
So nothing is left out. An operation is *loosened* instead: its answer is no longer believed, as if
its outcome were unknown; a read without an answer says nothing at all. What explains a history
explains every loosened one, so a contradiction that is left is one of the whole history, and
believing more never makes it go away. That makes a smallest set easy to come by: go through the
answers from where the search got stuck backwards (and then forwards), find by bisection the first
one without which nothing contradicts, keep it, and look no further than it. So each that is kept is
needed.
"""

from collections.abc import Callable, Collection, Sequence

import msgspec

from .history import Operation
from .linearizability import DEFAULT_BUDGET, Budget
from .models import Value, value_of
from .moves import moves_of
from .search import search

_CONTEXT_MAX = 8


class Contradiction(msgspec.Struct, frozen=True):
    """Answers of which one too many was given."""

    operations: tuple[Operation, ...]
    """No order explains their answers; leave out any one, and some order does. By return."""
    context: tuple[Operation, ...]
    """Who wrote the values that they show, as far as that is not among them."""
    minimal: bool
    """False if the budget ended before it was known to be the smallest."""


def shrink(
    operations: Sequence[Operation], stuck_ns: int, budget: Budget = DEFAULT_BUDGET
) -> Contradiction:
    """Find a smallest contradiction near where the search got stuck.

    Args:
        operations: of one key; invalid.
        stuck_ns: as the check of this key says.
        budget: for all searches together.
    """
    # What had been answered before is better evidence than what came to light afterwards.
    ended = [((o.return_ns or 0) - stuck_ns, i) for i, o in enumerate(operations) if o.observes]
    nearest = sorted((late > 0, abs(late), i) for late, i in ended)
    deadline = budget.clock() + budget.seconds
    unsure = False

    def contradict(binding: Collection[int]) -> bool:
        nonlocal unsure
        found = search(
            moves_of(operations, binding),
            lambda nodes: nodes < budget.nodes and budget.clock() < deadline,
        )
        unsure = unsure or found.explained is None
        return found.explained is False

    kept = _smallest([i for _, _, i in nearest], contradict)
    chosen = sorted((operations[i] for i in kept), key=lambda o: (o.return_ns or 0, o.call_ns))
    return Contradiction(tuple(chosen), _context(operations, chosen), not unsure)


def _smallest(candidates: list[int], contradict: Callable[[Collection[int]], bool]) -> list[int]:
    """Return a smallest part of the candidates that contradict; more, where it cannot be shown.

    ``contradict`` must stay true when more is added.
    """
    kept: list[int] = []
    rest = candidates
    while not contradict(kept):
        # How many of the rest, the nearest first, it takes: doubled until enough, then bisected.
        enough = 1
        while enough < len(rest) and not contradict([*kept, *rest[:enough]]):
            enough *= 2
        if enough >= len(rest):
            if not contradict([*kept, *rest]):
                return [*kept, *rest]
            enough = len(rest)
        too_few = enough // 2
        while enough - too_few > 1:
            middle = (enough + too_few) // 2
            if contradict([*kept, *rest[:middle]]):
                enough = middle
            else:
                too_few = middle
        kept.append(rest[enough - 1])
        rest = rest[: enough - 1]
    return kept


def _context(operations: Sequence[Operation], chosen: Sequence[Operation]) -> tuple[Operation, ...]:
    """Return the other operations that may have written what the chosen ones show."""
    shown: dict[Value, int | None] = {
        value_of(o.result.value): o.result.mod_rev
        for o in chosen
        if o.op != "incr" and o.result.value is not None
    }
    writers = []
    for o in operations:
        if o.op != "set" or not o.mutates or o.args.value is None or o in chosen:
            continue
        value, mod_rev = value_of(o.args.value), o.result.mod_rev
        if value in shown and (mod_rev is None or shown[value] in {None, mod_rev}):
            writers.append(o)
    return tuple(writers[-_CONTEXT_MAX:])
