"""What became of the writes, and when none was possible: pure functions over recorded operations.

``lost`` and ``twice`` come from the final reads: a key says by which revision and after how many
changes it stands as it does. What only the order of operations shows, such as an old value read, is
for the checker of histories.
"""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from raftcache.client import Record

from ..elections import Election
from ..verify.history import UNCHANGING, Operation
from .faults import Fault
from .mixed import LOCK, MIXED, TALLY
from .scenario import CUTTING

WINDOW_MS_MIN = 100.0
"""Shorter gaps between acknowledgements are no unavailability."""
UNEXPLAINED_MS_MIN = 250.0
"""Gaps that nothing explains must be this long: a busy host has short ones of its own."""
GAPS_PER_WINDOW = 10
"""Nor are gaps that are not this much longer than the load's usual ones."""
_DURING = "during: "
_CAUSE_BEFORE_MS = 1_000.0
"""A fault this long before the last acknowledgement may still be the cause of a gap."""


class Writes(msgspec.Struct, frozen=True):
    """The account of all operations that change something."""

    acknowledged: int = 0
    lost: int = 0
    """Acknowledged, and not in the store's past or present."""
    unknown: int = 0
    refused: int = 0
    """Certainly without effect: a failed condition, no leader in time."""
    twice: int = 0
    """Changes beyond all writes that can have happened."""
    unread: int = 0
    """Keys that could not be read at the end: nothing is known of them."""


class Window(msgspec.Struct, frozen=True, kw_only=True):
    """A time in which no write was acknowledged. Times count from the beginning of the load."""

    begin_s: float
    end_s: float | None
    """None: until the end of the load."""
    ms: float
    cause: str
    """What was done to the cluster, in words; "" when nothing explains it."""
    fault: int | None
    """The number of that fault."""
    elected_ms: float | None
    """From the fault to the next leader, if there was an election in between."""


def count_writes(
    operations: Iterable[Operation], found: Mapping[str, Record | None]
) -> tuple[Writes, list[str]]:
    """Return the account, and the keys of which something is lost."""
    by_key: defaultdict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        if operation.op not in UNCHANGING:
            by_key[str(operation.key)].append(operation)
    total = Writes()
    losing = []
    for key, writes in by_key.items():
        if key.partition("/")[0] in {MIXED, TALLY, LOCK, ""}:
            # What ends by itself, or is changed with others, is for the checker to judge.
            one = Writes(*_outcomes(writes))
        else:
            one = _count_key(writes, found[key]) if key in found else _unread(writes)
        if one.lost:
            losing.append(key)
        total = Writes(*(getattr(total, name) + getattr(one, name) for name in _COUNTS))
    return total, losing


_COUNTS = Writes.__struct_fields__


def _unread(writes: Sequence[Operation]) -> Writes:
    return Writes(*_outcomes(writes), unread=1)


def _outcomes(writes: Sequence[Operation]) -> tuple[int, int, int, int]:
    """Return the first four counts, none lost."""
    outcomes = [write.outcome for write in writes]
    return outcomes.count("ok"), 0, outcomes.count("unknown"), outcomes.count("failed")


def _count_key(writes: Sequence[Operation], record: Record | None) -> Writes:
    acknowledged, _, unknown, refused = _outcomes(writes)
    changes = 0 if record is None else record.key_version
    lost = twice = 0
    if any(write.op == "delete" and write.outcome != "failed" for write in writes):
        # A delete begins the count anew, and may have taken what was written before: but not
        # what was answered a later revision than the key's own, unless it is the delete's doing.
        if record is not None:
            lost = _later(writes, record.mod_rev)
    else:
        lost = max(0, acknowledged - changes)
        twice = max(0, changes - acknowledged - unknown)
        if record is not None:
            lost = max(lost, _later(writes, record.mod_rev))
    return Writes(acknowledged, lost, unknown, refused, twice)


