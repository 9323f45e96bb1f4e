"""What a leader knows of one follower's log, and how much it dares to send (Figure 2, §5.3).

::

    PROBE ──success──▶ REPLICATE        one message at a time until the logs are known to match,
      ▲  ▲                 │            then a window of messages ahead of the acknowledgements;
      │  └────rejection────┘            a rejection means that something was lost on the way.
      ▼
    SNAPSHOT                            the next entry is gone: nothing but heartbeats until the
                                        follower has the snapshot (§7).
"""

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from .options import Options
from .types import Index


class ProgressState(Enum):
    """How entries are sent to a follower."""

    PROBE = "probe"
    REPLICATE = "replicate"
    SNAPSHOT = "snapshot"


@dataclass(slots=True)
class CatchUp:
    """The rounds in which a follower catches up (thesis §4.2.1, Figure 4.5).

    A round brings it everything that the leader had when the round began.

    Attributes:
        goal: the leader's last index when the present round began.
        ticks: how long that is ago.
        rounds: how many are completed.
        slow_rounds: how many of those, the last ones in a row, took too long.
    """

    goal: Index
    ticks: int = 0
    rounds: int = 0
    slow_rounds: int = 0


@dataclass(slots=True)
class Progress:
    """One follower, as its leader sees it. Volatile; built anew by each new leader (Figure 2).

    Attributes:
        next_index: the next entry to send; never at or below ``match_index``.
        match_index: the highest entry known to be durable there; only rises.
        state: PROBE, REPLICATE or SNAPSHOT.
        snapshot_index: in SNAPSHOT, what the follower must reach before entries can be sent.
        needs_snapshot: whatever the state, it lost what it had up to there (failure E10); 0: no.
        probe_sent: a probe is unanswered; the next one waits for its answer, or a heartbeat's.
        inflight: last index and bytes of each unanswered message with entries, oldest first.
        inflight_bytes: their sum.
        read_round: the newest round of leadership confirmation that it acknowledged.
        fit_to_lead: what it last said of its disk.
        ticks_since_contact: ticks since its last answer in this term, or since the term began.
        catch_up: its rounds; None before its first tick.
    """

    next_index: Index
    match_index: Index = 0
    state: ProgressState = ProgressState.PROBE
    snapshot_index: Index = 0
    needs_snapshot: Index = 0
    probe_sent: bool = False
    inflight: deque[tuple[Index, int]] = field(default_factory=deque)
    inflight_bytes: int = 0
    read_round: int = 0
    fit_to_lead: bool = True
    ticks_since_contact: int = 0
    catch_up: CatchUp | None = None

    def may_send(self, options: Options) -> bool:
        """Tell whether entries may be sent now."""
        if self.state is ProgressState.PROBE:
            return not self.probe_sent
        if self.state is ProgressState.SNAPSHOT:
            return False
        return (
            len(self.inflight) < options.inflight_messages_max
            and self.inflight_bytes < options.inflight_bytes_max
        )

    def on_sent(self, last_index: Index, size_bytes: int) -> None:
        """Note that entries up to ``last_index`` are on their way."""
        if self.state is ProgressState.PROBE:
            self.probe_sent = True
            return
        assert last_index >= self.next_index, "what is sent was not sent before"
        self.inflight.append((last_index, size_bytes))
        self.inflight_bytes += size_bytes
        self.next_index = last_index + 1

    def on_success(self, match_index: Index) -> None:
        """Note that entries up to ``match_index`` are durable there (Figure 2, leader rules)."""
        self.match_index = max(self.match_index, match_index)
        self.next_index = max(self.next_index, self.match_index + 1)
        while self.inflight and self.inflight[0][0] <= self.match_index:
            self.inflight_bytes -= self.inflight.popleft()[1]
        if self.state is ProgressState.SNAPSHOT and self.match_index < self.snapshot_index:
            return
        if self.state is not ProgressState.REPLICATE:
            self.state = ProgressState.REPLICATE
            self.probe_sent = False
            self.next_index = self.match_index + 1

    def become_snapshot(self, snapshot_index: Index) -> None:
        """Wait for a snapshot: entries up to ``snapshot_index`` are no longer in the log (§7)."""
        self._forget_inflight()
        self.state = ProgressState.SNAPSHOT
        self.snapshot_index = snapshot_index

    def on_rejection(self, next_index: Index) -> None:
        """Go back to probing, from ``next_index`` but never at or below what is known to match."""
        self._forget_inflight()
        self.state = ProgressState.PROBE
        self.next_index = max(next_index, self.match_index + 1)

    def _forget_inflight(self) -> None:
        self.probe_sent = False
        self.inflight.clear()
        self.inflight_bytes = 0
