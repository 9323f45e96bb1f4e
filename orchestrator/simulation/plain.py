"""What the log means, in the plainest way: a judge of the state that all nodes have agreed on.

Equal states prove little where all nodes make the same mistake. This one does each committed entry
on dicts, and whoever has applied as much must hold the same. It shares the commands' format with
the product, and nothing of what the product does with them: no digest, no draft, no heap.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from operator import eq, gt, lt, ne
from typing import Any, Final, NamedTuple

import msgspec

from raftcache.raft.types import Entry, EntryKind
from raftcache.store import commands as c
from raftcache.store import machine
from raftcache.store.machine import StateMachine
from raftcache.store.sessions import Sessions

WINDOW: Final = 1024
"""How far above `ack` a number may lie, as the protocol has it."""
DELETED_MAX: Final = 10_000
NUMBERS: Final = range(-(2**63), 2**63)
_NUMBER: Final = re.compile(rb"0|-?[1-9][0-9]*")
_SIGNS: Final[dict[str, Callable[[Any, Any], bool]]] = {"=": eq, "!=": ne, "<": lt, ">": gt}

Told = tuple[str, int, bytes, bytes | None, bytes | None]
"""A change: kind, revision, key, value, and the value before."""


class Kept(NamedTuple):
    """What is under a key."""

    value: bytes
    mod_rev: int
    create_rev: int
    key_version: int
    deadline_ms: int = 0
    ttl_ms: int = 0
    """How long it has from each read on; 0: reads do not prolong it."""
    session: int = 0


class Seat(msgspec.Struct):
    """A session."""

    ttl_ms: int
    renewed_ms: int
    ack: int = 0
    done: set[int] = msgspec.field(default_factory=set)
    """The numbers above ``ack`` under which something was done."""


class RefusedError(Exception):
    """An operation has no effect."""


def _read(_command: Any) -> None:
    """Change nothing."""


def _refuse(_command: Any) -> None:
    raise RefusedError


class PlainStore:
    """The state, as the entries up to ``index`` have made it."""

    def __init__(self) -> None:
        self.index = 0
        self.rev = 0
        self.time_ms = 0
        self.keys: dict[bytes, Kept] = {}
        self.sessions: dict[int, Seat] = {}
        self.told: list[Told] = []
        """All changes there ever were, in order."""
        self._limits = Sessions().limits
        self._last_id = 0
        self._floor_ms = 0
        """When the present leader began: no session's time began before."""
        self._compared = 0
        self._fences = 0
        """Behind how many fences what is done now stands."""
        self._deletable = 0
        self._changed: dict[bytes, str] | None = None
        """What was done to each key at the revision that is shared now; None: none is."""
        self._deeds: dict[type, Callable[[Any], None]] = {
            **dict.fromkeys((c.Get, c.Range, c.RaiseVersion, c.CheckDigest, c.Compact), _read),
            **dict.fromkeys((c.Set, c.SetExpiring, c.SetFully), self._set),
            **dict.fromkeys((c.Incr, c.IncrExpiring), self._incr),
            c.Delete: self._delete,
            c.Expire: self._expire,
            c.Touch: self._touch,
            c.Evict: self._evict,
            c.DeleteRange: self._delete_range,
            c.Fenced: self._fenced,
            c.Batch: self._batch,
            c.Txn: self._txn,
            c.Once: lambda one: self._once(one.session, one.seq, one.ack, one.op),
            c.OnceRun: self._run,
            c.OpenSession: self._open,
            c.KeepAlive: self._keep_alive,
            c.CloseSession: self._close,
            c.Invalid: _refuse,
        }

    def compare(self, name: str, store: StateMachine) -> None:
        """Compare a node's state with this one, if it stands for the same entries.

        Raises:
            AssertionError: it is another one.
        """
        if store.last_applied != self.index or self._compared == self.index:
            return
        self._compared = self.index
        keyspace = store._keyspace  # noqa: SLF001 - nobody else asks for all of it
        where = f"after entry {self.index} the log has made, and {name} holds"
        assert (self.rev, self.time_ms) == (store.store_rev, store.time_ms), (
            f"{where}: revision {self.rev} at {self.time_ms} ms, not {store.store_rev} at "
            f"{store.time_ms} ms"
        )
        held = {
            key: Kept(*(getattr(record, field) for field in Kept._fields))
            for key, record in keyspace.behind(None)
        }
        for key in sorted({*self.keys, *held}):
            mine, its = self.keys.get(key), held.get(key)
            assert mine == its, f"{where}: under {key!r} {mine}, not {its}"
        mine_too, its_too = dict(self._seats()), dict(_seats_of(keyspace.sessions))
        assert mine_too == its_too, f"{where}: the sessions {mine_too}, not {its_too}"

    def apply(self, entry: Entry) -> None:
        """Do the next committed entry."""
        self.index += 1
        assert entry.index == self.index, "entries come in order"
        if entry.kind is not EntryKind.COMMANDS:
            if entry.kind is EntryKind.NOOP and self._last_id:
                self._floor_ms = self.time_ms
            return
        stamp_ms, commands = c.decode_entry(entry.data)
        if stamp_ms is not None:
            self.time_ms = stamp_ms
            self._let_go()
        going = {one.key for one in commands if isinstance(one, c.Evict)}
        for command in commands:
            _check_spared(command, going)
            self._deletable = DELETED_MAX
            self._try(command)

    def _seats(self) -> Iterator[tuple[int, tuple[Any, ...]]]:
        for number, seat in self.sessions.items():
            bound = sorted(key for key, kept in self.keys.items() if kept.session == number)
            end_ms = max(seat.renewed_ms, self._floor_ms) + seat.ttl_ms
            yield number, (seat.ttl_ms, end_ms, seat.ack, sorted(seat.done), bound)

    def _let_go(self) -> None:
        """End the sessions whose time is up, and then the keys, the earliest first."""
        room = machine.EXPIRED_MAX
        ends = sorted((seat[1], number) for number, seat in self._seats())
        for end_ms, number in ends:
            if end_ms <= self.time_ms and room > 0:
                room -= 1 + self._end(number, "expire")
        due = sorted(
            (kept.deadline_ms, key)
            for key, kept in self.keys.items()
            if kept.deadline_ms and kept.deadline_ms <= self.time_ms
        )
        for _, key in due[: max(0, room)]:
            self._remove(key, "expire")

    def _end(self, session: int, kind: str) -> int:
        """End a session; return how many keys go with it."""
        del self.sessions[session]
        bound = sorted(key for key, kept in self.keys.items() if kept.session == session)
        for key in bound:
            self._remove(key, kind)
        return len(bound)

    def _try(self, command: Any) -> bool:
        try:
            self._do(command)
        except RefusedError:
            return False
        return True

    def _do(self, command: Any) -> None:
        """Do a command, or raise RefusedError."""
        self._deeds[type(command)](command)

    def _delete(self, command: c.Delete) -> None:
        self._check_condition(command)
        if command.key in self.keys:
            self._remove(command.key)

    def _evict(self, command: c.Evict) -> None:
        kept = self.keys.get(command.key)
        if kept is not None and kept.mod_rev == command.mod_rev and not kept.session:
            self._remove(command.key, "evict")

    def _fenced(self, command: c.Fenced) -> None:
        kept = self.keys.get(command.key)
        if kept is None or kept.create_rev != command.create_rev:
            raise RefusedError
        self._fences += 1
        try:
            self._do(command.op)
        finally:
            self._fences -= 1

    def _batch(self, command: c.Batch) -> None:
        for op in command.ops:
            self._try(op)

    def _run(self, command: c.OnceRun) -> None:
        for seq, op in enumerate(command.ops, command.first_seq):
            self._once(command.session, seq, command.ack, op)

    def _open(self, command: c.OpenSession) -> None:
        if len(self.sessions) >= self._limits.sessions:
            raise RefusedError
        self._last_id += 1
        if self._last_id == 1:
            self._floor_ms = self.time_ms
        self.sessions[self._last_id] = Seat(command.ttl_ms, self.time_ms)

    def _keep_alive(self, command: c.KeepAlive) -> None:
        if command.session in self.sessions:
            self.sessions[command.session].renewed_ms = self.time_ms

    def _close(self, command: c.CloseSession) -> None:
        if command.session in self.sessions:
            self._end(command.session, "delete")

    def _once(self, session: int, seq: int, ack: int, op: Any) -> None:
        seat = self.sessions.get(session)
        if seat is None:
            return
        seat.ack = max(seat.ack, ack)
        seat.done = {number for number in seat.done if number > seat.ack}
        if seat.ack < seq <= seat.ack + WINDOW and seq not in seat.done:
            self._try(op)
            seat.done.add(seq)

    def _check_condition(self, command: Any) -> None:
        kept = self.keys.get(command.key)
        value, mod_rev = (None, 0) if kept is None else kept[:2]
        if command.if_mod_rev not in {None, mod_rev} or command.if_value not in {None, value}:
            raise RefusedError

    def _set(self, command: Any) -> None:
        session = getattr(command, "session", None)
        if session is not None and not self._may_bind(session, command.key):
            raise RefusedError
        assert self._fences or not command.key.startswith(b"fenced-"), (
            f"what was asked for behind a fence is in the log without it: {command}"
        )
        self._check_condition(command)
        ttl_ms = getattr(command, "ttl_ms", None)
        slides = ttl_ms if ttl_ms is not None and getattr(command, "sliding", False) else 0
        deadline_ms = 0 if ttl_ms is None else self.time_ms + ttl_ms
        self._put(command.key, command.value, deadline_ms, slides, session or 0)

    def _may_bind(self, session: int, key: bytes) -> bool:
        bound = {key} | {key for key, kept in self.keys.items() if kept.session == session}
        return session in self.sessions and len(bound) <= self._limits.bound_keys

    def _incr(self, command: c.Incr | c.IncrExpiring) -> None:
        key, by = command.key, command.by
        kept = self.keys.get(key)
        value = b"0" if kept is None else kept.value
        if not _NUMBER.fullmatch(value) or int(value) + by not in NUMBERS:
            raise RefusedError
        now = b"%d" % (int(value) + by)
        if kept is None:
            ttl_ms = command.ttl_ms if isinstance(command, c.IncrExpiring) else None
            self._put(key, now, 0 if ttl_ms is None else self.time_ms + ttl_ms)
        else:
            self._put(key, now, kept.deadline_ms, kept.ttl_ms, kept.session)

    def _expire(self, command: c.Expire) -> None:
        key, ttl_ms = command.key, command.ttl_ms
        kept = self.keys.get(key)
        if kept is not None:
            deadline_ms = 0 if ttl_ms is None else self.time_ms + ttl_ms
            slides = ttl_ms if ttl_ms is not None and kept.ttl_ms else 0
            self.keys[key] = kept._replace(deadline_ms=deadline_ms, ttl_ms=slides)

    def _touch(self, command: c.Touch) -> None:
        kept = self.keys.get(command.key)
        if kept is not None and kept.mod_rev == command.mod_rev and kept.ttl_ms:
            deadline_ms = max(kept.deadline_ms, self.time_ms + kept.ttl_ms)
            self.keys[command.key] = kept._replace(deadline_ms=deadline_ms)

    def _delete_range(self, command: c.DeleteRange) -> None:
        start, end = command.start, command.end
        found = sorted(key for key in self.keys if start <= key and (end is None or key < end))
        if len(found) > self._deletable:
            raise RefusedError
        self._deletable -= len(found)
        with self._one_revision():
            for key in found:
                self._remove(key)

    def _txn(self, command: c.Txn) -> None:
        branch = command.then if all(map(self._holds, command.compares)) else command.otherwise
        saved = (self.rev, dict(self.keys), len(self.told))
        try:
            with self._one_revision():
                for op in branch:
                    self._do(op)
        except RefusedError:
            self.rev, self.keys, told = saved
            del self.told[told:]
            raise

    def _holds(self, compare: c.Compare) -> bool:
        kept = self.keys.get(compare.key)
        if compare.field == "exists":
            return _SIGNS[compare.sign](kept is not None, compare.to)
        if kept is None:
            return compare.field != "value" and _SIGNS[compare.sign](0, compare.to)
        return _SIGNS[compare.sign](getattr(kept, compare.field), compare.to)

    def _put(
        self, key: bytes, value: bytes, deadline_ms: int, ttl_ms: int = 0, session: int = 0
    ) -> None:
        before, rev = self.keys.get(key), self._next_rev()
        create_rev, version = (rev, 1) if before is None else (before[2], before[3] + 1)
        self.keys[key] = Kept(value, rev, create_rev, version, deadline_ms, ttl_ms, session)
        self._tell("set", key, value, before)

    def _remove(self, key: bytes, kind: str = "delete") -> None:
        self._next_rev()
        self._tell(kind, key, None, self.keys.pop(key))

    def _next_rev(self) -> int:
        if not self._changed:  # What shares a revision takes it with its first change.
            self.rev += 1
        return self.rev

    def _tell(self, kind: str, key: bytes, value: bytes | None, before: Kept | None) -> None:
        was = None if before is None else before.value
        told = (kind, self.rev, key, value, was)
        if self._changed is None:
            self.told.append(told)
        elif key in self._changed:  # Of what is done to a key at once, the last counts.
            at = next(at for at in range(-1, -len(self.told) - 1, -1) if self.told[at][2] == key)
            self.told[at] = (*told[:4], self.told[at][4])
        else:
            self.told.append(told)
        if self._changed is not None:
            self._changed[key] = kind

    @contextmanager
    def _one_revision(self) -> Iterator[None]:
        """Let all that is changed here share a revision; within another one, that one's."""
        outer = self._changed
        self._changed = {} if outer is None else outer
        try:
            yield
        finally:
            self._changed = outer


def _check_spared(command: Any, going: set[bytes]) -> None:
    """Check that an entry lets no key go that it writes, or has a condition on."""
    match command:
        case c.Once() | c.Fenced():
            guard = getattr(command, "key", None)
            assert guard not in going, f"{guard!r} goes to make room for what it guards: {command}"
            _check_spared(command.op, going)
        case c.Batch() | c.OnceRun():
            for op in command.ops:
                _check_spared(op, going)
        case c.Set(key=key) | c.SetExpiring(key=key) | c.SetFully(key=key):
            assert key not in going, f"{key!r} goes to make room for its own write: {command}"
        case _:
            return


def _seats_of(sessions: Sessions) -> Iterator[tuple[int, tuple[Any, ...]]]:
    """Yield the sessions of a node's table as ``PlainStore`` has them."""
    for number in sessions.ids():
        session = sessions.get(number)
        assert session is not None, "it is in the table"
        done = {*session.answers}
        for run in session.runs:
            done.update(range(run.first_seq, run.last_seq + 1))
        end_ms = max(session.renewed_ms, sessions.floor_ms) + session.ttl_ms
        above = sorted(seq for seq in done if seq > session.ack)
        yield number, (session.ttl_ms, end_ms, session.ack, above, sorted(session.keys))
