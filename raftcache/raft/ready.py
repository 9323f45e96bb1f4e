"""What the core hands out, and what its caller keeps for it: values, no rules."""

from collections.abc import Sequence
from typing import Any

import msgspec

from .configuration import Configuration
from .messages import Message
from .types import Entry, HardState, Index, Term


class PersistMark(msgspec.Struct, frozen=True, gc=False):
    """What one ``Ready`` asked the disk to keep; given back to ``advance`` once it does."""

    hard_state: HardState
    last_index: Index
    last_term: Term


class Ready(msgspec.Struct, frozen=True):
    """What the caller has to do now; see ``core`` for the order.

    ``base``: the log on disk begins anew behind this index and term, in the same unit as
    ``entries``; None: it goes on. ``hard_state`` is None when it did not change. ``mark`` is None
    when there is nothing to persist. ``reads_released`` holds (index to be applied first,
    contexts).
    """

    base: tuple[Index, Term] | None
    hard_state: HardState | None
    entries: list[Entry]
    mark: PersistMark | None
    messages: list[Message]
    after_persist: list[Message]
    committed: Sequence[Entry]
    reads_released: list[tuple[Index, list[Any]]]
    reads_refused: list[Any]


class SnapshotPosition(msgspec.Struct, frozen=True, gc=False):
    """Where a snapshot stands in the log, and who took part there (Figure 13).

    ``is_lost``: the log begins behind it, and it is damaged: a leader must send another one.
    """

    last_included_index: Index
    last_included_term: Term
    configuration: Configuration
    is_lost: bool = False
