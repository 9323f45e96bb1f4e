"""Where each node's directory is on its host's disk, and how its process opens it."""

from raftcache.storage.directory import open_directory
from raftcache.storage.files import Files
from raftcache.storage.identity import Identity
from raftcache.storage.recovery import Recovered
from raftcache.storage.wal import Wal

from .profile import Profile


def directory_of(identity: Identity) -> str:
    """Return where a node's directory is on its host's disk."""
    return f"/nodes/{identity.node_id}"


def open_log(identity: Identity, files: Files, profile: Profile) -> tuple[Wal, Recovered]:
    """Open a node's directory, as its process does first of all.

    Raises:
        StorageError: it can't be used.
    """
    return open_directory(
        directory_of(identity),
        cluster_id=identity.cluster_id,
        node_id=identity.node_id,
        incarnation=identity.incarnation,
        durability="fsync",
        segment_bytes=profile.segment_bytes,
        files=files,
        boot_id="simulated",
        may_lack_snapshot=True,
    )
