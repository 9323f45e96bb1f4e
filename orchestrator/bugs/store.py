"""Mistakes of the state machine: answers, revisions, order, what replicas must agree on (§2)."""

from .planting import Bug, Edit

_MACHINE = "raftcache.store.machine"
_KEYSPACE = "raftcache.store.keyspace"
_WRITES = "raftcache.store.writes"

STORE_BUGS = (
    Bug(
        "sets a key although the comparison fails",
        ("B6",),
        "a command that fails changes nothing",
        (
            Edit(
                f"{_WRITES}:Writer._set",
                "if conflict is not None:\n            return conflict",
                "if conflict is not None:\n"
                "            self._keyspace.put(key, command.value, before)\n"
                "            return conflict",
            ),
        ),
    ),
    Bug(
        "compares with the wrong revision",
        (),
        "`if_mod_rev` is the revision of the last change",
        (
            Edit(
                f"{_WRITES}:Writer._conflict",
                "mod_rev = 0 if before is None else before.mod_rev",
                "mod_rev = 0 if before is None else before.create_rev",
            ),
        ),
    ),
    Bug(
        "adds to what was there before the last change",
        ("B6",),
        "`incr` sees all that was applied before it",
        (
            Edit(
                f"{_WRITES}:Writer._incr",
                "number += command.by",
                "number += command.by if before is None or before.key_version % 7 else 0",
            ),
        ),
    ),
    Bug(
        "lets sums wrap around at 64 bits",
        (),
        "a sum out of range is refused",
        (
            Edit(
                f"{_WRITES}:Writer._incr",
                "if not INTEGER_MIN <= number <= INTEGER_MAX:",
                "if False:",
            ),
        ),
    ),
    Bug(
        "lets a batch's reads miss its own writes",
        (),
        "a batch's operations run in order",
        (
            Edit(
                f"{_MACHINE}:StateMachine._batch",
                "return BatchResult([handlers[type(op)](op) for op in command.ops])",
                "ops = command.ops\n"
                "    order = range(len(ops))\n"
                "    order = sorted(order, key=lambda at: type(ops[at]).__name__ != 'Get')\n"
                "    done = {at: handlers[type(ops[at])](ops[at]) for at in order}\n"
                "    return BatchResult([done[at] for at in range(len(ops))])",
            ),
        ),
    ),
    Bug(
        "orders what it applies by hash",
        ("B10",),
        "replicas agree whatever their hash seed is",
        (
            Edit(
                f"{_KEYSPACE}:Keyspace.place",
                "digest_sum = self._digest_sum\n",
                "digest_sum = self._digest_sum + (hash(key) & 1)\n",
            ),
        ),
    ),
    Bug(
        "asks the clock while it applies",
        ("B9",),
        "only the log decides what a command does",
        (
            Edit(
                f"{_KEYSPACE}:Keyspace.put",
                "if deadline_ms or ttl_ms or session:",
                "import time\n"
                "    if time.perf_counter_ns() % 512 == 0:\n"
                "        value += b'!'\n"
                "    if deadline_ms or ttl_ms or session:",
            ),
        ),
    ),
    Bug(
        "forgets a key that comes back",
        (),
        "a key that was deleted begins anew",
        (
            Edit(
                f"{_KEYSPACE}:Keyspace.remove",
                "self._ordered.remove(key)",
                "self._ordered.remove(key) if len(self._ordered) % 5 else None",
            ),
        ),
    ),
    Bug(
        "shows a page of several moments",
        (),
        "all pages of a range are of one moment",
        (
            Edit(
                f"{_KEYSPACE}:Keyspace.undo",
                "self._history.undo(span, at_rev)",
                "self._history.undo(span, at_rev + 1)",
            ),
        ),
    ),
    Bug(
        "takes a snapshot of no one moment",
        ("D13",),
        "§7: a snapshot is of one index",
        (
            Edit(
                "raftcache.store.snapshot:SnapshotRun.on_change",
                "if self._is_needed(key, before):",
                "if False:",
            ),
            Edit(
                "raftcache.store.snapshot:SnapshotRun._walk_records",
                "if record.mod_rev > store_rev:",
                "if False:",
            ),
            Edit(
                "raftcache.store.snapshot:SnapshotRun._record_slices",
                "assert key_count == self.key_count",
                "assert True or key_count == self.key_count",
            ),
            Edit(
                "raftcache.store.snapshot:SnapshotRun._record_slices",
                "assert state_digest(digest_sum, self.store_rev, time_ms) == self.digest",
                "assert True or state_digest(digest_sum, self.store_rev, time_ms) == self.digest",
            ),
            Edit(
                "raftcache.store.restore:Restorer._on_end",
                "if len(keyspace) != header.key_count or keyspace.digest() != header.digest:",
                "if False:",
            ),
            Edit(
                "raftcache.store.machine:StateMachine.resume",
                "assert digests[-1] == keyspace.digest()",
                "assert True or digests[-1] == keyspace.digest()",
            ),
        ),
    ),
    Bug(
        "restores without the past",
        ("B7",),
        "§7: all that answers depend on is in the snapshot",
        (
            Edit(
                "raftcache.store.snapshot:SnapshotRun.__init__",
                "self._changes = keyspace.history()",
                "self._changes = iter(())\n    self._oldest_rev = self.store_rev",
            ),
        ),
    ),
)
