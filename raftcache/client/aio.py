"""The asynchronous client: calls travel together, writes are numbered in a session."""

import asyncio
import contextlib
import os
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
from .async_commands import AsyncCommands
from .async_keeper import AsyncKeeper
from .async_watching import AsyncWatch
from .calls import OPERATIONS_MAX, Plan, Plans
from .codec import Fields
from .exchange import Exchange
from .keeper import remove_from
from .lanes import Entry, Lane
from .local import local_endpoints
from .options import Endpoints, Folder
from .routing import Kind
from .sessions import RETRY_UNSUPPORTED_MS, TTL_S, Session, State, shown
from .values import AnyCodec, Codec, CodecName, Text, V, codec_of
from .watching import Cursor

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from .options import AsyncOptions as Options

T = TypeVar("T")

_FAREWELL_MS = 500
_ROOM_S = 0.005


class AsyncClient(AsyncCommands[V]):
    """A client of a Raft Cache cluster for asyncio: the methods of :class:`Client`, awaited.

    It keeps the same promises, and takes the same arguments. Any number of calls may be in flight;
    those of one moment travel as one request, and each keeps its own outcome and deadline. A call
    that is cancelled may have taken effect, as if its outcome were unknown.

    With ``coalesce=False`` each call is a request of its own. A client belongs to the event loop of
    its first call; listeners are called in it.
    """

    @overload
    def __init__(
        self: "AsyncClient[bytes]",
        endpoints: Endpoints,
        *,
        codec: Literal["bytes"] = ...,
        **options: "Unpack[Options]",
    ) -> None: ...
    @overload
    def __init__(
        self: "AsyncClient[str]",
        endpoints: Endpoints,
        *,
        codec: Literal["str"],
        **options: "Unpack[Options]",
    ) -> None: ...
    @overload
    def __init__(
        self: "AsyncClient[Any]",
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
        coalesce: bool = True,
    ) -> None:
        self._routing = routing.Routing(calls.parse_endpoints(endpoints))
        self._plans = Plans(codec_of(codec))
        self._timeout = calls.parse_timeout(timeout)
        self._exactly_once = exactly_once
        self._ttl_ms = calls.parse_session_ttl(session_ttl)
        self._coalesce = coalesce
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._exchange = Exchange(self._routing)
        self._lanes: dict[Kind, Lane] = {}
        self._session: Session | None = None
        self._no_session_until_ms = 0.0
        self._opening = asyncio.Lock()
        self._keeper = AsyncKeeper(self._exchange)
        self._watches: weakref.WeakSet[AsyncWatch[V]] = weakref.WeakSet()

    @overload
    @classmethod
    def local(
        cls, folder: Folder = None, *, codec: Literal["bytes"] = ..., **options: "Unpack[Options]"
    ) -> "AsyncClient[bytes]": ...
    @overload
    @classmethod
    def local(
        cls, folder: Folder = None, *, codec: Literal["str"], **options: "Unpack[Options]"
    ) -> "AsyncClient[str]": ...
    @overload
    @classmethod
    def local(
        cls, folder: Folder = None, *, codec: AnyCodec, **options: "Unpack[Options]"
    ) -> "AsyncClient[Any]": ...
    @overload
    @classmethod
    def local(
        cls, folder: Folder = None, *, codec: Codec[T], **options: "Unpack[Options]"
    ) -> "AsyncClient[T]": ...
    @classmethod
    def local(
        cls, folder: Folder = None, *, codec: Any = "bytes", **options: "Unpack[Options]"
    ) -> "AsyncClient[Any]":
        """Return a client of the cluster that runs here: see :func:`local_endpoints`.

        It takes ``codec``, ``timeout`` and all else as :class:`AsyncClient` does.

        Raises:
            NoLocalCluster: there is none; the message says what is missing.
        """
        return AsyncClient(local_endpoints(folder), codec=codec_of(codec), **options)

    def __repr__(self) -> str:
        """Tell which cluster it is a client of, and how that is going."""
        return shown(self, self._routing.endpoints, self.state, closed=self._exchange.closed)

    def watch(
        self,
        key: Text | None = None,
        *,
        prefix: Text | None = None,
        from_rev: int | None = None,
        prev: bool = False,
    ) -> AsyncWatch[V]:
        """Return an asynchronous iterator over the changes of a key, or of keys with ``prefix``.

        It begins with the change ``from_rev``, or (None) with the first one after its block is
        entered, or else its iteration begins; and goes on, over failovers, without a gap or a
        repetition, until it is closed. With ``prev`` events have the value before.

        Raises:
            Compacted: (from the iterator) so many changes came since that revision that they are
                no longer kept: read the keys anew, and watch from there.
        """
        cursor = Cursor(self._plans.codec, key, prefix, from_rev=from_rev, prev=prev)
        if self._exchange.closed:
            raise ValueError("this AsyncClient is closed")
        watch = AsyncWatch(cursor, self._exchange)
        self._watches.add(watch)
        return watch

    def add_listener(self, listener: Callable[[State], None]) -> None:
        """Let ``listener`` hear what becomes of the session.

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
        if self._session is None or self._loop is None:
            return None
        return self._session.state(self._loop.time() * 1_000)

    async def session(self, *, timeout: float | None = None) -> Session:
        """Return the session, which is opened if there is none that lives.

        Raises:
            Unsupported: the client has none, or the cluster knows none yet.
        """
        if not self._exactly_once:
            raise Unsupported("this client was made with exactly_once=False: it has no session")
        loop = self._own_loop()
        self._no_session_until_ms = 0.0
        seconds = self._timeout if timeout is None else calls.parse_timeout(timeout)
        session = await self._live_session((loop.time() + seconds) * 1_000)
        if session is None:
            raise Unsupported("the cluster knows no sessions: all of its nodes must be upgraded")
        return session

    async def close(self) -> None:
        """End the session and all connections; closing again does nothing.

        A call that is in flight ends at once: a mutation that was sent as ``OutcomeUnknown``,
        anything else, and every later call, as ``ValueError``. Watches end.
        """
        if self._exchange.closed or self._pid != os.getpid():
            return
        if self._loop is not None and self._loop.is_closed():
            self._end_calls()  # whatever ran there was ended with the loop
            return
        self._own_loop()
        for watch in [*self._watches]:
            watch.close()
        tasks = [task for lane in self._lanes.values() for task in lane.close()]
        tasks += self._keeper.stop()
        session, self._session = self._session, None
        try:
            if session is not None and not session.ended:
                session.ended = True
                await self._say_farewell(session)
        finally:
            self._end_calls()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def __aenter__(self) -> Self:
        """Return the client itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        await self.close()

    async def _perform(self, plan: Plan[T], timeout: float | None) -> T:
        """Perform one call, together with others where that may be."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            loop = self._own_loop()
        seconds = self._timeout if timeout is None else calls.parse_timeout(timeout)
        deadline_ms = (loop.time() + seconds) * 1_000
        if plan.joins and self._coalesce:
            lane = self._lanes.get(plan.kind) or self._open_lane(loop, plan.kind)
            reply = await lane.submit(plan, deadline_ms)
        else:
            reply = await self._ask(plan.op, plan.fields, plan.kind, deadline_ms, plan)
        if plan.kind is Kind.MUTATION:
            codec.look_for_dropped(reply)
        return plan.read(reply)

    def _open_lane(self, loop: asyncio.AbstractEventLoop, kind: Kind) -> Lane:
        if self._exchange.closed:
            raise ValueError("this AsyncClient is closed")

        async def carry(batch: list[Entry], deadline_ms: float) -> list[Fields]:
            return await self._carry(batch, kind, deadline_ms)

        room = self._room if kind is Kind.MUTATION else _unbounded
        lane = self._lanes[kind] = Lane(loop, kind, carry, room)
        return lane

    def _end_calls(self) -> None:
        self._exchange.close()
        self._lanes.clear()

    async def _carry(self, batch: list[Entry], kind: Kind, deadline_ms: float) -> list[Fields]:
        """Ask for all of a batch, and return the results."""
        if len(batch) == 1:
            [entry] = batch
            return [await self._ask(entry.plan.op, entry.plan.fields, kind, deadline_ms)]
        ops = [entry.plan.fields for entry in batch]
        reply = await self._ask("batch", {"ops": ops}, kind, deadline_ms)
        results: list[Fields] = reply["results"]
        return results

    async def _ask(
        self,
        op: str,
        fields: Fields,
        kind: Kind,
        deadline_ms: float,
        plan: Plan[Any] | None = None,
    ) -> Fields:
        """Make one request, numbered in the session if it changes something."""
        self._own_loop()  # whoever has a lane has looked for the loop, not for a fork
        while kind is Kind.MUTATION and self._exactly_once:
            session = await self._live_session(deadline_ms)
            if session is None:
                break
            await self._wait_for_room(session, len(fields.get("ops", "1")), deadline_ms)
            call = routing.Call(self._routing, Kind.ONCE, deadline_ms)
            sent, taken = codec.numbered(fields, session)
            try:
                reply = await self._exchange.perform(call, op, sent)
                codec.look_for_expired(sent, reply)
            except SessionExpired:
                self._forget(session)
                # Sent only once, and refused: nothing was done, and a new session may do it.
                if call.in_doubt:
                    raise
            else:
                return reply
            finally:
                session.numbers.settle(taken)
        pinned, anyone = (None, False) if plan is None else (plan.pinned, plan.anyone)
        call = routing.Call(self._routing, kind, deadline_ms, pinned, anyone)
        return await self._exchange.perform(call, op, fields)

    async def _live_session(self, deadline_ms: float) -> Session | None:
        """Return the session, opened if need be; None where the cluster knows none yet.

        In doubt it is opened twice: one that is not used ends by itself.
        """
        loop = self._own_loop()
        async with self._opening:
            now_ms = loop.time() * 1_000
            session = self._session
            if session is not None and session.state(now_ms) is not State.LOST:
                return session
            if now_ms < self._no_session_until_ms:
                return None
            call = routing.Call(self._routing, Kind.READ, deadline_ms)
            try:
                reply = await self._exchange.perform(call, "session_open", {"ttl_ms": self._ttl_ms})
            except (Unsupported, BadRequest):
                self._no_session_until_ms = now_ms + RETRY_UNSUPPORTED_MS
                return None
            except IndefiniteError as error:
                raise calls.no_session(error) from error
            session = self._session = Session(reply["session"], self._ttl_ms, now_ms)
            self._keeper.keep(session)
            return session

    def _forget(self, session: Session) -> None:
        """Give a session up: it ends by itself, and with it what is bound to it."""
        session.ended = True
        if session is self._session:
            self._keeper.tell(State.LOST)

    def _room(self) -> int:
        """Return how many writes may be numbered now."""
        session = self._session
        return OPERATIONS_MAX if session is None else session.numbers.free

    async def _wait_for_room(self, session: Session, count: int, deadline_ms: float) -> None:
        """Wait until so many writes can be numbered: older ones are still without an answer."""
        loop = self._own_loop()
        while session.numbers.free < count:
            if loop.time() * 1_000 >= deadline_ms:
                raise Unreachable("it was not sent by the deadline: older writes have no answer")
            await asyncio.sleep(_ROOM_S)

    async def _say_farewell(self, session: Session) -> None:
        """Tell the cluster that a session is over, so that its locks are free at once."""
        deadline_ms = self._own_loop().time() * 1_000 + _FAREWELL_MS
        call = routing.Call(self._routing, Kind.READ, deadline_ms)
        with contextlib.suppress(RequestError):  # then it ends by itself
            await self._exchange.perform(call, "session_close", {"session": session.id})

    def _own_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise RuntimeError("an AsyncClient belongs to one event loop: make one in each")
        if self._pid != os.getpid():
            raise RuntimeError("this AsyncClient was made before a fork: make one in the child")
        return loop


def _unbounded() -> int:
    return OPERATIONS_MAX
