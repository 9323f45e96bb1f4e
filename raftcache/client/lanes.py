"""Calls that run at the same time travel together: one request for many of them.

A message costs a node some ten times what an operation in it costs. So what is asked within one
turn of the event loop goes as one batch, and while a batch is under way what comes is collected:
the busier the client, the larger its batches; a lone call never waits. A lane carries reads, or
writes; each operation keeps its own outcome and its own deadline.
"""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final

import msgspec

from ..errors import RequestError, Timeout, Unreachable
from . import codec
from .calls import OPERATIONS_MAX, Plan
from .codec import Fields
from .routing import Kind

BYTES_MAX: Final = 256 * 1024
"""A batch ends beyond this; a single operation may be larger, and travels alone."""
BATCHES_MAX: Final = 8
"""How many batches of a lane may be under way at a time."""
COLLECT_MS: Final = 20
"""A call waits no longer than this for a batch that is under way: that one may be stuck. Smaller:
more and smaller batches. Larger: a node that stands still holds up more."""
ONE_DEADLINE_MS: Final = 50
"""Calls whose deadlines are no further apart than this share the first of them."""
_OVERHEAD_BYTES: Final = 64


class Entry(msgspec.Struct, gc=False):
    """One call on its way. What it holds never refers back to it, so it is in no cycle."""

    plan: Plan[Any]
    deadline_ms: float
    future: asyncio.Future[Fields]
    is_alone: bool = False


