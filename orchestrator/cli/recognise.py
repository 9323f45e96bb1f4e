"""What kind of file somebody gives to `check`: by its first bytes, before it is taken for YAML."""

from pathlib import Path
from typing import Literal

from ..errors import BadConfiguration

HEAD_BYTES = 4_096
_LOG, _SNAPSHOT = b"RAFTCWAL", b"RAFTCSNP"
_IDENTITY = (b'"node_id"', b'"cluster_id"')


def recognise(path: Path) -> Literal["spec", "history"]:
    """Tell whether a file is to be read as a cluster.yaml or as a recorded history.

    Raises:
        BadConfiguration: it is a file of a node, or no text; says what reads it.
    """
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if head.startswith(_LOG):
        raise BadConfiguration(
            f"{path} is a part of a node's log, which only that node reads, at its start",
            hint="bin/cluster snapshot save FILE   writes all data of a cluster to one file",
        )
    if head.startswith(_SNAPSHOT):
        raise BadConfiguration(
            f"{path} is a snapshot: all data of a cluster as it was at one moment",
            hint=f"bin/cluster snapshot restore {path}   reads and checks it, and makes a cluster",
        )
    if head.startswith(b"{") and all(mark in head for mark in _IDENTITY):
        raise BadConfiguration(
            f"{path} says whose a node's directory is, which only that node reads, at its start",
            hint="bin/cluster status   tells of all nodes of a cluster",
        )
    if b"\0" in head:
        raise BadConfiguration(
            f"{path} is no text: neither a cluster.yaml nor a recorded history",
            hint="bin/cluster check   without a file checks the cluster.yaml of this folder",
        )
    first, _, _ = head.partition(b"\n")
    return "history" if first.startswith(b"{") and b'"history"' in first else "spec"
