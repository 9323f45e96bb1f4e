"""Reading a node's log back after any kind of end (docs/storage.md, "Opening").

Rules: nothing that could be damage is repaired or cut off, since a shortened log can undo what was
acknowledged (failure E2). What recovery has read, it makes durable before anyone acts on it: a
process that died may have left it in the kernel's cache alone.
"""

from dataclasses import dataclass, field

import msgspec

from ..errors import StorageError, WrongDirectory
from ..raft.types import Entry, HardState
from .files import Files, join
from .frame import SECTOR_BYTES
from .identity import Identity
from .scan import SegmentScan, refuse_unsealed, scan_segment, torn_bytes
from .segment import (
    NEXT_NAME,
    SegmentHeader,
    damaged,
    decode_segment_header,
    segment_name,
    segment_number,
)
from .wal import Batch, WalPosition, decode_batches

_ZEROS = bytes(256 * 1024)


@dataclass(slots=True)
class Recovered:
    """What a directory held when it was opened."""

    identity: Identity
    hard_state: HardState = field(default_factory=HardState)
    entries: list[Entry] = field(default_factory=list)
    """The whole log, contiguous from index 1."""
    torn_bytes: int = 0
    """Length of a last write that was never finished, and has been cleared."""
    notes: list[str] = field(default_factory=list)
    """A sentence for each thing that was out of the ordinary and is settled."""


def list_segments(files: Files, directory: str) -> list[int]:
    """Return the numbers of a directory's segments, rising.

    Raises:
        WrongDirectory: there is none, or one is missing.
    """
    numbers = sorted(n for name in files.names(directory) if (n := segment_number(name)))
    missing = next((i for i, n in enumerate(numbers, start=1) if n != i), None)
    if not numbers or missing is not None:
        raise _incomplete(directory, segment_name(missing or 1))
    return numbers


def recover(files: Files, directory: str, identity: Identity) -> tuple[WalPosition, Recovered]:
    """Read the whole log and leave it ready for appending.

    Assumes that the directory is locked.

    Raises:
        CorruptRecord: a file is damaged; nothing was changed.
        WrongDirectory: files are missing, or another node's.
        OSError: the file system refused.
    """
    return _Recovery(files, directory, identity).run()


class _Recovery:
    """One run of :func:`recover`."""

    def __init__(self, files: Files, directory: str, identity: Identity) -> None:
        self._files = files
        self._directory = directory
        self._recovered = Recovered(identity)
        self._number = 1
        self._chain = 0
        self._closed_bytes = 0

    def run(self) -> tuple[WalPosition, Recovered]:
        numbers = list_segments(self._files, self._directory)
        for segment in numbers[:-1]:
            if self._read_complete(segment, last=numbers[-1]):
                return self._open_last(segment), self._recovered
        return self._open_last(numbers[-1]), self._recovered

    def _read_complete(self, segment: int, *, last: int) -> bool:
        """Read a segment that others follow; True if it turns out to be the last after all."""
        handle, header, data = self._load(segment)
        try:
            self._check_continues(header, self._number, self._chain)
            scan = scan_segment(self._path(segment), data, header)
            if not scan.sealed:
                self._undo_roll(scan, segment, last)
                return True
            torn_bytes(scan)  # refuses whatever follows the seal
            self._replay(scan)
            # If the last segment holds no frame yet, then the roll to it was perhaps not finished.
            if segment == last - 1:
                self._write_again(handle, scan)
        finally:
            self._files.close(handle)
        self._closed_bytes += scan.position
        return False

    def _undo_roll(self, scan: SegmentScan, segment: int, last: int) -> None:
        """Remove a last segment that got its name, but whose predecessor was not sealed yet."""
        if segment != last - 1:
            raise refuse_unsealed(scan)
        handle, header, data = self._load(last)
        self._files.close(handle)
        self._check_continues(header, scan.number, scan.chain)
        if data[SECTOR_BYTES:] != bytes(len(data) - SECTOR_BYTES):
            raise refuse_unsealed(scan)
        torn_bytes(scan)  # damage must be refused before anything is changed
        self._files.remove(self._path(last))
        self._files.sync_directory(self._directory)
        self._recovered.notes.append(f"{segment_name(last)} was begun and not used: removed")

    def _open_last(self, segment: int) -> WalPosition:
        handle, header, data = self._load(segment)
        try:
            self._check_continues(header, self._number, self._chain)
            scan = scan_segment(self._path(segment), data, header)
            torn = torn_bytes(scan)
            self._check_last(scan, segment)
            self._replay(scan)
            self._clear(handle, scan, torn)
            self._write_again(handle, scan)
            self._forget_unfinished()
        except BaseException:
            self._files.close(handle)
            raise
        entries = self._recovered.entries
        return WalPosition(
            header=header,
            handle=handle,
            position=scan.position,
            number=scan.number,
            chain=scan.chain,
            hard_state=self._recovered.hard_state,
            last_index=len(entries),
            closed_bytes=self._closed_bytes,
        )

    def _check_last(self, scan: SegmentScan, segment: int) -> None:
        if scan.sealed:
            raise _incomplete(self._directory, segment_name(segment + 1))
        if scan.number == 1:
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
            for batch in batches:
                why = self._apply(batch)
                if why:
                    raise damaged(scan.path, offset, why)
        self._number, self._chain = scan.number, scan.chain

    def _apply(self, batch: Batch) -> str:
        """Take in a batch; returns what is wrong with it, or nothing."""
        recovered = self._recovered
        if batch.hard_state is not None:
            if batch.hard_state.current_term < recovered.hard_state.current_term:
                return "the term falls"
            recovered.hard_state = batch.hard_state
        if batch.entries:
            first = batch.entries[0].index
            if not 1 <= first <= len(recovered.entries) + 1:
                return f"entry {first} follows entry {len(recovered.entries)}"
            if any(entry.index != first + i for i, entry in enumerate(batch.entries)):
                return "entries are not contiguous"
            # The last word counts: a leader replaced these (Figure 2, receiver rule 3).
            del recovered.entries[first - 1 :]
            recovered.entries += batch.entries
        return ""

    def _clear(self, handle: int, scan: SegmentScan, torn: int) -> None:
        """Make an unfinished write undone, so that nothing of it can ever pass for a frame."""
        if torn == 0:
            return
        end = scan.position + torn
        for start in range(scan.position, end, len(_ZEROS)):
            self._files.write(handle, _ZEROS[: end - start], start)
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

    def _forget_unfinished(self) -> None:
        if NEXT_NAME in self._files.names(self._directory):
            self._files.remove(join(self._directory, NEXT_NAME))
        self._files.sync_directory(self._directory)

    def _path(self, segment: int) -> str:
        return join(self._directory, segment_name(segment))


def _incomplete(directory: str, name: str) -> StorageError:
    return WrongDirectory(
        f"{directory} has an identity but lacks {name}: a part of the log is gone. This node must "
        f"not vote with what is left; the others go on without it. Put the file back, or begin "
        f"an empty cluster with `bin/cluster up --wipe`; replacing one node comes with membership "
        f"changes"
    )
