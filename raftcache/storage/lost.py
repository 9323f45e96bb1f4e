"""When a node's state is gone, or may be: such a node never votes as its former self (C10)."""

from ..errors import StateLost, WrongDirectory
from .files import Files
from .identity import IDENTITY_NAME, Identity
from .segment import segment_number
from .snapshots import snapshot_position


def no_identity(files: Files, directory: str) -> WrongDirectory:
    """Return the error for a directory without an identity: nothing is there, or too much."""
    try:
        names = files.names(directory)
    except FileNotFoundError:
        names = []
    if any(segment_number(name) or snapshot_position(name) for name in names):
        return WrongDirectory(
            f"{directory} holds a log but no identity: it was in use once, and {IDENTITY_NAME} is "
            f"gone. Put that file back, or remove the directory: then the node joins anew"
        )
    return StateLost(
        f"{directory} holds no state of a node: {IDENTITY_NAME} is missing. Only the first "
        f"`bin/cluster up` makes it; a node that lost its state must not vote as its former "
        f"self. Put the directory back, or begin an empty cluster with `bin/cluster up --wipe`"
    )


def refuse_lost_state(directory: str, identity: Identity, boot_id: str) -> None:
    """Refuse what lived in memory, or what the kernel may not have written before it went down.

    Raises:
        StateLost: it is so.
    """
    if identity.state == "lost":
        raise lost_with_process(directory, identity)
    if identity.durability == "os" and not identity.clean and identity.boot_id != boot_id:
        raise StateLost(
            f"{directory} was in use under durability `os` when this host went down: its last "
            f"writes, votes among them, may be lost, and this node must not vote without them. "
            f"Durability `fsync` does not have this weakness"
        )


def lost_with_process(directory: str, identity: Identity) -> StateLost:
    """Return the error for a node that lived in memory."""
    return StateLost(
        f"{directory} is of {identity.node_id}#{identity.incarnation}, which lived in memory "
        f"(durability `memory`) and ended with its process: the node must join anew"
    )
