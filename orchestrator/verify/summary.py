"""What can be counted in a history: what was answered, what was lost, and when nothing was.

The counts explain a run; the verdict is ``linearizability``'s. ``lost`` counts only what the last
read of a key proves, so it is never too high. It is 0 in every linearizable history.
"""

import itertools
from collections.abc import Iterable, Sequence

import msgspec

from .history import UNCHANGING, History, Operation, number
from .projection import by_key

WINDOWS = 5
"""How many of the longest windows are told."""


class Window(msgspec.Struct, frozen=True):
    """A time in which no operation was acknowledged, from one acknowledgement to the next."""

    start_ns: int
    """Since the load began."""
    end_ns: int

    @property
    def length_ns(self) -> int:
        """Its length."""
        return self.end_ns - self.start_ns


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What a history holds."""

    operations: int
    clients: int
    keys: int
    acknowledged: int
    """Answered ok, reads too."""
    acknowledged_writes: int
    lost: int
    """Acknowledged writes that the last read of their key proves to be gone."""
    unknown: int
    """Nobody knows what became of them: changes, and reads that were given up."""
    failed: int
    """Refused, certainly without effect."""
    errors: dict[str, int]
    """How many had which error, unknown ones too; by code."""
    duration_ns: int
    windows: tuple[Window, ...]
    """The longest first."""
    write_windows: tuple[Window, ...]
    """The same, with only writes looked at."""


def summarize(history: History) -> Summary:
    """Count what there is to count."""
    operations = history.operations
    start_ns = history.start_ns
    end_ns = max((o.return_ns or o.call_ns for o in operations), default=start_ns)
    ok = [o for o in operations if o.outcome == "ok"]
    writes = [o for o in ok if o.op not in UNCHANGING]
    errors: dict[str, int] = {}
    for operation in operations:
        if operation.error is not None:
            errors[operation.error] = errors.get(operation.error, 0) + 1
    return Summary(
        operations=len(operations),
        clients=len({o.client for o in operations}),
        keys=len({o.key for o in operations if o.key}),
        acknowledged=len(ok),
        acknowledged_writes=len(writes),
        lost=_lost(operations),
        unknown=sum(o.outcome == "unknown" for o in operations),
        failed=sum(o.outcome == "failed" for o in operations),
        errors=dict(sorted(errors.items())),
        duration_ns=end_ns - start_ns,
        windows=_windows(ok, start_ns, end_ns),
        write_windows=_windows(writes, start_ns, end_ns),
    )


def _windows(answered: Iterable[Operation], start_ns: int, end_ns: int) -> tuple[Window, ...]:
    """Return the longest gaps, those before the first and after the last answer among them."""
    edges = sorted({start_ns, end_ns, *(o.return_ns for o in answered if o.return_ns is not None)})
    gaps = [
        Window(before - start_ns, after - start_ns) for before, after in itertools.pairwise(edges)
    ]
    gaps.sort(key=lambda gap: (-gap.length_ns, gap.start_ns))
    return tuple(gaps[:WINDOWS])


def _lost(operations: Sequence[Operation]) -> int:
    return sum(map(_lost_of_key, by_key(operations).values()))


def _lost_of_key(operations: Sequence[Operation]) -> int:
    """Count the acknowledged writes that the last read should have shown, or something newer."""
    reads = [o for o in operations if o.op == "get" and o.outcome == "ok"]
    if not reads:
        return 0
    last = max(reads, key=lambda o: o.call_ns)
    writes = [
        o
        for o in operations
        if o.outcome == "ok" and o.op in {"set", "incr"} and (o.return_ns or 0) < last.call_ns
    ]
    if not last.result.found:
        deletes = [o for o in operations if o.op in {"delete", "txn"} and o.mutates]
        return sum(not any(_may_follow(d, write) for d in deletes) for write in writes)
    seen = last.result.mod_rev
    if seen is not None:
        newer = sum((w.result.mod_rev or 0) > seen for w in writes)
        if newer:
            return newer
    return _lost_increments(operations, writes, number(last.result.value))


def _may_follow(delete: Operation, write: Operation) -> bool:
    """Whether a delete may have had its effect after a write had."""
    return (
        delete.outcome == "unknown" or delete.return_ns is None or delete.return_ns >= write.call_ns
    )


def _lost_increments(
    operations: Sequence[Operation], writes: Sequence[Operation], total: int | None
) -> int:
    """Count increments that are missing in the sum, for a key that is only ever added to."""
    changes = [o for o in operations if o.mutates]
    if total is None or any(o.op != "incr" or o.args.by <= 0 for o in changes):
        return 0
    missing = sum(o.args.by for o in writes) - total
    lost = 0
    for by in sorted((o.args.by for o in writes), reverse=True):
        if missing <= 0:
            break
        missing -= by
        lost += 1
    return lost
