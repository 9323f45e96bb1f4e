"""Room for what is new: the leader lets keys go, in the same entry, ahead of the write (§2).

Rules of this file:

- What goes is decided here, by estimates of use that only this leader has; that it goes is a
  command in the log, ``Evict(key, mod_rev)``, of no effect on a key that was written since. So all
  servers let go the same keys at the same place, and no server's own limit is part of the state.
- A few keys are drawn and the one that was not used for the longest goes, as Redis does it: that
  costs the same however many there are.
- Keys that are bound to a session never go. Where nothing may go a write that needs room is refused
  with ``over_quota``; what needs none (reads, deletes, shorter values) passes.
- Entries on their way are counted as they will probably be. What was estimated wrongly shows once
  they are applied, and the next write makes good for it.
"""

from collections import deque
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any, Final

from ..raft.types import Index, Term
from ..store.commands import (
    Batch,
    Command,
    Evict,
    Fenced,
    Incr,
    IncrExpiring,
    Once,
    OnceRun,
    Set,
    SetExpiring,
    SetFully,
    Txn,
)
from ..store.machine import StateMachine
from .pending import Pending
from .recency import Recency

if TYPE_CHECKING:
    from .server import Server

EVICTING_VERSION: Final = 3
"""The first version of commands that can let keys go."""
DRAWN: Final = 5
"""How many keys are drawn for each that goes."""
LOOKED_AT_MAX: Final = 256
"""How many neighbours are looked at where what was drawn may not go."""
EVICTIONS_MAX: Final = 4_000
"""How many keys go in one entry; after a limit was lowered, the rest goes with the next ones."""
_NUMBER_BYTES: Final = 20


@dataclass(slots=True)
class Plan:
    """What one entry will probably do."""

    added: int = 0
    """How many bytes it adds; less than 0: it frees some."""
    going: dict[bytes, int] = field(default_factory=dict)
    """The keys that it lets go, and the revision that they are at."""

    def spare(self, victims: list[Evict]) -> None:
        """Let these keys stay after all."""
        for victim in victims:
            del self.going[victim.key]


