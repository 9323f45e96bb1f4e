"""The replicated log in memory (§5.3).

Rules of this file: entries are contiguous and never change; terms never fall along the log. Only
:meth:`Log.splice` and :meth:`Log.reset` remove entries at the end, and never committed ones (their
callers check); only :meth:`Log.compact` removes them at the beginning. What is not yet handed to
the disk starts at ``first_unsaved``.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from .types import Entry, Index, Term


class Log:
    """Entries ``first_index`` to ``last_index``, behind a base position.

    What is up to the base was applied. ``base_index`` and ``base_term`` are 0 for a log that begins
    at the beginning.
    """

    __slots__ = ("base_index", "base_term", "entries", "first_unsaved")

    def __init__(self, entries: Sequence[Entry] = (), *, base: tuple[Index, Term] = (0, 0)) -> None:
        self.base_index, self.base_term = base
        self.entries: list[Entry] = list(entries)
        for position, entry in enumerate(self.entries):
            assert entry.index == self.base_index + 1 + position, "the log is contiguous"
        self.first_unsaved: Index = self.last_index + 1

    @property
    def last_index(self) -> Index:
        """Index of the newest entry; ``base_index`` when there is none."""
        return self.base_index + len(self.entries)

    @property
    def last_term(self) -> Term:
        """Term of the newest entry; ``base_term`` when there is none."""
        return self.entries[-1].term if self.entries else self.base_term

    def term_at(self, index: Index) -> Term | None:
        """Return the term of the entry at ``index``; None where this log has no entry."""
        position = index - self.base_index - 1
        if 0 <= position < len(self.entries):
            return self.entries[position].term
        return self.base_term if index == self.base_index else None

    def entry(self, index: Index) -> Entry:
        """Return the entry at ``index``, which must be there."""
        position = index - self.base_index - 1
        assert position >= 0, "an entry behind the base is in the snapshot"
        return self.entries[position]

    def append(self, entry: Entry) -> None:
        """Add one entry at the end (a leader only appends, §5.3)."""
        assert entry.index == self.last_index + 1, "the log is contiguous"
        assert entry.term >= self.last_term, "terms never fall along the log"
        self.entries.append(entry)

    def splice(self, entries: Sequence[Entry]) -> Index | None:
        """Store a leader's entries, replacing only what conflicts (Figure 2, receiver rules 3, 4).

        Entries that are already there stay untouched, and so does everything behind them: a late,
        shorter AppendEntries must not shorten the log.

        Assumes that the entry before ``entries[0]`` matches the leader's.

        Returns:
            The first index that was removed, or None when nothing was.
        """
        for offset, entry in enumerate(entries):
            held = self.term_at(entry.index)
            if held == entry.term:
                continue
            removed = None
            if held is not None:
                removed = entry.index
                del self.entries[entry.index - self.base_index - 1 :]
                self.first_unsaved = min(self.first_unsaved, entry.index)
            for fresh in entries[offset:]:
                self.append(fresh)
            return removed
        return None

    def compact(self, index: Index) -> None:
        """Forget the entries up to ``index``, which a durable snapshot holds (§7)."""
        assert index <= self.last_index, "only what is there can be forgotten"
        if index <= self.base_index:
            return
        term = self.term_at(index)
        assert term is not None, "the entry at the new base is in the log"
        del self.entries[: index - self.base_index]
        self.base_index, self.base_term = index, term

    def reset(self, index: Index, term: Term) -> None:
        """Begin anew behind a snapshot that the log does not lead up to (Figure 13, rule 7)."""
        self.entries = []
        self.base_index, self.base_term = index, term
        self.first_unsaved = index + 1

    def slice(self, first: Index, last: Index, bytes_max: int) -> tuple[Entry, ...]:
        """Return entries from ``first`` to ``last``, up to ``bytes_max`` of data; at least one."""
        position = first - self.base_index - 1
        assert position >= 0, "entries behind the base are in the snapshot"
        total = 0
        end = position
        while end < last - self.base_index:
            total += len(self.entries[end].data)
            if total > bytes_max and end > position:
                break
            end += 1
        return tuple(self.entries[position:end])

    def take_unsaved(self) -> list[Entry]:
        """Return what the disk has not been given yet, and count it as given."""
        if self.first_unsaved > self.last_index:
            return []
        position = self.first_unsaved - self.base_index - 1
        unsaved = self.entries[position:]
        self.first_unsaved = self.last_index + 1
        return unsaved

    def first_index_of_term(self, term: Term) -> Index:
        """Return the first index stored with ``term`` or a larger one."""
        position = bisect_left(self.entries, term, key=_term_of)
        return self.base_index + 1 + position

    def last_index_of_term(self, term: Term) -> Index | None:
        """Return the last index stored with exactly ``term``, or None."""
        position = bisect_right(self.entries, term, key=_term_of)
        index = self.base_index + position
        return index if self.term_at(index) == term else None

    def is_up_to_date(self, last_log_index: Index, last_log_term: Term) -> bool:
        """Tell whether a log that ends there is at least as up-to-date as this one (§5.4.1)."""
        return (last_log_term, last_log_index) >= (self.last_term, self.last_index)


def _term_of(entry: Entry) -> Term:
    return entry.term
