"""What a gateway process is told at its start: one JSON file, written by the orchestrator."""

from pathlib import Path
from typing import Literal

import msgspec

from ..errors import RaftCacheError

SETTINGS_FORMAT = 1
VALUE_BYTES_DEFAULT = 1024 * 1024


class SettingsError(RaftCacheError):
    """The settings can't be used; the message names the file and the field."""


class NodeAddress(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A node's name and where it takes clients."""

    id: str
    client: str


class NodeRoutes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Whether nodes can be added and removed here, by whom, and how."""

    access: Literal["token", "open", "off"] = "off"
    """``token``: who has the token. ``open``: whoever can reach the gateway."""
    token_file: str = ""
    command: list[str] = []
    """What ``add`` and ``remove`` are appended to."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One gateway's settings."""

    format: int
    cluster: str
    host: str
    """The address to listen at; a loopback address."""
    port: int
    """0: any free port, which is told in the log."""
    nodes: list[NodeAddress]
    value_bytes: int = VALUE_BYTES_DEFAULT
    """The largest value; a longer body is refused before it is read."""
    timeout_ms: int = 5_000
    """How long a request may take. Longer than a failover, so that nobody notices one."""
    ready_timeout_ms: int = 1_000
    """How long /readyz and /api/v1/cluster wait for a node."""
    header_timeout_ms: int = 10_000
    """How long the head of a request may take to arrive."""
    body_timeout_ms: int = 30_000
    """How long its body may take."""
    keepalive_ms: int = 75_000
    """How long a connection may rest between requests."""
    stop_ms: int = 2_000
    """How long requests that are under way may take when the gateway is told to stop."""
    connections: int = 2_000
    """Connections at a time; one more is told to come again."""
    node_routes: NodeRoutes = NodeRoutes()


def read_settings(path: str) -> Settings:
    """Read a gateway's settings.

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
    if not settings.nodes:
        raise SettingsError(f"{path}: `nodes` is empty: a gateway needs a cluster behind it")
    return settings
