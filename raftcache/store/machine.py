"""The state machine: applies the log's commands, and answers queries (§2, §5.3).

Rules of this file:

- A command that fails answers with a :class:`Failure` and changes nothing. Any exception is a
  defect or damage, and the server must stop before it answers.
- Limits here shape answers and how far back a page may look, never the state: servers with
  different limits still agree.
- Every answer is paid for from a budget of bytes, so that a batch of a thousand large reads can
  neither stall a server nor fill its memory.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec

from .commands import (
    Batch,
    Delete,
    Get,
    Incr,
    Invalid,
    Operation,
    Query,
    Range,
    Set,
    decode_commands,
)
from .keyspace import Keyspace, Record, Span
from .results import (
    BatchResult,
    DeleteResult,
    Failure,
    GetResult,
    IncrResult,
    Item,
    RangeResult,
    Result,
    SetResult,
    SingleResult,
)
from .snapshot import SnapshotRun

INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**63 - 1
_INTEGER_DIGITS_MAX: Final = 20  # a sign and 19 digits

ITEM_OVERHEAD_BYTES: Final = 64
"""What an item of an answer counts besides its key and value."""

_UNDO_BYTES: Final = 32  # what looking at one change of the past costs, in bytes of the budget

_QUERIES: Final = frozenset({Get, Range})
_MISSING: Final = GetResult()


class StoreLimits(msgspec.Struct, frozen=True):
    """How much a state machine answers at once and remembers. Larger costs memory and stalls."""

    page_bytes: int = 1024 * 1024
    """A range's page ends before it would exceed this (but holds at least one item)."""
    reply_bytes: int = 4 * 1024 * 1024
    """The most that one command or query answers, by the formula above."""
    history_changes: int = 10_000
    """How many changes back a page may look."""
    history_bytes: int = 8 * 1024 * 1024
    """The most bytes of keys and former values that are kept for that."""
    digests: int = 1024
    """How many applied entries back ``digest_at`` can look."""


