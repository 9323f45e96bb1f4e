"""The moves of one key laid out in time, and what may come next at a node of the search.

A node has got past some returns. Its next move is made just in time: because the operation that
returns next has not been linearized, and it, or something that must come before it, has to be.

- A read that fits is linearized at once: it changes nothing, so it can only be in the way later.
- A node is abandoned when an open read needs a revision that the key has left behind.
- **An optional move must matter to the next one.** If the next move leads to the same state without
  it, the shorter order explains all that the longer one does. So a write nobody saw is tried only
  where an answer needs it, and is otherwise dropped, at no cost.
- **An optional increment waits until a sum needs it.** One that leads above every number that an
  open answer needs can as well be made later: what is open can come before it, or overwrites it.
  Not so if some open answer needs no certain number, but another one than is there: an increment
  that found no room, a condition that failed and does not say for what (seed 7002323).
"""

import heapq
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec

from .models import (
    ANYTHING,
    INITIAL,
    Anything,
    Bundle,
    Change,
    Conflict,
    Count,
    Look,
    NotCounted,
    State,
    Step,
    Value,
)
from .moves import Move, Moves, Possible

_HIGH = 2**64
"""Above every revision."""


class Node(NamedTuple):
    """How far an order of moves has come."""

    position: int
    """How many returns it has got past."""
    mask: int
    """A bit for each open required move that is linearized."""
    used: int
    """A counter for each pool of equal optional moves, packed."""
    overdrawn: bool
    """Whether it used optional moves that there were not; only on a generous board."""
    state: State
    before: State | None
    """The state before the last move, if that was an optional one."""


ROOT = Node(0, 0, 0, False, INITIAL, None)


class _OpenMove(NamedTuple):
    """A required move while it is open. Unpacked in the innermost loops."""

    bit: int
    take: Callable[[State], State | None]
    low: int
    """Of a change with a known revision: how far the key must have come; else nothing is too low.
    Of a read: -1."""
    revision: int
    """That a change makes, or that a read needs; else nothing is too high."""
    number: int | None
    """The number that must be there before, if it is one."""
    needs_revision: bool
    """Whether it needs a revision, with whatever value."""
    needs_another: bool
    """Whether it needs some number, and does not say which."""


class _Open(NamedTuple):
    """What is open when a move returns: called by then, and not returned."""

    reads: tuple[_OpenMove, ...]
    changes: tuple[_OpenMove, ...]


class _Pool(msgspec.Struct, frozen=True):
    """Equal optional moves, and the place of their counter in the packed number."""

    possible: Possible
    shift: int
    mask: int
    exact: bool
    """Whether no more may be used than there are."""


