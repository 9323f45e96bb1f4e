"""Look for an order of one key's operations that explains every answer (Wing-Gong-Lowe).

The search goes through the returns in the order of time, and linearizes an operation just in time:
when one returns that has not been linearized yet, it and whatever must come before it are put into
the order, one after the other. A node of the search is (how many have returned, which of the open
ones are linearized, state), and is visited once. Depth first, on a stack of its own.

What keeps it narrow, besides what ``moves`` prepares:

- A read that fits is linearized at once: it changes nothing, so it can only be in the way later.
- A node is abandoned when an open read needs a revision that the key has left behind.
- **An optional move must matter to the next one.** If the next move leads to the same state without
  it, the shorter order explains all that the longer one does. So a write nobody saw is tried only
  where an answer needs it, and is otherwise dropped, at no cost.
- Of two equal nodes, one that used up more optional moves of every kind can do nothing more, and is
  not visited after the other.
"""

import heapq
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import TypeAlias

import msgspec

from .models import INITIAL, State
from .moves import Move, Moves, Possible

_LOOKS_AT_BUDGET_EVERY = 1024

Node: TypeAlias = tuple[int, int, int, State, State | None, bool]
"""Returns passed; linearized open moves, a bit each; optional moves used, a counter each; state;
the state before the last move, if that was optional; and whether the required ones were tried."""


class Found(msgspec.Struct, frozen=True):
    """What the search came to."""

    explained: bool | None
    """None: the budget ended first."""
    stuck_at: Move | None
    """Of the moves whose return no order gets past, the last in time; None if all is explained."""
    nodes: int
    """How many were visited."""


def search(moves: Moves, go_on: Callable[[int], bool]) -> Found:
    """Look for an explanation.

    Args:
        moves: of one key.
        go_on: asked now and then, with the number of nodes so far, whether the budget lasts.
    """
    return _Search(moves).run(go_on)


class _Open(msgspec.Struct, frozen=True):
    """What is open when a move returns: called by then, and not returned."""

    reads: tuple[tuple[int, Move], ...]
    """Each with its bit."""
    changes: tuple[tuple[int, Move], ...]


class _Pool(msgspec.Struct, frozen=True):
    """Equal optional moves, and the place of their counter in the packed number."""

    possible: Possible
    shift: int
    mask: int


