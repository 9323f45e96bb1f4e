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
from typing import Final

from ..errors import RaftCacheError
from .commands import (
    COMMAND_VERSION,
    Batch,
    CheckDigest,
    CloseSession,
    Compact,
    Delete,
    DeleteRange,
    Evict,
    Expire,
    Fenced,
    Get,
    Incr,
    IncrExpiring,
    Invalid,
    KeepAlive,
    Once,
    OnceRun,
    OpenSession,
    Query,
    RaiseVersion,
    Range,
    Set,
    SetExpiring,
    SetFully,
    Touch,
    Txn,
    UnknownCommands,
    decode_entry,
)
from .keyspace import Keyspace
from .plain_sets import are_plain
from .reading import StoreLimits
from .records import EXPIRE
from .results import CompactResult, ExpireResult, Failure, Result, SingleResult
from .session_commands import SessionWriter
from .snapshot import SnapshotRun
from .transactions import DELETED_MAX
from .writes import INTEGER_MAX, INTEGER_MIN

__all__ = ["INTEGER_MAX", "INTEGER_MIN", "StateDiverged", "StateMachine", "StoreLimits"]

EXPIRED_MAX: Final = 1_000
"""How many keys one entry lets go, so that its turn is short; part of command version 2."""

_QUERIES: Final = frozenset({Get, Range})
_DONE: Final = ExpireResult(found=True)
"""What the servers' own commands answer: nobody waits for it."""


class StateDiverged(RaftCacheError):  # noqa: N818 - named for what has happened
    """This server's state is not what most servers had at the same index: it must stop."""


class StateMachine(SessionWriter):
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
        self._handlers = {
            Set: self._set,
            Delete: self._delete,
            Incr: self._incr,
            Get: self._get,
            Range: self._range,
            Invalid: _invalid,
            SetExpiring: self._set_expiring,
            IncrExpiring: self._incr_expiring,
            Expire: self._expire,
            SetFully: self._set_fully,
            Fenced: self._fenced,
            Touch: self._touch,
            DeleteRange: self._delete_range,
            Txn: self._txn,
            Evict: self._evict,
            Batch: self._batch,
            RaiseVersion: self._raise_version,
            CheckDigest: self._check_digest,
            Compact: self._compact,
            OpenSession: self._open_session,
            KeepAlive: self._keep_alive,
            CloseSession: self._close_session,
            Once: self._once,
            OnceRun: self._once_run,
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
        machine._keyspace = machine._view = keyspace
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
        """The earliest cluster time at which a key or session is due to go, or ``NEVER``."""
        keyspace = self._keyspace
        return min(keyspace.next_deadline_ms, keyspace.sessions.find_due_ms())

    @property
    def session_count(self) -> int:
        """The number of sessions."""
        return len(self._keyspace.sessions)

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
        keyspace = self._keyspace
        if stamp_ms is not None:
            assert stamp_ms >= keyspace.time_ms, "cluster time never falls"
            keyspace.time_ms = stamp_ms
            if keyspace.next_deadline_ms <= stamp_ms or keyspace.sessions.due_ms <= stamp_ms:
                self._let_go()
            # The answers to an entry's own reads must be the same on every server.
            self._shown_ms = stamp_ms
        results: list[Result] = []
        if keyspace.is_undisturbed and are_plain(commands):
            results += keyspace.put_all(commands)
        else:
            handlers = self._handlers
            reply_bytes = self._limits.reply_bytes
            for command in commands:
                self._budget = reply_bytes
                self._deletable = DELETED_MAX
                results.append(handlers[type(command)](command))
        self._advance(index)
        return results

    def apply_empty(self, index: int, *, begins_term: bool = False) -> None:
        """Pass over the entry at ``index``, which holds no commands: a no-op, a configuration.

        ``begins_term``: it is the no-op with which a leader takes office. Its clock begins at the
        last stamp before, so sessions get their full time to live from this very leader.
        """
        assert index == self.last_applied + 1, "entries are passed over in order and once"
        if begins_term:
            self._keyspace.sessions.begin_term(self._keyspace.time_ms)
        self._advance(index)

    def read(self, query: Query) -> Result:
        """Answer a query from the state as it is.

        Assumes that the caller has settled whether this server may answer (§8), and that a
        batch changes nothing.
        """
        self._shown_ms = max(self._keyspace.time_ms, self.heard_ms)
        if type(query) is Batch:
            assert not query.changes(), "a batch that changes something goes through the log"
        else:
            assert type(query) in _QUERIES, "what changes something goes through the log"
        self._budget = self._limits.reply_bytes
        result: Result = self._handlers[type(query)](query)
        return result

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
        """End the sessions that are due, and remove the keys that are, the earliest first.

        What is more than fits in one entry stays, visible, until the next one.
        """
        room = self._end_sessions(EXPIRED_MAX)
        keyspace = self._keyspace
        due = keyspace.due(room)
        self.uses.expired += len(due)
        for key in due:
            before = keyspace.get(key)
            assert before is not None, "what has a deadline exists"
            keyspace.remove(key, before, EXPIRE)

    def _raise_version(self, command: RaiseVersion) -> SingleResult:
        if command.version > COMMAND_VERSION:
            raise UnknownCommands(
                f"the cluster has gone on to command version {command.version}, and this release "
                f"knows {COMMAND_VERSION} at most: run a newer release on this node"
            )
        if command.version > self._keyspace.command_version:
            self._keyspace.raise_version(command.version)
        return _DONE

    def _compact(self, command: Compact) -> SingleResult:
        keyspace = self._keyspace
        store_rev = keyspace.store_rev
        to = store_rev if command.to is None else command.to
        if to > store_rev:
            return Failure(
                "bad_request",
                f"`to`: revision {to} lies ahead of the store's, {store_rev}: nothing is "
                "forgotten; leave `to` out to forget all that has been",
            )
        keyspace.forget(to)
        return CompactResult(keyspace.oldest_rev)

    def _check_digest(self, command: CheckDigest) -> SingleResult:
        own = self.digest_at(command.index)
        if own is not None and own != command.digest:
            raise StateDiverged(
                f"after entry {command.index} the state had the digest {own:016x} here and "
                f"{command.digest:016x} on most nodes"
            )
        return _DONE


def _invalid(op: Invalid) -> Failure:
    return Failure(op.error, op.message)
