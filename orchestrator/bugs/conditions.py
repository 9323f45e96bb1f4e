"""Mistakes with fences, transactions and ranges; with keys that slide, or go to make room."""

from .planting import Bug, Edit

_TRANSACTOR = "raftcache.store.transactions:Transactor"
_MACHINE = "raftcache.store.machine:StateMachine"
_DRAFT = "raftcache.store.draft:Draft"
_KEYSPACE = "raftcache.store.keyspace:Keyspace"
_ROOM = "raftcache.node.room:Room"
_TOUCHES = "raftcache.node.touches:Touches"

CONDITION_BUGS = (
    Bug(
        "compares a fence with the key's last change",
        (),
        "a fence holds until its key is made anew",
        (
            Edit(
                f"{_TRANSACTOR}._fenced",
                "record.create_rev != command.create_rev",
                "record.mod_rev != command.create_rev",
            ),
        ),
    ),
    Bug(
        "takes a fence whose key is gone for one that holds",
        (),
        "who lost a lock does nothing under it",
        (
            Edit(
                f"{_TRANSACTOR}._fenced",
                "if record is None or record.create_rev",
                "if record is not None and record.create_rev",
            ),
        ),
    ),
    Bug(
        "looks at a fence before the log instead of within it",
        ("B6",),
        "a condition is looked at where the operation is done",
        (
            Edit(
                f"{_ROOM}.make",
                "commands: list[Any] = [pending.request.command for pending in requests]\n",
                "commands: list[Any] = [pending.request.command for pending in requests]\n"
                "    commands = [\n"
                "        command.op\n"
                "        if type(command) is Fenced\n"
                "        and (record := self._server.store.find(command.key)) is not None\n"
                "        and record.create_rev == command.create_rev\n"
                "        else command\n"
                "        for command in commands\n"
                "    ]\n",
            ),
        ),
    ),
    Bug(
        "leaves half of a txn behind that fails",
        (),
        "all of a txn is done, or nothing",
        (
            Edit(
                f"{_TRANSACTOR}._txn",
                'message = f"{where}: {result.message}; nothing of the txn was done"',
                'message = f"{where}: {result.message}; nothing of the txn was done"\n'
                "                draft.commit()",
            ),
        ),
    ),
    Bug(
        "splits a txn over several revisions",
        (),
        "all changes of a txn share one revision",
        (Edit(f"{_DRAFT}.commit", "keyspace.open_revision()", "pass"),),
    ),
    Bug(
        "lets a txn's operations miss its own writes",
        (),
        "a txn's operations run in order",
        (
            Edit(
                f"{_DRAFT}.get",
                "self._staged[key] if key in self._staged else self._keyspace.get(key)",
                "self._keyspace.get(key)",
            ),
        ),
    ),
    Bug(
        "takes one comparison that holds for all of them",
        (),
        "`then` is done if every comparison holds",
        (
            Edit(
                f"{_TRANSACTOR}._txn",
                "all(self._holds(compare) for compare in command.compares)",
                "any([True, *map(self._holds, command.compares)][bool(command.compares) :])",
            ),
        ),
    ),
    Bug(
        "deletes one key too many of a range",
        (),
        "a range ends before its end",
        (
            Edit(
                f"{_TRANSACTOR}._delete_range",
                "Span(command.start, command.end)",
                "Span(command.start, command.end and command.end + b'\\0')",
            ),
        ),
    ),
    Bug(
        "gives each key of a deleted range a revision of its own",
        (),
        "all changes of one `delete_range` share one revision",
        (Edit(f"{_KEYSPACE}.remove_all", "self.open_revision()", "pass"),),
    ),
    Bug(
        "lets a touch revive a key whose time is up",
        ("B13",),
        "what is due goes before the entry's commands are done",
        (
            Edit(f"{_MACHINE}.apply", "self._let_go()", "pass"),
            Edit(
                f"{_MACHINE}.apply",
                "self._advance(index)",
                "if stamp_ms is not None:\n        self._let_go()\n    self._advance(index)",
            ),
        ),
    ),
    Bug(
        "lets a touch of an earlier value prolong the present one",
        (),
        "a touch is of the value that was read",
        (
            Edit(
                f"{_TRANSACTOR}._touch",
                "record.mod_rev != command.mod_rev or not record.ttl_ms",
                "not record.ttl_ms",
            ),
        ),
    ),
    Bug(
        "tells no leader what is read from a follower",
        (),
        "a key slides whichever node it is read from",
        (
            Edit(
                f"{_TOUCHES}.on_turn",
                "self._outbox.add_keys_read(leader, KeysRead([key for key, _ in self._take()]))",
                "self._take()",
            ),
        ),
    ),
    Bug(
        "touches a key once and never again",
        (),
        "each read lets the time begin anew",
        (
            Edit(
                f"{_TOUCHES}.on_read",
                "if told_ms is not None and now_ms - told_ms < tenth_ms:",
                "if told_ms is not None:",
            ),
        ),
    ),
    Bug(
        "lets keys go that are bound to a session",
        (),
        "a key that is bound goes with its session alone",
        (
            Edit(f"{_TRANSACTOR}._evict", " or record.session:", ":"),
            Edit(f"{_ROOM}._draw", "if record.session or key in written", "if key in written"),
        ),
        world="full",
    ),
    Bug(
        "lets a key go that was written since",
        (),
        "what goes is what was not used, as it was",
        (
            Edit(
                f"{_TRANSACTOR}._evict",
                "record is None or record.mod_rev != command.mod_rev or",
                "record is None or",
            ),
        ),
        world="full",
    ),
    Bug(
        "lets a key go that the same entry writes",
        (),
        "a condition does not fail for want of room",
        (Edit(f"{_ROOM}._draw", " or key in written or", " or"),),
        world="full",
    ),
    Bug(
        "lets keys go though nothing may",
        (),
        "without eviction, a write without room is refused",
        (Edit(f"{_ROOM}._draw", '0 if eviction == "none" else', ""),),
        world="full",
    ),
    Bug(
        "forgets what entries on their way will add",
        (),
        "what is on its way takes room too",
        (
            Edit(
                f"{_ROOM}.make",
                "left -= sum([plan.added for _, plan in self._on_their_way])",
                "pass",
            ),
        ),
        world="full",
    ),
)
