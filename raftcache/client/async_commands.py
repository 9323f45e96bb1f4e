"""What an asynchronous client can be asked; how it is carried out is :mod:`.aio`'s affair.

:mod:`.commands` has the same methods, blocking; a test compares the two.
"""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from ..errors import Conflict
from . import calls
from .calls import Plan, Plans
from .pipelines import AsyncPipeline
from .records import (
    Compare,
    Delete,
    Expire,
    Fence,
    Incr,
    Item,
    Member,
    Operation,
    Outcome,
    Page,
    Record,
    Set,
    TxnResult,
    Written,
)
from .values import Text, V

T = TypeVar("T")


class AsyncCommands(Generic[V]):
    """The methods that ask the cluster something, once; ``timeout`` is in seconds everywhere."""

    _plans: Plans[V]

    async def get(
        self, key: Text, *, local: bool = False, timeout: float | None = None
    ) -> V | None:
        """Return a key's value, or None when there is no such key.

        With ``local``, any one node answers from its own state at once: perhaps an old value.
        """
        return await self._perform(self._plans.get(key, local=local), timeout)

    async def get_record(
        self, key: Text, *, local: bool = False, timeout: float | None = None
    ) -> Record[V] | None:
        """Return a key's value and revisions, or None when there is no such key."""
        return await self._perform(self._plans.get_record(key, local=local), timeout)

    async def set(  # noqa: PLR0913 - a set has as many fields on the wire
        self,
        key: Text,
        value: V | Text,
        *,
        ttl: float | None = None,
        sliding: bool = False,
        bind: bool = False,
        if_mod_rev: int | None = None,
        if_value: V | Text | None = None,
        fence: Fence | None = None,
        timeout: float | None = None,
    ) -> int:
        """Write a key and return its new revision.

        The key goes after ``ttl`` seconds, by the cluster's own time, which each read begins anew
        if it is ``sliding``; without it, it stays. With ``bind`` it goes when this client's session
        ends. ``if_mod_rev`` and ``if_value`` make it conditional on the key's present revision (0:
        the key must not exist) and value, ``fence`` on a lock that is still held.

        Raises:
            Conflict: the condition does not hold; it carries the present revision and value.
            Fenced: the lock is held no more.
        """
        operation = Set(key, value, if_mod_rev, if_value, ttl, sliding, bind, fence)
        return await self._perform(self._plans.set(operation), timeout)

    async def write(  # noqa: PLR0913 - as above
        self,
        key: Text,
        value: V | Text,
        *,
        ttl: float | None = None,
        sliding: bool = False,
        bind: bool = False,
        if_mod_rev: int | None = None,
        if_value: V | Text | None = None,
        fence: Fence | None = None,
        timeout: float | None = None,
    ) -> Written:
        """Write a key as :meth:`set` does; return also whether it is a new one."""
        operation = Set(key, value, if_mod_rev, if_value, ttl, sliding, bind, fence)
        return await self._perform(self._plans.write(operation), timeout)

    async def cas(
        self,
        key: Text,
        value: V | Text,
        *,
        if_mod_rev: int | None = None,
        if_value: V | Text | None = None,
        ttl: float | None = None,
        fence: Fence | None = None,
        timeout: float | None = None,
    ) -> int | None:
        """Write a key if it is as expected; return its new revision, or None if it is not.

        What :meth:`set` does with the same conditions, for whom a refusal is no error.
        """
        if if_mod_rev is None and if_value is None:
            raise ValueError("cas needs if_mod_rev (0: the key must not exist) or if_value")
        operation = Set(key, value, if_mod_rev, if_value, ttl, fence=fence)
        try:
            return await self._perform(self._plans.set(operation), timeout)
        except Conflict:
            return None

    async def delete(
        self,
        key: Text,
        *,
        if_mod_rev: int | None = None,
        if_value: V | Text | None = None,
        fence: Fence | None = None,
        timeout: float | None = None,
    ) -> bool:
        """Delete a key; return whether there was one. The conditions are those of :meth:`set`."""
        operation = Delete(key, if_mod_rev, if_value, fence)
        return await self._perform(self._plans.delete(operation), timeout)

    async def delete_range(
        self,
        prefix: Text | None = None,
        *,
        start: Text | None = None,
        end: Text | None = None,
        fence: Fence | None = None,
        timeout: float | None = None,
    ) -> int:
        """Delete the keys with ``prefix``, or from ``start`` to before ``end``; return how many.

        Raises:
            TooLarge: there are more than 10,000; none was deleted.
        """
        plan = self._plans.delete_range(prefix, start=start, end=end, fence=fence)
        return await self._perform(plan, timeout)

    async def incr(
        self,
        key: Text,
        by: int = 1,
        *,
        ttl: float | None = None,
        fence: Fence | None = None,
        timeout: float | None = None,
    ) -> int:
        """Add to the number in a key (none: 0) and return the sum.

        A key that this creates goes after ``ttl`` seconds; one that is there stays as it is.

        Raises:
            WrongType: the value is no integer.
            OutOfRange: the sum would not fit in signed 64 bits.
        """
        return await self._perform(self._plans.incr(Incr(key, by, ttl, fence)), timeout)

    async def expire(
        self,
        key: Text,
        ttl: float | None,
        *,
        fence: Fence | None = None,
        timeout: float | None = None,
    ) -> bool:
        """Let a key go ``ttl`` seconds from now, or stay (None); return whether there is one.

        Its value and revision remain as they are.
        """
        return await self._perform(self._plans.expire(Expire(key, ttl, fence)), timeout)

    async def batch(
        self, operations: Iterable[Operation], *, timeout: float | None = None
    ) -> list[Outcome]:
        """Do up to 1,000 operations in order, in one round; return an outcome for each.

        They are independent: one that fails has its error as its outcome, not raised, and stops
        nothing. All of it has to be below the cluster's ``limits.request`` (4 MiB); a pipeline may
        be of any size.
        """
        operations = calls.operations_of(operations)
        return await self._perform(self._plans.batch(operations), timeout) if operations else []

    def pipeline(self, *, timeout: float | None = None) -> AsyncPipeline[V]:
        """Return a pipeline: calls are collected in an ``async with`` block and made at its end.

        ``timeout`` is for each batch of up to 1,000 calls, or 1 MiB, that it sends.
        """

        async def perform(operations: Sequence[Operation]) -> list[Outcome]:
            return await self.batch(operations, timeout=timeout)

        return AsyncPipeline(self._plans.codec, perform)

    async def txn(
        self,
        compare: Sequence[Compare] = (),
        then: Sequence[Operation] = (),
        otherwise: Sequence[Operation] = (),
        *,
        fence: Fence | None = None,
        timeout: float | None = None,
    ) -> TxnResult:
        """Do ``then`` if all conditions hold, else ``otherwise``: all of it, or nothing at all.

        The changes share one revision; no watch and no page ever shows only some of them.

        Raises:
            RequestError: an operation failed, and so nothing was done.
        """
        return await self._perform(self._plans.txn(compare, then, otherwise, fence), timeout)

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
    ) -> Page[V]:
        """Return one page of the keys with ``prefix``, or from ``start`` to before ``end``.

        The next page of the same moment: ``after`` its last key, ``at_rev`` its revision.

        Raises:
            Compacted: so many changes came since ``at_rev`` that the moment is no longer kept.
        """
        plan = self._plans.page(
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
    ) -> AsyncIterator[Item[V]]:
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

    async def _walk(
        self, prefix: Text, *, keys_only: bool, timeout: float | None
    ) -> AsyncIterator[Item[V]]:
        plan: Plan[Page[V]] | None = self._plans.page(prefix, keys_only=keys_only)
        while plan is not None:
            page = await self._perform(plan, timeout)
            for item in page.items:
                yield item
            plan = self._plans.next_page(prefix, page, keys_only=keys_only)

    async def _perform(self, plan: Plan[T], timeout: float | None) -> T:
        raise NotImplementedError
