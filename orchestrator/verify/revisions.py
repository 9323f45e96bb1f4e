"""What contradicts over several keys: by revisions, which order all changes of the whole store.

The search looks at one key after the other. That a transaction took effect at one moment in all of
its keys, that a fence held at that moment, and that sessions had their time, shows here. Nothing is
searched: answers tell revisions and times, and what nobody was told is not guessed at. So each
sentence names two or three answers of which one is wrong.
"""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import islice, pairwise

import msgspec

from .history import UNCHANGING, Operation, Text
from .lifetimes import MS, Lifetimes
from .projection import revision_of

BREACHES_MAX = 20


class Breach(msgspec.Struct, frozen=True):
    """Answers that contradict each other."""

    key: Text
    sentence: str
    operations: tuple[Operation, ...]


class _Change(msgspec.Struct, frozen=True):
    """A change of some keys that was answered with its revision."""

    revision: int
    operation: Operation


def find_breaches(operations: Sequence[Operation], early_ms: int) -> tuple[Breach, ...]:
    """Return what contradicts, the first few."""
    return tuple(islice(_breaches(operations, early_ms), BREACHES_MAX))


def _breaches(operations: Sequence[Operation], early_ms: int) -> Iterator[Breach]:
    changes = sorted(_changes(operations), key=lambda change: change.revision)
    yield from _shared(changes)
    yield from _out_of_order(changes)
    if any(operation.op == "txn" for operation in operations):
        yield from _torn(operations, _by_key(changes))
    if any(operation.args.fence is not None for operation in operations):
        yield from _unfenced(operations)
    yield from _sessions(operations, early_ms)


def _changes(operations: Sequence[Operation]) -> Iterator[_Change]:
    for operation in operations:
        if operation.outcome != "ok" or operation.op in UNCHANGING:
            continue
        result = operation.result
        revision = result.mod_rev or revision_of(result.results)
        if revision:
            yield _Change(revision, operation)


def _shared(changes: Sequence[_Change]) -> Iterator[Breach]:
    """Each revision is one operation's; all that a transaction changes has one."""
    for before, change in pairwise(changes):
        if before.revision == change.revision:
            yield _breach(
                f"two operations were told the same revision, {change.revision}",
                before.operation,
                change.operation,
            )
    for change in changes:
        told = {
            one.mod_rev
            for one in change.operation.result.results
            if one.found is None and one.mod_rev
        }
        if len(told) > 1:
            yield _breach(
                f"one transaction changed keys at several revisions, {sorted(told)}",
                change.operation,
            )


def _out_of_order(changes: Sequence[_Change]) -> Iterator[Breach]:
    """What was answered before another was sent has the lower revision."""
    first: _Change | None = None
    for change in reversed(changes):
        if first is not None and _returned(first.operation) < change.operation.call_ns:
            yield _breach(
                f"revision {first.revision} was told before the change was sent that was given "
                f"revision {change.revision}",
                first.operation,
                change.operation,
            )
        if first is None or _returned(change.operation) < _returned(first.operation):
            first = change


def _by_key(changes: Sequence[_Change]) -> dict[Text, list[_Change]]:
    """Return the changes of each key, in the order of their revisions."""
    found: dict[Text, list[_Change]] = {}
    for change in changes:
        operation = change.operation
        if operation.op != "txn":
            found.setdefault(operation.key, []).append(change)
            continue
        args = operation.args
        branch = args.then if operation.result.succeeded else args.otherwise
        for key in {part.key: None for part in branch if part.op in {"set", "incr"}}:
            found.setdefault(key, []).append(change)
    return found


def _torn(operations: Sequence[Operation], known: dict[Text, list[_Change]]) -> Iterator[Breach]:
    """A transaction saw all of its keys at one moment: no change to one came before its other."""
    for operation in operations:
        if operation.op != "txn" or operation.outcome != "ok":
            continue
        seen = dict(_seen(operation))
        own = revision_of(operation.result.results)
        moment = max([*seen.values(), (own or 1) - 1], default=0)
        for key, revision in seen.items():
            newer = _next(known.get(key, []), revision)
            if newer is not None and newer.revision <= moment:
                yield _breach(
                    f"a transaction at revision {moment} or later saw revision {revision} of a "
                    f"key that had been changed at revision {newer.revision}",
                    newer.operation,
                    operation,
                    key=key,
                )
        if own is not None and any(revision >= own for revision in seen.values()):
            yield _breach(f"a transaction of revision {own} saw what came after it", operation)


