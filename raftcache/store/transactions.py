"""What is done under conditions, or to many keys at once: fences, transactions, ``delete_range``.

Rules of this file: all or nothing. A transaction works on a draft, which becomes the state only if
every operation of the chosen branch has succeeded; all its changes share one revision.
"""

from collections.abc import Callable
from operator import eq, gt, lt, ne
from typing import Any, Final

import msgspec

from .commands import Batch, Fenced, Range, Step, Txn
from .draft import Draft
from .extensions import Compare, DeleteRange, Evict, Touch
from .plain_sets import are_plain
from .reading import StoreLimits
from .records import EVICT, Span
from .results import (
    BatchResult,
    DeleteRangeResult,
    ExpireResult,
    Failure,
    Result,
    SingleResult,
    TxnResult,
)
from .writes import Writer

DELETED_MAX: Final = 10_000
"""How many keys one command may delete by ranges; part of command version 3."""

ANSWER_BYTES_MAX: Final = 4 * 1024 * 1024
"""How much the operations of one transaction may answer; part of command version 3."""

_SIGNS: Final[dict[str, Callable[[Any, Any], bool]]] = {"=": eq, "!=": ne, "<": lt, ">": gt}


class Transactor(Writer):
    """Does what has conditions, and what changes many keys."""

    _handlers: dict[type, Callable[[Any], Any]]

    def __init__(self, limits: StoreLimits) -> None:
        super().__init__(limits)
        self._deletable = DELETED_MAX
        """How many keys the command that is done now may still delete by ranges."""

    def _batch(self, command: Batch) -> BatchResult:
        if self._keyspace.is_undisturbed and are_plain(command.ops):
            return BatchResult(self._keyspace.put_all(command.ops))
        handlers = self._handlers
        return BatchResult([handlers[type(op)](op) for op in command.ops])

    def _fenced(self, command: Fenced) -> Result:
        record = self._view.get(command.key)
        if record is None or record.create_rev != command.create_rev:
            now = "is gone" if record is None else f"was made anew, at {record.create_rev}"
            return Failure(
                "fenced",
                f"the fence's key, made at revision {command.create_rev}, {now}: what it stood "
                "for, such as a lock, is lost",
            )
        op = command.op
        result: Result = self._handlers[type(op)](op)
        return result

    def _txn(self, command: Txn) -> SingleResult:
        keyspace = self._keyspace
        succeeded = all(self._holds(compare) for compare in command.compares)
        draft = Draft(keyspace)
        self._view = draft
        # An answer that does not fit undoes the rest here, so no server's own limit may count.
        self._budget = ANSWER_BYTES_MAX
        try:
            results: list[SingleResult] = []
            for position, op in enumerate(command.then if succeeded else command.otherwise):
                result = self._step(op)
                if type(result) is Failure:
                    where = f"`{'then' if succeeded else 'else'}[{position}]`"
                    message = f"{where}: {result.message}; nothing of the txn was done"
                    return msgspec.structs.replace(result, message=message)
                results.append(result)
        finally:
            self._view = keyspace
        draft.commit()
        return TxnResult(succeeded, results)

    def _step(self, op: Step) -> SingleResult:
        if type(op) is Range and op.at_rev is not None:  # How far back one can look is a limit.
            return Failure("bad_request", "a txn reads the present: `at_rev` has no place in it")
        result: SingleResult = self._handlers[type(op)](op)
        return result

    def _holds(self, compare: Compare) -> bool:
        record = self._view.get(compare.key)
        if compare.field == "exists":
            return _SIGNS[compare.sign](record is not None, compare.to)
        if record is not None:
            return _SIGNS[compare.sign](getattr(record, compare.field), compare.to)
        return compare.field != "value" and _SIGNS[compare.sign](0, compare.to)

    def _delete_range(self, command: DeleteRange) -> SingleResult:
        view, span = self._view, Span(command.start, command.end)
        differs = view.undo(span, view.store_rev)
        count = view.count(span, differs)
        if count > self._deletable:
            return Failure(
                "too_large",
                f"the range has {count} keys, and one request deletes at most {DELETED_MAX} by "
                "ranges: delete parts of it, by narrower bounds",
            )
        self._deletable -= count
        if count:
            view.remove_all(list(view.scan(span, differs)))
        return DeleteRangeResult(count)

    def _touch(self, command: Touch) -> SingleResult:
        record, view = self._view.get(command.key), self._view
        if record is None or record.mod_rev != command.mod_rev or not record.ttl_ms:
            return ExpireResult(found=False)
        deadline_ms = max(record.deadline_ms, view.time_ms + record.ttl_ms)
        view.touch(command.key, record, deadline_ms, record.ttl_ms)
        return ExpireResult(found=True)

    def _evict(self, command: Evict) -> SingleResult:
        record = self._view.get(command.key)
        if record is None or record.mod_rev != command.mod_rev or record.session:
            return ExpireResult(found=False)
        self._view.remove(command.key, record, EVICT)
        self.uses.evicted += 1
        return ExpireResult(found=True)