class Lane:
    """Collects calls of one kind and lets ``carry`` take them, a batch at a time.

    ``carry`` gets the entries and the deadline, and gives the result of each; ``room`` says how
    many more operations may be under way, of which there are never more than a batch may have.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        kind: Kind,
        carry: Callable[[list[Entry], float], Awaitable[list[Fields]]],
        room: Callable[[], int],
    ) -> None:
        self._loop = loop
        self._kind = kind
        self._carry = carry
        self._room = room
        self._waiting: deque[Entry] = deque()
        self._under_way: dict[asyncio.Task[None], list[Entry]] = {}
        self._operations = 0
        self._flush_is_due = False
        self._collecting: asyncio.TimerHandle | None = None
        self._sweeping: asyncio.TimerHandle | None = None
        self._sweep_ms = math.inf
        """When it does."""

    def submit(self, plan: Plan[Any], deadline_ms: float) -> asyncio.Future[Fields]:
        """Let a call join the next batch; the future gets the reply, or its result in a batch."""
        entry = Entry(plan, deadline_ms, self._loop.create_future())
        self._waiting.append(entry)
        if not self._flush_is_due:
            self._flush_is_due = True
            self._loop.call_soon(self._flush)
        if deadline_ms < self._sweep_ms:
            self._sweep_at(deadline_ms)
        return entry.future

    def close(self) -> list[asyncio.Task[None]]:
        """End what waits; return the tasks of what is under way, which end with the connections."""
        for timer in (self._collecting, self._sweeping):
            if timer is not None:
                timer.cancel()
        closed = ValueError("this AsyncClient is closed")
        for entry in self._waiting:
            if not entry.future.done():
                entry.future.set_exception(closed)
        self._waiting.clear()
        return [*self._under_way]

    def _flush(self) -> None:
        """Send batches, as many as may be under way now."""
        self._flush_is_due = False
        if self._collecting is not None:
            self._collecting.cancel()
            self._collecting = None
        while self._waiting and self._may_send():
            batch = self._take()
            if not batch:
                break
            task = self._loop.create_task(self._send(batch))
            self._under_way[task] = batch
            task.add_done_callback(self._on_end)
        if self._waiting:
            self._collecting = self._loop.call_later(COLLECT_MS / 1_000, self._flush_overdue)

    def _flush_overdue(self) -> None:
        """Let what has waited long enough go, whatever is under way."""
        self._collecting = None
        if len(self._under_way) < BATCHES_MAX and (batch := self._take()):
            task = self._loop.create_task(self._send(batch))
            self._under_way[task] = batch
            task.add_done_callback(self._on_end)
        self._flush()

    def _may_send(self) -> bool:
        if not self._under_way:
            return True
        return len(self._waiting) >= OPERATIONS_MAX and len(self._under_way) < BATCHES_MAX

    def _take(self) -> list[Entry]:
        """Take the next batch off what waits; empty: there is no room for it."""
        batch: list[Entry] = []
        waiting = self._waiting
        room = min(OPERATIONS_MAX - self._operations, self._room())
        size = 0
        while waiting and len(batch) < room:
            entry = waiting[0]
            if entry.future.done():  # cancelled, or its time is over: it never leaves
                waiting.popleft()
                continue
            fields = entry.plan.fields
            size += len(fields["key"]) + len(fields.get("value", b"")) + _OVERHEAD_BYTES
            if batch and (size > BYTES_MAX or entry.is_alone or batch[0].is_alone):
                break
            batch.append(waiting.popleft())
        self._operations += len(batch)
        return batch

    def _on_end(self, task: asyncio.Task[None]) -> None:
        self._operations -= len(self._under_way.pop(task))
        if self._waiting and not self._flush_is_due:
            # Not at once: those whose calls have just ended may have more to ask, and go along.
            self._flush_is_due = True
            self._loop.call_soon(self._flush)

    async def _send(self, batch: list[Entry]) -> None:
        """Carry one batch and settle its calls; nothing escapes."""
        deadlines = [entry.deadline_ms for entry in batch]
        first, last = min(deadlines), max(deadlines)
        deadline_ms = first if last - first <= ONE_DEADLINE_MS else last
        try:
            results = await self._carry(batch, deadline_ms)
        except RequestError as error:
            for entry in batch:
                if not entry.future.done():
                    entry.future.set_exception(_copy(error))
        except BaseException as error:  # noqa: BLE001 - whatever it is, those who wait must hear
            told = error if isinstance(error, Exception) else ValueError("the call was cancelled")
            for entry in batch:
                if not entry.future.done():
                    entry.future.set_exception(told)
        else:
            self._settle(batch, results)

    def _settle(self, batch: list[Entry], results: list[Fields]) -> None:
        for entry, result in zip(batch, results, strict=True):
            future = entry.future
            if future.done():
                continue
            if result["ok"]:
                future.set_result(result)
            else:
                self._refuse(entry, result, of=len(batch))

    def _refuse(self, entry: Entry, result: Fields, *, of: int) -> None:
        if of > 1 and self._kind is Kind.READ and result.get("error") == "too_large":
            # The results of a batch share their room; alone it has enough.
            entry.is_alone = True
            self._waiting.append(entry)
        else:
            entry.future.set_exception(codec.error_of(result))

    def _sweep_at(self, when_ms: float) -> None:
        if self._sweeping is not None:
            self._sweeping.cancel()
        self._sweeping = self._loop.call_at(when_ms / 1_000, self._sweep)
        self._sweep_ms = when_ms

    def _sweep(self) -> None:
        """End the calls whose own deadline has come."""
        self._sweeping, self._sweep_ms = None, math.inf
        now_ms = self._loop.time() * 1_000
        next_ms = math.inf
        sent = [entry for batch in self._under_way.values() for entry in batch]
        for is_sent, entries in ((False, self._waiting), (True, sent)):
            for entry in entries:
                if entry.future.done():
                    continue
                if entry.deadline_ms > now_ms:
                    next_ms = min(next_ms, entry.deadline_ms)
                elif is_sent and entry.deadline_ms + ONE_DEADLINE_MS > now_ms:
                    # Its batch ends at this moment, and knows better what to say.
                    next_ms = min(next_ms, entry.deadline_ms + ONE_DEADLINE_MS)
                else:
                    entry.future.set_exception(self._out_of_time(is_sent=is_sent))
        if next_ms < math.inf:
            self._sweep_at(next_ms)

    def _out_of_time(self, *, is_sent: bool) -> RequestError:
        if not is_sent:
            return Unreachable("it was not sent by the deadline: what went before it has no answer")
        if self._kind is Kind.READ:
            return Timeout("no answer by the deadline")
        return Timeout("no answer by the deadline; it may have been done: read before you write")


def _copy(error: RequestError) -> RequestError:
    """Return an error of its own for each who is told: tracebacks pile up in a shared one."""
    return type(error)(error.message, applied=error.applied, node=error.node, **error.extra)
