"""Look for an order of one key's operations that explains every answer (Wing-Gong-Lowe).

Operations are linearized just in time (``board``). A node, that is how many returns are passed,
which open operations are linearized, and the state, is visited once; unless it is reached again
with fewer optional moves used up, which leaves more to do with.

First depth first: where there is an explanation, the first guess is mostly right. If that has gone
astray too often, from the start again and breadth first: by how far a node has come, and by how
much it has used up, so that none is visited before what makes it superfluous. That proves in the
least time that there is no explanation; going deep first would come back to the same long tail with
every small saving at its root. Neither recurses.
"""

import heapq
from collections.abc import Callable

import msgspec

from .board import ROOT, Board, Node
from .models import State
from .moves import Move, Moves

_LOOKS_AT_BUDGET_EVERY = 1024
_DEPTH_FIRST_NODES = 20_000
_DEPTH_FIRST_NODES_PER_MOVE = 4


class Found(msgspec.Struct, frozen=True):
    """What the search came to."""

    explained: bool | None
    """None: the budget ended first."""
    stuck_at: Move | None
    """The first move whose return no order gets past; None if all is explained."""
    nodes: int
    """How many were visited."""


def search(moves: Moves, go_on: Callable[[int], bool]) -> Found:
    """Look for an explanation.

    Args:
        moves: of one key.
        go_on: asked now and then, with the number of nodes so far, whether the budget lasts.
    """
    board = Board(moves)
    patience = _DEPTH_FIRST_NODES + _DEPTH_FIRST_NODES_PER_MOVE * len(moves.required)
    deep = _depth_first(board, lambda nodes: nodes < patience and go_on(nodes))
    if deep.explained is not None:
        return deep
    return _breadth_first(board, deep.nodes, go_on)


class _Seen:
    """The nodes that were visited."""

    def __init__(self, board: Board) -> None:
        self.spares = board.spares
        self.used: dict[tuple[int, int, State], list[int]] = {}

    def add(self, node: Node) -> bool:
        """Note a node; return False if it was visited with no more used up of anything."""
        key = (node.position, node.mask, node.state)
        earlier = self.used.get(key)
        if earlier is None:
            self.used[key] = [node.used]
            return True
        if any(self.spares(one, node.used) for one in earlier):
            return False
        earlier.append(node.used)
        return True


def _depth_first(board: Board, go_on: Callable[[int], bool]) -> Found:
    seen = _Seen(board)
    total = len(board.returns)
    nodes = deepest = 0
    stack: list[tuple[Node, bool]] = [(ROOT, False)]
    while stack:
        node, changes_tried = stack.pop()
        if changes_tried:
            stack.extend((then, False) for then in board.options(node))
            continue
        nodes += 1
        if nodes % _LOOKS_AT_BUDGET_EVERY == 0 and not go_on(nodes):
            return Found(None, board.returns[deepest][1], nodes)
        node = board.advance(node)
        if node.position == total:
            return Found(True, None, nodes)
        deepest = max(deepest, node.position)
        absorbed = board.absorb(node)
        if absorbed is None or not seen.add(absorbed[0]):
            continue
        node, settled = absorbed
        if board.optional:
            stack.append((node, True))
        stack.extend((then, False) for then in settled)
        stack.extend((then, False) for then in board.changes(node))
    return Found(False, board.returns[deepest][1], nodes)


def _breadth_first(board: Board, nodes: int, go_on: Callable[[int], bool]) -> Found:
    seen = _Seen(board)
    total = len(board.returns)
    # The running number keeps the comparison off the states, which have no order.
    queue: list[tuple[int, int, int, Node]] = []
    pushed = position = 0
    following = [ROOT]
    while True:
        for then in following:
            ahead = board.advance(then)
            if ahead.position == total:
                return Found(True, None, nodes)
            pushed += 1
            heapq.heappush(queue, (ahead.position, ahead.spent, pushed, ahead))
        if not queue:
            return Found(False, board.returns[position][1], nodes)
        following = []
        reached, _, _, node = heapq.heappop(queue)
        if reached > position:
            position = reached
            # Nothing leads back, so what lies behind need not be remembered.
            seen.used.clear()
        nodes += 1
        if nodes % _LOOKS_AT_BUDGET_EVERY == 0 and not go_on(nodes):
            return Found(None, board.returns[position][1], nodes)
        absorbed = board.absorb(node)
        if absorbed is None or not seen.add(absorbed[0]):
            continue
        node, settled = absorbed
        following = [*settled, *board.changes(node), *board.options(node)]
