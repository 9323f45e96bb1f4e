"""The identity file: whose directory this is, in JSON that people can read.

Rules: it is replaced in one step (write, fsync, rename, fsync of the directory), never changed in
place; it is written last when a directory is made, so that its presence says the rest is there.
"""

import re
from typing import Final, Literal, TypeAlias
from zlib import crc32

import msgspec

from ..errors import StorageError, WrongDirectory
from ..raft.configuration import Configuration
from ..raft.types import Index
from .files import Files, join, read_file
from .segment import NODE_ID_BYTES_MAX, damaged

IDENTITY_NAME: Final = "identity"
FORMAT: Final = 2
FORMATS: Final = (1, 2)
"""What is read: format 1 lacked the fields of nodes that join, which have their defaults then."""

_TEMPORARY_NAME: Final = "identity.tmp"
_BYTES_MAX: Final = 1024 * 1024

Durability: TypeAlias = Literal["fsync", "os", "memory"]
"""``fsync``: survives a power cut. ``os``: survives a killed process. ``memory``: nothing does."""

State: TypeAlias = Literal["kept", "none", "lost"]
"""``kept``: in the directory. ``none``: it has not begun yet, and whatever else the directory holds
is a former incarnation's. ``lost``: it lived in memory, and ended with its process."""


class Identity(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who a directory belongs to, and under which promise it was written."""

    format: int = FORMAT
    """The version of this file."""
    cluster_id: str
    """32 hexadecimal digits, drawn at the first start of the cluster."""
    node_id: str
    """As in ``n1``."""
    incarnation: int
    """Counts the lives of a node id; a node that lost its state never returns with the old one."""
    configuration: Configuration
    """The members at the cluster's first start, or when this node joined; later changes are in the
    log."""
    configuration_index: Index = 0
    """Where in the cluster's log that was decided; 0: the cluster began with it."""
    state: State = "kept"
    """What there is of this incarnation's term, vote and log."""
    durability: Durability = "fsync"
    """How the log was written since it was opened last."""
    boot_id: str = ""
    """Which run of the kernel opened it last; matters under ``os`` only."""
    clean: bool = True
    """Closed with everything on disk; matters under ``os`` only."""


class _Stored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    identity: msgspec.Raw
    checksum: str


class _AnyFormat(msgspec.Struct, frozen=True):
    class _Part(msgspec.Struct, frozen=True):
        format: int

    identity: _Part


def check_identity(identity: Identity) -> None:
    """Refuse an identity that can't be stored.

    Raises:
        StorageError: names the field.
    """
    if re.fullmatch(r"[0-9a-f]{32}", identity.cluster_id) is None:
        raise StorageError(f"cluster_id must be 32 hexadecimal digits: {identity.cluster_id!r}")
    if not 1 <= len(identity.node_id.encode()) <= NODE_ID_BYTES_MAX:
        raise StorageError(f"node_id must be 1 to {NODE_ID_BYTES_MAX} bytes: {identity.node_id!r}")
    if not 1 <= identity.incarnation < 2**63:
        raise StorageError(f"incarnation must be 1 or more: {identity.incarnation}")


def encode_identity(identity: Identity) -> bytes:
    """Return the content of an identity file."""
    content = msgspec.json.encode(identity)
    stored = _Stored(msgspec.Raw(content), _checksum(content))
    return msgspec.json.format(msgspec.json.encode(stored), indent=2) + b"\n"


def decode_identity(data: bytes, path: str) -> Identity:
    """Decode the content of an identity file.

    Raises:
        CorruptRecord: it is damaged.
        WrongDirectory: a newer version of the program wrote it.
    """
    try:
        stored = msgspec.json.decode(data, type=_Stored)
        identity = msgspec.json.decode(stored.identity, type=Identity)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _refuse_other_format(data, path)
        raise damaged(path, 0, f"it is no identity file ({error})") from error
    if identity.format not in FORMATS:
        _refuse_other_format(data, path)
    # Of what is in the file, not of what was made of it: the fields that came later have defaults.
    if stored.checksum != _checksum(msgspec.json.format(bytes(stored.identity), indent=-1)):
        raise damaged(path, 0, "its checksum is wrong")
    return msgspec.structs.replace(identity, format=FORMAT)


def read_identity(files: Files, directory: str) -> Identity | None:
    """Return a directory's identity, or None if it has none.

    Raises:
        CorruptRecord, WrongDirectory: see :func:`decode_identity`.
        OSError: it can't be read.
    """
    path = join(directory, IDENTITY_NAME)
    try:
        data = read_file(files, path, bytes_max=_BYTES_MAX)
    except FileNotFoundError:
        return None
    return decode_identity(data, path)


def write_identity(files: Files, directory: str, identity: Identity) -> None:
    """Replace a directory's identity; durable on return.

    Raises:
        OSError: the old one is still there, or the new one may be.
    """
    temporary = join(directory, _TEMPORARY_NAME)
    handle = files.create(temporary)
    try:
        files.write(handle, encode_identity(identity), 0)
        files.sync(handle)
    finally:
        files.close(handle)
    files.rename(temporary, join(directory, IDENTITY_NAME))
    files.sync_directory(directory)


def _checksum(content: bytes) -> str:
    """Return the checksum of an identity: of its compact JSON, whatever the file's layout is."""
    return f"crc32 {crc32(content):08x}"


def _refuse_other_format(data: bytes, path: str) -> None:
    try:
        version = msgspec.json.decode(data, type=_AnyFormat).identity.format
    except (msgspec.DecodeError, UnicodeDecodeError):
        return
    if version not in FORMATS:
        raise WrongDirectory(
            f"{path} has format {version}, and this program reads format {FORMAT}: "
            f"run the version of Raft Cache that wrote it"
        )
