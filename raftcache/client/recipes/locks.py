"""Locks, semaphores and elections for programs that block."""

import threading
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from ...errors import RequestError
from ..sessions import State
from ..sync import Client
from ..values import Text
from .blocks import blocks_of
from .queue import Held, Queue
from .steps import perform

T = TypeVar("T")


class _Places:
    """One of the places of a queue, for a ``with`` block or by hand."""

    def __init__(
        self, client: Client[Any], queue: Queue, on_risk: Callable[[Held], None] | None
    ) -> None:
        self._client = client
        self._queue = queue
        self._on_risk = on_risk
        self._blocks = blocks_of(client, queue)
        self._listeners: dict[int, Callable[[State], None]] = {}

    def acquire(self, timeout: float | None = None) -> Held | None:
        """Wait for a place, no longer than ``timeout`` seconds (None: for ever); None: no place.

        Raises:
            Unsupported: the client has no session.
            RequestError: the cluster could not be asked; nothing is held.
            RuntimeError: it would wait for ever for the place of a block around this call.
        """
        if timeout is None:
            self._blocks.check_enter(self._queue, threading.get_ident())
        held = perform(self._client, self._queue.enter(timeout))
        if held is not None and self._on_risk is not None:
            self._listen(held, self._on_risk)
        return held

    def release(self, held: Held) -> None:
        """Give a place back; one that was lost is nobody's of ours, and that is fine."""
        listener = self._listeners.pop(id(held), None)
        if listener is not None:
            self._client.remove_listener(listener)
        if not held.lost:
            perform(self._client, self._queue.leave(held))

    def __enter__(self) -> Held:
        """Wait for a place."""
        held = self.acquire()
        assert held is not None, "a wait without an end ends with a place"
        self._blocks.enter(threading.get_ident(), self, held)
        return held

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Give it back; what can't be given back goes with the session, which is given up then.

        Raises:
            LeaseLost: it was lost meanwhile, and the block did not hear of it.
            RequestError: it could not be given back, and the block itself raised nothing.
        """
        held = self._blocks.leave(threading.get_ident(), self)
        was_lost = held.lost and not held.given_back
        try:
            self.release(held)
        except BaseException as failure:
            # Nobody will try again, and a session that lives on would hold it as long.
            self._client._forget(held.session)  # noqa: SLF001 - for recipes only
            if kind is None or not isinstance(failure, RequestError):
                raise
        if was_lost and kind is None:
            held.check()

    def __repr__(self) -> str:
        """Tell which it is."""
        return f"<{type(self).__name__} {self._queue.name!r}>"

    def _listen(self, held: Held, on_risk: Callable[[Held], None]) -> None:
        def listener(state: State) -> None:
            if state is not State.CONNECTED:
                on_risk(held)

        self._listeners[id(held)] = listener
        self._client.add_listener(listener)


class Lock(_Places):
    """A lock of the whole cluster, under a name.

        with Lock(cache, "nightly") as held:
            cache.set("report", build(), fence=held.fence)

    It is held through the client's session: whoever dies loses it ``session_ttl`` seconds later. It
    is fair. A holder who stands still for longer loses it without noticing, like that of any lock
    service; therefore ``held.fence``: a write with it is refused from then on. What has no fence
    looks at ``held.check()``, ``held.at_risk`` or ``held.remaining`` before it goes on, or is told
    by ``on_risk(held)``, called from the client's own thread when a third of the lease is left, and
    again when it is lost. With ``delay``, after a holder who did not give it back the next one
    waits so many seconds more before it begins.
    """

    def __init__(
        self,
        client: Client[Any],
        name: str,
        *,
        delay: float = 0.0,
        on_risk: Callable[[Held], None] | None = None,
    ) -> None:
        super().__init__(client, Queue("lock", name, delay=delay), on_risk)


class Semaphore(_Places):
    """At most ``places`` holders at a time, in the whole cluster; fair, and fenced as a lock is.

    All who use a name agree on ``places``.
    """

    def __init__(
        self,
        client: Client[Any],
        name: str,
        places: int,
        *,
        on_risk: Callable[[Held], None] | None = None,
    ) -> None:
        super().__init__(client, Queue("semaphore", name, places=places), on_risk)


class Election(_Places):
    """One leader among all candidates of a name; ``candidate`` is what others read of him.

    with Election(cache, "cron", candidate=hostname) as leadership:
        while not leadership.at_risk:
            ...
    """

    def __init__(
        self,
        client: Client[Any],
        name: str,
        candidate: Text = b"",
        *,
        on_risk: Callable[[Held], None] | None = None,
    ) -> None:
        super().__init__(client, Queue("election", name, label=candidate), on_risk)

    def leader(self) -> bytes | None:
        """Return what the present leader is called; None: there is none."""
        return perform(self._client, self._queue.first())

    def run(self, function: Callable[[Held], T]) -> T:
        """Wait to be the leader, call ``function``, step down; return what it returned."""
        with self as leadership:
            return function(leadership)
