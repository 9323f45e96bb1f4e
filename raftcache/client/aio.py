"""The asynchronous client: performs what :mod:`.routing` decides, many calls at a time.

Only this file and ``channel`` wait and read the clock (the event loop's). All calls of one client
share one connection per node; each has its own deadline and its own way.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import zmq

from . import calls, codec, routing
from .calls import Plan
from .channel import Channel, Settled
from .records import Item, Member, Operation, Outcome, Page, Record, Text, Written

RETIRED_MAX = 8
"""Connections kept for late answers after a silence; beyond it the oldest is closed."""

T = TypeVar("T")


class AsyncClient:
    """A client of a Raft Cache cluster for asyncio: the methods of :class:`Client`, awaited.

    It keeps the same promises: no mutation is ever sent twice unless the first sending is known
    to have had no effect, and every call ends by its deadline, ``timeout`` seconds unless it is
    given its own. Any number of calls may be in flight; none waits for another. A call that is
    cancelled may have taken effect, as if its outcome were unknown.

    A client belongs to the event loop of its first call.
    """

    def __init__(self, endpoints: str | Sequence[str], *, timeout: float = 5.0) -> None:
        self._routing = routing.Routing(calls.parse_endpoints(endpoints))
        self._timeout = timeout
        self._pid = os.getpid()
        self._last_id = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._channels: dict[str, Channel] = {}
        self._retired: list[Channel] = []
        self._context: zmq.Context[zmq.Socket[bytes]] | None = zmq.Context()

    async def get(
        self, key: Text, *, local: bool = False, timeout: float | None = None
    ) -> bytes | None:
        """Return a key's value, or None when there is no such key.

        With ``local``, any one node answers from its own state at once: perhaps an old value.
        """
        record = await self._perform(calls.get_record(key, local=local), timeout)
        return None if record is None else record.value

    async def get_record(
        self, key: Text, *, local: bool = False, timeout: float | None = None
    ) -> Record | None:
        """Return a key's value and revisions, or None when there is no such key."""
        return await self._perform(calls.get_record(key, local=local), timeout)

    async def set(
        self,
        key: Text,
        value: Text,
        *,
        if_mod_rev: int | None = None,
        if_value: Text | None = None,
        ttl: float | None = None,
        timeout: float | None = None,
    ) -> int:
        """Write a key and return its new revision.

        ``if_mod_rev`` and ``if_value`` make it conditional on the key's present revision (0: the
        key must not exist) and value. The key goes after ``ttl`` seconds, by the cluster's own
        time; without it, it stays.

        Raises:
            Conflict: the condition does not hold; it carries the present revision and value.
        """
        plan = calls.write(key, value, if_mod_rev=if_mod_rev, if_value=if_value, ttl=ttl)
        return (await self._perform(plan, timeout)).mod_rev

    async def write(
        self,
        key: Text,
        value: Text,
        *,
        if_mod_rev: int | None = None,
        if_value: Text | None = None,
        ttl: float | None = None,
        timeout: float | None = None,
    ) -> Written:
        """Write a key as :meth:`set` does; return also whether it is a new one."""
        plan = calls.write(key, value, if_mod_rev=if_mod_rev, if_value=if_value, ttl=ttl)
        return await self._perform(plan, timeout)

    async def delete(
        self,
        key: Text,
        *,
        if_mod_rev: int | None = None,
        if_value: Text | None = None,
        timeout: float | None = None,
    ) -> bool:
        """Delete a key; return whether there was one. The conditions are those of :meth:`set`."""
        plan = calls.delete(key, if_mod_rev=if_mod_rev, if_value=if_value)
        return await self._perform(plan, timeout)

    async def incr(
        self, key: Text, by: int = 1, *, ttl: float | None = None, timeout: float | None = None
    ) -> int:
        """Add to the number in a key (none: 0) and return the sum.

        A key that this creates goes after ``ttl`` seconds; one that is there stays as it is.

        Raises:
            WrongType: the value is no integer.
            OutOfRange: the sum would not fit in signed 64 bits.
        """
        return await self._perform(calls.incr(key, by, ttl), timeout)

    async def expire(self, key: Text, ttl: float | None, *, timeout: float | None = None) -> bool:
        """Let a key go ``ttl`` seconds from now, or stay (None); return whether there is one.

        Its value and revision remain as they are.
        """
        return await self._perform(calls.expire(key, ttl), timeout)

    async def batch(
        self, operations: Sequence[Operation], *, timeout: float | None = None
    ) -> list[Outcome]:
        """Do up to 1,000 operations in order, in one round; return an outcome for each.

        They are independent: one that fails has its error as its outcome, not raised, and stops
        nothing.
        """
        return await self._perform(calls.batch(operations), timeout) if operations else []

    async def range(  # noqa: PLR0913 - a range has as many fields on the wire
        self,
        prefix: Text | None = None,
        *,
        start: Text | None = None,
        end: Text | None = None,
        limit: int = calls.PAGE_LIMIT,
        keys_only: bool = False,
        after: Text | None = None,
        at_rev: int | None = None,
        local: bool = False,
        timeout: float | None = None,
    ) -> Page:
        """Return one page of the keys with ``prefix``, or from ``start`` to before ``end``.

        The next page of the same moment: ``after`` its last key, ``at_rev`` its revision.

        Raises:
            Compacted: so many changes came since ``at_rev`` that the moment is no longer kept.
        """
        plan = calls.page(
            prefix,
            start=start,
            end=end,
            limit=limit,
            keys_only=keys_only,
            after=after,
            at_rev=at_rev,
            local=local,
        )
        return await self._perform(plan, timeout)

    async def count(self, prefix: Text = b"", *, timeout: float | None = None) -> int:
        """Return the number of keys with ``prefix``."""
        return await self._perform(calls.count(prefix), timeout)

    async def items(
        self, prefix: Text = b"", *, timeout: float | None = None
    ) -> AsyncIterator[Item]:
        """Yield the keys with ``prefix`` and their values, in order, all of one moment.

        ``timeout`` is for each page. Raises what :meth:`range` raises.
        """
        async for item in self._walk(prefix, keys_only=False, timeout=timeout):
            yield item

    async def keys(
        self, prefix: Text = b"", *, timeout: float | None = None
    ) -> AsyncIterator[bytes]:
        """Yield the keys with ``prefix``, in order, all of one moment."""
        async for item in self._walk(prefix, keys_only=True, timeout=timeout):
            yield item.key

    async def ping(
        self, endpoint: str | None = None, *, timeout: float | None = None
    ) -> Mapping[str, Any]:
        """Return protocol, build and cluster as any node, or ``endpoint``'s, tells them."""
        return await self._perform(calls.ask("ping", endpoint), timeout)

    async def status(
        self, endpoint: str | None = None, *, timeout: float | None = None
    ) -> Mapping[str, Any]:
        """Return one node's view of itself and the cluster: any node's, or ``endpoint``'s."""
        return await self._perform(calls.ask("status", endpoint), timeout)

    async def hash(
        self, endpoint: str | None = None, *, at: int | None = None, timeout: float | None = None
    ) -> Mapping[str, Any]:
        """Return a digest of a node's state and the log index it is of.

        At the same index it is equal on all nodes. ``at`` asks for a past index.
        """
        plan = calls.ask("hash", endpoint, None if at is None else {"at": at})
        return await self._perform(plan, timeout)

    async def members(self, *, timeout: float | None = None) -> list[Member]:
        """Return the nodes of the cluster, as its configuration lists them."""
        return await self._perform(calls.members(), timeout)

    async def close(self) -> None:
        """Close all connections; closing again does nothing.

        A call that is in flight ends at once: a mutation that was sent as ``OutcomeUnknown``,
        anything else, and every later call, as ``ValueError``.
        """
        context, self._context = self._context, None
        if context is None or self._pid != os.getpid():
            return
        for channel in [*self._channels.values(), *self._retired]:
            channel.close()
        self._retired.clear()
        context.term()

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

    async def _walk(
        self, prefix: Text, *, keys_only: bool, timeout: float | None
    ) -> AsyncIterator[Item]:
        plan: Plan[Page] | None = calls.page(prefix, keys_only=keys_only)
        while plan is not None:
            page = await self._perform(plan, timeout)
            for item in page.items:
                yield item
            plan = calls.next_page(prefix, page, keys_only=keys_only)

    async def _perform(self, plan: Plan[T], timeout: float | None) -> T:
        """Perform one call: take steps until one settles it."""
        loop = self._own_loop()
        seconds = self._timeout if timeout is None else timeout
        deadline_ms = (loop.time() + seconds) * 1_000
        call = routing.Call(self._routing, plan.kind, deadline_ms, plan.pinned)
        while True:
            if self._context is None:
                raise ValueError("this AsyncClient is closed")
            step = call.next_step(loop.time() * 1_000)
            if isinstance(step, routing.Pause):
                await asyncio.sleep(max(0.0, step.until_ms / 1_000 - loop.time()))
                continue
            outcome, reply = await self._attempt(loop, step, plan)
            if call.settle(loop.time() * 1_000, outcome, step.endpoint):
                return plan.read(reply)

    async def _attempt(
        self, loop: asyncio.AbstractEventLoop, step: routing.Send, plan: Plan[T]
    ) -> Settled:
        """Send one request over the node's channel and wait for its outcome."""
        self._last_id += 1
        request_id = self._last_id
        request = codec.encode_request(
            plan.op, plan.fields, request_id=request_id, timeout_ms=step.timeout_ms
        )
        try:
            channel = self._channel(loop, step.endpoint)
        except zmq.ZMQError as error:
            return routing.NotSent(str(error)), {}
        future = channel.submit(
            request_id,
            request,
            connect_by_ms=step.connect_by_ms,
            answer_by_ms=step.answer_by_ms,
        )
        try:
            return await future
        finally:
            channel.forget(request_id)

    def _channel(self, loop: asyncio.AbstractEventLoop, endpoint: str) -> Channel:
        channel = self._channels.get(endpoint)
        if channel is None:
            assert self._context is not None, "a closed client sends nothing"
            channel = Channel(loop, self._context, endpoint, self._on_retired)
            self._channels[endpoint] = channel
        return channel

    def _on_retired(self, channel: Channel) -> None:
        del self._channels[channel.endpoint]
        self._retired = [one for one in [*self._retired, channel] if not one.closed]
        if len(self._retired) > RETIRED_MAX:
            self._retired.pop(0).close()

    def _own_loop(self) -> asyncio.AbstractEventLoop:
        loop = asyncio.get_running_loop()
        if self._loop is None:
            self._loop = loop
        elif self._loop is not loop:
            raise RuntimeError("an AsyncClient belongs to one event loop: make one in each")
        if self._pid != os.getpid():
            raise RuntimeError("this AsyncClient was made before a fork: make one in the child")
        return loop
