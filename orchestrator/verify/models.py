"""What a correct store may answer about one key: a state, and what each operation does to it.

Pure. A key is at once a register with revisions (get, set, delete, conditions) and a counter.

The store's revision rises with every change to any key, so that seen from one key it is a token
that only grows: nothing is concluded from how far it grows. A state therefore knows its revision,
or only a bound which it exceeds (after a change whose answer nobody got), until a reader tells. A
key that is missing has revision 0, and the bound stays: no later revision is an old one.

Revisions also say in which order the acknowledged changes of a key were made. ``Step.low`` is the
last revision before the step's own that any answer mentions: unless the key has come that far
already, the step would leave behind an answer that no later state can give, so it is refused. That
turns a search over orders into a walk.
"""

from typing import Any, Final, TypeAlias

import msgspec

from .history import Binary, number

INTEGER_MIN = -(2**63)
INTEGER_MAX = 2**63 - 1


class Other(msgspec.Struct, frozen=True):
    """Some value that no answer and no condition mentions, and that is no number."""


class Anything(msgspec.Struct, frozen=True):
    """Instead of a needed value: whatever is there, or not."""


OTHER: Final = Other()
ANYTHING: Final = Anything()

Value: TypeAlias = str | int | Binary | Other | None
"""What a key holds; None: no key. A decimal number is an int: ``incr`` and ``set`` agree."""

State: TypeAlias = tuple[Value, int | None, int]
"""Value, revision if it is known (0: no key), and the bound: no later revision is below it."""

INITIAL: Final[State] = (None, 0, 0)


class Condition(msgspec.Struct, frozen=True):
    """That of a conditional change; None: no matter."""

    mod_rev: int | None
    value: Value

    def holds(self, value: Value, revision: int | None) -> bool:
        """Whether a change with this condition would be made to such a key."""
        return (self.mod_rev is None or self.mod_rev == revision) and (
            self.value is None or self.value == value
        )


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One operation, as a partial function from state to state.

    Equal steps are interchangeable: they need the same and do the same.
    """

    value: Value | Anything = ANYTHING
    """The value that must be there before; None: there must be no key."""
    present: bool | None = None
    """Whether there must be a key before."""
    revision: int | None = None
    """The revision that the key must have before."""
    revision_low: int = 0
    """The last mentioned revision before that one. The revision itself, if it was answered to a
    change: then no other change can turn out to have had it."""

    def take(self, state: State) -> State | None:
        """Return the state after it (the same object: nothing changes), or None: impossible."""
        value, revision, floor = state
        if self.value is not ANYTHING and self.value != value:
            return None
        if self.present is not None and self.present is (value is None):
            return None
        needed = self.revision
        if needed is not None and needed != revision:
            if revision is not None or not self.revision_low <= floor < needed:
                return None
            state = (value, needed, needed)
        return self.effect(state)

    def effect(self, state: State) -> State | None:
        """Return the state after it, given that what it needs is there."""
        return state


class Read(Step, frozen=True):
    """Changes nothing: a ``get``, and a ``delete`` of what is not there."""


class Conflict(Step, frozen=True):
    """A conditional change that was refused: the condition did not hold."""

    condition: Condition

    def effect(self, state: State) -> State | None:
        """Where the revision is not known, the condition may have failed for it."""
        value, revision, _floor = state
        return None if self.condition.holds(value, revision) else state


class NotCounted(Step, frozen=True):
    """An ``incr`` that was refused because of what it found."""

    by: int
    out_of_range: bool

    def effect(self, state: State) -> State | None:
        """It found no number, or one to which nothing could be added."""
        before = counted(state[0])
        if before is None:
            return None if self.out_of_range else state
        fits = INTEGER_MIN <= before + self.by <= INTEGER_MAX
        return state if self.out_of_range and not fits else None


class Change(Step, frozen=True):
    """Whatever writes a key, and so gives it a revision."""

    mod_rev: int | None = None
    """The revision that it was answered, if it was."""
    low: int = 0
    """The last mentioned revision before that one."""

    def put(self, value: Value, floor: int) -> State | None:
        """Return the state with a new value."""
        if self.mod_rev is None:
            return (value, None, floor)
        if self.low <= floor < self.mod_rev:
            return (value, self.mod_rev, self.mod_rev)
        return None


class Write(Change, frozen=True, kw_only=True):
    """A ``set``."""

    to: Value

    def effect(self, state: State) -> State | None:
        """The value is replaced."""
        return self.put(self.to, state[2])


class Erase(Step, frozen=True):
    """A ``delete``."""

    def effect(self, state: State) -> State | None:
        """The key goes; its revisions so far stay used up."""
        return state if state[0] is None else (None, 0, state[2])


class Count(Change, frozen=True, kw_only=True):
    """An ``incr``."""

    by: int
    total: int | None = None
    """The sum that it was answered, if it was."""

    def effect(self, state: State) -> State | None:
        """A missing key counts from 0; nothing is added to what is no number, or out of range."""
        before = counted(state[0])
        if before is None:
            return None
        after = before + self.by
        if self.total is not None and self.total != after:
            return None
        return self.put(after, state[2]) if INTEGER_MIN <= after <= INTEGER_MAX else None


class Test(msgspec.Struct, frozen=True):
    """One comparison of a transaction with the key that it is about."""

    field: str
    cmp: str
    to: Value | bool

    def holds(self, value: Value, revision: int | None) -> bool | None:
        """Whether it holds; None: of this the model does not know enough."""
        if self.field == "exists":
            return compared(value is not None, self.cmp, self.to)
        if self.field == "value":
            if value is None:
                return False  # A missing key has no value: nothing holds of it, not even "!=".
            if isinstance(value, Other):  # Whatever is compared with is mentioned, so it differs.
                return self.cmp == "!=" if self.cmp in {"=", "!="} else None
            return compared(_bytes_of(value), self.cmp, _bytes_of(self.to))
        if value is None:
            return compared(0, self.cmp, self.to)
        if self.field == "mod_rev" and revision is not None:
            return compared(revision, self.cmp, self.to)
        if self.field != "key_version" and isinstance(self.to, int) and self.to <= 0:
            return compared(1, self.cmp, 0)
        return None


class Judged(msgspec.Struct, frozen=True, kw_only=True):
    """What a transaction has compared."""

    tests: tuple[Test, ...] = ()
    succeeded: bool | None = None
    """None: that was not answered, and decides what is done."""

    def holds(self, state: State) -> bool | None:
        """Whether all comparisons with this key hold; None: not known."""
        value, revision, _floor = state
        found = [test.holds(value, revision) for test in self.tests]
        if False in found:
            return False
        return None if None in found else True

    def allows(self, state: State) -> bool:
        """Whether the answer may have been given in this state."""
        if self.succeeded is None or not self.tests:
            return True  # That it failed for another key says nothing of this one.
        holds = self.holds(state)
        if self.succeeded:
            return holds is not False
        return holds is not True


class Look(Read, frozen=True, kw_only=True):
    """A transaction's part in a key that it does not change."""

    judged: Judged
    parts: tuple[Step, ...] = ()

    def effect(self, state: State) -> State | None:
        """What was compared and read must have been so."""
        if not self.judged.allows(state):
            return None
        return state if all(part.take(state) is state for part in self.parts) else None


