"""The thread that keeps a blocking client's session alive and tells of its state.

It has connections of its own, so that a call that waits keeps no renewal waiting. It begins with
the first session, ends with :meth:`Keeper.stop`, and holds no reference to the client.
"""

import os
import threading
from collections.abc import Callable

from ..errors import RequestError, SessionExpired
from . import routing
from .calling import Bell, Caller, Interrupted, now_ms
from .sessions import Session, State

_RETRY_MS = 50


class Keeper:
    """Renews the session that it was last given; ``listeners`` hear each change of its state."""

    def __init__(self, endpoints: tuple[str, ...]) -> None:
        self.listeners: list[Callable[[State], None]] = []
        self._endpoints = endpoints
        self._pid = os.getpid()
        self._changed = threading.Condition()
        self._session: Session | None = None
        self._told: State | None = None
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._bell: Bell | None = None

    @property
    def state(self) -> State | None:
        """What listeners were told last; None: nothing yet."""
        return self._told

    def keep(self, session: Session) -> None:
        """Keep this session alive from now on, in place of the one before."""
        with self._changed:
            if self._stopping:
                return
            self._session = session
            if self._thread is None:
                self._bell = Bell()
                self._thread = threading.Thread(
                    target=self._run, args=(self._bell,), name="raftcache-session", daemon=True
                )
                self._thread.start()
            self._changed.notify()

    def look(self) -> None:
        """Look at the session at once: somebody else has learnt that it ended."""
        with self._changed:
            self._changed.notify()

    def stop(self) -> None:
        """End the thread, whatever it waits for; stopping again does nothing."""
        if self._pid != os.getpid():
            return  # a fork has no thread but its own
        with self._changed:
            self._stopping = True
            thread, self._thread = self._thread, None
            self._changed.notify()
        if thread is None or self._bell is None:
            return
        self._bell.ring()
        if thread is not threading.current_thread():  # a listener may close its client
            thread.join()

    def _run(self, bell: Bell) -> None:
        caller = Caller(routing.Routing(self._endpoints), bell)
        try:
            while (session := self._next()) is not None:
                self._tell(session.state(now_ms()))
                if session.ended:
                    continue
                if now_ms() >= session.renew_at_ms():
                    self._renew(caller, session)
        except Interrupted:
            pass
        finally:
            caller.close()
            bell.close()

    def _next(self) -> Session | None:
        """Wait until there is something to do for the session; None: the end."""
        with self._changed:
            while not self._stopping:
                session, now = self._session, now_ms()
                if session is None:
                    self._changed.wait()
                elif session.state(now) is not self._told or (
                    not session.ended and now >= session.renew_at_ms()
                ):
                    return session
                elif session.ended:
                    self._changed.wait()
                else:
                    until_ms = min(session.renew_at_ms(), session.next_change_ms(now))
                    self._changed.wait(max(0.0, until_ms - now) / 1_000 + 0.001)
            return None

    def _renew(self, caller: Caller, session: Session) -> None:
        """Ask for a renewal until it is answered or the state changes."""
        sent_ms = now_ms()
        deadline_ms = session.next_change_ms(sent_ms)
        call = routing.Call(caller.routing, routing.Kind.READ, deadline_ms)
        try:
            caller.perform(call, "session_keepalive", {"session": session.id})
        except SessionExpired:
            session.ended = True
        except RequestError:
            with self._changed:
                self._changed.wait(_RETRY_MS / 1_000)
        else:
            session.renewed(sent_ms)

    def _tell(self, state: State) -> None:
        if state is self._told:
            return
        self._told = state
        for listener in [*self.listeners]:
            tell(listener, state)


def tell(listener: Callable[[State], None], state: State) -> None:
    """Call a listener; what it raises is logged, for nobody could catch it."""
    try:
        listener(state)
    except Exception:
        import logging  # noqa: PLC0415 - hardly ever needed, and slow to import

        logging.getLogger("raftcache.client").exception("a listener failed on %s", state)


def remove_from(
    listeners: list[Callable[[State], None]], listener: Callable[[State], None]
) -> None:
    """Let a listener hear no more.

    Raises:
        ValueError: it does not hear anything now.
    """
    if listener not in listeners:
        raise ValueError(f"{listener!r} is no listener of this client, or is no longer one")
    listeners.remove(listener)