class _Search:
    def __init__(self, moves: Moves) -> None:
        self._timeline(moves.required)
        self._pools(moves.optional)
        self.stack: list[Node] = [(0, 0, 0, INITIAL, None, False)]
        self.seen: dict[tuple[int, int, State], list[int]] = {}

    def _timeline(self, required: Sequence[Move]) -> None:
        """Note for each return what is open, and give each open move a bit while it is."""
        # At one and the same time calls come first: such operations count as overlapping.
        events = sorted(
            [(move.call_ns, 0, i) for i, move in enumerate(required)]
            + [(move.return_ns, 1, i) for i, move in enumerate(required)]
        )
        free = list(range(len(required)))
        bits: dict[int, int] = {}
        reads: dict[int, tuple[int, Move]] = {}
        changes: dict[int, tuple[int, Move]] = {}
        self.returns: list[tuple[int, Move]] = []
        self.open: list[_Open] = []
        for _time, returns, i in events:
            move = required[i]
            side = reads if move.reads else changes
            if not returns:
                bits[i] = heapq.heappop(free)
                side[i] = (1 << bits[i], move)
                continue
            self.returns.append((1 << bits[i], move))
            self.open.append(_Open(tuple(reads.values()), tuple(changes.values())))
            del side[i]
            heapq.heappush(free, bits.pop(i))

    def _pools(self, optional: Sequence[Possible]) -> None:
        """Sort the optional moves by what they need, so that few are tried at a node."""
        self.guards = 0
        self.anywhere: list[_Pool] = []
        self.by_revision: dict[int, list[_Pool]] = {}
        shift = 0
        for possible in optional:
            width = len(possible.calls_ns).bit_length()
            pool = _Pool(possible, shift, (1 << width) - 1)
            self.guards |= 1 << (shift + width)
            shift += width + 1
            if possible.step.revision is None:
                self.anywhere.append(pool)
            else:
                self.by_revision.setdefault(possible.step.revision, []).append(pool)
        self.revisions = sorted(self.by_revision)

    def run(self, go_on: Callable[[int], bool]) -> Found:
        """Visit nodes until one has passed all returns, or none is left."""
        stack, returns = self.stack, self.returns
        total = len(returns)
        deepest = nodes = 0
        while stack:
            node = stack.pop()
            if node[5]:
                self._push_optional(node)
                continue
            nodes += 1
            if nodes % _LOOKS_AT_BUDGET_EVERY == 0 and not go_on(nodes):
                return Found(None, returns[deepest][1], nodes)
            position, mask, used, state, before, _ = node
            while position < total:
                bit, move = returns[position]
                if mask & bit:
                    mask ^= bit
                elif move.reads and move.step.take(state) is state:
                    before = None
                else:
                    break
                position += 1
            if position == total:
                return Found(True, None, nodes)
            deepest = max(deepest, position)
            self._visit(position, mask, used, state, before)
        return Found(False, returns[deepest][1], nodes)

    def _visit(
        self, position: int, mask: int, used: int, state: State, before: State | None
    ) -> None:
        """Linearize the reads that fit, and push what may come next."""
        refining: list[tuple[int, State]] = []
        floor = state[2]
        for bit, move in self.open[position].reads:
            if mask & bit:
                continue
            after = move.step.take(state)
            if after is state:
                mask |= bit
                before = None
            elif after is not None:
                refining.append((bit, after))
            elif move.revision is not None and move.revision <= floor:
                return
        if self._seen_before(position, mask, used, state):
            return
        if self.guards:
            self.stack.append((position, mask, used, state, before, True))
        for bit, after in refining:
            self.stack.append((position, mask | bit, used, after, None, False))
        self._push_changes(position, mask, used, state, before)

    def _push_changes(
        self, position: int, mask: int, used: int, state: State, before: State | None
    ) -> None:
        """Push the changes that may come next; what returns now is tried first, as the last."""
        first: Node | None = None
        returning = self.returns[position][0]
        for bit, move in self.open[position].changes:
            if mask & bit:
                continue
            after = move.step.take(state)
            if after is None or (before is not None and move.step.take(before) == after):
                continue
            node = (position, mask | bit, used, after, None, False)
            if bit == returning:
                first = node
            else:
                self.stack.append(node)
        if first is not None:
            self.stack.append(first)

    def _push_optional(self, node: Node) -> None:
        """Push what may come next only if it happened at all."""
        position, mask, used, state, before, _ = node
        now_ns = self.returns[position][1].return_ns
        for pool in self._pools_for(state):
            calls = pool.possible.calls_ns
            count = (used >> pool.shift) & pool.mask
            if count == len(calls) or calls[count] > now_ns:
                continue
            step = pool.possible.step
            after = step.take(state)
            if after is None or after == state:
                continue
            if before is not None and step.take(before) == after:
                continue
            more = used + (1 << pool.shift)
            self.stack.append((position, mask, more, after, state, False))

    def _pools_for(self, state: State) -> list[_Pool]:
        """Return the optional moves that this state may allow."""
        revision = state[1]
        if not self.by_revision:
            return self.anywhere
        if revision is not None:
            return self.anywhere + self.by_revision.get(revision, [])
        pools = self.anywhere.copy()
        floor = state[2]
        for needed in self.revisions[bisect_right(self.revisions, floor) :]:
            low = self.by_revision[needed][0].possible.step.revision_low
            if low != needed and low > floor:
                break
            pools += self.by_revision[needed]
        return pools

    def _seen_before(self, position: int, mask: int, used: int, state: State) -> bool:
        """Whether this node was visited, with no more optional moves used up; and note it."""
        key = (position, mask, state)
        earlier = self.seen.get(key)
        if earlier is None:
            self.seen[key] = [used]
            return False
        guards = self.guards
        # Field by field: a guard bit survives where the subtraction did not have to borrow.
        if any(((used | guards) - one) & guards == guards for one in earlier):
            return True
        earlier.append(used)
        return False
