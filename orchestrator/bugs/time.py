"""Mistakes about time: the cluster's clock, keys with deadlines, ticks that were slept through."""

from .planting import Bug, Edit

_TIME = "raftcache.node.cluster_time"
_MACHINE = "raftcache.store.machine"
_KEYSPACE = "raftcache.store.keyspace"

TIME_BUGS = (
    Bug(
        "begins its office with an older time than its log tells",
        ("B8", "B11"),
        "cluster time never falls, whoever leads",
        (
            Edit(
                f"{_TIME}:ClusterTime._take_office",
                "range(state.log.last_index, store.last_applied, -1)",
                "range(0)",
            ),
        ),
    ),
    Bug(
        "lets cluster time jump over its own stop",
        ("B4", "B11", "F13"),
        "nothing ends early because a leader was paused",
        (
            Edit(
                f"{_TIME}:ClusterTime.on_turn",
                "min(clock_ms - self._clock_ms, self._step_ms_max)",
                "clock_ms - self._clock_ms",
            ),
        ),
    ),
    Bug(
        "lets cluster time pass while nobody answers",
        ("B12",),
        "time stands still without a majority",
        (Edit(f"{_TIME}:ClusterTime.on_turn", " and self._quorum_answers", ""),),
    ),
    Bug(
        "takes a new leader's own clock for the cluster's",
        ("B4", "B8"),
        "only differences of a clock count",
        (
            Edit(
                f"{_TIME}:ClusterTime.on_turn",
                "if self._clock_ms is not None and self._quorum_answers:",
                "if self._clock_ms is None:\n"
                "        self._time_ms = max(self._time_ms, clock_ms)\n"
                "    elif self._quorum_answers:",
            ),
        ),
    ),
    Bug(
        "lets keys go by the time that it has heard of",
        ("B8", "B9"),
        "only the log decides what is due",
        (
            Edit(
                f"{_MACHINE}:StateMachine.apply",
                "keyspace.time_ms = stamp_ms",
                "keyspace.time_ms = max(stamp_ms, self.heard_ms)",
            ),
            Edit(
                f"{_MACHINE}:StateMachine.apply",
                'assert stamp_ms >= keyspace.time_ms, "cluster time never falls"',
                "stamp_ms = max(stamp_ms, keyspace.time_ms)",
            ),
        ),
    ),
    Bug(
        "keeps a deadline that a later write has replaced",
        ("B13",),
        "a key has one deadline",
        (
            Edit(
                f"{_KEYSPACE}:Keyspace._untie",
                "self._move_deadline(key, before.deadline_ms, 0)",
                "pass",
            ),
        ),
    ),
    Bug(
        "forgets deadlines when a snapshot is restored",
        ("B7", "B13"),
        "§7: all that answers depend on is in the snapshot",
        (Edit(f"{_KEYSPACE}:Keyspace.load", "if timed:", "if False:"),),
    ),
    Bug(
        "does not tell a snapshot that a deadline moves",
        ("D13",),
        "§7: a snapshot is of one index",
        (Edit(f"{_KEYSPACE}:Keyspace.touch", "if self._watcher is not None:", "if False:"),),
    ),
    Bug(
        "lets `incr` take a key's deadline away",
        ("B13",),
        "`incr` keeps the time that a key has left",
        (
            Edit(
                "raftcache.store.writes:Writer._incr",
                "before, before.deadline_ms, **ties",
                "before, 0, **ties",
            ),
        ),
    ),
    Bug(
        "lets nothing go while nobody writes",
        ("B13",),
        "a key goes soon after its deadline, whatever else happens",
        (Edit(f"{_TIME}:ClusterTime.on_tick", "if self._must_let_go(store):", "if False:"),),
    ),
    Bug(
        "counts the ticks that it slept through",
        ("F13", "D10"),
        "a node's own stall is nobody's silence",
        (
            Edit(
                "raftcache.node.stalls:TickClock.take",
                "ticked_ms = now_ms if self.is_late(now_ms) else self.due_ms",
                "ticked_ms = self.due_ms",
            ),
        ),
    ),
    Bug(
        "proposes what some member can't read yet",
        ("E15",),
        "a new version waits for the last member that does not know it",
        (
            Edit(
                "raftcache.node.versions:VersionGate._members_below",
                "self._told.get(member, 1) < version",
                "self._told.get(member, version) < version",
            ),
        ),
    ),
    Bug(
        "goes on though its state is not what most have",
        ("B8", "B10"),
        "whoever went astray stops before it answers",
        (
            Edit(
                f"{_MACHINE}:StateMachine._check_digest",
                "if own is not None and own != command.digest:",
                "if own is None and command.digest:",
            ),
        ),
        world="narrow",
    ),
)
