"""Look for an order of one key's operations that explains every answer (Wing-Gong-Lowe).

Operations are linearized just in time (``board``). A node, that is how many returns are passed,
which open operations are linearized, and the state, is visited once; unless it is reached again
with fewer optional moves used up, which leaves more to do with. Depth first, on a stack of its own.

Where there is an explanation, the first guesses mostly lead to it. If they go astray too often, the
search begins again as if no optional move were ever used up, so that a node really is visited once.
That allows more than the history does: if even so there is no explanation, there is none. One that
is found is checked against what there was to use; if it overdrew, which is rare, the search is made
once more with exact accounts, however long.
"""

from collections.abc import Callable

import msgspec

from .board import ROOT, Board, Node
from .models import State
from .moves import Moves

_LOOKS_AT_BUDGET_EVERY = 1024
_FIRST_GUESSES = 2_000
_FIRST_GUESSES_PER_MOVE = 4
_DOUBTS_AFTER = 10_000
"""Nodes without headway, after which the search asks for the evidence; then twice as many."""


class Found(msgspec.Struct, frozen=True):
    """What the search came to."""

    explained: bool | None
    """None: the budget ended first."""
    stuck_ns: int
    """If there is none: when something returned that no order got past. Answers given later may
    have a part in that, as their revisions say what came before."""
    nodes: int
    """How many were visited."""


def search(
    moves: Moves,
    go_on: Callable[[int], bool],
    contradicts: Callable[[int], bool] | None = None,
) -> Found:
    """Look for an explanation.

    Args:
        moves: of one key.
        go_on: asked now and then, with the number of nodes so far, whether the budget lasts.
        contradicts: asked when the search makes no headway, with the time of a return that no
            order got past so far, whether it is known by other means that there is no explanation.
    """
    patience = _FIRST_GUESSES + _FIRST_GUESSES_PER_MOVE * len(moves.required)
    exact = Board(moves, generous=False)
    ask = contradicts or _knows_nothing
    found, _ = _Search(exact, lambda nodes: nodes < patience and go_on(nodes), ask).run()
    if found.explained is not None:
        return found
    found, overdrawn = _Search(Board(moves, generous=True), go_on, ask, found.nodes).run()
    if not overdrawn:
        return found
    return _Search(exact, go_on, ask, found.nodes).run()[0]


def _knows_nothing(_stuck_ns: int) -> bool:
    return False


class _Search:
    def __init__(
        self,
        board: Board,
        go_on: Callable[[int], bool],
        contradicts: Callable[[int], bool],
        nodes: int = 0,
    ) -> None:
        self.board = board
        self.go_on = go_on
        self.contradicts = contradicts
        self.nodes = nodes
        self._asked = self._ask_from = 0
        self._ask_after = _DOUBTS_AFTER
        self.seen: dict[tuple[int, int, State], list[int]] = {}

    def run(self) -> tuple[Found, bool]:
        """Visit nodes until one has passed all returns, or none is left.

        Returns:
            What was found, and whether that used more than there was.
        """
        board = self.board
        total = len(board.returns)
        deepest = 0
        stack: list[tuple[Node, bool]] = [(ROOT, False)]
        while stack:
            node, changes_tried = stack.pop()
            if changes_tried:
                stack.extend((then, False) for then in board.options(node))
                continue
            self.nodes += 1
            if self.nodes % _LOOKS_AT_BUDGET_EVERY == 0:
                if not self.go_on(self.nodes):
                    return Found(None, 0, self.nodes), False
                if self._is_hopeless(deepest):
                    break
            node = board.advance(node)
            if node.position == total:
                return Found(True, 0, self.nodes), node.overdrawn
            deepest = max(deepest, node.position)
            absorbed = board.absorb(node)
            if isinstance(absorbed, int):
                deepest = max(deepest, absorbed)
                continue
            if not self._is_new(absorbed[0]):
                continue
            node, settled = absorbed
            if board.has_options:
                stack.append((node, True))
            stack.extend((then, False) for then in settled)
            stack.extend((then, False) for then in board.changes(node))
        return Found(False, board.returns[deepest][1].return_ns, self.nodes), False

    def _is_hopeless(self, deepest: int) -> bool:
        """Ask, where there was no headway for long, whether there can be none."""
        if deepest > self._asked:
            self._asked, self._ask_from, self._ask_after = deepest, self.nodes, _DOUBTS_AFTER
        elif self.nodes - self._ask_from >= self._ask_after and self.board.returns:
            self._ask_from = self.nodes
            self._ask_after *= 2
            return self.contradicts(self.board.returns[deepest][1].return_ns)
        return False

    def _is_new(self, node: Node) -> bool:
        """Note a node; return False if it was visited with no more used up of anything."""
        key = (node.position, node.mask, node.state)
        earlier = self.seen.get(key)
        if earlier is None:
            self.seen[key] = [node.used]
            return True
        if any(self.board.spares(one, node.used) for one in earlier):
            return False
        earlier.append(node.used)
        return True