def _seen(operation: Operation) -> Iterator[tuple[Text, int]]:
    """Yield the revisions that a transaction saw before its own changes, by their keys."""
    args, result = operation.args, operation.result
    branch = args.then if result.succeeded else args.otherwise
    changed: set[Text] = set()
    for part, told in zip(branch, result.results, strict=True):
        if part.op == "get" and told.found and told.mod_rev and part.key not in changed:
            yield part.key, told.mod_rev
        elif part.op not in UNCHANGING:
            changed.add(part.key)
    for compare in args.compare if result.succeeded else ():
        if compare.field == "mod_rev" and compare.cmp == "=" and compare.to:
            yield compare.key, int(compare.to)  # type: ignore[arg-type]  # a number


def _next(changes: Sequence[_Change], revision: int) -> _Change | None:
    """Return the first change behind a revision."""
    position = bisect_right(changes, revision, key=lambda change: change.revision)
    return changes[position] if position < len(changes) else None


def _unfenced(operations: Sequence[Operation]) -> Iterator[Breach]:
    """No write behind a fence came when its key had been created anew."""
    created: dict[Text, list[_Change]] = {}
    for operation in operations:
        for key, revision in _creations(operation):
            created.setdefault(key, []).append(_Change(revision, operation))
    for of_key in created.values():
        of_key.sort(key=lambda change: change.revision)
    for operation in operations:
        fence = operation.args.fence
        if fence is None or operation.outcome != "ok":
            continue
        moment = operation.result.mod_rev or revision_of(operation.result.results)
        if moment is None:
            continue
        newer = _next(created.get(fence.key, []), fence.create_rev)
        if moment <= fence.create_rev:
            yield _breach(
                f"a write of revision {moment} was done behind a fence that was created later, at "
                f"{fence.create_rev}",
                operation,
            )
        elif newer is not None and newer.revision < moment:
            yield _breach(
                f"a write of revision {moment} was done behind a fence of {fence.create_rev}, "
                f"though its key was created anew at {newer.revision}",
                newer.operation,
                operation,
            )


def _creations(operation: Operation) -> Iterator[tuple[Text, int]]:
    """Yield at which revisions an answer says that keys were created."""
    if operation.outcome != "ok":
        return
    result, args = operation.result, operation.args
    pairs = [(operation.op, operation.key, result)]
    if operation.op == "txn":
        branch = args.then if result.succeeded else args.otherwise
        pairs = [
            (part.op, part.key, told) for part, told in zip(branch, result.results, strict=True)
        ]
    for op, key, told in pairs:
        if op == "set" and told.created and told.mod_rev:
            yield key, told.mod_rev
        elif op == "get" and told.found and told.create_rev:
            yield key, told.create_rev


def _sessions(operations: Sequence[Operation], early_ms: int) -> Iterator[Breach]:
    """Sessions have their time, end once, and none has the number of another."""
    lifetimes = Lifetimes(early_ms)
    for operation in operations:
        lifetimes.note_session(operation)
    for number, session in sorted(lifetimes.sessions.items()):
        if len(session.opened) > 1:
            yield _breach(f"two sessions have the number {number}", *session.opened[:2])
        end_ns = session.end_ns(early_ms * MS)
        for gone in session.gone:
            closed = any(one.call_ns <= _returned(gone) for one in session.closes)
            if end_ns is not None and not closed and _returned(gone) < end_ns:
                left_ms = (end_ns - _returned(gone)) // MS
                yield _breach(
                    f"session {number} had ended at least {left_ms} ms before its time", gone
                )
        ended = [*session.gone, *(one for one in session.closes if one.outcome == "ok")]
        ended_ns = min(map(_returned, ended), default=None)
        for kept in session.kept:
            if ended_ns is not None and kept.call_ns > ended_ns:
                yield _breach(f"session {number} was kept alive after its end", kept)


def _returned(operation: Operation) -> int:
    return operation.call_ns if operation.return_ns is None else operation.return_ns


def _breach(sentence: str, *operations: Operation, key: Text | None = None) -> Breach:
    of = operations[-1]
    if key is None:
        key = of.key
        if of.args.fence is not None and not key:
            key = of.args.fence.key
    who = ", ".join(f"{one.op} by {one.client} at {one.node or 'a node'}" for one in operations)
    return Breach(key, f"{sentence} ({who})", operations)
