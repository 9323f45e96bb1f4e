"""The outline of a log: which entries it holds and in which segments, without the entries.

The log that is written and the log that is read back keep it by the same rules, so that nothing is
ever written that would be refused when it is read.
"""

from dataclasses import dataclass, field

import msgspec

from ..raft.types import Entry, HardState, Index, Term


class Batch(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """What one ``Ready`` wants on disk; all of it or nothing of it survives a crash."""

    hard_state: HardState | None
    """The new term and vote, or None if they have not changed."""
    entries: list[Entry]
    """Contiguous. They replace whatever the log held from ``entries[0].index`` on."""
    base: tuple[Index, Term] | None = None
    """The log restarts behind this position: all it held before is void, and ``entries`` begin
    there (Figure 13, rule 7). Assumes that a snapshot of that position is published."""


@dataclass(slots=True)
class SegmentOutline:
    """One segment of the log."""

    segment: int
    """Its number."""
    format: int
    """The version of what it holds."""
    used_bytes: int = 0
    """Bytes up to its end; counted when others follow it."""
    last_index: Index = 0
    """The highest index of any entry in it that counts; 0 if it holds none."""


@dataclass(slots=True)
class LogOutline:
    """What a log comes to, batch by batch."""

    hard_state: HardState = field(default_factory=HardState)
    last: tuple[Index, Term] = (0, 0)
    """Index and term of the newest entry, or of what the log begins behind."""
    base: tuple[Index, Term] | None = None
    """Where the log restarted, if it did; nothing up to there is ever written again."""
    segments: list[SegmentOutline] = field(default_factory=list)
    """Oldest first; the last one is written to."""

    def objection(self, batches: list[Batch]) -> str:
        """Return why these batches can't come next, or nothing."""
        term = self.hard_state.current_term
        last = self.last[0]
        base = self.base[0] if self.base else 0
        for batch in batches:
            if batch.hard_state is not None:
                if batch.hard_state.current_term < term:
                    return "the term falls"
                term = batch.hard_state.current_term
            if batch.base is not None:
                if batch.base[0] < max(base, 1):
                    return f"a log that restarted behind {base} restarts behind {batch.base[0]}"
                base = last = batch.base[0]
            if batch.entries:
                first = batch.entries[0].index
                if not base < first <= last + 1:
                    return f"entry {first} follows entry {last}"
                last = batch.entries[-1].index
                if last - first + 1 != len(batch.entries):
                    return "entries are not contiguous"
        return ""

    def take(self, batch: Batch) -> None:
        """Go on behind a batch without objection."""
        if batch.hard_state is not None:
            self.hard_state = batch.hard_state
        if batch.base is not None:
            self.base = self.last = batch.base
            for segment in self.segments:
                segment.last_index = 0
        if batch.entries:
            newest = batch.entries[-1]
            self.last = (newest.index, newest.term)
            self.segments[-1].last_index = newest.index
