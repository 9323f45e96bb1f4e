"""Reading snapshot and log back after any kind of end (docs/storage.md, "Opening").

Rules: nothing that could be damage is repaired or cut off, since a shortened log can undo what was
acknowledged (failure E2). Nothing is changed before all has been read and found sound. What
recovery has read, it makes durable before anyone acts on it: a process that died may have left it
in the kernel's cache alone.
"""

from dataclasses import dataclass, field

import msgspec

from ..errors import CorruptRecord, StorageError, WrongDirectory
from ..raft.configuration import decode_configuration, server_id_of
from ..raft.types import Entry, EntryKind, HardState, Index, Term
from .files import Files, join
from .frame import SECTOR_BYTES
from .identity import Identity
from .outline import Batch, SegmentOutline
from .replay import LogReplay
from .scan import SegmentScan, refuse_unsealed, scan_segment, torn_bytes
from .segment import (
    FORMAT_POSITIONED,
    NEXT_NAME,
    SegmentHeader,
    damaged,
    decode_segment_header,
    segment_name,
    segment_number,
)
from .snapshot_shelf import SnapshotShelf
from .snapshots import StoredSnapshot
from .wal import WalPosition, decode_batches

_ZEROS = bytes(256 * 1024)


@dataclass(slots=True)
class Recovered:
    """What a directory held when it was opened."""

    identity: Identity
    hard_state: HardState = field(default_factory=HardState)
    entries: list[Entry] = field(default_factory=list)
    """The log behind ``base``, contiguous."""
    base: tuple[Index, Term] = (0, 0)
    """Index and term that the log begins behind: those of ``snapshot``, or of nothing."""
    snapshot: StoredSnapshot | None = None
    """The newest sound snapshot, read to its last byte; None while there is none."""
    lacks_snapshot: bool = False
    """No sound snapshot reaches ``base``: the state up to there is gone from this directory. Term,
    vote and log are whole, so the node may vote; it must not campaign, nor apply anything, before
    it has installed a snapshot of ``base`` or later from another node."""
    torn_bytes: int = 0
    """Length of a last write that was never finished, and has been cleared."""
    notes: list[str] = field(default_factory=list)
    """A sentence for each thing that was out of the ordinary and is settled."""


def list_segments(files: Files, directory: str) -> list[int]:
    """Return the numbers of a directory's segments, rising.

    Raises:
        WrongDirectory: there is none, or one is missing between others.
    """
    numbers = sorted(n for name in files.names(directory) if (n := segment_number(name)))
    first = numbers[0] if numbers else 1
    missing = next((i for i, n in enumerate(numbers, start=first) if n != i), None)
    if not numbers or missing is not None:
        raise _incomplete(directory, segment_name(missing or 1))
    return numbers


def recover(
    files: Files, directory: str, identity: Identity, *, may_lack_snapshot: bool = False
) -> tuple[WalPosition, Recovered, Batch | None]:
    """Read snapshot and log, and leave the log ready for appending.

    Assumes that the directory is locked.

    Returns:
        Where the log ends, what was found, and what must be written before anything else.

    Raises:
        CorruptRecord, WrongDirectory: damage, missing files, another node's; nothing was changed.
        SnapshotFailed, OSError: the file system refused.
    """
    return _Recovery(files, directory, identity, may_lack_snapshot=may_lack_snapshot).run()


