"""Mistakes with sessions: what is done once, how long they live, which keys die with them."""

from .planting import Bug, Edit

_TABLE = "raftcache.store.sessions"
_WRITER = "raftcache.store.session_commands:SessionWriter"
_MACHINE = "raftcache.store.machine:StateMachine"
_NUMBERING = "raftcache.protocol.numbering"

_IN_THE_WINDOW = Edit(
    f"{_TABLE}:Sessions.record",
    'assert session.ack < seq <= session.ack + WINDOW, "only what is in the window is executed"',
    "pass",
)

_NO_PROOF = (
    Edit(
        "raftcache.store.restore:Restorer._on_end",
        "if len(keyspace) != header.key_count or keyspace.digest() != header.digest:",
        "if False:",
    ),
    Edit(
        f"{_MACHINE}.resume",
        "assert digests[-1] == keyspace.digest()",
        "assert True or digests[-1] == keyspace.digest()",
    ),
)
"""Takes away what proves a restored state: with it, no such mistake would get any further."""

SESSION_BUGS = (
    Bug(
        "leaves the sessions out of a snapshot",
        ("B7",),
        "§7: all that answers depend on is in the snapshot",
        (
            Edit(
                "raftcache.store.snapshot:SnapshotRun._session_slices",
                "if not walk.last_id:",
                "if walk.last_id >= 0:",
            ),
            *_NO_PROOF,
        ),
    ),
    Bug(
        "gives a session's id again after a restore",
        ("B7",),
        "ids are never given twice",
        (
            Edit(
                "raftcache.store.session_slices:SessionLoader.finish",
                "self._sessions.finish_loading()",
                "self._sessions.last_id = max(self._sessions.ids(), default=0)\n"
                "    self._sessions.finish_loading()",
            ),
            *_NO_PROOF,
        ),
    ),
    Bug(
        "shows a snapshot answers that came after its moment",
        ("D13",),
        "§7: a snapshot is of one index",
        (
            Edit(
                f"{_TABLE}:Sessions.record",
                "self._will_change(session)",
                "pass",
            ),
        ),
    ),
    Bug(
        "executes a repetition that comes after `ack`",
        ("B6",),
        "thesis §6.3: what is settled is not done again",
        (
            Edit(f"{_TABLE}:Sessions.look_up", "if seq <= session.ack:", "if False:"),
            _IN_THE_WINDOW,
        ),
    ),
    Bug(
        "executes what lies ahead of the window",
        (),
        "what is kept of a session is bounded",
        (
            Edit(f"{_TABLE}:Sessions.look_up", "if seq > session.ack + WINDOW:", "if False:"),
            _IN_THE_WINDOW,
        ),
    ),
    Bug(
        "lets `ack` fall",
        ("B6",),
        "what is settled stays settled",
        (Edit(f"{_TABLE}:Sessions.look_up", "if ack > session.ack:", "if ack != session.ack:"),),
    ),
    Bug(
        "answers every repetition with the session's last answer",
        ("B6",),
        "thesis §6.3: each number has its own answer",
        (
            Edit(
                f"{_TABLE}:Sessions.look_up",
                "recorded = session.answers.get(seq)",
                "recorded = session.answers.get(seq) and list(session.answers.values())[-1]",
            ),
        ),
    ),
    Bug(
        "does not remember refusals",
        ("B6",),
        "a refusal that is sent again stays one",
        (
            Edit(
                f"{_WRITER}._once",
                "sessions.record(session, seq, command.digest, result)",
                "if type(result).__name__ != 'Failure':\n"
                "        sessions.record(session, seq, command.digest, result)",
            ),
        ),
    ),
    Bug(
        "takes a run for new whose beginning was sent before",
        ("B6",),
        "an operation with a number is done once, also within a batch",
        (Edit(f"{_TABLE}:Sessions.admits_run", "first_seq <= session.top or ", ""),),
    ),
    Bug(
        "does not remember what answered too much",
        ("B6",),
        "a mutation is done once, also if its answer is not kept",
        (
            Edit(
                f"{_TABLE}:Sessions.record",
                "self._add_answer(session, seq, digest, answer)",
                "if answer:\n        self._add_answer(session, seq, digest, answer)",
            ),
        ),
        world="narrow",
    ),
    Bug(
        "takes any operation for the one that had its number",
        ("B6",),
        "a number belongs to one operation",
        (Edit("raftcache.store.recorded:answer_of", "if recorded.digest != digest:", "if False:"),),
    ),
    Bug(
        "knows an operation again by its key alone",
        ("B6",),
        "a number belongs to one operation",
        (
            Edit(
                f"{_NUMBERING}:digest_of",
                "_encode(mutation)",
                "_encode(getattr(mutation, 'key', b''))",
            ),
        ),
    ),
    Bug(
        "leaves out the numbers of a batch's operations",
        ("B6",),
        "an operation with a number is done once, also within a batch",
        (
            Edit(
                f"{_NUMBERING}:numbered_within",
                "return _once(session, wire.seq, ack, operation)",
                "return operation",
            ),
        ),
    ),
    Bug(
        "drops the oldest session when the table is full",
        (),
        "who was promised a session keeps it for its time",
        (
            Edit(
                f"{_TABLE}:Sessions.begin",
                "return None",
                "self.end(min(self._table))",
            ),
        ),
        world="narrow",
    ),
    Bug(
        "counts a session's time on while nobody leads",
        ("B4",),
        "a session gets its full time from the next leader",
        (Edit(f"{_MACHINE}.apply_empty", "if begins_term:", "if False:"),),
    ),
    Bug(
        "ends sessions early",
        ("B4",),
        "a session lives for its time to live at least",
        (
            Edit(
                f"{_TABLE}:Sessions.find_due_ms",
                "max(session.renewed_ms, floor_ms) + session.ttl_ms",
                "max(session.renewed_ms, floor_ms) + session.ttl_ms - session.ttl_ms // 8",
            ),
        ),
    ),
    Bug(
        "answers a keepalive and does nothing",
        (),
        "a session lives for its time from its last keepalive",
        (Edit(f"{_TABLE}:Sessions.keep_alive", "session.renewed_ms = time_ms", "pass"),),
    ),
    Bug(
        "ends no session while nobody writes",
        ("B13",),
        "what is due goes, whoever writes",
        (
            Edit(
                f"{_MACHINE}.next_deadline_ms",
                "return min(keyspace.next_deadline_ms, keyspace.sessions.find_due_ms())",
                "return keyspace.next_deadline_ms",
            ),
        ),
    ),
    Bug(
        "lets keys outlive the session that expires",
        (),
        "no key outlives its session",
        (Edit(f"{_WRITER}._end_sessions", "self._remove_bound(keys, EXPIRE)", "pass"),),
    ),
    Bug(
        "lets keys outlive the session that is closed",
        (),
        "no key outlives its session",
        (Edit(f"{_WRITER}._close_session", "self._remove_bound(keys, DELETE)", "pass"),),
    ),
    Bug(
        "removes of a session's keys only what one entry has room for",
        (),
        "a session and all its keys go in one entry",
        (
            Edit(
                f"{_WRITER}._end_sessions",
                "self._remove_bound(keys, EXPIRE)",
                "self._remove_bound(keys[:room], EXPIRE)",
            ),
        ),
        world="narrow",
    ),
    Bug(
        "lets a key die with a session that it is no longer bound to",
        (),
        "the last write says what a key is bound to",
        (Edit(f"{_TABLE}:Sessions.unbind", "session.keys.pop(key, None)", "pass"),),
    ),
    Bug(
        "forgets which keys are bound when a snapshot is restored",
        ("B7",),
        "§7: all that answers depend on is in the snapshot",
        (
            Edit(
                "raftcache.store.keyspace:Keyspace.load",
                "if record.session and self.bindings is not None:",
                "if False:",
            ),
        ),
    ),
    Bug(
        "lets `incr` take a key's session away",
        (),
        "`incr` changes the number and nothing else",
        (
            Edit(
                "raftcache.store.writes:Writer._incr",
                '"session": before.session}',
                '"session": 0}',
            ),
        ),
    ),
)
