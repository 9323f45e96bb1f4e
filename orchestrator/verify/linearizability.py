"""Is a history linearizable: did every operation seem to happen at one instant of its own?

Linearizability is local: a history has an explanation if the operations on each key have one. So
each key is searched on its own, those with few operations first, so that one that is hopeless takes
the time from no other. A search that runs out of its budget gives the verdict ``unknown``, never a
guess.
"""

import enum
import time
from collections.abc import Callable, Iterable, Sequence

import msgspec

from .evidence import Evidence
from .history import EARLY_MS, Operation, Text
from .moves import moves_of
from .projection import by_key
from .revisions import Breach, find_breaches
from .search import search

SECONDS_MAX = 60.0
NODES_MAX = 2_000_000
"""Of one key's search; it may hold about 300 bytes for each."""


class Verdict(enum.Enum):
    """Of a key, or of a history."""

    VALID = "valid"
    INVALID = "invalid"
    UNKNOWN = "unknown"
    """The budget ended before the search."""


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """How much a check may cost. Too small: verdicts become ``unknown``."""

    seconds: float = SECONDS_MAX
    """For all keys together."""
    nodes: int = NODES_MAX
    """For each key."""
    clock: Callable[[], float] = time.monotonic
    """Seconds; tests put their own in."""


DEFAULT_BUDGET = Budget()


class KeyCheck(msgspec.Struct, frozen=True):
    """What came out for one key."""

    key: Text
    verdict: Verdict
    operations: tuple[Operation, ...]
    """All of the key's, in the order of the history."""
    stuck_ns: int
    """Of an invalid key: the time of an answer that no order got past."""
    nodes: int


class Check(msgspec.Struct, frozen=True):
    """What came out for a history."""

    verdict: Verdict
    keys: int
    operations: int
    faults: tuple[KeyCheck, ...]
    """The keys that are not valid: the invalid ones, then the unknown ones."""
    nodes: int
    breaches: tuple[Breach, ...] = ()
    """What contradicts each other over several keys."""


def check(
    operations: Iterable[Operation], budget: Budget = DEFAULT_BUDGET, *, early_ms: int = EARLY_MS
) -> Check:
    """Judge a history. Every key is taken to be missing when it begins.

    ``early_ms``: by so much less than its time whatever has one may live.
    """
    all_of_them = list(operations)
    keys = by_key(all_of_them, early_ms)
    deadline = budget.clock() + budget.seconds
    faults = []
    nodes = 0
    for key, of_key in sorted(keys.items(), key=lambda item: len(item[1])):
        checked = check_key(key, of_key, budget, deadline)
        nodes += checked.nodes
        if checked.verdict is not Verdict.VALID:
            faults.append(checked)
    faults.sort(key=lambda fault: fault.verdict is Verdict.UNKNOWN)
    breaches = find_breaches(all_of_them, early_ms)
    verdict = faults[0].verdict if faults else Verdict.VALID
    return Check(
        Verdict.INVALID if breaches else verdict,
        len(keys),
        len(all_of_them),
        tuple(faults),
        nodes,
        breaches,
    )


def check_key(
    key: Text,
    operations: Sequence[Operation],
    budget: Budget = DEFAULT_BUDGET,
    deadline: float | None = None,
) -> KeyCheck:
    """Judge the operations of one key."""
    until = budget.clock() + budget.seconds if deadline is None else deadline

    def go_on(nodes: int) -> bool:
        return nodes < budget.nodes and budget.clock() < until

    if budget.clock() >= until:
        return KeyCheck(key, Verdict.UNKNOWN, tuple(operations), 0, 0)
    evidence = Evidence(operations, go_on)
    found = search(moves_of(operations), go_on, evidence.contradicts)
    if found.explained is None:
        verdict = Verdict.UNKNOWN
    else:
        verdict = Verdict.VALID if found.explained else Verdict.INVALID
    return KeyCheck(key, verdict, tuple(operations), found.stuck_ns, found.nodes)
