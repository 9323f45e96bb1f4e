"""The state machine: applies the log's commands, and answers queries (§2, §5.3).

Rules of this file:

- A command that fails answers with a :class:`Failure` and changes nothing. Any exception is a
  defect or damage, and the server must stop before it answers.
- Limits shape answers and how far back a page may look, never the state: servers with different
  limits still agree.
- Time is what the entries' stamps say, and only ever rises. What is due goes first, then the
  entry's own commands are done; so all servers let a key go at the same place in the log.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from ..errors import RaftCacheError
from .commands import (
    COMMAND_VERSION,
    Batch,
    CheckDigest,
    Delete,
    Expire,
    Get,
    Incr,
    IncrExpiring,
    Invalid,
    Operation,
    Query,
    RaiseVersion,
    Range,
    Set,
    SetExpiring,
    UnknownCommands,
    decode_entry,
)
from .keyspace import Keyspace, Record
from .reading import Reader, StoreLimits
from .results import (
    BatchResult,
    DeleteResult,
    ExpireResult,
    Failure,
    IncrResult,
    Result,
    SetResult,
    SingleResult,
)
from .snapshot import SnapshotRun

__all__ = ["INTEGER_MAX", "INTEGER_MIN", "StateDiverged", "StateMachine", "StoreLimits"]

INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**63 - 1
_INTEGER_DIGITS_MAX: Final = 20  # a sign and 19 digits

EXPIRED_MAX: Final = 1_000
"""How many keys one entry lets go, so that its turn is short; part of command version 2."""

_QUERIES: Final = frozenset({Get, Range})
_DONE: Final = ExpireResult(found=True)
"""What the servers' own commands answer: nobody waits for it."""


class StateDiverged(RaftCacheError):  # noqa: N818 - named for what has happened
    """This server's state is not what most servers had at the same index: it must stop."""


class StateMachine(Reader):
    """The keyspace as the log has made it so far.

    ``last_applied`` is the index of the last entry that was applied (Figure 2); 0: none.
    ``heard_ms`` is the latest cluster time that the server has heard of: what a read tells of a
    key's time to live is counted from there. Nothing else depends on it.
    """

    def __init__(self, limits: StoreLimits | None = None) -> None:
        super().__init__(limits or StoreLimits())
        self._snapshot_run: SnapshotRun | None = None
        self.last_applied = 0
        self.heard_ms = 0
        self._digests: deque[int] = deque([0], maxlen=self._limits.digests)
        self._handlers: dict[type, Callable[[Any], SingleResult]] = {
            Set: self._set,
            Delete: self._delete,
            Incr: self._incr,
            Get: self._get,
            Range: self._range,
            Invalid: _invalid,
            SetExpiring: self._set_expiring,
            IncrExpiring: self._incr_expiring,
            Expire: self._expire,
            RaiseVersion: self._raise_version,
            CheckDigest: self._check_digest,
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

    @property
    def time_ms(self) -> int:
        """The cluster time of the last entry that told it; 0: none has."""
        return self._keyspace.time_ms

    @property
    def next_deadline_ms(self) -> int:
        """The earliest cluster time at which a key is due to go; ``NEVER``: no key is."""
        return self._keyspace.next_deadline_ms

    @property
    def command_version(self) -> int:
        """The version of commands and snapshots that all members can read."""
        return self._keyspace.command_version

    def apply(self, index: int, data: bytes) -> list[Result]:
        """Apply the commands of the entry at ``index`` and return a result for each.

        Assumes that the entry is committed, and the next one after ``last_applied``.

        Raises:
            UnknownCommands: the entry is not of this program's format, or raises it to another.
            StateDiverged: the state is not what it should be.
        """
        assert index == self.last_applied + 1, "entries are applied in order and once"
        stamp_ms, commands = decode_entry(data)
        if stamp_ms is not None:
            keyspace = self._keyspace
            assert stamp_ms >= keyspace.time_ms, "cluster time never falls"
            keyspace.time_ms = stamp_ms
            if keyspace.next_deadline_ms <= stamp_ms:
                self._let_go()
            # The answers to an entry's own reads must be the same on every server.
            self._shown_ms = stamp_ms
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
        self._shown_ms = max(self._keyspace.time_ms, self.heard_ms)
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

    def _let_go(self) -> None:
        """Remove what is due, the earliest first.

        What is more than fits in one entry stays, visible, until the next one.
        """
        keyspace = self._keyspace
        for key in keyspace.due(EXPIRED_MAX):
            before = keyspace.get(key)
            assert before is not None, "what has a deadline exists"
            keyspace.remove(key, before)

    def _batch(self, ops: tuple[Operation, ...]) -> BatchResult:
        self._budget = self._limits.reply_bytes
        handlers = self._handlers
        return BatchResult([handlers[type(op)](op) for op in ops])

    def _set(self, command: Set | SetExpiring, deadline_ms: int = 0) -> SingleResult:
        key = command.key
        before = self._keyspace.get(key)
        if command.if_mod_rev is not None or command.if_value is not None:
            conflict = self._conflict(before, command.if_mod_rev, command.if_value)
            if conflict is not None:
                return conflict
        mod_rev = self._keyspace.put(key, command.value, before, deadline_ms).mod_rev
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

    def _set_expiring(self, command: SetExpiring) -> SingleResult:
        return self._set(command, self._keyspace.time_ms + command.ttl_ms)

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

    def _incr(self, command: Incr | IncrExpiring, deadline_ms: int = 0) -> SingleResult:
        before = self._keyspace.get(command.key)
        number = 0 if before is None else parse_integer(before.value)
        if number is None:
            return Failure(
                "wrong_type", "`incr` needs a value that is a decimal integer, such as 0 or -17"
            )
        number += command.by
        if not INTEGER_MIN <= number <= INTEGER_MAX:
            return Failure("out_of_range", "the sum does not fit in a signed 64-bit integer")
        if before is not None:
            deadline_ms = before.deadline_ms
        record = self._keyspace.put(command.key, b"%d" % number, before, deadline_ms)
        return IncrResult(number, record.mod_rev)

    def _incr_expiring(self, command: IncrExpiring) -> SingleResult:
        return self._incr(command, self._keyspace.time_ms + command.ttl_ms)

    def _expire(self, command: Expire) -> SingleResult:
        before = self._keyspace.get(command.key)
        if before is None:
            return ExpireResult(found=False)
        ttl_ms = command.ttl_ms
        deadline_ms = 0 if ttl_ms is None else self._keyspace.time_ms + ttl_ms
        self._keyspace.touch(command.key, before, deadline_ms)
        return ExpireResult(found=True)

    def _raise_version(self, command: RaiseVersion) -> SingleResult:
        if command.version > COMMAND_VERSION:
            raise UnknownCommands(
                f"the cluster has gone on to command version {command.version}, and this release "
                f"knows {COMMAND_VERSION} at most: run a newer release on this node"
            )
        if command.version > self._keyspace.command_version:
            self._keyspace.raise_version(command.version)
        return _DONE

    def _check_digest(self, command: CheckDigest) -> SingleResult:
        own = self.digest_at(command.index)
        if own is not None and own != command.digest:
            raise StateDiverged(
                f"after entry {command.index} the state had the digest {own:016x} here and "
                f"{command.digest:016x} on most nodes"
            )
        return _DONE


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
