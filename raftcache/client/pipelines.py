"""Calls that are collected and made together: the order of a program, at the price of one round.

    with cache.pipeline() as pipe:
        first = pipe.incr("hits")
        second = pipe.get("greeting")
    print(first.result(), second.result())

A pipeline is no transaction: each call is on its own, and one that fails stops nothing.
"""

from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from ..errors import DefiniteError, IndefiniteError, RequestError
from . import codec as wire
from .calls import OPERATIONS_MAX, operations_of
from .records import Delete, Expire, Fence, Get, Incr, Operation, Outcome, Record, Set
from .values import Codec, Text, V

T = TypeVar("T")

_BATCH_BYTES_MAX: Final = 1 << 20
"""A batch ends beyond this, well below the 4 MiB that a request may have; a single operation may be
larger, and travels alone."""
_OVERHEAD_BYTES: Final = 64


class Deferred(Generic[T]):
    """The outcome of one call of a pipeline, once that was sent."""

    def __init__(self, read: Callable[[Any], T] | None = None) -> None:
        self._outcome: Any = None
        self._is_there = False
        self._read = read

    def __repr__(self) -> str:
        """Tell the outcome, if it is there."""
        return f"<Deferred: {self._outcome!r}>" if self._is_there else "<Deferred: not sent yet>"

    def result(self) -> T:
        """Return what the call gives.

        Raises:
            RequestError: the call failed; the class says whether it may have had an effect.
            RuntimeError: the pipeline was not sent yet.
        """
        if not self._is_there:
            raise RuntimeError("a pipeline has results once its `with` block has ended")
        if isinstance(self._outcome, RequestError):
            raise self._outcome
        outcome: T = self._outcome if self._read is None else self._read(self._outcome)
        return outcome

    def _settle(self, outcome: Outcome) -> None:
        self._outcome, self._is_there = outcome, True


class _Collected(Generic[V]):
    """The calls of a pipeline, in order, and where their outcomes are awaited."""

    def __init__(self, codec: Codec[V]) -> None:
        self._codec = codec
        self._operations: list[Operation] = []
        self._deferred: list[Deferred[Any]] = []
        self._sizes: list[int] = []

    def __repr__(self) -> str:
        """Tell how much waits to be sent."""
        return f"<{type(self).__name__}: {len(self)} calls to be sent>"

    def get(self, key: Text) -> "Deferred[V | None]":
        """Read a key; gives its value."""
        return self._add(Get(key), _value_of)

    def get_record(self, key: Text) -> "Deferred[Record[V] | None]":
        """Read a key; gives its value and revisions."""
        return self._add(Get(key))

    def set(
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
    ) -> Deferred[int]:
        """Write a key; gives its new revision."""
        return self._add(Set(key, value, if_mod_rev, if_value, ttl, sliding, bind, fence))

    def delete(
        self,
        key: Text,
        *,
        if_mod_rev: int | None = None,
        if_value: V | Text | None = None,
        fence: Fence | None = None,
    ) -> Deferred[bool]:
        """Delete a key; gives whether there was one."""
        return self._add(Delete(key, if_mod_rev, if_value, fence))

    def incr(
        self, key: Text, by: int = 1, *, ttl: float | None = None, fence: Fence | None = None
    ) -> Deferred[int]:
        """Add to a number; gives the sum."""
        return self._add(Incr(key, by, ttl, fence))

    def expire(self, key: Text, ttl: float | None, *, fence: Fence | None = None) -> Deferred[bool]:
        """Let a key go, or stay; gives whether there is one."""
        return self._add(Expire(key, ttl, fence))

    def add(self, operation: Operation) -> Deferred[Any]:
        """Add any operation; gives what it gives in a batch."""
        return self._add(operation)

    def __len__(self) -> int:
        """Return how many calls wait to be sent."""
        return len(self._operations)

    def _add(self, operation: Operation, read: Callable[[Any], Any] | None = None) -> Deferred[Any]:
        size = self._size_of(operation)  # first: what can't be encoded is not collected
        deferred: Deferred[Any] = Deferred(read)
        self._operations.append(operation)
        self._deferred.append(deferred)
        self._sizes.append(size)
        return deferred

    def _size_of(self, operation: Operation) -> int:
        [checked] = operations_of([operation])
        fields = wire.operation_fields(checked, self._codec)
        return _OVERHEAD_BYTES + sum(len(one) for one in fields.values() if isinstance(one, bytes))

    def _take(self) -> tuple[list[Operation], list[Deferred[Any]]]:
        """Take the next batch off the front."""
        count = size = 0
        for size_of_one in self._sizes[:OPERATIONS_MAX]:
            size += size_of_one
            if count and size > _BATCH_BYTES_MAX:
                break
            count += 1
        operations, deferred = self._operations[:count], self._deferred[:count]
        del self._operations[:count], self._deferred[:count], self._sizes[:count]
        return operations, deferred

    def _fail(self, deferred: list[Deferred[Any]], error: RequestError) -> None:
        """Settle a batch that failed as a whole, and all behind it, which was never sent."""
        _settle(deferred, [error] * len(deferred))
        unsent = DefiniteError("an earlier batch of the pipeline failed: this was not sent")
        _settle(self._deferred, [unsent] * len(self._deferred))
        self._operations.clear()
        self._deferred.clear()
        self._sizes.clear()


def _value_of(record: Record[V] | None) -> V | None:
    return None if record is None else record.value


def _settle(deferred: Sequence[Deferred[Any]], outcomes: Sequence[Outcome]) -> None:
    for one, outcome in zip(deferred, outcomes, strict=True):
        one._settle(outcome)  # noqa: SLF001 - of this module


class Pipeline(_Collected[V]):
    """Collects calls in a ``with`` block and makes them at its end, in order.

    A block that ends with an exception sends nothing.
    """

    def __init__(
        self, codec: Codec[V], perform: Callable[[Sequence[Operation]], list[Outcome]]
    ) -> None:
        super().__init__(codec)
        self._perform = perform

    def __enter__(self) -> Self:
        """Return the pipeline itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Send what was collected."""
        if kind is None:
            self.send()

    def send(self) -> None:
        """Send what was collected so far.

        Raises:
            RequestError: a batch failed as a whole, and those behind it were not sent; each of
                their calls has it as its outcome.
        """
        while self._operations:
            operations, deferred = self._take()
            try:
                _settle(deferred, self._perform(operations))
            except (DefiniteError, IndefiniteError) as error:
                self._fail(deferred, error)
                raise


class AsyncPipeline(_Collected[V]):
    """Collects calls in an ``async with`` block and makes them at its end, in order.

    A block that ends with an exception sends nothing.
    """

    def __init__(
        self, codec: Codec[V], perform: Callable[[Sequence[Operation]], Awaitable[list[Outcome]]]
    ) -> None:
        super().__init__(codec)
        self._perform = perform

    async def __aenter__(self) -> Self:
        """Return the pipeline itself."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Send what was collected."""
        if kind is None:
            await self.send()

    async def send(self) -> None:
        """Send what was collected so far; raises as :meth:`Pipeline.send` does."""
        while self._operations:
            operations, deferred = self._take()
            try:
                _settle(deferred, await self._perform(operations))
            except (DefiniteError, IndefiniteError) as error:
                self._fail(deferred, error)
                raise
