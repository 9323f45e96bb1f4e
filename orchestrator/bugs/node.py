"""Mistakes between the core and the world: replies, hand-ons, snapshots on their way (§7, §8)."""

from .planting import Bug, Edit

_READY = "raftcache.node.ready"
_REQUESTS = "raftcache.node.requests"
_PENDING = "raftcache.node.pending"
_SNAPSHOTS = "raftcache.node.snapshots"
_RECEIVING = "raftcache.node.receiving"
_SENDING = "raftcache.node.sending"

NODE_BUGS = (
    Bug(
        "lets promises leave before the disk has them",
        ("A1", "E7"),
        "Figure 2, thesis §3.8",
        (
            Edit(
                f"{_READY}:ReadyCycle._hold_back",
                "if ready.mark is not None or ready.after_persist:",
                "self._outbox.add_messages(ready.after_persist)\n"
                "    ready.after_persist.clear()\n"
                "    if ready.mark is not None or ready.after_persist:",
            ),
        ),
    ),
    Bug(
        "tells the core of a write before it is done",
        ("A11",),
        "thesis §10.2.1",
        (
            Edit(
                f"{_READY}:ReadyCycle._hold_back",
                "if ready.mark is not None or ready.after_persist:",
                "if ready.mark is not None:\n"
                "        self._raft.advance(ready.mark)\n"
                "    if ready.mark is not None or ready.after_persist:",
            ),
        ),
    ),
    Bug(
        "writes the term without the vote",
        ("A1", "A2"),
        "Figure 2: votedFor is persistent",
        (
            Edit(
                f"{_READY}:ReadyCycle.run",
                "batch = Batch(ready.hard_state, ready.entries, ready.base)",
                "kept = ready.hard_state\n"
                "        if kept is not None:\n"
                "            kept = type(kept)(kept.current_term)\n"
                "        batch = Batch(kept, ready.entries, ready.base)",
            ),
        ),
    ),
    Bug(
        "does not write where the log begins anew",
        ("D3", "D4"),
        "Figure 13, rule 7, on disk",
        (
            Edit(
                f"{_READY}:ReadyCycle.run",
                "Batch(ready.hard_state, ready.entries, ready.base)",
                "Batch(ready.hard_state, ready.entries)",
            ),
        ),
    ),
    Bug(
        "replies before the entry is committed",
        ("A9", "B6"),
        "§5.3: answered once applied",
        (
            Edit(
                f"{_PENDING}:ProposedTable.take",
                "if group is None or group.term != term:",
                "if group is None:",
            ),
            Edit(
                f"{_REQUESTS}:RequestDesk.on_leadership_lost",
                "self._give_up(self._proposed.take_all(), ",
                "self._give_up([], ",
            ),
        ),
    ),
    Bug(
        "calls an unknown outcome a refusal",
        ("A9",),
        "an answer that says `no` means that it never happens",
        (
            Edit(
                f"{_REQUESTS}:RequestDesk._give_up",
                "applied=UNKNOWN",
                'applied="no"',
            ),
        ),
    ),
    Bug(
        "proposes again what a lost leadership left",
        ("B6",),
        "at most once: what may be in a log is never sent again",
        (
            Edit(
                f"{_REQUESTS}:RequestDesk.on_leadership_lost",
                "again, self.proposals, self._proposal_bytes = self.proposals, [], 0",
                "again, self.proposals, self._proposal_bytes = (\n"
                "        [*self._proposed.take_all(), *self.proposals], [], 0\n"
                "    )",
            ),
            Edit(
                f"{_REQUESTS}:RequestDesk.on_leadership_lost",
                "self._give_up(self._proposed.take_all(), ",
                "self._give_up([], ",
            ),
        ),
    ),
    Bug(
        "hands on again what another leader may have taken",
        ("B6",),
        "at most once: a request goes one way only",
        (
            Edit(
                f"{_REQUESTS}:RequestDesk.on_leader",
                "self._give_up(\n"
                "        self._handed_on.take_other_than(leader, self._raft.current_term),\n"
                '        f"{self._node} had handed this on when the leader changed",\n'
                "    )",
                "self.waiting += self._handed_on.take_other_than(leader, self._raft.current_term)",
            ),
        ),
    ),
    Bug(
        "executes a repeated request twice",
        ("B6", "F4"),
        "§8: each command once",
        (
            Edit(
                "raftcache.node.repeats:Repeats.is_new",
                "return False\n",
                "return True\n",
            ),
            Edit(
                "raftcache.node.repeats:Repeats.is_new",
                "overtaken.remove(count)",
                "overtaken.discard(count)",
            ),
        ),
    ),
    Bug(
        "hands on what was handed on",
        ("B20",),
        "one hop: a second could go round in circles",
        (
            Edit(
                f"{_REQUESTS}:RequestDesk.take",
                "elif isinstance(pending.origin, PeerOrigin):",
                "elif leader is None and isinstance(pending.origin, PeerOrigin):",
            ),
        ),
    ),
    Bug(
        "leaves reads waiting for ever when its office ends",
        ("B23",),
        "every request is answered once",
        (
            Edit(
                f"{_REQUESTS}:RequestDesk.on_reads_refused",
                "for group in groups:",
                "for group in groups[1:]:",
            ),
        ),
    ),
    Bug(
        "answers a released read from a state that lags",
        ("B1", "B19"),
        "thesis §6.4, step 4: once the read index is applied",
        (
            Edit(
                f"{_REQUESTS}:RequestDesk._answer_released",
                "if index > applied:",
                "if index > applied + 2:",
            ),
        ),
    ),
    Bug(
        "talks to a node of another cluster",
        ("C12",),
        "the cluster id is in every frame",
        (
            Edit(
                "raftcache.node.server:Server._refusal",
                "if frame.cluster_id != self.about.cluster_id:",
                "if False:",
            ),
        ),
    ),
    Bug(
        "takes a snapshot of more than it has applied",
        ("D13",),
        "§7: a snapshot holds what is applied",
        (
            Edit(
                f"{_SNAPSHOTS}:Snapshots.begin",
                "meta = SnapshotMeta(index, term,",
                "run.last_applied = index = self._raft.state.commit_index\n"
                "    meta = SnapshotMeta(index, self._raft.state.log.term_at(index),",
            ),
        ),
    ),
    Bug(
        "frees the log when a snapshot begins",
        ("D4", "D7"),
        "§7: only a durable snapshot stands for the log",
        (
            Edit(
                f"{_SNAPSHOTS}:Snapshots.begin",
                "run = self._store.begin_snapshot()",
                "self._storage.release(index)\n    run = self._store.begin_snapshot()",
            ),
        ),
    ),
    Bug(
        "frees the log that the older snapshot needs",
        ("E10",),
        "a damaged newest snapshot must cost nothing",
        (
            Edit(
                "raftcache.storage.snapshot_shelf:SnapshotShelf.retain",
                "return positions[kept - 1][0] if len(positions) >= kept else 0",
                "return positions[0][0]",
            ),
        ),
    ),
    Bug(
        "gives a snapshot its name before it is durable",
        ("D7", "E8"),
        "what has its name is whole",
        (
            Edit(
                "raftcache.storage.snapshot_receiver:SnapshotReceiver._sync",
                "self._files.sync(handle)",
                "_ = handle",
            ),
            Edit(
                "raftcache.storage.snapshots:publish_file",
                "files.sync_directory(directory)",
                "pass",
            ),
        ),
    ),
    Bug(
        "trusts a snapshot unread",
        ("E10",),
        "every byte is checked before it counts",
        (
            Edit(
                "raftcache.storage.snapshots:SnapshotReader.verify",
                "for _ in self.slices():",
                "for _ in ():",
            ),
        ),
    ),
    Bug(
        "keeps a suffix of another history behind a snapshot",
        ("D2", "D3"),
        "Figure 13, rule 7",
        (
            Edit(
                "raftcache.raft.log:Log.reset",
                "self.entries = []",
                "self.entries = [entry for entry in self.entries if entry.index > index]",
            ),
        ),
    ),
    Bug(
        "keeps its old state behind an installed snapshot",
        ("D1",),
        "Figure 13, rule 8: the state is replaced",
        (
            Edit(
                f"{_RECEIVING}:SnapshotInstaller.on_turn",
                "self._replace_store(store)",
                "pass",
            ),
        ),
    ),
    Bug(
        "applies entries to a state that is half restored",
        ("D5",),
        "Figure 13, rule 8: first the snapshot, then what follows it",
        (
            Edit(
                f"{_RECEIVING}:SnapshotInstaller._on_published",
                "self._raft.pause_apply(paused=True)",
                "pass",
            ),
        ),
    ),
    Bug(
        "installs a second snapshot over the first",
        ("D8",),
        "one is put in force at a time",
        (
            Edit(
                f"{_RECEIVING}:SnapshotInstaller.on_chunk",
                "if self._is_checking or self._restoring is not None or self._rest_ticks:",
                "if self._rest_ticks:",
            ),
        ),
    ),
    Bug(
        "never sends a lost chunk again",
        ("F2", "D9"),
        "§7: resumed after loss",
        (
            Edit(
                f"{_SENDING}:SnapshotSender.on_tick",
                "sending.next = min(sending.acked, last)",
                "pass",
            ),
        ),
    ),
    Bug(
        "leaves requests in their socket for as long as there is a crowd",
        (),
        "whoever is behind a crowd waits for a moment, and not for a majority that may be away",
        (
            Edit(
                "raftcache.node.loop:Loop._gather",
                "max(0, self._taken_ms + GATHER_MS - monotonic_ms())",
                "GATHER_MS",
            ),
        ),
    ),
)
