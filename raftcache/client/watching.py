"""Watches: long polls that follow one another from revision to revision, at any node.

:class:`Cursor` decides (sans-I/O) what to ask next and what to make of an answer; the revision
that it goes on from is all that it needs, so a change of nodes loses nothing and repeats nothing.
"""

import os
import threading
import time
from collections import deque
from types import TracebackType
from typing import Final, Generic, Self

from ..errors import NoLeader, Overloaded, Timeout, Unreachable
from . import codec as wire
from . import routing
from .calling import Bell, Caller, Interrupted, now_ms
from .calls import Plan
from .codec import Fields
from .records import Event
from .values import Codec, Text, V, as_bytes, whole

HOLD_MS: Final = 1_500
"""How long a node holds a poll when nothing happens. Longer: a watcher takes longer to leave a node
that stands still. Shorter: more messages for nothing."""
POLL_MS: Final = 10_000
"""How long one poll is tried at all nodes before it is made anew."""
_PAUSE_S: Final = 0.05

PATIENT: Final = (NoLeader, Overloaded, Timeout, Unreachable)
"""What a watch outlasts: the cluster may be back in a moment."""


def _store_rev(reply: Fields) -> int:
    return int(reply["store_rev"])


FROM_NOW: Final[Plan[int]] = Plan("get", {"key": b"\0"}, routing.Kind.READ, _store_rev)
"""Asks for the revision of this moment: what comes after it is new."""


class Cursor(Generic[V]):
    """Where a watch has come to."""

    def __init__(
        self,
        codec: Codec[V],
        key: Text | None,
        prefix: Text | None,
        *,
        from_rev: int | None,
        prev: bool,
    ) -> None:
        if (key is None) == (prefix is None):
            raise ValueError("a watch needs a key, or a prefix (b'': all keys), and not both")
        self.codec = codec
        self._events: deque[Fields] = deque()
        """What was taken and not told yet, as it came: a value that can't be read costs no other
        change."""
        self.next_rev = None if from_rev is None else whole("from_rev", from_rev)
        """The revision that is next; None: that of :meth:`begin`'s moment."""
        self._fields: Fields = (
            {"key": as_bytes(key)} if key is not None else {"prefix": as_bytes(prefix or b"")}
        )
        if prev:
            self._fields["prev"] = True

    def __repr__(self) -> str:
        """Tell what is watched, and from where."""
        what = "key" if "key" in self._fields else "prefix"
        since = "now on" if self.next_rev is None else f"revision {self.next_rev}"
        return f"{what} {self._fields[what]!r} from {since}"

    def begin(self, store_rev: int) -> None:
        """Begin with the first change after this revision."""
        self.next_rev = store_rev + 1

    def fields(self, wait_ms: float = HOLD_MS) -> Fields:
        """Return the next poll's fields."""
        assert self.next_rev is not None, "a watch begins at a revision"
        return {**self._fields, "from_rev": self.next_rev, "wait_ms": max(0, round(wait_ms))}

    def take(self, reply: Fields) -> None:
        """Take the changes that a poll's answer tells of, and go on behind them."""
        assert self.next_rev is not None, "a watch begins at a revision"
        self.next_rev = max(self.next_rev, int(reply["next_rev"]))
        self._events.extend(reply["events"])

    @property
    def has_events(self) -> bool:
        """Whether there are changes that were not told yet."""
        return bool(self._events)

    def next_event(self) -> Event[V]:
        """Return the next change.

        Raises:
            Undecodable: the codec can't read its value; the next call goes on behind it.
        """
        return wire.event_of(self._events.popleft(), self.codec)


class Watch(Generic[V]):
    """An iterator over changes; made by :meth:`Client.watch`.

    One thread iterates; any may close it, which ends the iteration. It is a context manager, too.
    """

    def __init__(self, cursor: Cursor[V], endpoints: tuple[str, ...]) -> None:
        self._cursor = cursor
        self._bell = Bell()
        self._caller = Caller(routing.Routing(endpoints), self._bell)
        self._lock = threading.Lock()
        self._busy: int | None = None
        """The thread that is in a poll now."""
        self._closed = False
        self._pid = os.getpid()

    def __repr__(self) -> str:
        """Tell what is watched, and from where."""
        return f"<Watch of {self._cursor!r}{': closed' * self._closed}>"

    def __iter__(self) -> Self:
        """Return the watch itself."""
        return self

    def __next__(self) -> Event[V]:
        """Wait for the next change."""
        event = self.next()
        if event is None:
            raise StopIteration
        return event

    def next(self, timeout: float | None = None) -> Event[V] | None:
        """Return the next change; None: there was none within ``timeout`` seconds, or it is closed.

        Raises:
            Compacted: changes were missed, for they are no longer kept.
            Undecodable: the codec can't read the value of the next one; it counts as told.
        """
        if self._pid != os.getpid():
            raise RuntimeError("this watch was made before a fork: make a new one in the child")
        deadline_ms = None if timeout is None else now_ms() + timeout * 1_000
        while not self._cursor.has_events:
            left_ms = HOLD_MS if deadline_ms is None else deadline_ms - now_ms()
            if self._bell.has_rung:
                self.close()  # it was a signal handler that rang, and could not do the rest
                return None
            if left_ms <= 0:
                return None
            self._poll(min(left_ms, HOLD_MS))
        return self._cursor.next_event()

    def close(self) -> None:
        """End the iteration, whoever waits in it."""
        if self._pid != os.getpid():
            return  # the sockets are the parent's
        self._bell.ring()
        if self._busy == threading.get_ident():
            return  # in the middle of a poll of this thread, which ends now, and closes
        with self._lock:
            if not self._closed:
                self._closed = True
                self._caller.close()
                self._bell.close()

    def __enter__(self) -> Self:
        """Return the watch itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def __del__(self) -> None:
        """Close one that was dropped, as by a `break` out of its iteration."""
        if hasattr(self, "_pid"):  # it was made to the end
            self.close()

    def _poll(self, wait_ms: float) -> None:
        with self._lock:
            if self._closed:
                return
            call = routing.Call(
                self._caller.routing,
                routing.Kind.READ,
                now_ms() + POLL_MS,
                anyone=True,
                hold_ms=wait_ms,
            )
            try:
                self._busy = threading.get_ident()
                reply = self._caller.perform(call, "watch", self._cursor.fields(wait_ms))
            except PATIENT:
                time.sleep(_PAUSE_S)
            except Interrupted:
                pass  # whoever rang the bell waits for the lock
            else:
                self._cursor.take(reply)
            finally:
                self._busy = None
