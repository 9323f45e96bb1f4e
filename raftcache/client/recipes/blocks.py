"""Who is inside which ``with`` block of a lock or semaphore: each thread, or task, its own.

One object may be shared by all threads or tasks of a program; each of them gives back the place
that it took itself, whoever came last.
"""

import weakref
from typing import Any, Final

import msgspec

from .queue import Held, Queue


class _Block(msgspec.Struct, frozen=True):
    """A block that was entered by ``owner`` (a thread or task) through the recipe ``made``."""

    owner: Any
    made: object
    held: Held


class Blocks:
    """The blocks of one client and one name that are entered now, in order."""

    def __init__(self) -> None:
        self._entered: list[_Block] = []

    def check_enter(self, queue: Queue, owner: Any) -> None:
        """Refuse a wait that could never end, for the one who waits is the one who holds.

        Raises:
            RuntimeError: ``owner`` has the only place, in a block of his own.
        """
        if queue.places == 1 and any(
            block.owner == owner and not block.held.lost for block in [*self._entered]
        ):
            raise RuntimeError(
                f"{queue.name!r} is held by this very thread or task, in a `with` block around this"
                " one: it would wait for itself for ever (nothing here is reentrant)"
            )

    def enter(self, owner: Any, made: object, held: Held) -> None:
        """Note that ``owner`` has entered a block."""
        self._entered.append(_Block(owner, made, held))

    def leave(self, owner: Any, made: object) -> Held:
        """Return the place of the block that ``owner`` leaves: the last that he entered.

        A block may be left by another task than entered it, as in fixtures of tests; then it is the
        last one of this recipe.
        """
        mine = [block for block in self._entered if block.made is made]
        block = next((one for one in reversed(mine) if one.owner == owner), mine[-1])
        self._entered.remove(block)
        return block.held


_by_client: Final[weakref.WeakKeyDictionary[object, dict[bytes, Blocks]]] = (
    weakref.WeakKeyDictionary()
)


def blocks_of(client: object, queue: Queue) -> Blocks:
    """Return the blocks of a name, the same for all recipes that a client makes of it."""
    return _by_client.setdefault(client, {}).setdefault(queue.prefix, Blocks())
