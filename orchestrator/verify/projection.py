"""What each operation says of each key: transactions, ranges and fences taken apart, key by key.

The search looks at one key at a time. So an operation on several keys becomes one on each, with the
same interval; that they took effect at one and the same moment is for ``revisions`` to judge. What
ends by itself, by time or with a session, is a delete that nobody has asked for: it may happen from
some moment on, or never. Everything here leaves an explanation to whatever has one.
"""

from collections.abc import Iterable, Sequence

import msgspec

from .history import Arguments, Binary, Compare, Operation, Part, Result, Text
from .lifetimes import Lifetimes

_SINGLE = frozenset({"get", "set", "delete", "incr", "expire"})


def by_key(operations: Iterable[Operation], early_ms: int = 0) -> dict[Text, list[Operation]]:
    """Return the operations of each key, whole or in part.

    Args:
        operations: of a whole history.
        early_ms: by so much less than its time a key may live.
    """
    found: dict[Text, list[Operation]] = {}
    several: list[Operation] = []
    lifetimes = Lifetimes(early_ms)
    for operation in operations:
        op, args = operation.op, operation.args
        if op in _SINGLE:
            of_key = found.setdefault(operation.key, [])
            if op != "expire" or operation.outcome == "ok":
                of_key.append(operation)
            lifetimes.note(operation.key, op, args, operation)
            if args.fence is not None and operation.outcome == "ok":
                several.append(operation)
        else:
            several.append(operation)
            lifetimes.note_session(operation)
            for part in (*args.then, *args.otherwise):
                found.setdefault(part.key, [])
                lifetimes.note(part.key, part.op, part.args, operation)
            for compare in args.compare:
                found.setdefault(compare.key, [])
    for operation in several:
        _take_apart(operation, found)
    for ending in lifetimes.endings(found):
        found[ending.key].append(ending)
    return {key: of_key for key, of_key in found.items() if of_key}


def _take_apart(operation: Operation, found: dict[Text, list[Operation]]) -> None:
    fence = operation.args.fence
    if fence is not None and operation.outcome == "ok" and fence.key in found:
        found[fence.key].append(_exists(operation, fence.key))
    if operation.op == "delete_range" and operation.outcome != "failed":
        for key in [key for key in found if _is_within(key, operation.args)]:
            found[key].append(_deleted(operation, key))
    elif operation.op == "txn" and operation.outcome == "ok":
        _add_parts(operation, found, succeeded=bool(operation.result.succeeded))
    elif operation.op == "txn" and operation.outcome == "unknown":
        _add_parts(operation, found, succeeded=True)
        _add_parts(operation, found, succeeded=False)


def _exists(operation: Operation, key: Text) -> Operation:
    """Return what a fence that held says of its key."""
    return msgspec.structs.replace(
        operation, op="expire", key=key, args=Arguments(), result=Result(found=True)
    )


def _deleted(operation: Operation, key: Text) -> Operation:
    """Return what a range that was deleted says of one key."""
    nothing = operation.outcome == "ok" and operation.result.count == 0
    result = Result(deleted=False) if nothing else Result()
    return msgspec.structs.replace(operation, op="delete", key=key, args=Arguments(), result=result)


def _is_within(key: Text, args: Arguments) -> bool:
    one = bytes_of(key)
    if args.prefix is not None:
        return one.startswith(bytes_of(args.prefix))
    return bytes_of(args.start or "") <= one and (args.end is None or one < bytes_of(args.end))


def bytes_of(text: Text) -> bytes:
    """Return the bytes of a key or value."""
    return text.b64 if isinstance(text, Binary) else text.encode()


def _add_parts(
    operation: Operation, found: dict[Text, list[Operation]], *, succeeded: bool
) -> None:
    """Add to each key what one branch of a transaction compares, reads and changes there."""
    args, result = operation.args, operation.result
    branch = args.then if succeeded else args.otherwise
    compared = {compare.key for compare in args.compare}
    for key in dict.fromkeys([*(part.key for part in branch), *sorted(compared, key=bytes_of)]):
        # If not all comparisons held, and there are several keys, it may have been another's.
        believed = succeeded or compared == {key}
        compares = [one for one in args.compare if one.key == key] if believed else []
        chosen = [number for number, part in enumerate(branch) if part.key == key]
        parts = tuple(branch[number] for number in chosen)
        if not parts and not compares:
            continue
        results = tuple(result.results[number] for number in chosen) if result.results else ()
        one = _part(operation, key, compares, parts)
        told = Result(succeeded=succeeded, results=results, mod_rev=revision_of(result.results))
        found[key].append(msgspec.structs.replace(one, result=told))


def _part(
    operation: Operation, key: Text, compares: Sequence[Compare], parts: tuple[Part, ...]
) -> Operation:
    return msgspec.structs.replace(
        operation,
        op="txn",
        key=key,
        args=Arguments(compare=tuple(compares), then=parts),
    )


def revision_of(results: Iterable[Result]) -> int | None:
    """Return the revision of a transaction's changes, if any answer told it; reads tell others."""
    return next((one.mod_rev for one in results if one.found is None and one.mod_rev), None)
