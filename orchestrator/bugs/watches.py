"""Mistakes with watches: what is told of the past and of the present, and when."""

from .planting import Bug, Edit

_FEED = "raftcache.store.feed"
_KEYSPACE = "raftcache.store.keyspace:Keyspace"
_WATCHES = "raftcache.node.watches:Watches"

WATCH_BUGS = (
    Bug(
        "leaves out the revision at which an answer ends",
        (),
        "a watch is told of every change",
        (
            Edit(
                f"{_FEED}:_cut",
                "return WatchResult(events, rev, prev, used)",
                "return WatchResult(events, rev + 1, prev, used)",
            ),
        ),
        world="narrow",
    ),
    Bug(
        "tells the last revision of an answer again in the next",
        (),
        "a watch is told of every change once",
        (
            Edit(
                f"{_FEED}:_cut",
                "return WatchResult(events, rev, prev, used)",
                "return WatchResult(events, events[-1].rev, prev, used)",
            ),
        ),
        world="narrow",
    ),
    Bug(
        "ends an answer in the middle of a revision",
        (),
        "a revision is told as a whole",
        (
            Edit(
                f"{_FEED}:_cut",
                "for rev, told in groupby(found, key=_revision):",
                "for (rev, _), told in groupby(found, key=lambda one: (one[0].rev, one[0].key)):",
            ),
        ),
        world="narrow",
    ),
    Bug(
        "keeps half of a revision in mind",
        (),
        "the past is forgotten by whole revisions",
        (
            Edit(
                "raftcache.store.history:History.forget",
                "or step.rev <= oldest",
                "",
            ),
        ),
    ),
    Bug(
        "passes over in silence what is no longer kept",
        (),
        "who can't be told of everything is told that",
        (Edit(f"{_FEED}:EventFeed.past", "if from_rev < oldest:", "if False:"),),
    ),
    Bug(
        "tells of a large entry only what the past has room for",
        (),
        "who has followed so far misses nothing",
        (
            Edit(
                f"{_FEED}:EventFeed.take_fresh",
                "return fresh",
                "return [change for change in fresh if change.rev >= self.oldest]",
            ),
        ),
        world="narrow",
    ),
    Bug(
        "shows of every change the value of today",
        (),
        "an event tells what the change has put there",
        (
            Edit(f"{_FEED}:EventFeed._told_of_key", "after = change.before", "pass"),
            Edit(f"{_FEED}:EventFeed._told_of_prefix", "after_of[key] = change.before", "pass"),
        ),
    ),
    Bug(
        "tells that a key was deleted whose time was up",
        (),
        "an event tells why a key went",
        (
            Edit(
                "raftcache.store.machine:StateMachine._let_go",
                "keyspace.remove(key, before, EXPIRE)",
                "keyspace.remove(key, before)",
            ),
        ),
    ),
    Bug(
        "tells that a key was deleted that went with its session",
        (),
        "an event tells why a key went",
        (
            Edit(
                "raftcache.store.session_commands:SessionWriter._remove_bound",
                "keyspace.remove(key, before, kind)",
                "keyspace.remove(key, before)",
            ),
        ),
        world="narrow",
    ),
    Bug(
        "tells that a key was deleted that went to make room",
        (),
        "an event tells why a key went",
        (
            Edit(
                "raftcache.store.transactions:Transactor._evict",
                "self._view.remove(command.key, record, EVICT)",
                "self._view.remove(command.key, record)",
            ),
        ),
        world="full",
    ),
    Bug(
        "tells changes whose kind nobody knows",
        ("E15",),
        "what was changed before the cluster was raised is not told",
        (
            Edit(
                f"{_KEYSPACE}.raise_version",
                "if self.command_version < TELLING_VERSION <= version:",
                "if False:",
            ),
        ),
    ),
    Bug(
        "skips what a snapshot has brought",
        ("D1",),
        "what was missed is told from the restored past",
        (
            Edit(
                f"{_WATCHES}._on_other_store",
                "if waiting.group is not None:",
                "if False:",
            ),
        ),
    ),
    Bug(
        "watches on a state that a snapshot has replaced",
        ("D1",),
        "a watch is told what its node applies",
        (Edit(f"{_WATCHES}._on_other_store", "self._feed = store.feed", "pass"),),
    ),
    Bug(
        "sends a watch on behind what it was not told of",
        (),
        "`next_rev` is the first revision that was not told",
        (
            Edit(
                f"{_WATCHES}._next_rev",
                "return waiting.from_rev if waiting.group is None else self._seen_rev + 1",
                "return self._seen_rev + 1",
            ),
        ),
    ),
    Bug(
        "does not tell a prefix of the key that is just as long",
        (),
        "a prefix begins itself",
        (Edit(f"{_WATCHES}._match", "if length > len(key):", "if length >= len(key):"),),
    ),
    Bug(
        "lets a watch sleep through the revision that it waits for",
        (),
        "a watch begins with the revision that it asks for",
        (
            Edit(
                f"{_WATCHES}._call_who_was_ahead",
                "ahead[0][0] <= store_rev",
                "ahead[0][0] < store_rev",
            ),
        ),
    ),
    Bug(
        "lets any number of watches wait",
        ("F11",),
        "every queue has a bound",
        (Edit(f"{_WATCHES}.take", "len(self._waiting) >= WATCHES_MAX", "False"),),
        world="narrow",
    ),
    Bug(
        "tells all watches in one turn, however many",
        (),
        "what one turn does is bounded",
        (
            Edit(f"{_WATCHES}._tell_fresh", "if left <= 0:", "if False:"),
            Edit(f"{_WATCHES}._tell_past", "if left <= 0:", "if False:"),
        ),
        world="narrow",
    ),
)