class StateMachine:
    """The keyspace as the log has made it so far.

    ``last_applied`` is the index of the last entry that was applied (Figure 2); 0: none.
    """

    def __init__(self, limits: StoreLimits | None = None) -> None:
        self._limits = limits or StoreLimits()
        self._keyspace = empty_keyspace(self._limits)
        self._snapshot_run: SnapshotRun | None = None
        self.last_applied = 0
        self._digests: deque[int] = deque([0], maxlen=self._limits.digests)
        self._budget = 0
        self._handlers: dict[type, Callable[[Any], SingleResult]] = {
            Set: self._set,
            Delete: self._delete,
            Incr: self._incr,
            Get: self._get,
            Range: self._range,
            Invalid: _invalid,
        }

    @classmethod
    def resume(
        cls, limits: StoreLimits, keyspace: Keyspace, last_applied: int, digests: list[int]
    ) -> "StateMachine":
        """Return the machine whose state after the entry at ``last_applied`` was ``keyspace``.

        ``digests`` are those after the last entries; the last one is the keyspace's own.
        """
        assert digests[-1] == keyspace.digest(), "the last digest is the state's"
        machine = cls(limits)
        machine._keyspace = keyspace
        machine.last_applied = last_applied
        machine._digests.clear()
        machine._digests.extend(digests)
        return machine

    @property
    def store_rev(self) -> int:
        """The store's revision: the number of changes that were ever applied."""
        return self._keyspace.store_rev

    @property
    def key_count(self) -> int:
        """The number of keys."""
        return len(self._keyspace)

    @property
    def data_bytes(self) -> int:
        """The weight of all keys and values, by the formula in ``keyspace``."""
        return self._keyspace.data_bytes

    def apply(self, index: int, data: bytes) -> list[Result]:
        """Apply the commands of the entry at ``index`` and return a result for each.

        Assumes that the entry is committed, and the next one after ``last_applied``.

        Raises:
            UnknownCommands: the entry is not of this program's format. Nothing was applied.
        """
        assert index == self.last_applied + 1, "entries are applied in order and once"
        commands = decode_commands(data)
        results: list[Result] = []
        handlers = self._handlers
        reply_bytes = self._limits.reply_bytes
        for command in commands:
            if type(command) is Batch:
                results.append(self._batch(command.ops))
            else:
                self._budget = reply_bytes
                results.append(handlers[type(command)](command))
        self._advance(index)
        return results

    def apply_empty(self, index: int) -> None:
        """Pass over the entry at ``index``, which holds no commands: a no-op, a configuration."""
        assert index == self.last_applied + 1, "entries are passed over in order and once"
        self._advance(index)

    def read(self, query: Query) -> Result:
        """Answer a query from the state as it is.

        Assumes that the caller has settled whether this server may answer (§8), and that a
        batch changes nothing.
        """
        if type(query) is Batch:
            assert not query.changes(), "a batch that changes something goes through the log"
            return self._batch(query.ops)
        assert type(query) in _QUERIES, "what changes something goes through the log"
        self._budget = self._limits.reply_bytes
        return self._handlers[type(query)](query)

    def digest(self) -> int:
        """Return 64 bits that stand for the state: equal on all servers at equal indexes."""
        return self._keyspace.digest()

    def digest_at(self, index: int) -> int | None:
        """Return the digest as it was after the entry at ``index``; None: not kept, or not yet."""
        back = self.last_applied - index
        if 0 <= back < len(self._digests):
            return self._digests[-1 - back]
        return None

    def begin_snapshot(self) -> SnapshotRun:
        """Begin to take a snapshot of the state as it is now, while entries are applied (§7).

        Assumes that the snapshot before it, if any, is over.
        """
        run = self._snapshot_run
        assert run is None or run.over, "one snapshot is taken at a time"
        self._snapshot_run = SnapshotRun(self._keyspace, self.last_applied, self._digests)
        return self._snapshot_run

    def dismantle(self, keys_max: int) -> bool:
        """Free about ``keys_max`` keys of a machine that is no longer used; True: all are gone.

        A machine of many keys that another has replaced is dropped bit by bit: to free it at
        once would stall the server.
        """
        run = self._snapshot_run
        assert run is None or run.over, "a machine is in use while a snapshot of it is taken"
        return self._keyspace.dismantle(keys_max)

    def _advance(self, index: int) -> None:
        self.last_applied = index
        self._digests.append(self._keyspace.digest())

    def _batch(self, ops: tuple[Operation, ...]) -> BatchResult:
        self._budget = self._limits.reply_bytes
        handlers = self._handlers
        return BatchResult([handlers[type(op)](op) for op in ops])

    def _set(self, command: Set) -> SingleResult:
        key = command.key
        before = self._keyspace.get(key)
        if command.if_mod_rev is not None or command.if_value is not None:
            conflict = self._conflict(before, command.if_mod_rev, command.if_value)
            if conflict is not None:
                return conflict
        mod_rev = self._keyspace.put(key, command.value, before).mod_rev
        if not command.prev:
            return SetResult(mod_rev, before is None)
        prev = None if before is None else before.value
        affordable = self._afford(prev)
        return SetResult(
            mod_rev,
            before is None,
            prev if affordable else None,
            has_prev=affordable,
            prev_omitted=not affordable,
        )

    def _delete(self, command: Delete) -> SingleResult:
        before = self._keyspace.get(command.key)
        if command.if_mod_rev is not None or command.if_value is not None:
            conflict = self._conflict(before, command.if_mod_rev, command.if_value)
            if conflict is not None:
                return conflict
        if before is not None:
            self._keyspace.remove(command.key, before)
        if not command.prev:
            return DeleteResult(0 if before is None else 1)
        prev = None if before is None else before.value
        affordable = self._afford(prev)
        return DeleteResult(
            0 if before is None else 1,
            prev if affordable else None,
            has_prev=affordable,
            prev_omitted=not affordable,
        )

    def _conflict(
        self, before: Record | None, if_mod_rev: int | None, if_value: bytes | None
    ) -> Failure | None:
        mod_rev = 0 if before is None else before.mod_rev
        value = None if before is None else before.value
        if if_mod_rev is not None and if_mod_rev != mod_rev:
            unmet = f"`if_mod_rev` is {if_mod_rev}"
        elif if_value is not None and if_value != value:
            unmet = "`if_value` is another value"
        else:
            return None
        now = "does not exist" if before is None else f"has mod_rev {mod_rev}"
        affordable = self._afford(value)
        return Failure(
            "conflict",
            f"{unmet}, but the key {now}: read it again and decide anew",
            mod_rev=mod_rev,
            value=value if affordable else None,
            value_omitted=not affordable,
        )

    def _incr(self, command: Incr) -> SingleResult:
        before = self._keyspace.get(command.key)
        number = 0 if before is None else parse_integer(before.value)
        if number is None:
            return Failure(
                "wrong_type", "`incr` needs a value that is a decimal integer, such as 0 or -17"
            )
        number += command.by
        if not INTEGER_MIN <= number <= INTEGER_MAX:
            return Failure("out_of_range", "the sum does not fit in a signed 64-bit integer")
        record = self._keyspace.put(command.key, b"%d" % number, before)
        return IncrResult(number, record.mod_rev)

    def _get(self, query: Get) -> SingleResult:
        record = self._keyspace.get(query.key)
        if record is None:
            return _MISSING
        if not self._afford(record.value):
            return _too_large("this value")
        return GetResult(True, record.value, record.mod_rev, record.create_rev, record.key_version)

    def _range(self, query: Range) -> SingleResult:
        keyspace = self._keyspace
        if self._budget <= 0:
            return _too_large("this range")
        span = Span(query.start, query.end)
        at_rev = keyspace.store_rev if query.at_rev is None else query.at_rev
        if at_rev < keyspace.oldest_rev:
            return Failure(
                "compacted",
                f"revision {at_rev} is no longer kept, only {keyspace.oldest_rev} and later: "
                "begin again without `at_rev`",
                oldest=keyspace.oldest_rev,
            )
        if at_rev > keyspace.store_rev:
            return Failure(
                "bad_request",
                f"`at_rev` {at_rev} lies ahead of this node's store_rev {keyspace.store_rev}: "
                "ask a node that has it, or read linearizably",
            )
        self._budget -= ITEM_OVERHEAD_BYTES + _UNDO_BYTES * (keyspace.store_rev - at_rev)
        differs = keyspace.undo(span, at_rev)
        if query.count_only:
            return RangeResult([], keyspace.count(span, differs), False, at_rev)
        items, more = self._page(query, span, differs)
        return RangeResult(items, len(items), more, at_rev)

    def _page(
        self, query: Range, span: Span, differs: dict[bytes, Record | None]
    ) -> tuple[list[Item], bool]:
        room = min(self._limits.page_bytes, self._budget)
        items: list[Item] = []
        used = 0
        for key, record in self._keyspace.scan(span, differs):
            value = None if query.keys_only else record.value
            size = ITEM_OVERHEAD_BYTES + len(key) + (0 if value is None else len(value))
            if items and (len(items) >= query.limit or used + size > room):
                self._budget -= used
                return items, True
            used += size
            items.append(Item(key, value, record.mod_rev, record.create_rev, record.key_version))
        self._budget -= used
        return items, False

    def _afford(self, value: bytes | None) -> bool:
        """Pay for a value in the answer; False: it does not fit any more."""
        cost = ITEM_OVERHEAD_BYTES + (0 if value is None else len(value))
        if cost > self._budget:
            return False
        self._budget -= cost
        return True


def empty_keyspace(limits: StoreLimits) -> Keyspace:
    """Return a keyspace with nothing in it, that remembers as much as ``limits`` say."""
    return Keyspace(history_changes=limits.history_changes, history_bytes=limits.history_bytes)


def parse_integer(value: bytes) -> int | None:
    """Return the integer that ``value`` spells in canonical decimal, or None.

    Canonical: no plus sign, no leading zero, no minus zero, no space. Of a number with more
    digits than 64 bits can hold only the sign and the excess count.
    """
    digits = value[1:] if value[:1] == b"-" else value
    if not digits.isdigit() or (digits[:1] == b"0" and value != b"0"):
        return None
    if len(value) > _INTEGER_DIGITS_MAX:
        return 2**127 if digits is value else -(2**127)
    return int(value)


def _invalid(op: Invalid) -> Failure:
    return Failure(op.error, op.message)


def _too_large(what: str) -> Failure:
    return Failure(
        "too_large", f"{what} does not fit in the answer any more: ask for it on its own"
    )
