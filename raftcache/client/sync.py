"""The blocking client: calls, one at a time, and the session that its writes are numbered in.

Threads that share a client queue at its lock, within their own deadlines.
"""

import contextlib
import os
import threading
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from ..errors import (
    BadRequest,
    IndefiniteError,
    RequestError,
    SessionExpired,
    Unreachable,
    Unsupported,
)
from . import calls, codec, routing
from .calling import Caller, Interrupted, now_ms
from .calls import Plan, Plans
from .codec import Fields
from .commands import Commands
from .keeper import Keeper, remove_from
from .local import local_endpoints
from .options import Endpoints, Folder
from .sessions import RETRY_UNSUPPORTED_MS, TTL_S, Session, State, shown
from .values import AnyCodec, Codec, CodecName, Text, V, codec_of
from .watching import FROM_NOW, Cursor, Watch

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .options import Options

T = TypeVar("T")

_CLOSED = "this Client is closed"
_FAREWELL_MS = 500
"""How long closing waits for the cluster to hear that the session is over."""


class Client(Commands[V]):
    """A client of a Raft Cache cluster.

    ``endpoints`` are client addresses of its nodes (``tcp://127.0.0.1:7401``), a list or one string
    with commas; one that lives is enough. ``timeout`` is the deadline of a call, in seconds; each
    method takes its own. Values are bytes, or what ``codec`` makes of them: "str", "json",
    "msgpack", or a :class:`Codec`.

    Every write is done once, however many nodes die on the way: with the first one the client opens
    a session, numbers its writes in it, and sends a write again until it is answered or its time
    is over. With ``exactly_once=False`` it opens none: then a write is sent once, and if its answer
    is missing nobody knows whether it happened.

    Every method raises a :class:`raftcache.errors.DefiniteError` when nothing happened and never
    will, and an :class:`raftcache.errors.IndefiniteError` when a mutation may have taken effect.

    The session lives for ``session_ttl`` seconds beyond the last sign of life from this client, and
    a thread keeps it alive until :meth:`close`. Threads may share a client; their calls take turns.
    A process that forks makes a new one.
    """

    @overload
    def __init__(
        self: "Client[bytes]",
        endpoints: Endpoints,
        *,
        codec: Literal["bytes"] = ...,
        **options: "Unpack[Options]",
    ) -> None: ...
    @overload
    def __init__(
        self: "Client[str]",
        endpoints: Endpoints,
        *,
        codec: Literal["str"],
        **options: "Unpack[Options]",
    ) -> None: ...
    @overload
    def __init__(
        self: "Client[Any]",
        endpoints: Endpoints,
        *,
        codec: AnyCodec,
        **options: "Unpack[Options]",
    ) -> None: ...
    @overload
    def __init__(
        self,
        endpoints: Endpoints,
        *,
        codec: Codec[V],
        **options: "Unpack[Options]",
    ) -> None: ...
    def __init__(
        self,
        endpoints: Endpoints,
        *,
        timeout: float = 5.0,
        codec: CodecName | Codec[V] = "bytes",
        exactly_once: bool = True,
        session_ttl: float = TTL_S,
    ) -> None:
        self._routing = routing.Routing(calls.parse_endpoints(endpoints))
        self._plans = Plans(codec_of(codec))
        self._timeout = calls.parse_timeout(timeout)
        self._exactly_once = exactly_once
        self._ttl_ms = calls.parse_session_ttl(session_ttl)
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self._caller: Caller | None = Caller(self._routing)
        self._closing = False
        self._busy: int | None = None
        """The thread that is making a call now."""
        self._session: Session | None = None
        self._no_session_until_ms = 0.0
        self._watches: weakref.WeakSet[Watch[V]] = weakref.WeakSet()
        self._keeper = Keeper(tuple(self._routing.endpoints))
        self._end = weakref.finalize(self, self._keeper.stop)

    @overload
    @classmethod
    def local(
        cls, folder: Folder = None, *, codec: Literal["bytes"] = ..., **options: "Unpack[Options]"
    ) -> "Client[bytes]": ...
    @overload
    @classmethod
    def local(
        cls, folder: Folder = None, *, codec: Literal["str"], **options: "Unpack[Options]"
    ) -> "Client[str]": ...
    @overload
    @classmethod
    def local(
        cls, folder: Folder = None, *, codec: AnyCodec, **options: "Unpack[Options]"
    ) -> "Client[Any]": ...
    @overload
    @classmethod
    def local(
        cls, folder: Folder = None, *, codec: Codec[T], **options: "Unpack[Options]"
    ) -> "Client[T]": ...
    @classmethod
    def local(
        cls, folder: Folder = None, *, codec: Any = "bytes", **options: "Unpack[Options]"
    ) -> "Client[Any]":
        """Return a client of the cluster that runs here: see :func:`local_endpoints`.

        It takes ``codec``, ``timeout``, ``exactly_once`` and ``session_ttl`` as :class:`Client`
        does.

        Raises:
            NoLocalCluster: there is none; the message says what is missing.
        """
        return Client(local_endpoints(folder), codec=codec_of(codec), **options)

    def __repr__(self) -> str:
        """Tell which cluster it is a client of, and how that is going."""
        return shown(self, self._routing.endpoints, self.state, closed=self._closing)

    def watch(
        self,
        key: Text | None = None,
        *,
        prefix: Text | None = None,
        from_rev: int | None = None,
        prev: bool = False,
    ) -> Watch[V]:
        """Return an iterator over the changes of a key, or of all keys with ``prefix``.

        It begins with the change ``from_rev``, or (None) with the first one after this call, and
        goes on, over failovers, without a gap or a repetition, until it is closed. It has
        connections of its own: other calls of the client go on meanwhile. With ``prev`` events have
        the value before.

        Raises:
            Compacted: (from the iterator, too) so many changes came since that revision that they
                are no longer kept: read the keys anew, and watch from there.
        """
        cursor = Cursor(self._plans.codec, key, prefix, from_rev=from_rev, prev=prev)
        self._check_usable()
        if from_rev is None:
            cursor.begin(self._perform(FROM_NOW, None))
        watch = Watch(cursor, tuple(self._routing.endpoints))
        self._watches.add(watch)
        if self._closing:  # meanwhile, by another thread, which may not have seen this one
            watch.close()
        return watch

    def add_listener(self, listener: Callable[[State], None]) -> None:
        """Let ``listener`` hear what becomes of the session, from a thread of the client's own.

        It hears a :class:`State` at each change: connected, suspended (locks are at risk), lost.
        """
        self._keeper.listeners.append(listener)

    def remove_listener(self, listener: Callable[[State], None]) -> None:
        """Let ``listener`` hear no more.

        Raises:
            ValueError: it does not hear anything now.
        """
        remove_from(self._keeper.listeners, listener)

    @property
    def state(self) -> State | None:
        """What is known of the session now; None: there was none yet."""
        session = self._session
        return None if session is None else session.state(now_ms())

    def session(self, *, timeout: float | None = None) -> Session:
        """Return the session, which is opened if there is none that lives.

        Raises:
            Unsupported: the client has none, or the cluster knows none yet.
        """
        if not self._exactly_once:
            raise Unsupported("this client was made with exactly_once=False: it has no session")
        seconds = self._timeout if timeout is None else calls.parse_timeout(timeout)
        deadline_ms = now_ms() + seconds * 1_000
        with self._turn(deadline_ms) as caller:
            self._no_session_until_ms = 0.0
            session = self._live_session(caller, deadline_ms)
        if session is None:
            raise Unsupported("the cluster knows no sessions: all of its nodes must be upgraded")
        return session

    def close(self) -> None:
        """End the session and all connections; closing again does nothing.

        A call that another thread is making ends soon: a mutation that was sent as
        ``OutcomeUnknown``, anything else, and every later call, as ``ValueError``. Watches end. A
        signal handler may close a client, too.
        """
        if self._pid != os.getpid():
            return  # the sockets and threads are the parent's
        self._closing = True
        self._end()
        for watch in [*self._watches]:
            watch.close()
        caller = self._caller
        if caller is None:
            return
        caller.interrupted = True
        if self._busy == threading.get_ident():
            return  # in the middle of a call of this thread, which ends now, and closes
        with self._lock:
            if self._caller is None:
                return
            self._caller, caller.interrupted = None, False
            session, self._session = self._session, None
            try:
                if session is not None and not session.ended:
                    session.ended = True
                    _say_farewell(caller, session)
            finally:
                caller.close()

    def __enter__(self) -> Self:
        """Return the client itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    def _perform(self, plan: Plan[T], timeout: float | None) -> T:
        """Perform one call: take steps until one settles it."""
        seconds = self._timeout if timeout is None else calls.parse_timeout(timeout)
        deadline_ms = now_ms() + seconds * 1_000
        with self._turn(deadline_ms) as caller:
            if plan.kind is routing.Kind.MUTATION and self._exactly_once:
                return plan.read(self._perform_once(caller, plan, deadline_ms))
            call = routing.Call(self._routing, plan.kind, deadline_ms, plan.pinned, plan.anyone)
            return plan.read(caller.perform(call, plan.op, plan.fields))

    def _forget(self, session: Session) -> None:
        """Give a session up: it ends by itself, and with it what is bound to it."""
        session.ended = True
        self._keeper.look()

    def _check_usable(self) -> None:
        if self._pid != os.getpid():
            raise RuntimeError("this Client was made before a fork: make a new one in the child")
        if self._closing:
            raise ValueError(_CLOSED)

    def _turn(self, deadline_ms: float) -> "_Turn":
        self._check_usable()
        return _Turn(self, deadline_ms)

    def _perform_once(self, caller: Caller, plan: Plan[T], deadline_ms: float) -> Fields:
        """Send a mutation, numbered in the session, as often as it takes."""
        while True:
            session = self._live_session(caller, deadline_ms)
            if session is None:
                call = routing.Call(self._routing, plan.kind, deadline_ms)
                return caller.perform(call, plan.op, plan.fields)
            call = routing.Call(self._routing, routing.Kind.ONCE, deadline_ms)
            fields, taken = codec.numbered(plan.fields, session)
            try:
                reply = caller.perform(call, plan.op, fields)
                codec.look_for_dropped(reply)
                codec.look_for_expired(fields, reply)
            except SessionExpired:
                self._forget(session)
                # Sent only once, and refused: nothing was done, and a new session may do it.
                if call.in_doubt:
                    raise
            else:
                return reply
            finally:
                session.numbers.settle(taken)

    def _live_session(self, caller: Caller, deadline_ms: float) -> Session | None:
        """Return the session, opened if need be; None where the cluster knows none yet.

        In doubt it is opened twice: one that is not used ends by itself.
        """
        session, now = self._session, now_ms()
        if session is not None and session.state(now) is not State.LOST:
            return session
        if now < self._no_session_until_ms:
            return None
        call = routing.Call(self._routing, routing.Kind.READ, deadline_ms)
        try:
            reply = caller.perform(call, "session_open", {"ttl_ms": self._ttl_ms})
        except (Unsupported, BadRequest):
            self._no_session_until_ms = now + RETRY_UNSUPPORTED_MS
            return None
        except IndefiniteError as error:
            raise calls.no_session(error) from error
        session = self._session = Session(reply["session"], self._ttl_ms, now)
        self._keeper.keep(session)
        return session


class _Turn:
    """The lock of a client, until a deadline; gives the caller that performs its calls."""

    def __init__(self, client: Client[Any], deadline_ms: float) -> None:
        self._client = client
        self._deadline_ms = deadline_ms

    def __enter__(self) -> Caller:
        client = self._client
        me = threading.get_ident()
        if client._busy == me:  # noqa: SLF001 - ours
            raise RuntimeError(
                "this Client is in the middle of a call of this thread: a signal handler, a codec"
                " or a destructor needs a client of its own"
            )
        left_ms = self._deadline_ms - now_ms()
        if not client._lock.acquire(timeout=max(0.0, left_ms) / 1_000):  # noqa: SLF001 - as above
            raise Unreachable("other threads kept this Client busy until the deadline")
        caller = client._caller  # noqa: SLF001 - as above
        if caller is None:
            client._lock.release()  # noqa: SLF001 - as above
            raise ValueError(_CLOSED)
        client._busy = me  # noqa: SLF001 - as above
        return caller

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        client = self._client
        client._busy = None  # noqa: SLF001 - ours
        client._lock.release()  # noqa: SLF001 - as above
        if client._closing:  # noqa: SLF001 - as above
            client.close()  # by a signal handler that could not, or once more
            if isinstance(error, Interrupted):
                raise ValueError(_CLOSED) from None


def _say_farewell(caller: Caller, session: Session) -> None:
    """Tell the cluster that a session is over, so that its locks are free at once."""
    call = routing.Call(caller.routing, routing.Kind.READ, now_ms() + _FAREWELL_MS)
    with contextlib.suppress(RequestError, Interrupted):  # then it ends by itself
        caller.perform(call, "session_close", {"session": session.id})
