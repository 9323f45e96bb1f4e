"""When keys and sessions may end by themselves, at the earliest; and when they must have ended.

Rules, as in docs/protocol.md: nothing goes before its time, and a session and what is bound to it
go together. How late something may go nobody promises: cluster time stands still while nobody
leads. All times are those of clients, so each bound is counted from when a request was sent.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .history import Arguments, Compare, Operation, Part, Result, Text

MS = 1_000_000
_EXPIRED = "session_expired"


@dataclass(slots=True)
class _Session:
    """What is known of a session."""

    ttl_ns: int = 0
    opened: list[Operation] = field(default_factory=list)
    kept_ns: int | None = None
    """When the last request was sent that is known to have kept it alive."""
    kept: list[Operation] = field(default_factory=list)
    closes: list[Operation] = field(default_factory=list)
    """Requests to close it that had an effect, or may have had one."""
    gone: list[Operation] = field(default_factory=list)
    """Answers that say that it is no more."""

    def end_ns(self, early_ns: int) -> int | None:
        """Return when it may have ended by itself, at the earliest; None: it was never opened."""
        if self.kept_ns is None or not self.opened:
            return None
        return self.kept_ns + self.ttl_ns - early_ns

    def earliest_ns(self, early_ns: int) -> int | None:
        """Return when it may have ended in any way."""
        end_ns = self.end_ns(early_ns)
        return None if end_ns is None else min([end_ns, *(one.call_ns for one in self.closes)])


class Lifetimes:
    """Collects whatever has to do with time.

    Args:
        early_ms: by so much less than its time everything may live.
    """

    def __init__(self, early_ms: int = 0) -> None:
        self.sessions: dict[int, _Session] = {}
        self._early_ns = early_ms * MS
        self._sets: dict[Text, list[tuple[Operation, Arguments]]] = {}
        self._counts: dict[Text, list[tuple[Operation, Arguments]]] = {}
        self._expires: dict[Text, list[tuple[Operation, Arguments]]] = {}
        self._limited: dict[Text, None] = {}
        """Keys of which something may end."""

    def note(self, key: Text, op: str, args: Arguments, operation: Operation) -> None:
        """Take note of an operation on a key, or of a transaction's part."""
        if operation.outcome == "failed" or op in {"get", "delete"}:
            return
        if op == "set":
            self._sets.setdefault(key, []).append((operation, args))
        elif op == "incr":
            self._counts.setdefault(key, []).append((operation, args))
        elif op == "expire":
            self._expires.setdefault(key, []).append((operation, args))
        if args.ttl_ms is not None or args.session is not None:
            self._limited[key] = None

    def note_session(self, operation: Operation) -> None:
        """Take note of an operation on a session."""
        op, ok = operation.op, operation.outcome == "ok"
        if op == "session_open" and ok and operation.result.session is not None:
            session = self.sessions.setdefault(operation.result.session, _Session())
            session.opened.append(operation)
            session.ttl_ns = (operation.args.ttl_ms or 0) * MS
            session.kept_ns = max(operation.call_ns, session.kept_ns or 0)
        number = operation.args.session
        if not op.startswith("session_") or number is None:
            return
        session = self.sessions.setdefault(number, _Session())
        if operation.error == _EXPIRED:
            session.gone.append(operation)
        elif op == "session_keepalive" and ok:
            session.kept.append(operation)
            session.kept_ns = max(operation.call_ns, session.kept_ns or 0)
        elif op == "session_close" and operation.outcome != "failed":
            session.closes.append(operation)

    def endings(self, keys: Mapping[Text, object]) -> Iterator[Operation]:
        """Yield what may take keys away: deletes without an answer; and what must have done so."""
        for key in self._limited:
            if key not in keys:
                continue
            sets = self._sets.get(key, [])
            if key in self._counts:
                # What is counted on has other values, and the same end: any value may go.
                for operation, args in (*sets, *self._counts[key]):
                    moment_ns = self._earliest_ns(key, operation, args)
                    if moment_ns is not None:
                        yield _ending(key, Arguments(), moment_ns)
                continue
            for operation, args in sets:
                moment_ns = self._earliest_ns(key, operation, args)
                if moment_ns is not None:
                    yield _ending(key, Arguments(if_value=args.value), moment_ns)
            yield from self._ended(key, sets)

    def _earliest_ns(self, key: Text, operation: Operation, args: Arguments) -> int | None:
        """Return when what an operation wrote may go by itself; None: it stays."""
        moments: list[int] = []
        if args.ttl_ms is not None:
            moments.append(operation.call_ns + _time_ns(args.ttl_ms, sliding=args.sliding))
        slides = any(one.sliding for _, one in self._sets.get(key, []))
        for other, asked in self._expires.get(key, []):
            after = other.return_ns is None or other.outcome == "unknown"
            if asked.ttl_ms is not None and (after or (other.return_ns or 0) >= operation.call_ns):
                moments.append(other.call_ns + _time_ns(asked.ttl_ms, sliding=slides))
        moments = [moment - self._early_ns for moment in moments]
        if args.session is not None:
            session = self.sessions.get(args.session)
            end_ns = None if session is None else session.earliest_ns(self._early_ns)
            moments.append(operation.call_ns if end_ns is None else end_ns)
        return max(operation.call_ns, min(moments)) if moments else None

    def _ended(self, key: Text, sets: Sequence[tuple[Operation, Arguments]]) -> Iterator[Operation]:
        """Yield that what is bound to a session is gone when the session is."""
        values = [args.value for _, args in sets]
        for _, args in sets:
            session = None if args.session is None else self.sessions.get(args.session)
            if session is None or args.value is None or values.count(args.value) > 1:
                continue
            began = [one.call_ns for one in session.opened]
            for one in session.closes:
                if one.outcome == "ok":
                    yield _ended(key, args.value, one, one.call_ns)
            for one in session.gone[:1]:
                if began:
                    yield _ended(key, args.value, one, min(began))


def _time_ns(ttl_ms: int, *, sliding: bool) -> int:
    """Return how long a key has; one that slides may go a tenth of it early."""
    return ttl_ms * MS * 9 // 10 if sliding else ttl_ms * MS


def _ending(key: Text, args: Arguments, from_ns: int) -> Operation:
    return Operation(
        client="time",
        op="delete",
        key=key,
        args=args,
        outcome="unknown",
        call_ns=from_ns,
        error="expiry",
    )


def _ended(key: Text, value: Text, told: Operation, from_ns: int) -> Operation:
    """Return that a value, if it was still there, was deleted by the time of an answer."""
    return Operation(
        client=told.client,
        op="txn",
        key=key,
        args=Arguments(
            compare=(Compare(key=key, field="value", to=value),),
            then=(Part(op="delete", key=key),),
        ),
        outcome="ok",
        call_ns=from_ns,
        return_ns=told.return_ns,
        result=Result(),
        node=told.node,
    )