class Room:
    """Makes room in what is about to be proposed."""

    def __init__(self, server: "Server", recency: Recency) -> None:
        self._server = server
        self._recency = recency
        self._random = Random(server.server_id)
        self._on_their_way: deque[tuple[Index, Plan]] = deque()
        """Entries that are not applied yet."""
        self._term: Term = 0
        self._entry = Plan()
        """What the entry that is made now will do."""

    @property
    def is_wanted(self) -> bool:
        """Tell whether recency matters: half of the room is used up."""
        return self._server.store.data_bytes * 2 > self._server.limits.cache_bytes

    def make(
        self, requests: list[Pending]
    ) -> tuple[list[Command], list[Pending], list[Pending | None]]:
        """Return an entry's commands, the requests among them, and whose each command is.

        Requests that have no room are answered here, and left out.
        """
        commands: list[Any] = [pending.request.command for pending in requests]
        store = self._server.store
        self._entry = Plan()
        # Before version 3 no command can let a key go, and there is no limit.
        if not self.is_wanted or store.command_version < EVICTING_VERSION:
            return commands, requests, list(requests)
        self._look_back(store)
        left = self._server.limits.cache_bytes - store.data_bytes
        left -= sum([plan.added for _, plan in self._on_their_way])
        written: set[bytes] = set()
        for command in commands:
            _add_keys(command, written)
        made: list[Command] = []
        slots: list[Pending | None] = []
        for pending, command in zip(requests, commands, strict=True):
            growth = growth_of(command, store)
            if growth > left and growth > 0:
                victims, freed = self._victims(growth - left, written)
                # More is let go than comes in: then it may come, though there is still too much.
                if growth > left + freed and freed < growth:
                    self._entry.spare(victims)
                    self._refuse(pending)
                    continue
                left += freed
                self._entry.added -= freed
                made += victims
                slots += [None] * len(victims)
            left -= growth
            self._entry.added += growth
            made.append(command)
            slots.append(pending)
        return made, [pending for pending in slots if pending is not None], slots

    def on_proposed(self, index: Index) -> None:
        """Note the index of the entry that was made last."""
        if self._entry.added or self._entry.going:
            self._on_their_way.append((index, self._entry))

    def _look_back(self, store: StateMachine) -> None:
        """Forget what is applied, or was another term's."""
        term = self._server.raft.current_term
        if term != self._term:
            self._term = term
            self._on_their_way.clear()
        while self._on_their_way and self._on_their_way[0][0] <= store.last_applied:
            self._on_their_way.popleft()

    def _victims(self, bytes_min: int, written: set[bytes]) -> tuple[list[Evict], int]:
        """Return who goes so that so many bytes get free, or fewer; and what all weigh.

        What this entry writes stays: a condition on it must not fail for that.
        """
        store, going = self._server.store, self._entry.going
        found: list[Evict] = []
        freed = 0
        while freed < bytes_min and len(going) < EVICTIONS_MAX:
            drawn = self._draw(store, written)
            if drawn is None:
                break
            key, mod_rev, weight = drawn
            going[key] = mod_rev
            found.append(Evict(key, mod_rev))
            freed += weight
        return found, freed

    def _draw(self, store: StateMachine, written: set[bytes]) -> tuple[bytes, int, int] | None:
        """Return the key, of a few, that was not used for the longest; None: none may go."""
        eviction = self._server.limits.eviction
        timed = eviction == "volatile-lru"
        count = 0 if eviction == "none" else store.how_many(timed=timed)
        if not count:
            return None
        best: tuple[int, bytes, int, int] | None = None
        randrange = self._random.randrange
        positions = [randrange(count) for _ in range(DRAWN)]
        for number in range(min(count, LOOKED_AT_MAX)):
            if number >= DRAWN and best is not None:
                break
            position = positions[number] if number < DRAWN else (positions[0] + number) % count
            key, record = store.nth(position, timed=timed)
            if record.session or key in written or self._is_going(key, record.mod_rev):
                continue
            used = self._recency.of(key, record)
            if best is None or used < best[0]:
                weight = store.weigh(key, len(record.value), timed=bool(record.deadline_ms))
                best = (used, key, record.mod_rev, weight)
        return None if best is None else best[1:]

    def _is_going(self, key: bytes, mod_rev: int) -> bool:
        if self._entry.going.get(key) == mod_rev:
            return True
        return any(plan.going.get(key) == mod_rev for _, plan in self._on_their_way)

    def _refuse(self, pending: Pending) -> None:
        server = self._server
        server.answers.refuse(
            pending,
            "over_quota",
            f"the cache is full (cache.max_bytes: {server.limits.cache_bytes}), and nothing may go "
            f"(cache.eviction: {server.limits.eviction}): delete keys, let keys expire, or give it "
            "more",
        )


def growth_of(command: Any, store: StateMachine) -> int:
    """Return how many bytes a command will add, if it succeeds; less than 0: it frees some.

    Of keys that several commands write it counts the first as often: too much, never too little.
    """
    kind = type(command)
    if kind in _SETS:
        timed = kind is not Set and command.ttl_ms is not None
        return _growth(store, command.key, len(command.value), timed=timed)
    if kind is Incr or kind is IncrExpiring:
        record = store.find(command.key)
        timed = kind is IncrExpiring if record is None else bool(record.deadline_ms)
        return _growth(store, command.key, _NUMBER_BYTES, timed=timed)
    if kind is Once or kind is Fenced:
        return growth_of(command.op, store)
    if kind is Batch or kind is OnceRun:
        return sum([max(0, growth_of(op, store)) for op in command.ops])
    if kind is Txn:
        branches = (command.then, command.otherwise)
        return max(sum([max(0, growth_of(op, store)) for op in branch]) for branch in branches)
    return 0


def _add_keys(command: Any, keys: set[bytes]) -> None:
    """Note which keys a command writes, or has a condition on."""
    kind = type(command)
    if kind is Batch or kind is OnceRun:
        for op in command.ops:
            _add_keys(op, keys)
    elif kind is Txn:
        keys.update(compare.key for compare in command.compares)
        for op in (*command.then, *command.otherwise):
            _add_keys(op, keys)
    elif kind is Once or kind is Fenced:
        _add_keys(command.op, keys)
    if hasattr(command, "key"):
        keys.add(command.key)


_SETS: Final = frozenset({Set, SetExpiring, SetFully})


def _growth(store: StateMachine, key: bytes, value_bytes: int, *, timed: bool) -> int:
    growth = store.weigh(key, value_bytes, timed=timed)
    record = store.find(key)
    if record is not None:
        growth -= store.weigh(key, len(record.value), timed=bool(record.deadline_ms))
    return growth