class Board:
    """Knows the moves of one key; keeps nothing about the search."""

    def __init__(self, moves: Moves, *, generous: bool) -> None:
        """Lay out the moves.

        Args:
            moves: of one key.
            generous: optional moves may be made again and again from the first one's call on.
        """
        self._generous = generous
        # With what can also go down, a sum may be reached from above.
        self._rising = all(_rises(p.step) for p in moves.optional)
        # Without an end to increments, whoever needs more room than there is would be given it.
        self._capped = self._rising and not any(_needs_another(m.step) for m in moves.required)
        self.returns: list[tuple[int, Move]] = []
        """The required moves with their bits, in the order of their returns."""
        self._open: list[_Open] = []
        self._guards = 0
        self._accounted = 0
        self._anywhere: list[_Pool] = []
        self._by_value: dict[Value, list[_Pool]] = {}
        self._by_revision: dict[int, list[_Pool]] = {}
        self._lay_out(moves.required)
        self._fill_pools(moves.optional)
        self._revisions = sorted(self._by_revision)
        self.has_options = bool(moves.optional)

    def _lay_out(self, required: Sequence[Move]) -> None:
        """Note for each return what is open, and give each move a bit while it is open."""
        # At one and the same time calls come first: such operations count as overlapping.
        events = sorted(
            [(move.call_ns, 0, i) for i, move in enumerate(required)]
            + [(move.return_ns, 1, i) for i, move in enumerate(required)]
        )
        free = list(range(len(required)))
        bits: dict[int, int] = {}
        reads: dict[int, _OpenMove] = {}
        changes: dict[int, _OpenMove] = {}
        for _time, returns, i in events:
            move = required[i]
            side = reads if move.reads else changes
            if not returns:
                bits[i] = heapq.heappop(free)
                side[i] = _open_move(1 << bits[i], move)
                continue
            self.returns.append((1 << bits[i], move))
            self._open.append(_Open(tuple(reads.values()), tuple(changes.values())))
            del side[i]
            heapq.heappush(free, bits.pop(i))

    def _fill_pools(self, optional: Sequence[Possible]) -> None:
        """Sort the optional moves by what they need, so that few are tried at a node."""
        shift = 0
        for possible in optional:
            step = possible.step
            if possible.once:
                pool = _Pool(possible, 0, 0, exact=False)
            else:
                width = len(possible.calls_ns).bit_length()
                # An endless supply of increments would lead to endlessly many states.
                exact = not self._generous or (_counts(step) and not self._capped)
                pool = _Pool(possible, shift, (1 << width) - 1, exact)
                self._guards |= 1 << (shift + width)
                if exact:
                    self._accounted |= pool.mask << shift
                shift += width + 1
            if step.revision is not None:
                self._by_revision.setdefault(step.revision, []).append(pool)
            elif not isinstance(step.value, Anything):
                self._by_value.setdefault(step.value, []).append(pool)
            else:
                self._anywhere.append(pool)

    def advance(self, node: Node) -> Node:
        """Get past the returns of what is linearized, and of reads that fit as things are."""
        position, mask, used, overdrawn, state, before = node
        returns = self.returns
        while position < len(returns):
            bit, move = returns[position]
            if mask & bit:
                mask ^= bit
            elif move.reads and move.step.take(state) is state:
                before = None
            else:
                break
            position += 1
        return Node(position, mask, used, overdrawn, state, before)

    def absorb(self, node: Node) -> tuple[Node, list[Node]] | int:
        """Linearize the open reads that fit.

        Returns:
            The node with them, and the nodes at which one more read settles an unsettled revision;
            or, if some open read can never fit any more, the position of its return.
        """
        position, mask, used, overdrawn, state, before = node
        settling: list[tuple[int, State]] = []
        floor = state[2]
        for bit, take, _low, revision, _, _, _ in self._open[position].reads:
            if mask & bit:
                continue
            after = take(state)
            if after is state:
                mask |= bit
                before = None
            elif after is not None:
                settling.append((bit, after))
            elif revision <= floor:
                return self._position(bit, position)
        settled = [
            Node(position, mask | bit, used, overdrawn, after, None) for bit, after in settling
        ]
        return Node(position, mask, used, overdrawn, state, before), settled

    def _position(self, bit: int, position: int) -> int:
        """Return where the open move of this bit returns."""
        while self.returns[position][0] != bit:
            position += 1
        return position

    def changes(self, node: Node) -> list[Node]:
        """Return what one more required change leads to; that of what returns now comes last."""
        position, mask, used, overdrawn, state, before = node
        nodes: list[Node] = []
        now: Node | None = None
        returning = self.returns[position][0]
        floor = state[2]
        for bit, take, low, revision, _, _, _ in self._open[position].changes:
            # `take` would refuse a revision out of order too, and take longer to do so.
            if mask & bit or not low <= floor < revision:
                continue
            after = take(state)
            if after is None or (before is not None and take(before) == after):
                continue
            then = Node(position, mask | bit, used, overdrawn, after, None)
            if bit == returning:
                now = then
            else:
                nodes.append(then)
        if now is not None:
            nodes.append(now)
        return nodes

    def options(self, node: Node) -> list[Node]:
        """Return what one more optional move leads to."""
        position, mask, used, overdrawn, state, before = node
        nodes: list[Node] = []
        now_ns = self.returns[position][1].return_ns
        for pool in self._pools_for(state):
            calls = pool.possible.calls_ns
            if not pool.mask:  # Whatever it takes away is never there again.
                after = pool.possible.step.take(state) if calls[0] <= now_ns else None
                if after is not None and (
                    before is None or pool.possible.step.take(before) != after
                ):
                    nodes.append(Node(position, mask, used, overdrawn, after, state))
                continue
            count = (used >> pool.shift) & pool.mask
            lacks = count == len(calls) or calls[count] > now_ns
            if lacks and (pool.exact or calls[0] > now_ns):
                continue
            step = pool.possible.step
            after = step.take(state)
            if after is None or after == state:
                continue
            if isinstance(step, Count) and self._can_wait(node, after):
                continue
            if before is None or step.take(before) != after:
                more = used if lacks else used + (1 << pool.shift)
                nodes.append(Node(position, mask, more, overdrawn or lacks, after, state))
        return nodes

    def _can_wait(self, node: Node, after: State) -> bool:
        """Whether an optional increment leads above every number that is needed now."""
        before, revision, _floor = node.state
        value = after[0]
        if not self._rising or before is None or not isinstance(value, int):
            return False
        open_moves = [
            move
            for moves in self._open[node.position]
            for move in moves
            if not node.mask & move.bit
        ]
        if any(move.needs_another for move in open_moves):
            return False
        # It may be needed for its revision; a second one then is not.
        if revision is not None and (
            self._by_revision or any(move.needs_revision for move in open_moves)
        ):
            return False
        return all(move.number is None or move.number < value for move in open_moves) and not any(
            isinstance(wanted, int) and wanted >= value for wanted in self._by_value
        )

    def _pools_for(self, state: State) -> list[_Pool]:
        """Return the optional moves that this state may allow."""
        value, revision, floor = state
        pools = self._anywhere + self._by_value.get(value, [])
        if revision is not None:
            return pools + self._by_revision.get(revision, [])
        for needed in self._revisions[bisect_right(self._revisions, floor) :]:
            low = self._by_revision[needed][0].possible.step.revision_low
            if low != needed and low > floor:
                break
            pools += self._by_revision[needed]
        return pools

    def spares(self, one: int, other: int) -> bool:
        """Whether the exact counters ``one`` are none above their like in ``other``."""
        # A guard bit above each counter survives where the subtraction does not borrow.
        left = ((other & self._accounted) | self._guards) - (one & self._accounted)
        return left & self._guards == self._guards


