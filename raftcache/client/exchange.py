"""Calls under asyncio, many at a time: performs what :mod:`.routing` decides, over channels.

Only this file and ``channel`` read the event loop's clock. All calls of one client share one
connection per node; each has its own deadline and its own way.
"""

import asyncio
from collections import deque

import zmq

from ..errors import OutcomeUnknown
from . import codec, routing
from .channel import Channel
from .codec import Fields
from .sockets import Sockets

RETIRED_MAX = 8
"""Connections kept for late answers after a silence; beyond it the oldest is closed."""

_PAUSE_ID = 0


class _News:
    """What has become of the sendings of one call, in the order in which it was heard."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._heard: deque[tuple[int, routing.Outcome | None, Fields]] = deque()
        self._waiter: asyncio.Future[None] | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether the call goes on: it was not cancelled."""
        return self._waiter is None or not self._waiter.cancelled()

    def report(self, request_id: int, outcome: routing.Outcome | None, reply: Fields) -> None:
        """Take note; ``outcome`` is None when a pause is over."""
        self._heard.append((request_id, outcome, reply))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def next(self) -> tuple[int, routing.Outcome | None, Fields]:
        """Wait for the next piece of news."""
        while not self._heard:
            self._waiter = self._loop.create_future()
            await self._waiter
        return self._heard.popleft()


def _closed(call: routing.Call) -> Exception:
    if call.in_doubt:
        return OutcomeUnknown("this AsyncClient was closed before an answer came")
    return ValueError("this AsyncClient is closed")


class Exchange:
    """The channels to all nodes, and the calls that go over them."""

    def __init__(self, routing_: routing.Routing) -> None:
        self.routing = routing_
        self._last_id = _PAUSE_ID
        self._channels: dict[str, Channel] = {}
        self._retired: list[Channel] = []
        self._context: Sockets | None = Sockets()

    @property
    def closed(self) -> bool:
        """Whether :meth:`close` was called."""
        return self._context is None

    async def perform(self, call: routing.Call, op: str, fields: Fields) -> Fields:
        """Perform one call and return the reply, which is ``ok``.

        Raises:
            RequestError: it failed; the class tells whether it may have had an effect.
        """
        loop = asyncio.get_running_loop()
        news = _News(loop)
        sent: dict[int, tuple[str, Channel]] = {}
        try:
            while True:
                if self._context is None:
                    raise _closed(call)
                step = call.next_step(loop.time() * 1_000)
                if isinstance(step, routing.Pause):
                    current = _PAUSE_ID
                    loop.call_at(step.until_ms / 1_000, news.report, _PAUSE_ID, None, {})
                else:
                    current = self._send(loop, news, call, step, op, fields, sent)
                reply = await self._listen(loop, news, call, current, sent)
                if reply is not None:
                    return reply
        finally:
            for request_id, (_, channel) in sent.items():
                channel.forget(request_id)

    def close(self) -> None:
        """Close all connections; whoever waits is told."""
        context, self._context = self._context, None
        if context is None:
            return
        for channel in [*self._channels.values(), *self._retired]:
            channel.close()
        self._retired.clear()
        context.end()

    def _send(
        self,
        loop: asyncio.AbstractEventLoop,
        news: _News,
        call: routing.Call,
        step: routing.Send,
        op: str,
        fields: Fields,
        sent: dict[int, tuple[str, Channel]],
    ) -> int:
        """Send a request over the node's channel; return its id."""
        self._last_id += 1
        request_id = self._last_id
        request = codec.encode_request(
            op, fields, request_id=request_id, timeout_ms=step.timeout_ms
        )
        try:
            channel = self._channel(loop, step.endpoint)
        except zmq.ZMQError as error:
            call.settle(loop.time() * 1_000, routing.NotSent(str(error)), step.endpoint)
            news.report(request_id, None, {})
            return request_id
        sent[request_id] = (step.endpoint, channel)
        channel.submit(
            request_id,
            request,
            news,
            connect_by_ms=step.connect_by_ms,
            answer_by_ms=step.answer_by_ms,
        )
        return request_id

    async def _listen(
        self,
        loop: asyncio.AbstractEventLoop,
        news: _News,
        call: routing.Call,
        current: int,
        sent: dict[int, tuple[str, Channel]],
    ) -> Fields | None:
        """Wait for the reply that settles the call; None: it is time for another step."""
        while True:
            request_id, outcome, reply = await news.next()
            if outcome is not None:
                endpoint, _ = sent[request_id]
                if call.settle(loop.time() * 1_000, outcome, endpoint):
                    return reply
            if request_id == current:
                return None

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
