"""The log as it is read back, batch by batch, until only what counts is left.

Pure. Rules: a later batch has the last word; an entry that is not here is either behind where the
log begins, or was never in the log.
"""

from ..raft.types import Entry, Index, Term
from .outline import Batch, LogOutline


class LogReplay:
    """Entries from ``first_index`` on, which freed segments or a restart may have moved up."""

    def __init__(self) -> None:
        self.outline = LogOutline()
        self.begin: tuple[Index, Term] = (0, 0)
        """What the log begins behind: only a snapshot of this or later can stand for the rest."""
        self._entries: list[Entry] = []
        self._begin_stands = True
        self._first_index: Index = 1

    def begin_behind(self, position: tuple[Index, Term]) -> None:
        """Let the log begin behind a position; what it held before is void."""
        self.begin = self.outline.last = position
        self._begin_stands = True
        self._first_index = position[0] + 1
        self._entries.clear()

    def take(self, batch: Batch) -> str:
        """Take in a batch; returns what is wrong with it, or nothing."""
        objection = self.outline.objection([batch])
        if objection:
            return objection
        if batch.base is not None:
            self.begin_behind(batch.base)
        self.outline.take(batch)  # After the base: the batch's own entries begin behind it.
        if batch.entries:
            first = batch.entries[0].index
            if any(entry.index != first + i for i, entry in enumerate(batch.entries)):
                return "entries are not contiguous"
            # The last word counts: a leader replaced these (Figure 2, receiver rule 3). Where the
            # log begins behind freed segments, some of what is replaced is not there any more.
            del self._entries[max(0, first - self._first_index) :]
            self._first_index = min(self._first_index, first)
            self._begin_stands = self._begin_stands and first > self.begin[0]
            self._entries += batch.entries
        return ""

    def term_at(self, index: Index) -> Term | None:
        """Return the term of an entry, or of what the log begins behind; None for others."""
        position = index - self._first_index
        if 0 <= position < len(self._entries):
            return self._entries[position].term
        return self.begin[1] if index == self.begin[0] and self._begin_stands else None

    def begin_that_counts(self) -> tuple[Index, Term] | None:
        """Return ``begin`` with the term of the entry that is there now; None if none is.

        An entry that was there when the oldest segment was begun may have been replaced since
        (Figure 2, receiver rule 3; seed 7002876). What is in its place is committed: segments
        before it went only once a snapshot reached it, and behind all writes up to there.
        """
        index = self.begin[0]
        term = self.term_at(index)
        return None if term is None else (index, term)

    def entries_behind(self, index: Index) -> list[Entry]:
        """Return the entries after ``index``, which is in the log or what it begins behind."""
        position = index + 1 - self._first_index
        assert position >= 0, "the log has all entries behind a snapshot that fits"
        return self._entries[position:]
