"""One key's operations, made ready for the search.

*Required* moves took effect between their call and their return: what was answered. *Optional* ones
may take effect at any time after their call, or never: what has no known outcome. Three things keep
the optional ones from making the search endless, and none of them changes a verdict:

- **An unknown write that was seen is required.** If an answer shows a value that only this one
  operation can have written, it did take effect, and before that answer's return. So it gets that
  return, and the revision that was seen with it.
- **Values nobody mentions are one value.** No answer and no condition tells them apart, so no order
  of the operations is possible with one and not with another. What is left are optional moves that
  are equal in all but their call.
- **Equal optional moves are used in the order of their calls.** In any explanation, two equal ones
  can change places if that puts the earlier called one first; so how many are used says which.

``search`` adds a fourth: an optional move without which the very next move would have led to the
same state is left out.
"""

from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence

import msgspec

from .history import Binary, Operation, Result
from .models import (
    OTHER,
    Bundle,
    Change,
    Conflict,
    Erase,
    Look,
    NotCounted,
    Read,
    Step,
    Value,
    Write,
    value_of,
)
from .steps import parts_of, step_of


class Move(msgspec.Struct, frozen=True, eq=False):
    """An operation that took effect between ``call_ns`` and ``return_ns``."""

    position: int
    """Of its operation, among the key's."""
    step: Step
    call_ns: int
    return_ns: int
    reads: bool
    """Whether it leaves every state as it is; so it may be made as soon as it fits."""
    revision: int | None
    """The revision it needs to see, if it reads one."""


class Possible(msgspec.Struct, frozen=True, eq=False):
    """Equal operations that may have taken effect."""

    step: Step
    calls_ns: tuple[int, ...]
    """In ascending order."""
    once: bool = False
    """It needs a value that is there only once, and takes it away: nobody need count it."""


class Moves(msgspec.Struct, frozen=True):
    """What the search needs to know of one key."""

    required: tuple[Move, ...]
    optional: tuple[Possible, ...]


class Sighting(msgspec.Struct):
    """Answers that showed one value."""

    return_ns: int
    """The earliest return among them."""
    revision: int | None
    """The revision shown with it."""


def moves_of(operations: Sequence[Operation], binding: Collection[int] | None = None) -> Moves:
    """Make one key's operations ready.

    With ``binding`` only the answers to the operations at these positions are believed. The other
    changes may have happened or not, and whatever their condition; the other reads are left out.
    Whatever explains all answers explains these too: so if these have no explanation, nor have all.
    """
    return _Preparation(operations, binding).moves()