class _Recovery:
    """One run of :func:`recover`."""

    def __init__(
        self, files: Files, directory: str, identity: Identity, *, may_lack_snapshot: bool
    ) -> None:
        self._files = files
        self._directory = directory
        self._may_lack_snapshot = may_lack_snapshot
        self._shelf = SnapshotShelf(files, directory, identity.cluster_id)
        self._recovered = Recovered(identity)
        self._log = LogReplay()
        self._number = 1
        self._chain = 0
        self._unused: list[int] = []

    def run(self) -> tuple[WalPosition, Recovered, Batch | None]:
        numbers = self._without_half_freed(list_segments(self._files, self._directory))
        for segment in numbers[:-1]:
            if self._read_complete(segment, last=numbers[-1]):
                return self._open_last(segment)
        return self._open_last(numbers[-1])

    def _without_half_freed(self, numbers: list[int]) -> list[int]:
        """Leave out what a release would have freed next, had it not been interrupted.

        Segments of an older format don't say where the log begins, so they go all or none.
        """
        if numbers[0] == 1:
            return numbers
        for position, segment in enumerate(numbers):
            handle, header, _ = self._load(segment)
            self._files.close(handle)
            if header.format >= FORMAT_POSITIONED:
                self._unused += numbers[:position]
                return numbers[position:]
        raise _incomplete(self._directory, segment_name(numbers[0] - 1))

    def _read_complete(self, segment: int, *, last: int) -> bool:
        """Read a segment that others follow; True if it turns out to be the last after all."""
        handle, header, data = self._load(segment)
        try:
            self._enter(header)
            scan = scan_segment(self._path(segment), data, header)
            if not scan.sealed:
                self._check_unused(scan, segment, last)
                self._log.outline.segments.pop()
                return True
            torn_bytes(scan)  # refuses whatever follows the seal
            self._replay(scan)
            # If the last segment holds no frame yet, then the roll to it was perhaps not finished.
            if segment == last - 1:
                self._write_again(handle, scan)
        finally:
            self._files.close(handle)
        self._log.outline.segments[-1].used_bytes = scan.position
        return False

    def _check_unused(self, scan: SegmentScan, segment: int, last: int) -> None:
        """Find a last segment unused that got its name before its predecessor was sealed."""
        if segment != last - 1:
            raise refuse_unsealed(scan)
        handle, header, data = self._load(last)
        self._files.close(handle)
        self._check_continues(header, scan.number, scan.chain)
        if data[SECTOR_BYTES:] != bytes(len(data) - SECTOR_BYTES):
            raise refuse_unsealed(scan)
        torn_bytes(scan)
        self._unused.append(last)

    def _open_last(self, segment: int) -> tuple[WalPosition, Recovered, Batch | None]:
        handle, header, data = self._load(segment)
        try:
            self._enter(header)
            scan = scan_segment(self._path(segment), data, header)
            torn = torn_bytes(scan)
            self._check_last(scan, segment)
            self._replay(scan)
            damaged_snapshots = self._find_snapshot()
            restart = self._settle()
            # Up to here nothing was changed.
            self._clear(handle, scan, torn)
            self._write_again(handle, scan)
            self._tidy(damaged_snapshots)
        except BaseException:
            self._files.close(handle)
            raise
        at = WalPosition(
            header=header,
            handle=handle,
            position=scan.position,
            number=scan.number,
            chain=scan.chain,
            outline=self._log.outline,
        )
        return at, self._recovered, restart

    def _check_last(self, scan: SegmentScan, segment: int) -> None:
        if scan.sealed:
            raise _incomplete(self._directory, segment_name(segment + 1))
        first = self._log.outline.segments[0].segment == segment
        if first and not scan.frames:
            raise damaged(scan.path, scan.position, "the log's first frame is missing")

    def _load(self, segment: int) -> tuple[int, SegmentHeader, bytes]:
        """Open a segment and read all of it, once its header has shown that it belongs here."""
        path = self._path(segment)
        handle = self._files.open(path, write=True)
        try:
            data = self._files.read(handle, self._files.size(handle), 0)
            header = decode_segment_header(data[:SECTOR_BYTES], path)
            self._check_header(header, segment, data)
        except BaseException:
            self._files.close(handle)
            raise
        return handle, header, data

    def _check_header(self, header: SegmentHeader, segment: int, data: bytes) -> None:
        path, identity = self._path(segment), self._recovered.identity
        theirs = (header.cluster_id, header.node_id, header.incarnation)
        if theirs != (identity.cluster_id, identity.node_id, identity.incarnation):
            raise WrongDirectory(
                f"{path} is of node {header.node_id}#{header.incarnation} of cluster "
                f"{header.cluster_id}, but this directory is of node {identity.node_id}"
                f"#{identity.incarnation} of cluster {identity.cluster_id}: put each file back "
                f"where it came from"
            )
        if header.segment != segment:
            raise damaged(path, 0, f"it is segment {header.segment} under another's name")
        if header.size != len(data):
            why = f"it was made with {header.size} bytes and has {len(data)}"
            raise damaged(path, min(header.size, len(data)), why)

    def _enter(self, header: SegmentHeader) -> None:
        """Go on in a segment, or begin in the first one there is."""
        outline = self._log.outline
        position = (header.last_index, header.last_term)
        if not outline.segments and header.segment > 1:
            self._number, self._chain = header.first_frame, header.chain
            self._log.begin_behind(position)
        self._check_continues(header, self._number, self._chain)
        if header.format >= FORMAT_POSITIONED and position != outline.last:
            why = f"it claims to begin behind entry {position}, but the log is at {outline.last}"
            raise damaged(self._path(header.segment), 0, why)
        outline.segments.append(SegmentOutline(header.segment, header.format))

    def _check_continues(self, header: SegmentHeader, number: int, chain: int) -> None:
        """Refuse a segment that does not begin where the one before it ended (failure E11)."""
        if (header.first_frame, header.chain) != (number, chain):
            before = segment_name(header.segment - 1) if header.segment > 1 else "the log's start"
            why = f"it does not continue {before}: one of the two is an older copy"
            raise damaged(self._path(header.segment), 0, why)

    def _replay(self, scan: SegmentScan) -> None:
        for offset, payload in scan.frames:
            try:
                batches = decode_batches(payload)
            except msgspec.DecodeError as error:
                why = f"a frame with the right checksum can't be read ({error})"
                raise damaged(scan.path, offset, why) from error
            if self._is_first(offset, scan) and not (batches and batches[0].hard_state):
                raise damaged(scan.path, offset, "the log does not begin with term and vote")
            for batch in batches:
                why = self._log.take(batch)
                if why:
                    raise damaged(scan.path, offset, why)
        self._number, self._chain = scan.number, scan.chain

    def _is_first(self, offset: int, scan: SegmentScan) -> bool:
        return len(self._log.outline.segments) == 1 and offset == scan.frames[0][0]

    def _find_snapshot(self) -> list[CorruptRecord]:
        """Find the snapshot to begin with; returns those that are damaged.

        Without one that reaches to where the log begins, acknowledged entries are missing
        (failures D4, E10).
        """
        finding = self._shelf.find()
        needed = self._log.begin[0]
        found = finding.newest
        if needed and (found is None or found.meta.last_included_index < needed):
            if self._may_lack_snapshot and self._has_other_voters():
                self._recovered.lacks_snapshot = True
                return finding.damaged
            if finding.damaged:
                raise _no_other_snapshot(finding.damaged[0], needed)
            raise self._incomplete_log(needed)
        self._recovered.snapshot = found
        return finding.damaged

    def _has_other_voters(self) -> bool:
        """Tell whether another node may have what this one lost, by all that is known here."""
        identity = self._recovered.identity
        configuration = identity.configuration
        for entry in self._log.entries_behind(self._log.begin[0]):
            if entry.kind is EntryKind.CONFIGURATION:
                configuration = decode_configuration(entry.data)
        own = server_id_of(identity.node_id, identity.incarnation)
        return any(voter != own for voter in configuration.voters)

    def _settle(self) -> Batch | None:
        """Let snapshot and log agree; returns what to write if the log restarts (Figure 13).

        A snapshot holds committed entries only. If the log has the last of them, with that term,
        then what follows it counts (rule 6). Else the log ends before it, or has another history,
        which never committed: a crash came between the arrival of a snapshot and the log's restart
        behind it (rule 7, failures D2, D3).
        """
        recovered, outline = self._recovered, self._log.outline
        recovered.hard_state = outline.hard_state
        if recovered.snapshot is None:
            begin = self._log.begin_that_counts()
            if begin is None:
                raise self._incomplete_log(self._log.begin[0])
            recovered.base, recovered.entries = begin, self._log.entries_behind(begin[0])
            return None
        meta = recovered.snapshot.meta
        index, term = recovered.base = (meta.last_included_index, meta.last_included_term)
        if self._log.term_at(index) == term:
            recovered.entries = self._log.entries_behind(index)
            return None
        if outline.base is not None and outline.base[0] == index:
            why = f"the log restarted behind entry {index} of another term"
            raise damaged(recovered.snapshot.path, 0, why)
        last_index, last_term = outline.last
        recovered.notes.append(
            f"the log ended at {last_index}@{last_term} without the snapshot's {index}@{term}: "
            f"it goes on behind the snapshot"
        )
        if term > outline.hard_state.current_term:
            recovered.hard_state = HardState(term)
        return Batch(recovered.hard_state, [], (index, term))

    def _clear(self, handle: int, scan: SegmentScan, torn: int) -> None:
        """Make an unfinished write undone, so that nothing of it can ever pass for a frame.

        Zeros are written again too: a start whose sync failed left them in the cache alone (E6).
        """
        end = len(scan.data)
        for start in range(scan.position, end, len(_ZEROS)):
            self._files.write(handle, _ZEROS[: end - start], start)
        if torn == 0:
            return  # They are synced with what is written again next.
        self._files.sync(handle)
        self._recovered.torn_bytes = torn
        self._recovered.notes.append(
            f"{scan.path}: cleared {torn} bytes at byte {scan.position}, a last write that was "
            f"never finished and that nobody was told of"
        )

    def _write_again(self, handle: int, scan: SegmentScan) -> None:
        """Make durable what was read, whatever happened before.

        After an fsync that failed, Linux may hold the bytes in its cache and call them clean: they
        are read back, another fsync succeeds, and the disk has never had them (failure E6). Written
        once more, with the same bytes, they are really on their way. Only the last write of a
        process can be in that state: it stops at the first failure.
        """
        self._files.write(handle, scan.data[:SECTOR_BYTES], 0)
        if scan.frame_offset:
            last_frame = scan.data[scan.frame_offset : scan.position]
            self._files.write(handle, last_frame, scan.frame_offset)
        self._files.sync(handle)

    def _tidy(self, damaged_snapshots: list[CorruptRecord]) -> None:
        """Remove what was never finished, and keep damaged snapshots under another name."""
        notes = self._recovered.notes
        for segment in self._unused:
            self._files.remove(self._path(segment))
            self._files.sync_directory(self._directory)
            notes.append(f"{segment_name(segment)} is not used: removed")
        if NEXT_NAME in self._files.names(self._directory):
            self._files.remove(join(self._directory, NEXT_NAME))
        self._shelf.remove_unfinished()
        self._files.sync_directory(self._directory)
        stands_in = "what is older and the log stand in for it"
        if self._recovered.lacks_snapshot:
            stands_in = "no other is sound: this node asks the leader for one"
        for error in damaged_snapshots:
            notes.append(f"{error}; {stands_in}")
            notes.append(f"kept as {self._shelf.set_aside(error.path)}")

    def _incomplete_log(self, needed: Index) -> StorageError:
        first = self._log.outline.segments[0].segment
        lacking = f"a snapshot of entry {needed} or later"
        if first > 1:
            lacking = f"{segment_name(first - 1)}, or {lacking}"
        return _incomplete(self._directory, lacking)

    def _path(self, segment: int) -> str:
        return join(self._directory, segment_name(segment))


def _no_other_snapshot(error: CorruptRecord, needed: Index) -> CorruptRecord:
    return CorruptRecord(
        f"{error}. No other snapshot reaches entry {needed}, behind which the log begins, and "
        f"this cluster has no other node that could send one. Put a sound copy of the file back; "
        f"or begin again from a saved snapshot, with `bin/cluster snapshot restore FILE`, or "
        f"empty, with `bin/cluster up --wipe`",
        path=error.path,
        offset=error.offset,
    )


def _incomplete(directory: str, name: str) -> StorageError:
    return WrongDirectory(
        f"{directory} has an identity but lacks {name}: a part of the log is gone. This node must "
        f"not vote with what is left; the others go on without it. Put the file back, or let "
        f"the node begin anew with what the others know: `bin/cluster replace NODE`"
    )
