"""What a node process is told at its start: one JSON file, written by the orchestrator."""

from pathlib import Path

import msgspec

from ..errors import RaftCacheError
from ..protocol.limits import Eviction
from ..raft.options import Options
from ..storage.identity import Durability

SETTINGS_FORMAT = 1


class SettingsError(RaftCacheError):
    """The settings can't be used; the message names the file and the field."""


class RaftSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Raft's timings, in milliseconds; see :class:`raftcache.raft.options.Options` for limits.

    ``detect_disconnects``: a leader whose process is gone is not waited for.
    """

    heartbeat_ms: int = 50
    election_timeout_min_ms: int = 150
    election_timeout_max_ms: int = 300
    detect_disconnects: bool = True


class StorageSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the disk promises (``fsync`` or ``os``), the size of a WAL segment, and snapshots.

    A snapshot is taken after about ``snapshot_wal_bytes`` of log; ``snapshots_kept`` stay on disk.
    """

    durability: Durability = "fsync"
    segment_bytes: int = 16 * 1024 * 1024
    snapshot_wal_bytes: int = 64 * 1024 * 1024
    snapshots_kept: int = 2


class LimitSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How large values and requests may be, and how many clients may connect."""

    value_bytes: int = 1024 * 1024
    request_bytes: int = 4 * 1024 * 1024
    clients: int = 10_000


class CacheSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much is kept in memory, and what goes when that is full."""

    max_bytes: int = 512 * 1024 * 1024
    eviction: Eviction = "volatile-lru"


class ChaosSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether faults may be injected."""

    enabled: bool = False


class JoinSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whom a node without state asks for a place: the peers' endpoints, as far as known."""

    peers: list[str]


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One node's settings. Endpoints are ZeroMQ endpoints, ``directory`` a path.

    With ``join``, the directory says which incarnation the node is, and a node without state asks
    to join; without it, the directory must be that of ``incarnation``.
    """

    format: int
    cluster: str
    cluster_id: str
    node_id: str
    incarnation: int = 0
    run_id: str = ""
    directory: str
    client_endpoint: str
    peer_endpoint: str
    events_endpoint: str
    admin_endpoint: str
    raft: RaftSettings = RaftSettings()
    storage: StorageSettings = StorageSettings()
    limits: LimitSettings = LimitSettings()
    cache: CacheSettings = CacheSettings()
    chaos: ChaosSettings = ChaosSettings()
    join: JoinSettings | None = None


def read_settings(path: str) -> Settings:
    """Read a node's settings.

    Raises:
        SettingsError: the file is missing, unreadable or wrong; whoever wrote it is at fault.
    """
    try:
        settings = msgspec.json.decode(Path(path).read_bytes(), type=Settings)
    except OSError as error:
        raise SettingsError(f"{path}: can't be read: {error.strerror}") from None
    except msgspec.DecodeError as error:
        raise SettingsError(f"{path}: {error}") from None
    if settings.format != SETTINGS_FORMAT:
        raise SettingsError(
            f"{path}: format {settings.format} is not {SETTINGS_FORMAT}, which this version reads"
        )
    return settings


def tick_ms_of(settings: RaftSettings) -> int:
    """Return the length of a tick: a fifth of a heartbeat, 1 ms at least."""
    return max(1, settings.heartbeat_ms // 5)


def options_of(settings: RaftSettings) -> Options:
    """Return the core's options, in ticks."""
    tick_ms = tick_ms_of(settings)
    return Options(
        heartbeat_ticks=max(1, settings.heartbeat_ms // tick_ms),
        election_ticks_min=settings.election_timeout_min_ms // tick_ms,
        election_ticks_max=settings.election_timeout_max_ms // tick_ms,
    )
