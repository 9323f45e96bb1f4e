"""The tunables of the consensus core; time is counted in ticks, which the caller delivers."""

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class Options:
    """How fast and how much. All values are fixed for the life of a :class:`~.core.Raft`.

    Attributes:
        heartbeat_ticks: ticks between a leader's heartbeats, 1 or more. Too small costs CPU on
            idle clusters; too large makes followers start elections (at most a third of the
            election timeout).
        election_ticks_min: the shortest election timeout, and the time for which a server sticks
            to a leader it has heard (thesis §4.2.3). Too small: a slow turn becomes an election.
            Too large: a dead leader is missed for longer.
        election_ticks_max: the longest; a leader that no majority answered for so long steps down.
            The spread should be several message delays, or votes split again and again (§5.2).
        append_bytes_max: bytes of entries in one AppendEntries; one entry always fits.
        inflight_messages_max: AppendEntries with entries that may be unanswered, per follower.
        inflight_bytes_max: their bytes, per follower: what a slow follower may cost the leader.
        majority_first: entries go at once to a majority only, and to all others tick by tick (see
            ``vanguard``). False: to everybody at once, as in the paper's figures.
    """

    heartbeat_ticks: int = 5
    election_ticks_min: int = 15
    election_ticks_max: int = 30
    append_bytes_max: int = 1024 * 1024
    inflight_messages_max: int = 128
    inflight_bytes_max: int = 8 * 1024 * 1024
    majority_first: bool = True

    def __post_init__(self) -> None:
        """Refuse timings under which no leader could stay in office."""
        assert self.heartbeat_ticks >= 1, "a heartbeat takes at least one tick"
        assert self.election_ticks_min >= 2 * self.heartbeat_ticks, (
            "an election timeout spans at least two heartbeats"
        )
        assert self.election_ticks_max >= self.election_ticks_min, "the spread is not negative"
