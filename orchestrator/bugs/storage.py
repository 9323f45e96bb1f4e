"""Mistakes in what the disk is asked for, and in what is read back from it (Figure 2)."""

from .planting import Bug, Edit

_WAL = "raftcache.storage.wal"
_RECOVERY = "raftcache.storage.recovery"
_SCAN = "raftcache.storage.scan"
_DIRECTORY = "raftcache.storage.directory"

STORAGE_BUGS = (
    Bug(
        "calls a write durable without asking the disk",
        ("E7", "A11"),
        "Figure 2: durable before the answer",
        (Edit(f"{_WAL}:Wal.sync", "if self._synced and self._waits_for_sync:", "if False:"),),
    ),
    Bug(
        "begins a segment before the old one is on disk",
        ("E4", "E8"),
        "what follows counts only behind what it follows",
        (
            Edit(
                f"{_WAL}:Wal._roll",
                "at = self._at\n    self._files.sync(at.handle)\n",
                "at = self._at\n",
            ),
            Edit(
                f"{_WAL}:Wal._roll",
                'self._append(FrameKind.SEAL, b"")\n    self._files.sync(at.handle)\n',
                'self._append(FrameKind.SEAL, b"")\n',
            ),
        ),
    ),
    Bug(
        "begins a segment without term and vote",
        ("A2", "A3"),
        "Figure 2: the segment that had them may be freed",
        (
            Edit(
                f"{_WAL}:Wal.write",
                "payload = encode_batches([Batch(outline.hard_state, []), *batches])",
                "payload = encode_batches([Batch(type(outline.hard_state)(), []), *batches])",
            ),
        ),
    ),
    Bug(
        "writes a new term before the old segment's end",
        ("A2",),
        "the last word counts, so the order on disk is the order of events",
        (
            Edit(
                f"{_WAL}:Wal.write",
                "payload = encode_batches([Batch(outline.hard_state, []), *batches])",
                "payload = encode_batches([*batches, Batch(outline.hard_state, [])])",
            ),
        ),
    ),
    Bug(
        "renames a file without syncing its folder",
        ("E8",),
        "a name is durable only with its folder",
        (
            Edit(
                "raftcache.storage.segment:NextSegment.publish",
                "self._files.sync_directory(self._directory)",
                "pass",
            ),
        ),
    ),
    Bug(
        "cuts the log off at damage",
        ("E2",),
        "damage in the middle is no torn tail: acknowledged entries stand behind it",
        (
            Edit(
                f"{_SCAN}:torn_bytes",
                "_judge_payload(scan, frame)",
                "pass",
            ),
            Edit(
                f"{_SCAN}:torn_bytes",
                'raise damaged(scan.path, position, "the checksum of a frame\'s header is wrong")',
                "pass",
            ),
            Edit(
                f"{_SCAN}:torn_bytes",
                "_refuse_later_frames(scan, position + SECTOR_BYTES)",
                "pass",
            ),
        ),
    ),
    Bug(
        "takes an unfinished write for damage",
        ("E1", "E3"),
        "a crash must not kill a node for good",
        (
            Edit(
                "raftcache.storage.frame:looks_unwritten",
                "if frame[-1] == 0:",
                "if not frame:",
            ),
            Edit(
                "raftcache.storage.frame:looks_unwritten",
                "return any(frame[start : start + SECTOR_BYTES] == _ZERO_SECTOR "
                "for start in starts)",
                "return False and any(starts)",
            ),
        ),
    ),
    Bug(
        "believes a payload without its checksum",
        ("E2", "E11"),
        "every byte is checked before it counts",
        (
            Edit(
                "raftcache.storage.frame:decode_payload",
                "if crc32(payload) != header.payload_check:",
                "if len(payload) < header.length:",
            ),
        ),
    ),
    Bug(
        "takes a frame that belongs elsewhere",
        ("E11",),
        "a stale or misdirected block must not pass for the log",
        (
            Edit(
                f"{_SCAN}:_check_place",
                "if why:",
                'if why and "bytes" in why:',
            ),
        ),
    ),
    Bug(
        "leaves what a torn write left behind",
        ("E1", "E11"),
        "nothing of an unfinished write may ever pass for a frame",
        (
            Edit(
                f"{_RECOVERY}:_Recovery._clear",
                "end = len(scan.data)",
                "end = scan.position",
            ),
        ),
    ),
    Bug(
        "trusts the kernel's cache after a failed sync",
        ("E6",),
        "a page that could not be written may be called clean",
        (
            Edit(
                f"{_RECOVERY}:_Recovery._write_again",
                "if scan.frame_offset:",
                "if False:",
            ),
        ),
    ),
    Bug(
        "goes on writing after a failed sync",
        ("E6",),
        "nobody knows what the disk holds then",
        (
            Edit(
                f"{_WAL}:Wal._check_usable",
                "if self._failure is not None:",
                "if False:",
            ),
            Edit(
                f"{_WAL}:Wal._sync",
                "raise self._failed(verb, error) from error",
                "_ = verb, error",
            ),
        ),
    ),
    Bug(
        "frees the log before what follows is durable",
        ("D4",),
        "segments go one by one, each for good",
        (
            Edit(
                f"{_WAL}:Wal.release",
                "self._files.sync_directory(self._directory)",
                "pass",
            ),
        ),
    ),
    Bug(
        "frees one entry too many",
        ("D4", "D12"),
        "§7: the log begins right behind the snapshot",
        (
            Edit(
                f"{_WAL}:Wal._may_free_oldest",
                "segment.last_index <= index",
                "segment.last_index <= index + 8",
            ),
        ),
    ),
    Bug(
        "keeps entries that were replaced",
        ("A7",),
        "Figure 2, receiver rule 3, on disk: the last word counts",
        (
            Edit(
                "raftcache.storage.replay:LogReplay.take",
                "del self._entries[max(0, first - self._first_index) :]",
                "del self._entries[max(0, first - self._first_index) :][: len(batch.entries)]",
            ),
        ),
    ),
    Bug(
        "opens a directory of a former life",
        ("C10", "C11"),
        "an incarnation never takes over the state of another",
        (
            Edit(
                f"{_DIRECTORY}:check_owner",
                "if incarnation not in (None, identity.incarnation):",
                "if False:",
            ),
            Edit(
                f"{_RECOVERY}:_Recovery._check_header",
                "if theirs != (identity.cluster_id, identity.node_id, identity.incarnation):",
                "if False:",
            ),
        ),
    ),
    Bug(
        "opens the directory of another node",
        ("C11",),
        "a vote is one node's",
        (
            Edit(
                f"{_DIRECTORY}:check_owner",
                "if (identity.cluster_id, identity.node_id) != (cluster_id, node_id):",
                "if False:",
            ),
        ),
    ),
    Bug(
        "votes with a log that may have lost its end",
        ("A2", "E12"),
        "under `os` the last writes are gone after another boot",
        (
            Edit(
                "raftcache.storage.lost:refuse_lost_state",
                'if identity.durability == "os"',
                'if identity.durability == "no"',
            ),
        ),
    ),
    Bug(
        "takes what was there when a segment was begun for what is there now",
        (),
        "Figure 2, receiver rule 3: what a later leader has replaced counts no more",
        (
            Edit(
                "raftcache.storage.replay:LogReplay.begin_that_counts",
                "term = self.term_at(index)",
                "term = self.begin[1]",
            ),
        ),
        world="disk",
    ),
)
