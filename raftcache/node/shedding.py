"""What of the log stays in memory between two snapshots (§7).

Nothing on this node reads an applied entry again: only a follower that lacks it may need it. So a
leader keeps what some follower is not known to have, anybody keeps a little, as he may lead next,
and the rest goes, whatever the newest snapshot holds. Who lacks more is sent a snapshot, which is
taken for him if need be (``sending``). On disk all of it stays until snapshots hold it.

Rules of this file: a turn lets go of not much more than came in since the last one, for to free a
great many entries takes long; and memory is given back to the system only where it was needed for
a while and is not now, for to ask for it anew costs time as well.
"""

from collections.abc import Callable
from itertools import islice

from ..raft.core import Raft
from ..raft.types import Index

ENTRY_OVERHEAD_BYTES = 64
CUT_BYTES = 2 * 1024 * 1024
"""How much a tick lets go of, besides as much as was applied since the last one."""
GIVE_BACK_BYTES = 8 * 1024 * 1024
"""So much must have been let go of, and not be in use again, to be given back."""


class AppliedLog:
    """The applied entries in memory.

    Args:
        raft: whose log it is.
        applied_bytes: how much stays in any case.
        give_back: has freed memory given back to the system.
    """

    def __init__(
        self,
        raft: Raft,
        *,
        applied_bytes: int,
        give_back: Callable[[], None],
    ) -> None:
        self._raft = raft
        self._applied_bytes = applied_bytes
        self._give_back = give_back
        self._size_bytes = self._most_bytes = self._fresh_bytes = 0
        self._needless_to: Index = 0

    def on_applied(self, size_bytes: int) -> None:
        """Count an entry of so much data that was just applied."""
        size_bytes += ENTRY_OVERHEAD_BYTES
        self._size_bytes += size_bytes
        self._fresh_bytes += size_bytes
        self._most_bytes = max(self._most_bytes, self._size_bytes)

    def on_tick(self) -> None:
        """Let go of what nobody needs, within bounds."""
        fresh_bytes, self._fresh_bytes = self._fresh_bytes, 0
        state = self._raft.state
        if self._size_bytes > self._applied_bytes or self._needless_to > state.log.base_index:
            self._cut(fresh_bytes + CUT_BYTES)

    def let_go(self, index: Index) -> None:
        """Let all go up to ``index``, whoever lacks it; it may take a few ticks."""
        self._needless_to = max(self._needless_to, index)
        self._cut(CUT_BYTES)

    def begin_anew(self) -> None:
        """Count from nothing: a leader's snapshot has taken the place of all that was applied."""
        self._size_bytes = self._fresh_bytes = 0
        self.give_back()

    def give_back(self) -> None:
        """Give memory back: something large has come to its end."""
        self._most_bytes = self._size_bytes
        self._give_back()

    def _cut(self, bytes_max: int) -> None:
        """Let go of entries at the beginning, until they were ``bytes_max`` or a little more."""
        log, size_bytes, cut_bytes = self._raft.state.log, self._size_bytes, 0
        needless_to = self._needless_to
        index, last = log.base_index, max(needless_to, self._stored_everywhere())
        last = min(last, self._raft.state.last_applied, self._raft.state.persisted_index)
        for entry in islice(log.entries, max(0, last - log.base_index)):
            if cut_bytes >= bytes_max:
                break
            if entry.index > needless_to and size_bytes - cut_bytes <= self._applied_bytes:
                break
            cut_bytes += len(entry.data) + ENTRY_OVERHEAD_BYTES
            index = entry.index
        if index > log.base_index:
            self._raft.compact(index)
            self._size_bytes = max(0, size_bytes - cut_bytes)
            self._look_back()

    def _stored_everywhere(self) -> Index:
        """Return up to where no follower is known to need anything.

        Only a leader knows. Who is sent a snapshot has nothing of what is behind it, so that stays.
        """
        state = self._raft.state
        known = (progress.match_index for progress in state.progress.values())
        return min(known, default=state.last_applied)

    def _look_back(self) -> None:
        """Give memory back if there was much more in use than there is now."""
        if self._most_bytes - self._size_bytes >= GIVE_BACK_BYTES:
            self.give_back()
