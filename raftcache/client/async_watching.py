"""Watches under asyncio: what :mod:`.watching` decides, over the connections of the client."""

import asyncio
from types import TracebackType
from typing import Generic, Self

from . import routing
from .exchange import Exchange
from .records import Event
from .values import V
from .watching import FROM_NOW, HOLD_MS, PATIENT, POLL_MS, Cursor

_PAUSE_S = 0.05


class AsyncWatch(Generic[V]):
    """An asynchronous iterator over changes; made by :meth:`AsyncClient.watch`.

    One task iterates; any may close it, which ends the iteration. It is a context manager, too, and
    what happens after its block was entered is seen, however late the iteration begins.
    """

    def __init__(self, cursor: Cursor[V], exchange: Exchange) -> None:
        self._cursor = cursor
        self._exchange = exchange
        self._poll: asyncio.Task[None] | None = None
        self._closed = False

    def __repr__(self) -> str:
        """Tell what is watched, and from where."""
        return f"<AsyncWatch of {self._cursor!r}{': closed' * self._closed}>"

    def __aiter__(self) -> Self:
        """Return the watch itself."""
        return self

    async def __anext__(self) -> Event[V]:
        """Wait for the next change."""
        event = await self.next()
        if event is None:
            raise StopAsyncIteration
        return event

    async def next(self, timeout: float | None = None) -> Event[V] | None:
        """Return the next change; None: there was none within ``timeout`` seconds, or it is closed.

        Raises:
            Compacted: changes were missed, for they are no longer kept.
            Undecodable: the codec can't read the value of the next one; it counts as told.
        """
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while not self._cursor.has_events:
            left_ms = HOLD_MS if deadline is None else (deadline - loop.time()) * 1_000
            if self._closed or self._exchange.closed or left_ms <= 0:
                return None
            await self._poll_once(min(left_ms, HOLD_MS))
        return self._cursor.next_event()

    def close(self) -> None:
        """End the iteration, whoever waits in it."""
        self._closed = True
        if self._poll is not None:
            self._poll.cancel()

    async def __aenter__(self) -> Self:
        """Begin: what happens from now on is seen."""
        await self._begin()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close it."""
        self.close()

    async def _poll_once(self, wait_ms: float) -> None:
        if self._poll is not None:
            raise RuntimeError("another task iterates over this watch: each needs its own")
        self._poll = asyncio.create_task(self._ask(wait_ms))
        try:
            await self._poll
        except asyncio.CancelledError:
            if not self._poll.cancelled() or not self._closed:  # it was we who were cancelled
                self._poll.cancel()
                raise
        except PATIENT:
            await asyncio.sleep(_PAUSE_S)
        finally:
            self._poll = None

    async def _ask(self, wait_ms: float) -> None:
        await self._begin()
        call = routing.Call(
            self._exchange.routing,
            routing.Kind.READ,
            asyncio.get_running_loop().time() * 1_000 + POLL_MS,
            anyone=True,
            hold_ms=wait_ms,
        )
        reply = await self._exchange.perform(call, "watch", self._cursor.fields(wait_ms))
        self._cursor.take(reply)

    async def _begin(self) -> None:
        if self._cursor.next_rev is None:
            deadline_ms = asyncio.get_running_loop().time() * 1_000 + POLL_MS
            call = routing.Call(self._exchange.routing, routing.Kind.READ, deadline_ms)
            reply = await self._exchange.perform(call, FROM_NOW.op, FROM_NOW.fields)
            self._cursor.begin(FROM_NOW.read(reply))