class _Preparation:
    """Collects what is mentioned, then what is possible."""

    def __init__(self, operations: Sequence[Operation], binding: Collection[int] | None) -> None:
        self.required: list[tuple[int, Operation]] = []
        self.optional: list[tuple[int, Operation]] = []
        for position, operation in enumerate(operations):
            if operation.observes and (binding is None or position in binding):
                self.required.append((position, operation))
            elif operation.mutates:
                self.optional.append((position, operation))
        changes = [one for _, o in (*self.required, *self.optional) for one in _singles(o)]
        self.counting = any(one.op == "incr" for one in changes)
        self.writers: dict[Value, int] = {}
        """How many operations may have written a value."""
        for one in changes:
            if one.op == "set" and one.mutates and one.args.value is not None:
                written = value_of(one.args.value)
                self.writers[written] = self.writers.get(written, 0) + 1
        self.values: set[Value] = set()
        self.revisions: set[int] = set()
        self.answered: set[int] = set()
        self.sightings: dict[Value, Sighting] = {}
        for _, operation in self.required:
            self._mention(operation)
        for _, operation in self.optional:
            if operation.outcome == "unknown":
                self._mention_condition(operation)

    def moves(self) -> Moves:
        """Return the moves."""
        seen = self._seen_writes()
        for position, operation in self.optional:
            condition = operation.args.if_mod_rev
            if position in seen and condition is not None and operation.outcome == "unknown":
                self.revisions.add(condition)
            sighting = seen.get(position)
            if sighting is not None and sighting.revision is not None:
                self.revisions.add(sighting.revision)
                self.answered.add(sighting.revision)
        self.order = sorted(self.revisions | {0})
        required = [
            self._move(position, operation, operation.return_ns or 0, None)
            for position, operation in self.required
        ]
        classes: dict[Step, list[int]] = {}
        for position, operation in self.optional:
            sighting = seen.get(position)
            if sighting is None:
                step = self._step(operation, None, answered=False)
                classes.setdefault(step, []).append(operation.call_ns)
            else:
                required.append(self._move(position, operation, sighting.return_ns, sighting))
        return Moves(
            tuple(required),
            tuple(
                Possible(step, tuple(sorted(calls)), self._is_once(step))
                for step, calls in classes.items()
            ),
        )

    def _is_once(self, step: Step) -> bool:
        return (
            type(step) is Erase
            and step.present is True
            and step.value is not OTHER
            and not (self.counting and isinstance(step.value, int))
            and self.writers.get(step.value, 2) == 1  # type: ignore[arg-type]  # not Anything
        )

    def _mention(self, operation: Operation) -> None:
        """Note what a binding answer says about values and revisions."""
        if operation.op == "txn":
            self._mention_txn(operation)
            return
        result = operation.result
        self._mention_condition(operation)
        if result.mod_rev:
            self.revisions.add(result.mod_rev)
            if operation.mutates:
                self.answered.add(result.mod_rev)
        if operation.outcome == "ok" and operation.args.if_mod_rev:
            self.revisions.add(operation.args.if_mod_rev)
        if isinstance(result.prev, msgspec.UnsetType):
            pass
        elif result.prev is not None:
            self._sight(value_of(result.prev), operation, None)
        if result.value is None:
            return
        value = value_of(result.value)
        if operation.op == "incr":
            self.values.add(value)
        else:
            self._sight(value, operation, result.mod_rev)

    def _mention_txn(self, operation: Operation) -> None:
        self._mention_condition(operation)
        changed = False
        for one in parts_of(operation):
            if one.result.value is not None and changed:
                # It may be the transaction's own, so it tells of nobody else.
                self.values.add(value_of(one.result.value))
                continue
            # What found nothing to delete has no part in the revision.
            changed = changed or (one.mutates and one.result.deleted is not False)
            self._mention(msgspec.structs.replace(one, result=_without_own_revision(one)))
        if changed and operation.result.mod_rev:
            self.revisions.add(operation.result.mod_rev)
            self.answered.add(operation.result.mod_rev)

    def _mention_condition(self, operation: Operation) -> None:
        held = operation.outcome == "ok" and operation.result.succeeded
        for test in operation.args.compare:
            if test.field == "value" and isinstance(test.to, str | Binary):
                self.values.add(value_of(test.to))
            # Only of one that held is it known that the key ever had that revision.
            elif held and (test.field, test.cmp) == ("mod_rev", "=") and isinstance(test.to, int):
                self.revisions |= {test.to} - {0}
        condition = operation.args.if_value
        if condition is None:
            return
        self.values.add(value_of(condition))
        if operation.outcome == "ok":
            self._sight(value_of(condition), operation, None)

    def _sight(self, value: Value, operation: Operation, revision: int | None) -> None:
        self.values.add(value)
        return_ns = operation.return_ns or 0
        sighting = self.sightings.setdefault(value, Sighting(return_ns, revision))
        sighting.return_ns = min(sighting.return_ns, return_ns)
        if sighting.revision is None:
            sighting.revision = revision

    def _seen_writes(self) -> dict[int, Sighting]:
        """Return the optional sets that must have taken effect, as nothing else explains a value.

        Two revisions shown with one such value contradict each other; the search finds that.
        """
        seen = {}
        for position, operation in self.optional:
            if operation.op != "set" or operation.args.value is None:
                continue
            value = value_of(operation.args.value)
            sighting = self.sightings.get(value)
            if (
                sighting is None
                or self.writers[value] > 1
                or (self.counting and isinstance(value, int))
            ):
                continue
            # Seen before it was sent: that contradiction is the reader's, and is found there.
            if sighting.return_ns >= operation.call_ns:
                seen[position] = sighting
        return seen

    def _move(
        self, position: int, operation: Operation, return_ns: int, sighting: Sighting | None
    ) -> Move:
        step = self._step(operation, sighting, answered=sighting is None)
        reads = isinstance(step, Read | Conflict | NotCounted)
        revision = step.revision if reads and step.revision else None
        return Move(position, step, operation.call_ns, return_ns, reads, revision)

    def _step(self, operation: Operation, sighting: Sighting | None, *, answered: bool) -> Step:
        # An answer that is not believed says no more that its condition held.
        conditional = answered or operation.outcome == "unknown"
        step = step_of(operation, answered=answered, conditional=conditional)
        changes: dict[str, object] = {}
        if step.revision:
            answered_to_change = step.revision in self.answered
            low = step.revision if answered_to_change else self._low(step.revision)
            changes["revision_low"] = low
        if isinstance(step, Change):
            mod_rev = step.mod_rev if sighting is None else sighting.revision
            if mod_rev is not None:
                changes |= {"mod_rev": mod_rev, "low": self._low(mod_rev)}
        if isinstance(step, Write) and self._is_other(step.to):
            changes["to"] = OTHER
        if isinstance(step, Bundle | Look):
            changes["parts"] = tuple(self._masked(part) for part in step.parts)
        return msgspec.structs.replace(step, **changes) if changes else step

    def _masked(self, part: Step) -> Step:
        """Return a transaction's part; a value that it writes is another if nobody mentions it."""
        if isinstance(part, Write) and self._is_other(part.to):
            return msgspec.structs.replace(part, to=OTHER)
        return part

    def _low(self, revision: int) -> int:
        """Return the last mentioned revision before this one."""
        position = bisect_left(self.order, revision)
        return self.order[position - 1] if position else 0

    def _is_other(self, value: Value) -> bool:
        # A number can be added to, and then be seen as another one.
        return value not in self.values and not (self.counting and isinstance(value, int))


def _singles(operation: Operation) -> Iterable[Operation]:
    """Return an operation, or those of a transaction."""
    return parts_of(operation) if operation.op == "txn" else (operation,)


def _without_own_revision(one: Operation) -> Result:
    """Return the answer to a transaction's part; its changes' revision is that of the whole."""
    if one.result.found is None:
        return msgspec.structs.replace(one.result, mod_rev=None)
    return one.result
