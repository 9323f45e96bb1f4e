"""A node's directory: made once, by the first start of a cluster, and opened at every start.

Rules: only :func:`bootstrap` makes anything out of nothing, and :func:`open_directory` changes
nothing before it knows that the directory is this node's, complete, and locked. A node whose state
is missing, incomplete or another's never votes (failures A2, C10, C11).
"""

import errno
import os
from collections.abc import Callable
from typing import Final

import msgspec

from ..errors import DirectoryLocked, DiskFailed, StorageError, WrongDirectory
from ..raft.types import HardState
from .export import sow
from .files import OS_FILES, Files, join, read_file
from .frame import SECTOR_BYTES, FrameKind, encode_frame
from .identity import (
    IDENTITY_NAME,
    Durability,
    Identity,
    check_identity,
    read_identity,
    write_identity,
)
from .recovery import Recovered, recover
from .segment import (
    SEGMENT_BYTES_MIN,
    NextSegment,
    SegmentHeader,
    encode_segment_header,
    segment_check,
    segment_name,
    segment_number,
)
from .snapshots import SnapshotReader, StoredSnapshot, snapshot_name, snapshot_position
from .wal import Batch, Wal, encode_batches

LOCK_NAME: Final = "lock"

_DISK_ERRORS: Final = (errno.EIO, errno.ENOSPC, errno.EDQUOT)

SEGMENT_BYTES: Final = 16 * 1024 * 1024


def bootstrap(
    directory: str,
    identity: Identity,
    *,
    segment_bytes: int = SEGMENT_BYTES,
    files: Files = OS_FILES,
    seed: SnapshotReader | None = None,
) -> None:
    """Make a node's directory, for the first start of its cluster; the identity comes last.

    Interrupted at any point and called again with the same arguments, it completes the work. A
    directory that has this identity already is left as it is.

    With a ``seed`` the cluster begins with what that snapshot holds, at its revision; all nodes
    must get the same one.

    Raises:
        WrongDirectory: it is another's, or holds a log without an identity.
        DirectoryLocked: a node has it open.
        StorageError: the identity can't be stored.
        CorruptRecord: the seed is damaged.
        DiskFailed, SnapshotFailed: the file system refused.
    """
    check_identity(identity)
    try:
        files.make_directory(directory)
        lock = _lock(files, directory)
        try:
            found = read_identity(files, directory)
            if found is None:
                _refuse_used_log(files, directory, seed)
                begin = Batch(HardState(), [])
                if seed is not None:
                    begin = _begin_behind(sow(seed, directory, identity, files))
                _make_first_segment(files, directory, identity, begin, _rounded(segment_bytes))
                write_identity(files, directory, identity)
            elif _bare(found) != _bare(identity):
                raise _belongs_to_another(directory, found, identity.cluster_id, identity.node_id)
        finally:
            files.close(lock)
    except OSError as error:
        raise _unusable(directory, error) from error


def open_directory(  # noqa: PLR0913 - each is one fact about the node that asks
    directory: str,
    *,
    cluster_id: str,
    node_id: str,
    incarnation: int,
    durability: Durability,
    segment_bytes: int = SEGMENT_BYTES,
    files: Files = OS_FILES,
    boot_id: str,
    may_lack_snapshot: bool = False,
) -> tuple[Wal, Recovered]:
    """Open a node's directory: lock it, check it, and read snapshot and log.

    ``boot_id`` is the kernel's (:func:`raftcache.storage.files.kernel_boot_id`). With
    ``may_lack_snapshot``, a directory whose snapshots are all damaged is opened too; its node must
    heed :attr:`Recovered.lacks_snapshot`.

    Raises:
        WrongDirectory: it is another's, was never made, is incomplete, or may be.
        DirectoryLocked: another process has it open; names it.
        CorruptRecord: a file is damaged.
        StorageError: the durability is not available.
        DiskFailed: the file system refused.
    """
    _refuse_memory(durability)
    try:
        # Looked at before the lock file is touched: nothing is written to another's directory.
        _check_owner(files, directory, cluster_id, node_id, incarnation)
        lock = _lock(files, directory)
        try:
            identity = _check_owner(files, directory, cluster_id, node_id, incarnation)
            _refuse_lost_writes(directory, identity, boot_id)
            at, recovered, restart = recover(
                files, directory, identity, may_lack_snapshot=may_lack_snapshot
            )
            opened = msgspec.structs.replace(
                identity,
                durability=durability,
                boot_id=boot_id if durability == "os" else identity.boot_id,
                clean=durability == "fsync",
            )
            if opened != identity:
                write_identity(files, directory, opened)
        except BaseException:
            files.close(lock)
            raise
    except OSError as error:
        raise _unusable(directory, error) from error

    try:
        wal = Wal(
            files,
            directory,
            at,
            segment_bytes=_rounded(segment_bytes),
            synced=durability == "fsync",
            release=_release(files, directory, opened, lock),
        )
    except DiskFailed:
        files.close(at.handle)
        files.close(lock)
        raise
    if restart is not None:
        _write_first(wal, restart)
    return wal, recovered


def _refuse_memory(durability: Durability) -> None:
    if durability == "memory":
        raise StorageError(
            "durability `memory` is not available yet: a node that forgets its vote at each start "
            "may only return as a learner, and learners come with membership changes. "
            "Use `fsync`, or `os`"
        )


def _release(files: Files, directory: str, opened: Identity, lock: int) -> Callable[[bool], None]:
    """Return what ends the use of the directory: how it was left is noted, the lock given up."""

    def release(clean: bool) -> None:  # noqa: FBT001 - Wal.close hands it through
        try:
            if clean and opened.durability == "os":
                write_identity(files, directory, msgspec.structs.replace(opened, clean=True))
        except OSError as error:
            raise _unusable(directory, error) from error
        finally:
            files.close(lock)

    return release


