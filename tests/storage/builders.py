"""What the storage tests are made of: one cluster, one node, small segments."""

from orchestrator.simulation.disk import SimulatedDisk
from raftcache.raft.configuration import Member, bootstrap_configuration
from raftcache.raft.types import Entry, EntryKind, HardState
from raftcache.storage.directory import bootstrap, open_directory
from raftcache.storage.files import OS_FILES, Files
from raftcache.storage.frame import SECTOR_BYTES
from raftcache.storage.identity import Durability, Identity
from raftcache.storage.recovery import Recovered
from raftcache.storage.scan import scan_segment
from raftcache.storage.segment import decode_segment_header, segment_name
from raftcache.storage.wal import Batch, Wal

CLUSTER_ID = "0123456789abcdef0123456789abcdef"
BOOT_ID = "boot-1"
SEGMENT_BYTES = 8192


def member(node_id: str) -> Member:
    number = node_id[1:]
    return Member(
        server_id=f"{node_id}#1",
        node_id=node_id,
        incarnation=1,
        peer_endpoint=f"tcp://127.0.0.1:750{number}",
        client_endpoint=f"tcp://127.0.0.1:740{number}",
    )


def identity(node_id: str = "n1", cluster_id: str = CLUSTER_ID, incarnation: int = 1) -> Identity:
    return Identity(
        cluster_id=cluster_id,
        node_id=node_id,
        incarnation=incarnation,
        configuration=bootstrap_configuration((member("n1"), member("n2"), member("n3"))),
    )


def make(directory: str, files: Files = OS_FILES, *, segment_bytes: int = SEGMENT_BYTES) -> None:
    bootstrap(directory, identity(), segment_bytes=segment_bytes, files=files)


def reopen(
    directory: str,
    files: Files = OS_FILES,
    *,
    cluster_id: str = CLUSTER_ID,
    node_id: str = "n1",
    incarnation: int = 1,
    durability: Durability = "fsync",
    segment_bytes: int = SEGMENT_BYTES,
    boot_id: str = BOOT_ID,
    may_lack_snapshot: bool = False,
) -> tuple[Wal, Recovered]:
    return open_directory(
        directory,
        cluster_id=cluster_id,
        node_id=node_id,
        incarnation=incarnation,
        durability=durability,
        segment_bytes=segment_bytes,
        files=files,
        boot_id=boot_id,
        may_lack_snapshot=may_lack_snapshot,
    )


def entry(index: int, term: int = 1, data: bytes | None = None) -> Entry:
    return Entry(index, term, EntryKind.COMMANDS, b"entry %d" % index if data is None else data)


def batch(
    *entries: Entry,
    term: int | None = None,
    vote: str | None = None,
    base: tuple[int, int] | None = None,
) -> Batch:
    return Batch(None if term is None else HardState(term, vote), list(entries), base)


def append(wal: Wal, *batches: Batch) -> None:
    wal.write(list(batches))
    wal.sync()


DIRECTORY = "/nodes/n1"


def written_disk(batches: list[Batch], *, segment_bytes: int = SEGMENT_BYTES) -> SimulatedDisk:
    """Return a disk with a log of one frame per batch, closed without ceremony."""
    disk = SimulatedDisk()
    make(DIRECTORY, disk, segment_bytes=segment_bytes)
    wal, _ = reopen(DIRECTORY, disk, segment_bytes=segment_bytes)
    for one in batches:
        append(wal, one)
    wal.close(clean=False)
    return disk


def segment_path(segment: int = 1) -> str:
    return f"{DIRECTORY}/{segment_name(segment)}"


def copy_of(disk: SimulatedDisk, **changed: bytes) -> SimulatedDisk:
    """Return a disk with the same files, some of them with other content."""
    copied = SimulatedDisk()
    for name in disk.names(DIRECTORY):
        copied.put(f"{DIRECTORY}/{name}", disk.content(f"{DIRECTORY}/{name}"))
    for name, data in changed.items():
        copied.put(f"{DIRECTORY}/{name}", data)
    return copied


def with_segment(disk: SimulatedDisk, data: bytes, segment: int = 1) -> SimulatedDisk:
    """Return a disk with the same files, but other content in one segment."""
    return copy_of(disk, **{segment_name(segment): data})


def recovered_from(disk: SimulatedDisk) -> Recovered:
    """Open, close, and return what was found."""
    wal, recovered = reopen(DIRECTORY, disk)
    wal.close(clean=False)
    return recovered


def frame_offsets(data: bytes) -> list[int]:
    """Return where the frames of a segment begin, and where the last one ends."""
    scan = scan_segment("", data, decode_segment_header(data[:SECTOR_BYTES], ""))
    return [offset for offset, _ in scan.frames] + [scan.position]