def _later(writes: Sequence[Operation], mod_rev: int) -> int:
    return sum(
        1 for write in writes if write.outcome == "ok" and (write.result.mod_rev or 0) > mod_rev
    )


def find_windows(
    operations: Iterable[Operation],
    faults: Sequence[Fault],
    elections: Sequence[Election],
    *,
    began_ms: float,
    ended_ms: float,
) -> list[Window]:
    """Return every time in which no write was acknowledged, with what caused it.

    Times given are CLOCK_MONOTONIC, in milliseconds: the load's first and last moment.
    """
    times = sorted(
        operation.return_ns / 1e6
        for operation in operations
        if operation.op != "get" and operation.outcome == "ok" and operation.return_ns is not None
    )
    times = [began_ms, *(moment for moment in times if moment < ended_ms), ended_ms]
    gaps = sorted(after - before for before, after in itertools.pairwise(times))
    usual_ms = gaps[len(gaps) // 2] if len(gaps) > GAPS_PER_WINDOW else 0.0
    least_ms = max(WINDOW_MS_MIN, usual_ms * GAPS_PER_WINDOW)
    windows = []
    for before, after in itertools.pairwise(times):
        if after - before < least_ms:
            continue
        fault, moment_ms, cause = _cause(faults, before, after)
        explained = fault is not None and not cause.startswith(_DURING)
        if not explained and after - before < UNEXPLAINED_MS_MIN:
            continue
        since_ms = max(before, moment_ms)
        won = [one.won_ms for one in elections if since_ms <= one.won_ms <= after + WINDOW_MS_MIN]
        windows.append(
            Window(
                begin_s=round((before - began_ms) / 1_000, 3),
                end_s=None if after >= ended_ms else round((after - began_ms) / 1_000, 3),
                ms=round(after - before, 1),
                cause=cause,
                fault=None if fault is None else fault.number,
                elected_ms=round(min(won) - moment_ms, 1) if fault is not None and won else None,
            )
        )
    return windows


def _cause(
    faults: Sequence[Fault], begin_ms: float, end_ms: float
) -> tuple[Fault | None, float, str]:
    """Return the fault that a gap is laid to: the blow nearest to its beginning, else an undo.

    Where neither is near, it is one that was in force on the links all the while.
    """
    fell = [fault for fault in faults if not fault.skipped]
    blows = [(fault.at_ms, fault, describe(fault)) for fault in fell]
    undos = [
        (fault.undone_ms, fault, f"the end of: {describe(fault)}")
        for fault in fell
        if fault.undone_ms is not None
    ]
    lasting = [
        (begin_ms, fault, f"{_DURING}{describe(fault)}")
        for fault in fell
        if fault.action in CUTTING and fault.at_ms < begin_ms < (fault.undone_ms or float("inf"))
    ]
    for moments in (blows, undos, lasting):
        near = [
            (abs(at_ms - begin_ms), fault.number, at_ms, fault, words)
            for at_ms, fault, words in moments
            if begin_ms - _CAUSE_BEFORE_MS <= at_ms <= end_ms
        ]
        if near:
            _, _, at_ms, fault, words = min(near, key=lambda item: item[:2])
            return fault, at_ms, words
    return None, begin_ms, ""


def describe(fault: Fault) -> str:
    """Return a fault in words: what was done, to whom, and who that was."""
    targets = ", ".join(fault.targets) or "nobody"
    led = fault.leader if fault.leader in fault.targets else None
    role = ""
    if led is not None:
        who = "the leader" if len(fault.targets) == 1 else f"{led} the leader"
        role = f" ({who} of term {fault.term})"
    if fault.action == "link":
        return f"link {fault.words}"
    if fault.words:
        return f"{fault.action} {fault.words}{role}"
    return f"{fault.action} {targets}{role}"


def healed_of(fault: Fault) -> str:
    """Return what the end of a fault of links makes whole."""
    if fault.action == "isolate":
        return f"the links of {', '.join(fault.targets)}"
    return fault.words.partition(":")[0]