def _write_first(wal: Wal, batch: Batch) -> None:
    """Make durable where the log restarts, before an entry can follow there (failure D4)."""
    try:
        wal.write([batch])
        wal.sync()
    except DiskFailed:
        wal.close(clean=False)
        raise


def _check_owner(
    files: Files, directory: str, cluster_id: str, node_id: str, incarnation: int
) -> Identity:
    """Return the identity, if it is that of the node that asks."""
    try:
        identity = read_identity(files, directory)
    except NotADirectoryError as error:
        raise WrongDirectory(f"{directory} is not a directory") from error
    if identity is None:
        raise WrongDirectory(
            f"{directory} holds no state of a node: {IDENTITY_NAME} is missing. Only the first "
            f"`bin/cluster up` makes it; a node that lost its state must not vote as its former "
            f"self. Put the directory back, or begin an empty cluster with `bin/cluster up --wipe`"
        )
    if (identity.cluster_id, identity.node_id) != (cluster_id, node_id):
        raise _belongs_to_another(directory, identity, cluster_id, node_id)
    if identity.incarnation != incarnation:
        raise WrongDirectory(
            f"{directory} is of {node_id}#{identity.incarnation}, and {node_id}#{incarnation} was "
            f"asked to open it: an incarnation never takes over the state of another"
        )
    return identity


def _refuse_lost_writes(directory: str, identity: Identity, boot_id: str) -> None:
    """Refuse a log that the kernel may not have written before the host went down."""
    if identity.durability == "os" and not identity.clean and identity.boot_id != boot_id:
        raise WrongDirectory(
            f"{directory} was in use under durability `os` when this host went down: its last "
            f"writes, votes among them, may be lost, and this node must not vote without them. "
            f"Begin an empty cluster with `bin/cluster up --wipe`; replacing one node comes with "
            f"membership changes. Durability `fsync` does not have this weakness"
        )


def _refuse_used_log(files: Files, directory: str, seed: SnapshotReader | None) -> None:
    """Refuse to bootstrap over anything but the beginnings of an earlier bootstrap."""
    names = files.names(directory)
    used = {name for name in names if segment_number(name) or snapshot_position(name)}
    if seed is not None:
        used.discard(snapshot_name(seed.meta.last_included_index, seed.meta.last_included_term))
    first = segment_name(1)
    # A first segment with its one frame from bootstrap, and zeros behind it.
    if used - {first} or (used and _has_more_frames(files, join(directory, first))):
        raise WrongDirectory(
            f"{directory} holds a log but no identity: it was in use once, and {IDENTITY_NAME} is "
            f"gone. Put that file back, or remove the directory if its data may go"
        )


def _has_more_frames(files: Files, path: str) -> bool:
    data = read_file(files, path, bytes_max=2**31)
    return bool(data[2 * SECTOR_BYTES :].rstrip(b"\0"))


def _begin_behind(stored: StoredSnapshot) -> Batch:
    """Return a log's first batch that makes it nothing without this snapshot."""
    position = (stored.meta.last_included_index, stored.meta.last_included_term)
    return Batch(HardState(stored.meta.last_included_term), [], position)


def _make_first_segment(
    files: Files, directory: str, identity: Identity, begin: Batch, size: int
) -> None:
    """Make segment 1 with one frame, so that a log without any frame is known to be damaged."""
    header = SegmentHeader(
        cluster_id=identity.cluster_id,
        node_id=identity.node_id,
        incarnation=identity.incarnation,
        segment=1,
        first_frame=1,
        chain=0,
        size=size,
    )
    sector = encode_segment_header(header)
    frame, _ = encode_frame(
        encode_batches([begin]),
        kind=FrameKind.BATCHES,
        number=1,
        chain=0,
        segment_check=segment_check(sector),
    )
    segment = NextSegment(files, directory, size)
    handle = segment.publish(header, frame)
    files.close(handle)


def _lock(files: Files, directory: str) -> int:
    path = join(directory, LOCK_NAME)
    try:
        return files.lock(path, str(os.getpid()))
    except BlockingIOError as error:
        owner = read_file(files, path, bytes_max=32).decode(errors="replace").strip()
        raise DirectoryLocked(
            f"{directory} is open in process {owner or 'unknown'}: a directory serves one node "
            f"process. Stop that one first"
        ) from error


def _bare(identity: Identity) -> Identity:
    """Return the part of an identity that never changes."""
    return msgspec.structs.replace(identity, durability="fsync", boot_id="", clean=True)


def _belongs_to_another(
    directory: str, found: Identity, cluster_id: str, node_id: str
) -> WrongDirectory:
    return WrongDirectory(
        f"{directory} is of node {found.node_id}#{found.incarnation} of cluster "
        f"{found.cluster_id}, and can't serve node {node_id} of cluster {cluster_id}: check the "
        f"directory in the settings, or put the directories back where they belong"
    )


def _rounded(segment_bytes: int) -> int:
    """Return a size that consists of whole sectors."""
    return max(SEGMENT_BYTES_MIN, -(-segment_bytes // SECTOR_BYTES) * SECTOR_BYTES)


def _unusable(directory: str, error: OSError) -> StorageError:
    """Return the error for a directory that the file system would not let us use."""
    reason = error.strerror or str(error)
    message = f"{error.filename or directory}: {reason}"
    if error.errno in _DISK_ERRORS:
        return DiskFailed(f"{message}. Look at the disk (space, kernel log), then start again")
    return StorageError(
        f"{message}. A node's directory holds plain files that belong to the user who runs the "
        f"node, on a file system that can be written to: put that right, then start again"
    )
