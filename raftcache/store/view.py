"""What commands and queries work on: the keyspace, or a draft of changes to it."""

from collections.abc import Iterator
from typing import Protocol

from .records import DELETE, Record, Span


class View(Protocol):
    """The keyspace (:class:`Keyspace` says what each method does), or what passes for it."""

    time_ms: int
    oldest_rev: int

    @property
    def store_rev(self) -> int:
        """The store's revision."""

    def get(self, key: bytes) -> Record | None:
        """Return what is under a key."""

    def put(
        self,
        key: bytes,
        value: bytes,
        before: Record | None,
        deadline_ms: int = 0,
        *,
        ttl_ms: int = 0,
        session: int = 0,
    ) -> Record:
        """Store a value."""

    def remove(self, key: bytes, before: Record, kind: int = DELETE, /) -> None:
        """Take a key away."""

    def remove_all(self, items: list[tuple[bytes, Record]]) -> None:
        """Take keys away, at one revision."""

    def touch(self, key: bytes, before: Record, deadline_ms: int, ttl_ms: int = 0) -> None:
        """Change when a key goes."""

    def undo(self, span: Span, at_rev: int) -> dict[bytes, Record | None]:
        """Return what differs from a moment."""

    def count(self, span: Span, differs: dict[bytes, Record | None]) -> int:
        """Count keys."""

    def scan(
        self, span: Span, differs: dict[bytes, Record | None]
    ) -> Iterator[tuple[bytes, Record]]:
        """Walk over keys."""
