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
from .lost import no_identity, refuse_lost_state
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

    Under durability ``memory`` that is all: an identity that may be used once.

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
        lock = lock_directory(files, directory)
        try:
            found = read_identity(files, directory)
            if found is None:
                _refuse_used_log(files, directory, seed)
                if identity.durability == "memory":
                    _refuse_seed_in_memory(seed)
                    write_identity(
                        files, directory, msgspec.structs.replace(identity, state="none")
                    )
                    return
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
        raise unusable(directory, error) from error


def begin_anew(directory: str, identity: Identity, *, files: Files = OS_FILES) -> None:
    """Give a directory to a new incarnation of its node, which has just joined.

    What a former incarnation left there goes when the directory is opened; until the identity is
    written, all of it is untouched.

    Raises:
        WrongDirectory, DirectoryLocked, StorageError, DiskFailed: as for :func:`bootstrap`.
    """
    assert identity.state == "none", "it has not begun yet"
    check_identity(identity)
    try:
        files.make_directory(directory)
        lock = lock_directory(files, directory)
        try:
            found = read_identity(files, directory)
            wanted = (identity.cluster_id, identity.node_id)
            if found is not None and (found.cluster_id, found.node_id) != wanted:
                raise _belongs_to_another(directory, found, *wanted)
            write_identity(files, directory, identity)
        finally:
            files.close(lock)
    except OSError as error:
        raise unusable(directory, error) from error


def open_directory(  # noqa: PLR0913 - each is one fact about the node that asks
    directory: str,
    *,
    cluster_id: str,
    node_id: str,
    incarnation: int | None,
    durability: Durability,
    segment_bytes: int = SEGMENT_BYTES,
    files: Files = OS_FILES,
    boot_id: str,
    may_lack_snapshot: bool = False,
) -> tuple[Wal, Recovered]:
    """Open a node's directory: lock it, check it, and read snapshot and log.

    ``incarnation`` is the one that must be found there; None: the directory's word counts.
    ``boot_id`` is the kernel's (:func:`raftcache.storage.files.kernel_boot_id`). With
    ``may_lack_snapshot``, a directory whose snapshots are all damaged is opened too; its node must
    heed :attr:`Recovered.lacks_snapshot`.

    Raises:
        StateLost: it was never made, or may lack what its node has promised.
        WrongDirectory: it is another's, or incomplete.
        DirectoryLocked: another process has it open; names it.
        CorruptRecord: a file is damaged.
        StorageError: the durability is not available.
        DiskFailed: the file system refused.
    """
    assert durability != "memory", "memory has no directory to be opened"
    try:
        # Looked at before the lock file is touched: nothing is written to another's directory.
        check_owner(files, directory, cluster_id, node_id, incarnation)
        lock = lock_directory(files, directory)
        try:
            identity = check_owner(files, directory, cluster_id, node_id, incarnation)
            refuse_lost_state(directory, identity, boot_id)
            if identity.state == "none":
                identity = _begin(files, directory, identity, _rounded(segment_bytes))
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
        raise unusable(directory, error) from error

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


def _release(files: Files, directory: str, opened: Identity, lock: int) -> Callable[[bool], None]:
    """Return what ends the use of the directory: how it was left is noted, the lock given up."""

    def release(clean: bool) -> None:  # noqa: FBT001 - Wal.close hands it through
        try:
            if clean and opened.durability == "os":
                write_identity(files, directory, msgspec.structs.replace(opened, clean=True))
        except OSError as error:
            raise unusable(directory, error) from error
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


def _begin(files: Files, directory: str, identity: Identity, size: int) -> Identity:
    """Begin the log of an incarnation that has none yet; interrupted, it is begun again."""
    for name in files.names(directory):
        if name not in (IDENTITY_NAME, LOCK_NAME):
            files.remove(join(directory, name))
    _make_first_segment(files, directory, identity, Batch(HardState(), []), size)
    files.sync_directory(directory)
    begun = msgspec.structs.replace(identity, state="kept")
    write_identity(files, directory, begun)
    return begun


def check_owner(
    files: Files, directory: str, cluster_id: str, node_id: str, incarnation: int | None
) -> Identity:
    """Return the identity, if it is that of the node that asks.

    Raises:
        StateLost: there is none.
        WrongDirectory: it is another's.
    """
    try:
        identity = read_identity(files, directory)
    except NotADirectoryError as error:
        raise WrongDirectory(f"{directory} is not a directory") from error
    if identity is None:
        raise no_identity(files, directory)
    if (identity.cluster_id, identity.node_id) != (cluster_id, node_id):
        raise _belongs_to_another(directory, identity, cluster_id, node_id)
    if incarnation not in (None, identity.incarnation):
        raise WrongDirectory(
            f"{directory} is of {node_id}#{identity.incarnation}, and {node_id}#{incarnation} was "
            f"asked to open it: an incarnation never takes over the state of another"
        )
    return identity


def _refuse_seed_in_memory(seed: SnapshotReader | None) -> None:
    if seed is not None:
        raise StorageError(
            "durability `memory` keeps nothing on disk, and so can't begin with a snapshot: use "
            "`fsync` or `os`, or begin empty and write the data"
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


def lock_directory(files: Files, directory: str) -> int:
    """Lock a directory for this process; the lock ends with the handle.

    Raises:
        DirectoryLocked: another process has it.
    """
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
    return msgspec.structs.replace(
        identity, durability="fsync", boot_id="", clean=True, state="kept"
    )


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


def unusable(directory: str, error: OSError) -> StorageError:
    """Return the error for a directory that the file system would not let us use."""
    reason = error.strerror or str(error)
    message = f"{error.filename or directory}: {reason}"
    if error.errno in _DISK_ERRORS:
        return DiskFailed(f"{message}. Look at the disk (space, kernel log), then start again")
    return StorageError(
        f"{message}. A node's directory holds plain files that belong to the user who runs the "
        f"node, on a file system that can be written to: put that right, then start again"
    )
