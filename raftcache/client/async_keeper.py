"""The task that keeps an asynchronous client's session alive and tells of its state."""

import asyncio
from collections.abc import Callable

from ..errors import RequestError, SessionExpired
from . import routing
from .exchange import Exchange
from .keeper import tell
from .sessions import Session, State

_RENEW_AGAIN_S = 0.05


class AsyncKeeper:
    """Renews the session that it was last given; ``listeners`` hear each change of its state."""

    def __init__(self, exchange: Exchange) -> None:
        self.listeners: list[Callable[[State], None]] = []
        self._exchange = exchange
        self._told: State | None = None
        self._task: asyncio.Task[None] | None = None

    def keep(self, session: Session) -> None:
        """Keep this session alive from now on, in place of the one before."""
        self.stop()
        self._task = asyncio.get_running_loop().create_task(self._keep(session))

    def stop(self) -> list[asyncio.Task[None]]:
        """End; return the task that ends now, if there is one."""
        task, self._task = self._task, None
        if task is None:
            return []
        task.cancel()
        return [task]

    def tell(self, state: State) -> None:
        """Let listeners hear of a state, unless it is the one that they heard last."""
        if state is not self._told:
            self._told = state
            for listener in [*self.listeners]:
                tell(listener, state)

    async def _keep(self, session: Session) -> None:
        """Keep a session alive, and tell of its state, until it ends."""
        loop = asyncio.get_running_loop()
        while True:
            now_ms = loop.time() * 1_000
            self.tell(session.state(now_ms))
            if session.ended:
                return
            if now_ms < session.renew_at_ms():
                until_ms = min(session.renew_at_ms(), session.next_change_ms(now_ms))
                await asyncio.sleep((until_ms - now_ms) / 1_000 + 0.001)
                continue
            deadline_ms = session.next_change_ms(now_ms)
            call = routing.Call(self._exchange.routing, routing.Kind.READ, deadline_ms)
            try:
                await self._exchange.perform(call, "session_keepalive", {"session": session.id})
            except SessionExpired:
                session.ended = True
            except RequestError:
                await asyncio.sleep(_RENEW_AGAIN_S)
            else:
                session.renewed(now_ms)
