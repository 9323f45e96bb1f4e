"""Who is told by the keyspace of what it does, while it does it."""

from typing import Protocol

from .records import Record


class Watcher(Protocol):
    """Who is told of what goes: a snapshot that is being taken."""

    def on_change(self, key: bytes, before: Record) -> None:
        """Note that ``before`` is replaced or removed at the next revision."""

    def on_touch(self, key: bytes, before: Record) -> None:
        """Note that ``before`` gets another deadline, and keeps its revision."""


class Bindings(Protocol):
    """Who is told which keys are bound to a session: the table of sessions."""

    def bind(self, session: int, key: bytes) -> None:
        """Note that ``key``, which was bound to none, is bound to ``session`` from now on."""

    def unbind(self, session: int, key: bytes) -> None:
        """Note that ``key`` is no longer bound to ``session``, or no longer there."""
