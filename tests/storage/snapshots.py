"""What the snapshot tests are made of: metas, slices, files."""

from orchestrator.simulation.disk import SimulatedDisk
from raftcache.raft.configuration import bootstrap_configuration
from raftcache.storage.files import Files
from raftcache.storage.snapshot_receiver import SnapshotReceiver
from raftcache.storage.snapshot_shelf import SnapshotShelf
from raftcache.storage.snapshots import (
    SnapshotMeta,
    SnapshotReader,
    SnapshotWriter,
    StoredSnapshot,
    snapshot_name,
)

from .builders import CLUSTER_ID, DIRECTORY, member

CONFIGURATION = bootstrap_configuration((member("n1"), member("n2"), member("n3")))
SLICES = [b"one", b"\0" * 700, b"three" * 400]


def meta(index: int, term: int = 1) -> SnapshotMeta:
    return SnapshotMeta(index, term, CONFIGURATION, store_rev=index * 10)


def take(
    files: Files,
    index: int,
    term: int = 1,
    *,
    slices: list[bytes] | None = None,
    directory: str = DIRECTORY,
) -> StoredSnapshot:
    """Write a snapshot from beginning to end."""
    writer = SnapshotWriter(files, directory, CLUSTER_ID, meta(index, term))
    for payload in SLICES if slices is None else slices:
        writer.add(payload)
    return writer.finish()


def slices_of(files: Files, path: str) -> list[bytes]:
    """Read a snapshot from beginning to end."""
    reader = SnapshotReader(files, path, CLUSTER_ID)
    try:
        return list(reader.slices())
    finally:
        reader.close()


def path_of(index: int, term: int = 1) -> str:
    return f"{DIRECTORY}/{snapshot_name(index, term)}"


def shelf_of(files: Files, directory: str = DIRECTORY) -> SnapshotShelf:
    return SnapshotShelf(files, directory, CLUSTER_ID)


def empty_disk() -> SimulatedDisk:
    disk = SimulatedDisk()
    disk.make_directory(DIRECTORY)
    return disk


def receiver_of(files: Files, stored: StoredSnapshot, **changed: int) -> SnapshotReceiver:
    """Return a receiver for a snapshot as its owner announces it, or with other numbers."""
    announced = {
        "last_included_index": stored.meta.last_included_index,
        "last_included_term": stored.meta.last_included_term,
        "size_bytes": stored.size_bytes,
        "check": stored.check,
        **changed,
    }
    return SnapshotReceiver(files, DIRECTORY, CLUSTER_ID, **announced)
