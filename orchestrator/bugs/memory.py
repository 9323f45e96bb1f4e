"""Mistakes of what a server keeps in mind: answers to numbers, a fence's key, what is to tell."""

from .planting import Bug, Edit

_SESSIONS = "raftcache.store.sessions:Sessions"

# With these a restored state is believed although its digest is another one's.
_UNCHECKED = (
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
)

MEMORY_BUGS = (
    Bug(
        "leaves the recorded answers out of its snapshots",
        ("B7",),
        "thesis §6.3: what was answered is part of the state",
        (
            Edit(
                "raftcache.store.session_slices:SessionLoader._answers_of",
                "self._sessions.load_answer(session, seq, digest, answer)",
                "pass",
            ),
            *_UNCHECKED,
        ),
    ),
    Bug(
        "does a number of a session twice",
        ("B6",),
        "thesis §6.3: each command once",
        (
            Edit(
                f"{_SESSIONS}.look_up",
                "recorded = session.answers.get(seq)",
                "recorded = None",
            ),
            Edit(
                f"{_SESSIONS}.record",
                "assert seq not in session.answers",
                "assert True or seq not in session.answers",
            ),
        ),
    ),
    Bug(
        "settles one number too many",
        ("B6",),
        "an answer is kept until its own number is settled",
        (
            Edit(
                f"{_SESSIONS}._acknowledge",
                "range(session.ack + 1, ack + 1)",
                "range(session.ack + 1, ack + 2)",
            ),
            Edit(f"{_SESSIONS}._acknowledge", "if seq <= ack]", "if seq <= ack + 1]"),
        ),
    ),
    Bug(
        "answers a number with what the one before it was answered",
        ("B6",),
        "every answer to one number is the same",
        (
            Edit(
                f"{_SESSIONS}.look_up",
                "        return answer_of(recorded, seq, digest)\n    run =",
                "        recorded = session.answers.get(seq - 1) or recorded\n"
                "        return answer_of(recorded, seq, recorded.digest)\n    run =",
            ),
        ),
    ),
    Bug(
        "ends sessions by a clock of its own",
        ("B9",),
        "only the log decides when a session ends",
        (
            Edit(
                f"{_SESSIONS}.next_due",
                "return self._ends[0][1] if self.find_due_ms() <= time_ms else None",
                "import time\n"
                "    time_ms += time.perf_counter_ns() % 512\n"
                "    return self._ends[0][1] if self.find_due_ms() <= time_ms else None",
            ),
        ),
    ),
    Bug(
        "never gives the room of an ended session back",
        (),
        "what the table weighs is what is in it",
        (
            Edit(
                f"{_SESSIONS}.end",
                "self.weight -= SESSION_BYTES + _weight(session)",
                "self.weight -= _weight(session)",
            ),
        ),
        world="sessions",
    ),
    Bug(
        "lets a fence through whose key was made anew",
        (),
        "a fence's key that was deleted and made again is another one's",
        (
            Edit(
                "raftcache.store.transactions:Transactor._fenced",
                "record.create_rev != command.create_rev",
                "record.create_rev < command.create_rev",
            ),
        ),
    ),
    Bug(
        "goes by the first of a txn's compares",
        (),
        "`then` is done if all compares hold",
        (
            Edit(
                "raftcache.store.transactions:Transactor._txn",
                "all(self._holds(compare) for compare in command.compares)",
                "all(self._holds(compare) for compare in command.compares[:1])",
            ),
        ),
    ),
    Bug(
        "forgets what it did not get round to tell",
        (),
        "whoever does not get a turn is told from the history",
        (
            Edit(
                "raftcache.node.watches:Watches._match",
                "self._make_due(number, waiting, fresh[0].rev)",
                "self._make_due(number, waiting, fresh[-1].rev + 1)",
            ),
        ),
        world="narrow",
    ),
    Bug(
        "restores a past that no longer tells what its changes were",
        ("B7",),
        "§7: all that answers depend on is in the snapshot",
        (
            Edit(
                "raftcache.store.restore:Restorer._on_changes",
                "keyspace.recall(key, before, rev, kind)",
                "keyspace.recall(key, before, rev, min(kind, 2))",
            ),
        ),
    ),
)
