"""A draft of changes: what a transaction sees of the state, and its own changes on top.

Rules of this file: nothing reaches the keyspace before :meth:`Draft.commit`, which takes one
revision for all of it; what is never committed was never there.
"""

from collections.abc import Iterator

from .keyspace import Keyspace
from .records import DELETE, SET, Record, Span, lived_record, made_record


class Draft:
    """The keyspace with changes on top that nobody else sees yet."""

    def __init__(self, keyspace: Keyspace) -> None:
        self.time_ms = keyspace.time_ms
        self.oldest_rev = keyspace.oldest_rev
        self._keyspace = keyspace
        self._rev = keyspace.store_rev + 1
        self._staged: dict[bytes, Record | None] = {}
        """What is under each key that is different here."""
        self._kinds: dict[bytes, int] = {}
        """What happened last to each key that was changed; one that was only touched is no such."""

    @property
    def store_rev(self) -> int:
        """The revision that the store will have if this is all."""
        return self._rev if self._kinds else self._rev - 1

    def get(self, key: bytes) -> Record | None:
        """Return what is under ``key``, or None."""
        return self._staged[key] if key in self._staged else self._keyspace.get(key)

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
        """Do what :meth:`Keyspace.put` does."""
        rev = self._rev
        create_rev = rev if before is None else before.create_rev
        key_version = 1 if before is None else before.key_version + 1
        revisions = rev, create_rev, key_version
        record = made_record(value, revisions, deadline_ms, ttl_ms, session)
        self._staged[key] = record
        self._kinds[key] = SET
        return record

    def remove(self, key: bytes, _before: Record, kind: int = DELETE) -> None:
        """Do what :meth:`Keyspace.remove` does."""
        self._staged[key] = None
        self._kinds[key] = kind

    def remove_all(self, items: list[tuple[bytes, Record]]) -> None:
        """Do what :meth:`Keyspace.remove_all` does."""
        for key, before in items:
            self.remove(key, before)

    def touch(self, key: bytes, before: Record, deadline_ms: int, ttl_ms: int = 0) -> None:
        """Do what :meth:`Keyspace.touch` does."""
        self._staged[key] = lived_record(before, deadline_ms, ttl_ms, before.session)

    def undo(self, span: Span, at_rev: int) -> dict[bytes, Record | None]:
        """Return what differs in ``span`` between the moment of ``at_rev`` and the keyspace."""
        if at_rev < self._rev:
            return self._keyspace.undo(span, at_rev)
        return {key: self._staged[key] for key in self._kinds if key in span}

    def count(self, span: Span, differs: dict[bytes, Record | None]) -> int:
        """Return the number of keys in ``span``; ``differs`` is what :meth:`undo` returned."""
        return self._keyspace.count(span, differs)

    def scan(
        self, span: Span, differs: dict[bytes, Record | None]
    ) -> Iterator[tuple[bytes, Record]]:
        """Walk over ``span`` in order; ``differs`` is what :meth:`undo` returned."""
        return self._keyspace.scan(span, differs)

    def commit(self) -> None:
        """Make it so. A key that came and went again in here leaves a change, and nothing else."""
        keyspace = self._keyspace
        if self._kinds:
            keyspace.open_revision()
            for key, kind in self._kinds.items():
                before, record = keyspace.get(key), self._staged[key]
                if record is not None:
                    keyspace.place(key, record, before)
                elif before is not None:
                    keyspace.remove(key, before, kind)
                else:
                    keyspace.pass_over(key, kind)
            keyspace.close_revision()
        for key, record in self._staged.items():
            if key not in self._kinds:
                before = keyspace.get(key)
                assert record is not None, "what is only touched stays"
                assert before is not None, "what is touched is there"
                keyspace.touch(key, before, record.deadline_ms, record.ttl_ms)