def _counts(step: Step) -> bool:
    """Whether a step adds to a number."""
    return isinstance(step, Count) or (isinstance(step, Bundle) and step.counts)


def _rises(step: Step) -> bool:
    """Whether a step, if it is possible without having been asked for, lets no sum fall."""
    return step.by > 0 if isinstance(step, Count) else not _counts(step)


def _open_move(bit: int, move: Move) -> _OpenMove:
    step = move.step
    number = step.value if isinstance(step.value, int) else None
    if isinstance(step, Count) and step.total is not None:
        number = step.total - step.by
    low, revision = -1, _HIGH
    if isinstance(step, Change) and step.mod_rev is not None:
        revision = step.mod_rev
        # A needed revision may first settle the state's own, and so lift the floor.
        low = step.low if step.revision is None else -1
    elif move.reads and step.revision:
        revision = step.revision
    needs_revision = step.revision is not None and isinstance(step.value, Anything)
    return _OpenMove(bit, step.take, low, revision, number, needs_revision, _needs_another(step))


def _needs_another(step: Step) -> bool:
    """Whether a step is possible with many numbers, but not with all, and does not say which."""
    if isinstance(step, NotCounted):
        return step.out_of_range
    if isinstance(step, Bundle | Look):
        return bool(step.judged.tests) or _counts(step)
    return isinstance(step, Conflict) and step.value is ANYTHING