class Bundle(Change, frozen=True, kw_only=True):
    """A transaction's part in a key that it changes: all of it at one revision."""

    judged: Judged
    parts: tuple[Step, ...]

    def effect(self, state: State) -> State | None:
        """Each part sees what those before it have done."""
        if not self.judged.allows(state):
            return None
        if self.judged.succeeded is None and not self.judged.holds(state):
            return state
        after = state
        for part in self.parts:
            then = part.take(after)
            if then is None:
                return None
            after = then
        value, floor = after[0], state[2]
        if self.mod_rev is None:
            return after
        if not self.low <= floor < self.mod_rev:
            return None
        return (value, 0 if value is None else self.mod_rev, self.mod_rev)

    @property
    def counts(self) -> bool:
        """Whether it adds to a number."""
        return any(isinstance(part, Count) for part in self.parts)


class Never(Step, frozen=True):
    """An answer that contradicts itself."""

    def effect(self, state: State) -> State | None:  # noqa: ARG002 - no state allows it
        """Impossible in every state."""
        return None


def compared(one: Any, how: str, other: Any) -> bool:
    """Tell whether a comparison of a transaction holds."""
    if how in {"=", "!="}:
        return (one == other) is (how == "=")
    return bool(one < other) if how == "<" else bool(one > other)


def _bytes_of(value: Any) -> bytes:
    return value.b64 if isinstance(value, Binary) else str(value).encode()


def counted(value: Value) -> int | None:
    """Return the number that ``incr`` would start from; None: it is no number."""
    if value is None:
        return 0
    if isinstance(value, int):
        return value
    return number(value) if isinstance(value, str) else None


def value_of(text: str | Binary) -> str | int | Binary:
    """Return how the model holds a text: a number as an int, unless it is too long to add to."""
    spelt = number(text)
    return text if spelt is None or abs(spelt) == 2**127 else spelt
